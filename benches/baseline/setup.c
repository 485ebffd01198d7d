/* Fills a libvirt with shut-off domains and snapshots for the cold read, by REDEFINE: metadata alone, no capture.
 *
 *     setup URI FIRST DOMAINS SNAPSHOTS IMAGES
 *
 * makes bench-FIRST to the one before bench-DOMAINS, with the disk IMAGES/bench-000.qcow2 and the snapshots s000, ..., each
 * the child of the one before, the last one current. Stamps and ledger are those of snapward in its steady state, so that a
 * plan has nothing to do. */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-01T00:00:00Z; snapshot i is i hours younger. */
enum { FIRST_CAPTURE = 1767225600, BUFFER = 1 << 18 };

/* As many requests of one client as a daemon takes at once. libvirt writes a file for each redefine: while some wait for the
 * disk, others are parsed. */
enum { WORKERS = 5 };

static virConnectPtr conn;
static const char *images;
static int domains, snapshots;
static atomic_int next_domain;
/* The ledger of a domain with all snapshots, and how much of it there was before each capture, which is what its snapshot
 * embeds. */
static char *ledger;
static int *known;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "setup: %s %s: %s\n", what, name, virGetLastErrorMessage());
    exit(1);
}

/* What a small server looks like: enough devices that the snapshots' XML has its usual size. */
static const char domain_format[] =
    "<domain type='qemu'><name>bench-%03d</name><uuid>%s</uuid>"
    "<metadata><snapward:ledger xmlns:snapward='https://snapward.dev/ledger/v1' domain='%s'>%.*s</snapward:ledger></metadata>"
    "<memory unit='MiB'>2048</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type><boot dev='hd'/></os>"
    "<features><acpi/><apic/></features><clock offset='utc'/><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s/bench-%03d.qcow2'/>"
    "<target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>"
    "<interface type='user'><mac address='52:54:00:00:%02x:%02x'/><model type='virtio'/></interface>"
    "<serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    "</devices></domain>";

static const char snapshot_format[] =
    "<domainsnapshot><name>s%03d</name>"
    "<description>State %d\n\nSnapward-Set: default/bench\nSnapward-Snapshot: s%03d\nSnapward-Consistency: offline</description>"
    "<state>shutoff</state>%s<creationTime>%ld</creationTime><memory snapshot='no'/>"
    "<disks><disk name='vda' snapshot='internal'/></disks>%s</domainsnapshot>";

static void format_domain(char *out, int number, const char *uuid, int ledger_length)
{
    snprintf(out, BUFFER, domain_format, number, uuid, uuid, ledger_length, ledger, images, number, number / 256,
             number % 256);
}

static void set_up(int number, char *definition, char *xml)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    snprintf(uuid, sizeof uuid, "5b0a7c1e-0000-4000-8000-%012d", number);
    format_domain(definition, number, uuid, known[snapshots]);
    virDomainPtr domain = virDomainDefineXML(conn, definition);
    if (!domain)
        die("define", uuid);
    for (int s = 0; s < snapshots; s++) {
        char parent[64] = "";
        if (s > 0)
            snprintf(parent, sizeof parent, "<parent><name>s%03d</name></parent>", s - 1);
        format_domain(definition, number, uuid, known[s]);
        snprintf(xml, 2 * BUFFER, snapshot_format, s, s, s, parent, FIRST_CAPTURE + 3600L * s, definition);
        unsigned int flags = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
        if (s == snapshots - 1)
            flags |= VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT;
        virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, xml, flags);
        if (!snapshot)
            die("snapshot of", uuid);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

static void *worker(void *unused)
{
    (void)unused;
    char *definition = malloc(BUFFER), *xml = malloc(2 * BUFFER);
    if (!definition || !xml)
        die("memory", "");
    for (int number; (number = atomic_fetch_add(&next_domain, 1)) < domains;)
        set_up(number, definition, xml);
    free(definition);
    free(xml);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: setup URI FIRST DOMAINS SNAPSHOTS IMAGES\n");
        return 64;
    }
    int first = atoi(argv[2]);
    domains = atoi(argv[3]), snapshots = atoi(argv[4]), images = argv[5];
    if (first < 0 || domains <= first || domains > 999 || snapshots < 1 || snapshots > 999) {
        fprintf(stderr, "setup: 1 to 999 domains and snapshots\n");
        return 64;
    }
    atomic_init(&next_domain, first);
    conn = virConnectOpen(argv[1]);
    if (!conn)
        die("open", argv[1]);

    /* Asking QEMU what it can do takes seconds, once per root: not in the first measurement. */
    free(virConnectGetCapabilities(conn));

    ledger = malloc(BUFFER), known = calloc(snapshots + 1, sizeof *known);
    if (!ledger || !known)
        die("memory", "");
    for (int s = 0; s < snapshots; s++)
        known[s + 1] = known[s] + snprintf(ledger + known[s], BUFFER - known[s],
                                           "<snapward:made name='s%03d' created='%ld'/>", s, FIRST_CAPTURE + 3600L * s);

    pthread_t pool[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&pool[i], NULL, worker, NULL))
            die("a thread", "");
    for (int i = 0; i < WORKERS; i++)
        pthread_join(pool[i], NULL);
    free(known);
    free(ledger);
    virConnectClose(conn);
    return 0;
}
