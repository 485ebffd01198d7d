//! Guests for the tests: small, without an operating system, quick to start.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use snapward::host::{DomainRef, Host};
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::error::Error;
use virt::sys;

use super::embed::EmbedRoot;
use super::tools;

/// Whether QEMU can use KVM here; else guests are emulated.
pub(crate) fn kvm_opens() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// A guest to be defined.
pub(crate) struct GuestBuilder<'a> {
    root: &'a EmbedRoot,
    name: String,
    disks: Vec<(String, String, String)>,
    description: Option<String>,
    head: String,
    devices: String,
}

impl<'a> GuestBuilder<'a> {
    pub(super) fn new(root: &'a EmbedRoot, name: &str) -> Self {
        Self {
            root,
            name: name.to_owned(),
            disks: Vec::new(),
            description: None,
            head: String::new(),
            devices: String::new(),
        }
    }

    /// Adds a disk with a new image `NAME-TARGET.FORMAT`. Without any, a guest gets `vda`, qcow2, 32 MiB.
    pub(crate) fn disk(mut self, target: &str, format: &str, size: &str) -> Self {
        self.disks.push((target.to_owned(), format.to_owned(), size.to_owned()));
        self
    }

    /// The domain's own description.
    pub(crate) fn description(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// XML among the children of `<domain>`: a title, metadata, os elements.
    pub(crate) fn head(mut self, xml: &str) -> Self {
        self.head.push_str(xml);
        self
    }

    /// XML among the devices.
    pub(crate) fn device(mut self, xml: &str) -> Self {
        self.devices.push_str(xml);
        self
    }

    /// A VNC server with a password: a secret in the definition. No VNC port is opened, only a socket in the root.
    pub(crate) fn vnc_password(self, password: &str) -> Self {
        let socket = self.root.path().join(format!("{}.vnc", self.name));
        let xml = format!(
            "<graphics type='vnc' socket='{}' passwd='{password}'/><video><model type='vga'/></video>",
            tools::text(&socket)
        );
        self.device(&xml)
    }

    /// Makes the images and defines the domain.
    pub(crate) fn define(mut self) -> Guest<'a> {
        if self.disks.is_empty() {
            self = self.disk("vda", "qcow2", "32M");
        }
        let mut disks = String::new();
        for (target, format, size) in &self.disks {
            let image = self.root.image(&format!("{}-{target}.{format}", self.name));
            tools::create_image(&image, format, size);
            disks.push_str(&format!(
                "<disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{}'/>\
                 <target dev='{target}'/></disk>",
                tools::text(&image)
            ));
        }
        let kind = if kvm_opens() { "kvm" } else { "qemu" };
        let description = self.description.map(|text| format!("<description>{text}</description>")).unwrap_or_default();
        let xml = format!(
            "<domain type='{kind}'><name>{}</name>{description}{}<memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{disks}\
             <controller type='usb' model='none'/><memballoon model='none'/>{}</devices></domain>",
            self.name, self.head, self.devices
        );
        match self.root.held() {
            Some(side) => drop(side.define_domain_xml(&xml).expect("the domain is defined")),
            None => drop(self.root.virsh_ok(&["define", &self.root.file("domain.xml", &xml)])),
        }
        Guest { root: self.root, name: self.name }
    }
}

/// A defined guest, driven as an administrator does who knows nothing of snapward.
pub(crate) struct Guest<'a> {
    root: &'a EmbedRoot,
    name: String,
}

impl<'a> Guest<'a> {
    /// A guest that was defined by other means.
    pub(crate) fn named(root: &'a EmbedRoot, name: &str) -> Self {
        Self { root, name: name.to_owned() }
    }
}

