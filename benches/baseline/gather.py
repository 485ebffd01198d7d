"""Gathers the facts of a plan with libvirt's Python bindings, as a script of an administrator would: one thread, the XML
parsed with the standard library. `gather.py URI` prints the milliseconds after the connection was opened."""

import hashlib
import sys
import time
from xml.etree import ElementTree

import libvirt

LEDGER = "{https://snapward.dev/ledger/v1}ledger"


def ledger(domain):
    """What a definition's copy of the ledger says was made."""
    found = domain.find(f"metadata/{LEDGER}") if domain is not None else None
    return {} if found is None else {made.get("name"): int(made.get("created")) for made in found}


def disks(domain):
    """The disks of a definition, each with the attributes of its source."""
    found = {}
    for disk in domain.findall("devices/disk"):
        source = disk.find("source")
        found[disk.find("target").get("dev")] = {} if source is None else dict(source.attrib)
    return found


libvirt.registerErrorHandler(lambda *_: None, None)
connection = libvirt.openReadOnly(sys.argv[1])
begin = time.monotonic()
connection.getHostname()
connection.getLibVersion()
connection.getCapabilities()
facts = {}
for domain, state in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE):
    definition = ElementTree.fromstring(domain.XMLDesc())
    made = ledger(definition)
    snapshots = {}
    for snapshot in domain.listAllSnapshots():
        text = snapshot.getXMLDesc()
        xml = ElementTree.fromstring(text)
        embedded = xml.find("domain")
        made.update(ledger(embedded))
        snapshots[snapshot.getName()] = {
            "created": int(xml.findtext("creationTime")),
            "parent": xml.findtext("parent/name"),
            "state": xml.findtext("state"),
            "description": xml.findtext("description"),
            "disks": {disk.get("name"): disk.get("snapshot") for disk in xml.findall("disks/disk")},
            "definition": disks(embedded),
            "digest": hashlib.sha256(text.encode()).digest(),
        }
    try:
        current = domain.snapshotCurrent().getName()
    except libvirt.libvirtError:
        current = None
    facts[domain.name()] = (state, disks(definition), made, snapshots, current)
assert facts
print(f"{(time.monotonic() - begin) * 1000:.1f}")
