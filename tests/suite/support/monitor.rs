//! A second monitor of a running guest, beside libvirt's: writes to its disks as the guest itself would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A write takes milliseconds; a loaded machine may need seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// XML for [`super::guest::GuestBuilder::head`] that opens the monitor at a socket.
pub(crate) fn xml(socket: &Path) -> String {
    format!(
        "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-qmp'/>\
         <qemu:arg value='unix:{},server=on,wait=off'/></qemu:commandline>",
        super::tools::text(socket)
    )
}

/// An open monitor.
pub(crate) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Opens it, once the guest runs.
    pub(crate) fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the guest listens");
        stream.set_read_timeout(Some(ANSWER)).expect("set");
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.line();
        monitor.run(&serde_json::json!({"execute": "qmp_capabilities"}));
        monitor
    }

    /// Fills `len` bytes of the first disk from `offset` with a pattern.
    pub(crate) fn write(&mut self, pattern: u8, offset: u64, len: u64) {
        self.write_to(0, pattern, offset, len);
    }

    /// Fills `len` bytes of a disk, the first being 0, from `offset` with a pattern.
    pub(crate) fn write_to(&mut self, disk: usize, pattern: u8, offset: u64, len: u64) {
        self.qemu_io(disk, &format!("write -q -P {pattern} {offset} {len}"));
    }

    /// Has QEMU write what it holds of a disk into the image.
    pub(crate) fn flush(&mut self, disk: usize) {
        self.qemu_io(disk, "flush");
    }

    fn qemu_io(&mut self, disk: usize, command: &str) {
        let line = format!("qemu-io -d /machine/peripheral/virtio-disk{disk}/virtio-backend \"{command}\"");
        let said =
            self.run(&serde_json::json!({"execute": "human-monitor-command", "arguments": {"command-line": line}}));
        assert_eq!(said["return"], "", "{line}");
    }

    /// Runs a command of QMP, which must succeed.
    pub(crate) fn run(&mut self, command: &serde_json::Value) -> serde_json::Value {
        // At once: told to quit, QEMU does as soon as it has read the last brace.
        self.stream.get_mut().write_all(format!("{command}\n").as_bytes()).expect("sent");
        loop {
            let answer = self.line();
            if answer.get("event").is_none() {
                assert!(answer.get("return").is_some(), "{command}: {answer}");
                return answer;
            }
        }
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }
}