impl Guest<'_> {
    /// The image of a disk that [`GuestBuilder::disk`] made.
    pub(crate) fn image(&self, target: &str, format: &str) -> PathBuf {
        self.root.image(&format!("{}-{target}.{format}", self.name))
    }

    /// The image of the disk a guest gets by default.
    pub(crate) fn vda(&self) -> PathBuf {
        self.image("vda", "qcow2")
    }

    /// Drives the domain from wherever the root is open: by a call here, or by a virsh command. An error is libvirt's text.
    fn attempt(&self, call: impl FnOnce(&Domain) -> Result<String, Error>, virsh: &[&str]) -> Result<String, String> {
        if self.root.held().is_some() {
            return self.call(call);
        }
        let output = self.root.virsh(virsh);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// As [`Self::attempt`], for what must succeed.
    fn drive(&self, call: impl FnOnce(&Domain) -> Result<String, Error>, virsh: &[&str]) -> String {
        self.attempt(call, virsh).unwrap_or_else(|error| panic!("{virsh:?} of {}: {error}", self.name))
    }

    /// As [`Self::attempt`], for what answers nothing.
    fn tries(&self, call: impl FnOnce(&Domain) -> Result<(), Error>, virsh: &[&str]) -> Result<(), String> {
        self.attempt(|domain| call(domain).map(|()| String::new()), virsh).map(drop)
    }

    fn act(&self, call: impl FnOnce(&Domain) -> Result<(), Error>, virsh: &[&str]) {
        self.drive(|domain| call(domain).map(|()| String::new()), virsh);
    }

    /// Calls libvirt itself, for what no virsh command says as exactly; this process must hold the root. An error is
    /// libvirt's text.
    pub(crate) fn call<T>(&self, call: impl FnOnce(&Domain) -> Result<T, Error>) -> Result<T, String> {
        let side = self.root.held().expect("this process holds the root");
        call(&side.lookup_domain_by_name(&self.name).expect("the domain is there")).map_err(|error| error.to_string())
    }

    /// Starts it.
    pub(crate) fn start(&self) {
        self.try_start().expect("it starts");
    }

    /// Starts it, or says why not.
    pub(crate) fn try_start(&self) -> Result<(), String> {
        self.tries(Domain::create, &["start", &self.name])
    }

    /// Starts it paused, where QEMU counts and not what the guest does: its firmware takes seconds of a core.
    pub(crate) fn start_paused(&self) {
        self.try_start_paused().expect("it starts");
    }

    /// Starts it paused, or says why not.
    pub(crate) fn try_start_paused(&self) -> Result<(), String> {
        let paused = sys::VIR_DOMAIN_START_PAUSED;
        self.tries(|domain| domain.create_with_flags(paused).map(drop), &["start", "--paused", &self.name])
    }

    /// Whether it runs or is paused.
    pub(crate) fn is_active(&self) -> bool {
        let state = |domain: &Domain| Ok(if domain.is_active()? { "running" } else { "shut off" }.to_owned());
        self.drive(state, &["domstate", &self.name]).trim() != "shut off"
    }

    /// Pauses it.
    pub(crate) fn pause(&self) {
        self.act(Domain::suspend, &["suspend", &self.name]);
    }

    /// Lets it run on.
    pub(crate) fn resume(&self) {
        self.act(Domain::resume, &["resume", &self.name]);
    }

    /// Switches it off at once.
    pub(crate) fn destroy(&self) {
        self.try_destroy().expect("it is active");
    }

    /// Switches it off at once, or says why not.
    pub(crate) fn try_destroy(&self) -> Result<(), String> {
        self.tries(Domain::destroy, &["destroy", &self.name])
    }

    /// Removes it with the metadata of its snapshots.
    pub(crate) fn undefine(&self) {
        let flags = sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
        self.act(|domain| domain.undefine_flags(flags), &["undefine", "--snapshots-metadata", &self.name]);
    }

    /// Takes one namespace out of its metadata, running and stored, as a define without it does.
    pub(crate) fn drop_metadata(&self, namespace: &str) {
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
        self.act(
            |domain| domain.set_metadata(kind, None, None, Some(namespace), sys::VIR_DOMAIN_AFFECT_CONFIG).map(drop),
            &["metadata", &self.name, "--uri", namespace, "--remove", "--config"],
        );
    }

    /// Defines a copy of the stopped domain as virt-clone does: the XML with another name and no UUID, the image copied.
    pub(crate) fn clone_as(&self, name: &str) -> Self {
        let xml = self.xml();
        let uuid = between(&xml, "<uuid>", "</uuid>");
        let (from, to) = (self.vda(), self.root.image(&format!("{name}-vda.qcow2")));
        std::fs::copy(&from, &to).expect("copied");
        let copy = xml
            .replace(&format!("<name>{}</name>", self.name), &format!("<name>{name}</name>"))
            .replace(&format!("<uuid>{uuid}</uuid>"), "")
            .replace(tools::text(&from), tools::text(&to));
        match self.root.held() {
            Some(side) => drop(side.define_domain_xml(&copy).expect("the clone is defined")),
            None => drop(self.root.virsh_ok(&["define", &self.root.file("clone.xml", &copy)])),
        }
        Self { root: self.root, name: name.to_owned() }
    }

    /// Defines it anew with this text of its stored XML replaced; a running domain goes on as it is.
    pub(crate) fn redefine_with(&self, old: &str, new: &str) {
        let stored = sys::VIR_DOMAIN_XML_SECURE | sys::VIR_DOMAIN_XML_INACTIVE;
        let virsh = ["dumpxml", "--security-info", "--inactive", &self.name];
        let xml = self.drive(|domain| domain.xml_desc(stored), &virsh).replace(old, new);
        match self.root.held() {
            Some(side) => drop(side.define_domain_xml(&xml).expect("it is defined")),
            None => drop(self.root.virsh_ok(&["define", &self.root.file("domain.xml", &xml)])),
        }
    }

    /// Gives libvirt the record of a snapshot back, as `virsh snapshot-create --redefine`; this process must hold the root.
    pub(crate) fn restore_snapshot(&self, xml: &str) {
        let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
        self.call(|domain| domain.create_snapshot_xml(xml, flags).map(drop)).expect("taken");
    }

    /// Gives it another name.
    pub(crate) fn rename(self, name: &str) -> Self {
        self.act(|domain| domain.rename(name, 0).map(drop), &["domrename", &self.name, name]);
        Self { root: self.root, name: name.to_owned() }
    }

    /// Its definition with secrets.
    pub(crate) fn xml(&self) -> String {
        self.drive(|domain| domain.xml_desc(sys::VIR_DOMAIN_XML_SECURE), &["dumpxml", "--security-info", &self.name])
    }

    /// Captures a snapshot of libvirt's default kind; `inner` is XML beside the name, as a description.
    pub(crate) fn snapshot(&self, name: &str, inner: &str) {
        let xml = format!("<domainsnapshot><name>{name}</name>{inner}</domainsnapshot>");
        let file = self.root.file("snapshot.xml", &xml);
        self.act(|domain| domain.create_snapshot_xml(&xml, 0).map(drop), &["snapshot-create", &self.name, &file]);
    }

    /// Captures the disks alone, as `virsh snapshot-create --disk-only`; `inner` is XML beside the name. External, unless
    /// `inner` says something else.
    pub(crate) fn try_disk_only(&self, name: &str, inner: &str) -> Result<(), String> {
        let xml = format!("<domainsnapshot><name>{name}</name>{inner}</domainsnapshot>");
        let file = self.root.file("snapshot.xml", &xml);
        let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
        self.tries(
            |domain| domain.create_snapshot_xml(&xml, flags).map(drop),
            &["snapshot-create", "--disk-only", &self.name, &file],
        )
    }

    /// Deletes a snapshot, as `virsh snapshot-delete`.
    pub(crate) fn delete_snapshot(&self, name: &str) {
        self.try_delete(name).unwrap_or_else(|error| panic!("deleting {name}: {error}"));
    }

    /// Deletes a snapshot, or says why not.
    pub(crate) fn try_delete(&self, name: &str) -> Result<(), String> {
        self.tries(|domain| find(domain, name)?.delete(0), &["snapshot-delete", &self.name, name])
    }

    /// Reverts to a snapshot, as `virsh snapshot-revert`.
    pub(crate) fn revert(&self, name: &str) {
        self.try_revert(name).unwrap_or_else(|error| panic!("reverting to {name}: {error}"));
    }

    /// Reverts to a snapshot, or says why not.
    pub(crate) fn try_revert(&self, name: &str) -> Result<(), String> {
        self.tries(|domain| find(domain, name)?.revert(0), &["snapshot-revert", &self.name, name])
    }

    /// Moves the pointer, as `virsh snapshot-current NAME`.
    pub(crate) fn set_current(&self, name: &str) {
        self.edit_snapshot(name, true, |xml| xml);
    }

    /// A snapshot's XML with secrets.
    pub(crate) fn snapshot_xml(&self, name: &str) -> String {
        self.drive(
            |domain| find(domain, name)?.xml_desc(sys::VIR_DOMAIN_SNAPSHOT_XML_SECURE),
            &["snapshot-dumpxml", "--security-info", &self.name, name],
        )
    }

    /// The snapshots' names, sorted.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let names = |domain: &Domain| -> Result<String, Error> {
            let names: Result<Vec<_>, _> = domain.list_all_snapshots(0)?.iter().map(DomainSnapshot::name).collect();
            Ok(names?.join("\n"))
        };
        let listed = self.drive(names, &["snapshot-list", "--name", &self.name]);
        let mut names: Vec<_> = listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The current snapshot's name; there must be one.
    pub(crate) fn current(&self) -> String {
        self.try_current().expect("a current snapshot")
    }

    /// The current snapshot's name, or what libvirt says where there is none.
    pub(crate) fn try_current(&self) -> Result<String, String> {
        let virsh = ["snapshot-current", "--name", &self.name];
        let current = self.attempt(|domain| domain.current_snapshot(0)?.name(), &virsh)?;
        Ok(current.trim_end_matches('\n').to_owned())
    }

    /// Sends a snapshot's XML back changed, as `virsh snapshot-edit`; `current` moves the pointer too.
    pub(crate) fn edit_snapshot(&self, name: &str, current: bool, edit: impl FnOnce(String) -> String) {
        self.try_edit(name, current, edit).unwrap_or_else(|error| panic!("redefining {name}: {error}"));
    }

    /// Sends a snapshot's XML back changed, or says why it was not taken.
    pub(crate) fn try_edit(
        &self,
        name: &str,
        current: bool,
        edit: impl FnOnce(String) -> String,
    ) -> Result<(), String> {
        let xml = edit(self.snapshot_xml(name));
        let file = self.root.file("snapshot.xml", &xml);
        let pointer = if current { sys::VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT } else { 0 };
        let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | pointer;
        let mut virsh = vec!["snapshot-create", "--redefine", &self.name, &file];
        virsh.extend(current.then_some("--current"));
        self.tries(|domain| domain.create_snapshot_xml(&xml, flags).map(drop), &virsh)
    }

    /// This domain as a host lists it.
    pub(crate) fn listed(&self, host: &dyn Host) -> DomainRef {
        let domains = host.domains().expect("listed");
        domains.into_iter().find(|domain| domain.name == self.name).expect("the domain is listed")
    }
}

/// The text between two marks.
pub(crate) fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).expect("begins");
    rest.split_once(to).expect("ends").0
}

/// A snapshot of a domain.
pub(crate) fn find(domain: &Domain, name: &str) -> Result<DomainSnapshot, Error> {
    Domain::lookup_snapshot_by_name(domain, name, 0)
}

/// The bytes of a file, for comparing images before and after.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("readable")
}
