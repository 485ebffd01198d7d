/* The bare loop that a cold read is measured against: the calls that reading all domains and snapshots needs, and
 * nothing done with the answers. Shares no code with snapward.
 *
 *     read URI THREADS [SNAPSHOTS]
 *
 * prints "threads N calls C ms M"; with a number it makes the calls of a poll of the agent, which knows that each domain has
 * so many snapshots and finds nothing changed. The clock starts after the connection is open: the embedded driver loads its
 * whole state then, which is not part of the comparison. */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 64 };

static virDomainStatsRecordPtr *records;
static int domains;
static atomic_int next_domain;
static atomic_long calls;
/* How many names a poll asks for: one more than there are. 0 without a poll. */
static int poll_names;

static void die(const char *what)
{
    fprintf(stderr, "read: %s: %s\n", what, virGetLastErrorMessage());
    exit(1);
}

/* libvirt prints errors by itself unless told otherwise; ours name the call. */
static void silent(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

static void *event_loop(void *unused)
{
    (void)unused;
    while (virEventRunDefaultImpl() == 0)
        ;
    return NULL;
}

static void read_current(virDomainPtr domain)
{
    virDomainSnapshotPtr current = virDomainSnapshotCurrent(domain, 0);
    if (current)
        virDomainSnapshotFree(current);
    else if (virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_SNAPSHOT)
        die("virDomainSnapshotCurrent");
}

static void poll_domain(virDomainPtr domain)
{
    char *names[poll_names];
    int found = virDomainSnapshotListNames(domain, names, poll_names, 0);
    if (found < 0)
        die("virDomainSnapshotListNames");
    for (int i = 0; i < found; i++)
        free(names[i]);
    read_current(domain);
    atomic_fetch_add(&calls, 2);
}

static void read_domain(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    char *xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        die("virDomainGetXMLDesc");
    free(xml);

    int found = virDomainListAllSnapshots(domain, &snapshots, 0);
    if (found < 0)
        die("virDomainListAllSnapshots");
    read_current(domain);

    for (int i = 0; i < found; i++) {
        xml = virDomainSnapshotGetXMLDesc(snapshots[i], 0);
        if (!xml)
            die("virDomainSnapshotGetXMLDesc");
        free(xml);
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    atomic_fetch_add(&calls, 3 + found);
}

static void *worker(void *unused)
{
    (void)unused;
    for (int i; (i = atomic_fetch_add(&next_domain, 1)) < domains;)
        (poll_names ? poll_domain : read_domain)(records[i]->dom);
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;
    int snapshots = argc == 4 ? atoi(argv[3]) : -1;
    if (threads < 1 || threads > MAX_THREADS || snapshots > 999) {
        fprintf(stderr, "usage: read URI THREADS (1 to %d) [SNAPSHOTS (up to 999)]\n", MAX_THREADS);
        return 64;
    }
    poll_names = snapshots + 1;
    pthread_t loop, pool[MAX_THREADS];
    virSetErrorFunc(NULL, silent);
    /* The embedded driver needs it; with a daemon every call is a third slower where there is one. */
    if (strstr(argv[1], ":///embed") &&
        (virEventRegisterDefaultImpl() < 0 || pthread_create(&loop, NULL, event_loop, NULL)))
        die("event loop");
    virConnectPtr conn = virConnectOpenReadOnly(argv[1]);
    if (!conn)
        die(argv[1]);

    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);

    if (!poll_names) {
        char *hostname = virConnectGetHostname(conn);
        if (!hostname)
            die("virConnectGetHostname");
        free(hostname);
        unsigned long version;
        if (virConnectGetLibVersion(conn, &version) < 0)
            die("virConnectGetLibVersion");
        char *capabilities = virConnectGetCapabilities(conn);
        if (!capabilities)
            die("virConnectGetCapabilities");
        free(capabilities);
        atomic_fetch_add(&calls, 3);
    }
    domains = virConnectGetAllDomainStats(conn, VIR_DOMAIN_STATS_STATE, &records, 0);
    if (domains < 0)
        die("virConnectGetAllDomainStats");
    atomic_fetch_add(&calls, 1);

    for (int i = 0; i < threads; i++)
        if (pthread_create(&pool[i], NULL, worker, NULL))
            die("a thread");
    for (int i = 0; i < threads; i++)
        pthread_join(pool[i], NULL);

    clock_gettime(CLOCK_MONOTONIC, &end);
    double ms = (end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6;
    printf("threads %d calls %ld ms %.1f\n", threads, atomic_load(&calls), ms);

    virDomainStatsRecordListFree(records);
    virConnectClose(conn);
    return 0;
}
