//! A guest that runs Linux and a real guest agent, built from packages of the machine: a kernel, busybox, qemu-ga. It has
//! one ext4 disk, mounted, and writes what happens to the serial console.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::embed::EmbedRoot;
use super::gate::wait_until;
use super::guest::Guest;
use super::tools::{run, text};

/// The modules that the guest needs, besides what they need themselves.
const MODULES: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_console", "ext4"];

/// `/init` of the guest. The agent's pid file and the console's words are what the tests wait for.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /lib/$module; done
mkdir -p /data /dev/virtio-ports /run /var/run
while [ ! -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /data
for port in /sys/class/virtio-ports/*; do ln -s /dev/${port##*/} /dev/virtio-ports/$(cat $port/name); done
echo booted > /data/state
sync
sh < /dev/ttyS1 > /dev/null 2>&1 &
echo guest-is-ready > /dev/ttyS0
while true; do
  [ -e /run/no-agent ] || qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run -F/hook
  sleep 0.2
done
";

/// What the agent runs around a freeze.
const HOOK: &str = "#!/bin/sh\necho \"agent-$1\" > /dev/ttyS0\n";

/// Where the kernel of this machine and its modules are.
fn kernel() -> (PathBuf, PathBuf) {
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("vmlinuz-")?.to_owned();
        let modules = Path::new("/lib/modules").join(version);
        modules.join("modules.dep").exists().then(|| (entry.path(), modules))
    };
    let found = fs::read_dir("/boot").ok().and_then(|entries| entries.flatten().filter_map(named).max());
    found.expect("the tests need a Linux kernel with its modules; install linux-image-cloud-amd64")
}

