//! QEMU's capabilities as libvirt probed them. Probing takes seconds, so it is done once per QEMU, libvirt and kind of driver,
//! kept below `target/tmp`, and copied to where each driver of a test looks for it.

use std::fs::{self, File};
use std::path::Path;

use super::tools;

/// Copies what a driver of this kind probed to its folder. `probe` lets a new one do it and gives the folder it filled to
/// the function it is called with; a lock keeps tests that start together from all doing it.
pub(crate) fn install(kind: &str, to: &Path, probe: impl FnOnce(&dyn Fn(&Path))) {
    let versions = tools::run("qemu-system-x86_64", &["--version"]) + &tools::run("virsh", &["--version=long"]);
    // libvirt probes anew where the machine is another than noted in the file (virQEMUCapsIsValid).
    let machine = ["/proc/version", "/proc/cpuinfo"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let machine: String = machine.iter().flat_map(|text| text.lines()).filter(|line| !line.contains("MHz")).collect();
    let kvm = super::guest::kvm_opens();
    let key: String = format!("{versions}-{machine}-kvm-{kvm}-uid-{}", rustix::process::geteuid().as_raw())
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        .to_string();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("qemu-capabilities-{kind}-{key}"));
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("target/tmp");
    let lock = File::create(kept.with_extension("lock")).expect("a lock file in target/tmp");
    lock.lock().expect("locked");
    if !kept.exists() {
        let unfinished = kept.with_extension("part");
        drop(fs::remove_dir_all(&unfinished));
        probe(&|filled| copy_files(filled, &unfinished));
        fs::rename(&unfinished, &kept).expect("renamed");
    }
    drop(lock);
    copy_files(&kept, to);
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
