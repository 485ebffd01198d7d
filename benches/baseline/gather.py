"""Gathers what a plan needs with libvirt's Python bindings, as a script of an administrator would: one thread, the XML
parsed with the standard library. `gather.py URI` prints the milliseconds after the connection was opened."""

import sys
import time
from xml.etree import ElementTree

import libvirt

libvirt.registerErrorHandler(lambda *_: None, None)
connection = libvirt.openReadOnly(sys.argv[1])
begin = time.monotonic()
connection.getHostname()
connection.getLibVersion()
connection.getCapabilities()
facts = {}
for domain in connection.listAllDomains():
    definition = ElementTree.fromstring(domain.XMLDesc())
    disks = {disk.find("target").get("dev"): disk.find("source") for disk in definition.findall("devices/disk")}
    snapshots = {}
    for snapshot in domain.listAllSnapshots():
        xml = ElementTree.fromstring(snapshot.getXMLDesc())
        snapshots[snapshot.getName()] = {
            "created": int(xml.findtext("creationTime")),
            "parent": xml.findtext("parent/name"),
            "state": xml.findtext("state"),
            "description": xml.findtext("description"),
            "disks": {disk.get("name"): disk.get("snapshot") for disk in xml.findall("disks/disk")},
        }
    try:
        current = domain.snapshotCurrent().getName()
    except libvirt.libvirtError:
        current = None
    facts[domain.name()] = (domain.isActive(), disks, snapshots, current)
assert facts
print(f"{(time.monotonic() - begin) * 1000:.1f}")
