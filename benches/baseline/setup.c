/* Fills a libvirt with shut-off domains and snapshots for the cold read, by REDEFINE: metadata alone, no capture.
 *
 *     setup URI DOMAINS SNAPSHOTS IMAGES
 *
 * makes bench-000, ... with the disk IMAGES/bench-000.qcow2 and the snapshots s000, ..., each the child of the one
 * before, the last one current. Stamps and ledger are those of snapward in its steady state, so that a plan has nothing
 * to do. */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-01T00:00:00Z; snapshot i is i hours younger. */
enum { FIRST_CAPTURE = 1767225600, BUFFER = 1 << 18 };

static void die(const char *what, const char *name)
{
    fprintf(stderr, "setup: %s %s: %s\n", what, name, virGetLastErrorMessage());
    exit(1);
}

static void *event_loop(void *unused)
{
    (void)unused;
    while (virEventRunDefaultImpl() == 0)
        ;
    return NULL;
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

static void format_domain(char *out, int number, const char *uuid, const char *ledger, int ledger_length,
                          const char *images)
{
    snprintf(out, BUFFER, domain_format, number, uuid, uuid, ledger_length, ledger, images, number, number / 256,
             number % 256);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: setup URI DOMAINS SNAPSHOTS IMAGES\n");
        return 64;
    }
    int domains = atoi(argv[2]), snapshots = atoi(argv[3]);
    if (domains < 1 || domains > 999 || snapshots < 1 || snapshots > 999) {
        fprintf(stderr, "setup: 1 to 999 domains and snapshots\n");
        return 64;
    }
    pthread_t loop;
    if (virEventRegisterDefaultImpl() < 0 || pthread_create(&loop, NULL, event_loop, NULL))
        die("event loop", "");
    virConnectPtr conn = virConnectOpen(argv[1]);
    if (!conn)
        die("open", argv[1]);

    /* Asking QEMU what it can do takes seconds, once per root: not in the first measurement. */
    free(virConnectGetCapabilities(conn));

    char *ledger = malloc(BUFFER), *definition = malloc(BUFFER), *xml = malloc(2 * BUFFER);
    /* How much of the ledger there was before each capture, which is what its snapshot embeds. */
    int *known = calloc(snapshots + 1, sizeof *known);
    if (!ledger || !definition || !xml || !known)
        die("memory", "");
    for (int s = 0; s < snapshots; s++)
        known[s + 1] = known[s] + snprintf(ledger + known[s], BUFFER - known[s],
                                           "<snapward:made name='s%03d' created='%ld'/>", s, FIRST_CAPTURE + 3600L * s);

    for (int d = 0; d < domains; d++) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        snprintf(uuid, sizeof uuid, "5b0a7c1e-0000-4000-8000-%012d", d);
        format_domain(definition, d, uuid, ledger, known[snapshots], argv[4]);
        virDomainPtr domain = virDomainDefineXML(conn, definition);
        if (!domain)
            die("define", uuid);
        for (int s = 0; s < snapshots; s++) {
            char parent[64] = "";
            if (s > 0)
                snprintf(parent, sizeof parent, "<parent><name>s%03d</name></parent>", s - 1);
            format_domain(definition, d, uuid, ledger, known[s], argv[4]);
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
    free(known);
    free(definition);
    free(ledger);
    free(xml);
    virConnectClose(conn);
    return 0;
}