/// The modules in the order in which they are loaded: what one needs comes before it (`modules.dep`).
fn in_order(modules: &Path) -> Vec<PathBuf> {
    let dependencies = fs::read_to_string(modules.join("modules.dep")).expect("readable");
    let mut order: Vec<PathBuf> = Vec::new();
    for wanted in MODULES {
        let names = |line: &&str| {
            let path = line.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split('.').next() == Some(wanted)
        };
        // Built into the kernel where it is not listed.
        let Some(line) = dependencies.lines().find(names) else { continue };
        let (module, needs) = line.split_once(':').expect("MODULE: NEEDS");
        for path in needs.split_whitespace().rev().chain([module]) {
            let path = modules.join(path);
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

/// The libraries that a program is linked with, by what `ldd` prints.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let printed = run("ldd", &[text(program)]);
    printed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// The initramfs, built once and kept below `target/tmp`.
fn initramfs() -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent-initramfs");
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("target/tmp");
    let lock = File::create(kept.with_extension("lock")).expect("a lock file in target/tmp");
    lock.lock().expect("locked");
    let (kernel, modules) = kernel();
    // Another kernel or another script is another guest.
    let made_of = format!("{}\n{INIT}{HOOK}", kernel.display());
    let note = kept.with_extension("of");
    if kept.exists() && fs::read_to_string(&note).is_ok_and(|noted| noted == made_of) {
        return kept;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let tree = dir.path();
    for folder in ["bin", "lib", "proc", "sys", "dev", "usr/sbin"] {
        fs::create_dir_all(tree.join(folder)).expect("made");
    }
    fs::copy("/usr/bin/busybox", tree.join("bin/busybox")).expect("the tests need busybox-static");
    let agent = Path::new("/usr/sbin/qemu-ga");
    assert!(agent.exists(), "the tests need qemu-guest-agent");
    fs::copy(agent, tree.join("bin/qemu-ga")).expect("copied");
    for library in libraries(agent) {
        let to = tree.join(library.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("made");
        fs::copy(&library, &to).expect("copied");
    }
    let mut loaded = Vec::new();
    for module in in_order(&modules) {
        let name = module.file_name().expect("a file").to_str().expect("UTF-8").to_owned();
        // insmod of busybox reads no compressed modules.
        let to = tree.join("lib").join(name.trim_end_matches(".xz").trim_end_matches(".zst"));
        match module.extension().and_then(|extension| extension.to_str()) {
            Some(packed @ ("xz" | "zst")) => {
                let unpack = if packed == "xz" { "xz" } else { "zstd" };
                let file = File::create(&to).expect("made");
                let done = Command::new(unpack).args(["-dc", text(&module)]).stdout(file).status().expect("it starts");
                assert!(done.success(), "{unpack} of {name}");
            }
            _ => drop(fs::copy(&module, &to).expect("copied")),
        }
        loaded.push(to.file_name().expect("a file").to_str().expect("UTF-8").to_owned());
    }
    fs::write(tree.join("modules"), loaded.join("\n")).expect("written");
    symlink("/bin/busybox", tree.join("bin/sh")).expect("linked");
    for (name, script) in [("init", INIT), ("hook", HOOK)] {
        fs::write(tree.join(name), script).expect("written");
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let list = run("find", &[text(tree), "-mindepth", "1", "-printf", "%P\\n"]);
    let unfinished = kept.with_extension("part");
    let mut cpio = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet", "-D", text(tree)])
        .stdin(Stdio::piped())
        .stdout(File::create(&unfinished).expect("made"))
        .spawn()
        .expect("the tests need cpio");
    cpio.stdin.take().expect("piped").write_all(list.as_bytes()).expect("written");
    assert!(cpio.wait().expect("it ends").success());
    fs::rename(&unfinished, &kept).expect("renamed");
    fs::write(note, made_of).expect("written");
    kept
}

/// A guest whose agent can be asked.
pub(crate) struct LinuxGuest<'a> {
    pub(crate) guest: Guest<'a>,
    console: PathBuf,
    /// The shell's end of its serial port. Kept open: what the port has not taken yet is lost when it is closed.
    shell: OnceLock<UnixStream>,
    socket: PathBuf,
}

impl<'a> LinuxGuest<'a> {
    /// Defines it as `name`; this process must hold the root.
    pub(crate) fn define(root: &'a EmbedRoot, name: &str) -> Self {
        let (kernel, _) = kernel();
        let socket = root.path().join(format!("{name}.shell"));
        let console = root.path().join(format!("{name}.console"));
        let disk = root.image(&format!("{name}.qcow2"));
        let raw = root.path().join(format!("{name}.raw"));
        run("qemu-img", &["create", "-q", "-f", "raw", text(&raw), "32M"]);
        run("mkfs.ext4", &["-q", "-F", text(&raw)]);
        run("qemu-img", &["convert", "-O", "qcow2", text(&raw), text(&disk)]);
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
             <cmdline>console=ttyS0 quiet panic=1</cmdline></os><features><acpi/></features><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda' bus='virtio'/></disk><serial type='file'><source path='{}'/></serial><serial type='unix'><source mode='bind' path='{}'/></serial>\
             <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            text(&kernel),
            text(&initramfs()),
            text(&disk),
            text(&console),
            text(&socket)
        );
        drop(root.hold().define_domain_xml(&xml).expect("the domain is defined"));
        Self { guest: Guest::named(root, name), console, shell: OnceLock::new(), socket }
    }

    /// Starts it, and waits for its agent.
    pub(crate) fn boot(&self) {
        self.guest.start();
        self.await_word("guest-is-ready");
        wait_until("its agent is there", || self.guest.xml().contains("state='connected'"));
    }

    /// Waits until the guest has said something on its console.
    pub(crate) fn await_word(&self, word: &str) {
        wait_until(word, || fs::read_to_string(&self.console).is_ok_and(|said| said.contains(word)));
    }

    /// How often the guest saw a freeze, and a thaw.
    pub(crate) fn freezes_and_thaws(&self) -> (usize, usize) {
        let said = fs::read_to_string(&self.console).expect("readable");
        (said.matches("agent-freeze").count(), said.matches("agent-thaw").count())
    }

    /// Has the shell in the guest run a line.
    pub(crate) fn run(&self, line: &str) {
        let open = || UnixStream::connect(&self.socket).expect("the serial port is there");
        writeln!(self.shell.get_or_init(open), "{line}").expect("sent");
    }

    /// Whether its filesystems are frozen, by what the guest saw.
    pub(crate) fn is_frozen(&self) -> bool {
        let (freezes, thaws) = self.freezes_and_thaws();
        freezes > thaws
    }
}
