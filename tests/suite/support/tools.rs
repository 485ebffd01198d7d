//! The programs the tests drive. One that is missing is a failure with a text that says what to install, not a skip.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a program and returns what it did; panics when it cannot be started.
pub(crate) fn output(program: &str, args: &[&str]) -> Output {
    output_in(&[], program, args)
}

/// As [`output`], with more in its environment.
pub(crate) fn output_in(environment: &[(&str, &str)], program: &str, args: &[&str]) -> Output {
    match Command::new(program).args(args).envs(environment.iter().copied()).output() {
        Ok(output) => output,
        Err(error) => panic!(
            "the tests need `{program}`, which does not start: {error}. Install libvirt-clients, \
             libvirt-daemon-driver-qemu, qemu-system-x86 and qemu-utils"
        ),
    }
}

/// Runs a program that must succeed; returns its stdout.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    assert!(
        output.status.success(),
        "{program} {args:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes an image.
pub(crate) fn create_image(path: &Path, format: &str, size: &str) {
    run("qemu-img", &["create", "-q", "-f", format, text(path), size]);
}

/// Fills `len` bytes of an image from `offset` with a pattern. Only while no guest has it open.
pub(crate) fn qemu_io_write(path: &Path, format: &str, pattern: u8, offset: u64, len: u64) {
    run("qemu-io", &["-f", format, "-c", &format!("write -q -P {pattern} {offset} {len}"), text(path)]);
}

/// As [`qemu_io_write`], at several places with one process.
pub(crate) fn qemu_io_fill(path: &Path, format: &str, pattern: u8, offsets: &[u64], len: u64) {
    let writes: Vec<String> = offsets.iter().map(|offset| format!("write -q -P {pattern} {offset} {len}")).collect();
    let mut args = vec!["-f", format, "-t", "unsafe"];
    args.extend(writes.iter().flat_map(|write| ["-c", write.as_str()]));
    args.push(text(path));
    run("qemu-io", &args);
}

/// Writes to this many clusters of a qcow2 image, each apart from the next: a merge takes them one by one.
pub(crate) fn scatter(path: &Path, clusters: u64) {
    const CLUSTER: u64 = 65_536;
    let writes: Vec<String> = (0..clusters).map(|n| format!("write -q -P 9 {} 512", n * 2 * CLUSTER)).collect();
    let mut args = vec!["-f", "qcow2", "-t", "unsafe"];
    args.extend(writes.iter().flat_map(|write| ["-c", write.as_str()]));
    args.push(text(path));
    run("qemu-io", &args);
}

/// Whether `len` bytes of an image from `offset` hold a pattern. Only while no guest has it open.
pub(crate) fn qemu_io_check(path: &Path, format: &str, pattern: u8, offset: u64, len: u64) -> bool {
    check(path, &["-f", format], pattern, offset, len)
}

/// As [`qemu_io_check`] of a qcow2 image, also while a guest has it open.
pub(crate) fn qemu_io_check_in_use(path: &Path, pattern: u8, offset: u64, len: u64) -> bool {
    check(path, &["-U"], pattern, offset, len)
}

fn check(path: &Path, how: &[&str], pattern: u8, offset: u64, len: u64) -> bool {
    let read = format!("read -q -P {pattern} {offset} {len}");
    let output = output("qemu-io", &[how, &["-r", "-c", &read, text(path)]].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), said.contains("Pattern verification failed")) {
        (true, false) => true,
        (_, true) => false,
        _ => panic!("qemu-io cannot read {}: {said}", path.display()),
    }
}

/// The names of the internal snapshots of an image, as QEMU's own tool lists them. Also while a guest has it open.
pub(crate) fn qemu_img_snapshots(path: &Path) -> Vec<String> {
    let json = run("qemu-img", &["info", "-U", "--output=json", text(path)]);
    let info: serde_json::Value = serde_json::from_str(&json).expect("qemu-img prints JSON");
    let snapshots = info["snapshots"].as_array().cloned().unwrap_or_default();
    snapshots.iter().map(|snapshot| snapshot["name"].as_str().expect("a name").to_owned()).collect()
}

/// A path of ours as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' own paths are UTF-8")
}

/// A program that has an image open for reading, as a backup has: QEMU lets nobody write to it meanwhile. Ends when dropped.
pub(crate) struct Reader(std::process::Child);

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Opens a qcow2 image for reading and keeps it open.
pub(crate) fn hold_open(path: &Path) -> Reader {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::Stdio;
    let mut child = Command::new("qemu-io")
        .args(["-r", "-f", "qcow2", text(path)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("qemu-io starts");
    // Its first answer shows that the image is open.
    writeln!(child.stdin.as_mut().expect("piped"), "read 0 512").expect("written");
    let mut answer = String::new();
    let mut lines = BufReader::new(child.stdout.as_mut().expect("piped"));
    while !answer.contains("read 512/512") {
        assert!(lines.read_line(&mut answer).expect("read") > 0, "qemu-io ended: {answer}");
    }
    Reader(child)
}
