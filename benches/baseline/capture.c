/* The bare loop that captures are measured against: the calls that snapward makes to capture one internal snapshot on each
 * of a host's running domains, in its order and with its parallelism, and nothing done with the answers. Shares no code
 * with snapward.
 *
 *     capture URI THREADS NAME     captures NAME on every domain, as `snapward apply` does where nothing else is to be done
 *     capture URI THREADS          deletes every snapshot and the ledgers: the state before
 */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 64, BUFFER = 4096 };

static const char ledger_namespace[] = "https://snapward.dev/ledger/v1";
static virConnectPtr conn;
static virDomainStatsRecordPtr *records;
static int domains;
static atomic_int next_domain;
static atomic_long calls;
static const char *name;

static void die(const char *what)
{
    fprintf(stderr, "capture: %s: %s\n", what, virGetLastErrorMessage());
    exit(1);
}

static void silent(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

static void read_definition(virDomainPtr domain, unsigned int flags)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    if (!xml)
        die("virDomainGetXMLDesc");
    free(xml);
    atomic_fetch_add(&calls, 1);
}

static void list_snapshots(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int found = virDomainListAllSnapshots(domain, &snapshots, 0);
    if (found != 0)
        die("virDomainListAllSnapshots: not an empty list");
    free(snapshots);
    atomic_fetch_add(&calls, 1);
}

/* The stored definition too: the domain runs, and no copy of the ledger knows the snapshot. */
static void read_domain(virDomainPtr domain)
{
    read_definition(domain, 0);
    list_snapshots(domain);
    read_definition(domain, VIR_DOMAIN_XML_INACTIVE);
}

static void write_ledger(virDomainPtr domain, const char *made)
{
    char uuid[VIR_UUID_STRING_BUFLEN], ledger[BUFFER];
    if (virDomainGetUUIDString(domain, uuid) < 0)
        die("virDomainGetUUIDString");
    snprintf(ledger, sizeof ledger, "<ledger domain=\"%s\">%s</ledger>", uuid, made);
    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, ledger, "snapward", ledger_namespace,
                             VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG) < 0)
        die("virDomainSetMetadata");
    atomic_fetch_add(&calls, 1);
}

/* Under the domain's lock snapward reads it again, then acts, and reads back what it did. */
static void capture(virDomainPtr domain)
{
    virDomainStatsRecordPtr *again;
    char xml[BUFFER], made[256];

    if (virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_STATE, &again, 0) < 0)
        die("virConnectGetAllDomainStats");
    virDomainStatsRecordListFree(again);
    read_domain(domain);
    if (virDomainIsPersistent(domain) < 0)
        die("virDomainIsPersistent");
    write_ledger(domain, "");
    list_snapshots(domain);
    snprintf(xml, sizeof xml,
             "<domainsnapshot><name>%s</name><description>bench\n\nSnapward-Set: default/bench\nSnapward-Snapshot: %s\n"
             "Snapward-Consistency: memory</description><memory snapshot='internal'/>"
             "<disks><disk name='vda' snapshot='internal'/></disks></domainsnapshot>",
             name, name);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, xml, 0);
    if (!snapshot)
        die("virDomainSnapshotCreateXML");
    char *back = virDomainSnapshotGetXMLDesc(snapshot, 0);
    if (!back)
        die("virDomainSnapshotGetXMLDesc");
    free(back);
    virDomainSnapshotFree(snapshot);
    snprintf(made, sizeof made, "<made name=\"%s\" created=\"1767225600\"/>", name);
    write_ledger(domain, made);
    atomic_fetch_add(&calls, 4);
}

static void reset(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int found = virDomainListAllSnapshots(domain, &snapshots, 0);
    for (int i = 0; i < found; i++) {
        if (virDomainSnapshotDelete(snapshots[i], 0) < 0)
            die("virDomainSnapshotDelete");
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, NULL, ledger_namespace,
                             VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG) < 0)
        die("virDomainSetMetadata");
}

static void *worker(void *each)
{
    for (int i; (i = atomic_fetch_add(&next_domain, 1)) < domains;)
        ((void (*)(virDomainPtr))each)(records[i]->dom);
    return NULL;
}

static void in_parallel(int threads, void (*each)(virDomainPtr))
{
    pthread_t pool[MAX_THREADS];
    atomic_store(&next_domain, 0);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&pool[i], NULL, worker, (void *)each))
            die("a thread");
    for (int i = 0; i < threads; i++)
        pthread_join(pool[i], NULL);
}

int main(int argc, char **argv)
{
    int threads = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: capture URI THREADS (1 to %d) [NAME]\n", MAX_THREADS);
        return 64;
    }
    name = argv[3];
    virSetErrorFunc(NULL, silent);
    conn = virConnectOpen(argv[1]);
    if (!conn)
        die(argv[1]);
    char *text = virConnectGetCapabilities(conn);
    free(text);
    text = virConnectGetHostname(conn);
    free(text);
    unsigned long version;
    virConnectGetLibVersion(conn, &version);
    domains = virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_STATE, &records, 0);
    if (domains < 0)
        die("virConnectGetAllDomainStats");
    atomic_fetch_add(&calls, 4);
    if (name) {
        in_parallel(threads, read_domain);
        in_parallel(threads, capture);
        printf("%ld\n", atomic_load(&calls));
    } else {
        in_parallel(threads, reset);
    }
    virDomainStatsRecordListFree(records);
    virConnectClose(conn);
    return 0;
}
