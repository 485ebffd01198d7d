//! A filesystem of a few megabytes, for what happens when it is full. Mounting takes root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::tools::{output, run, text};

/// A mounted tmpfs; it is gone when this is dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one at a directory, which is made where it is not there. What is in the directory moves along.
    pub(crate) fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).expect("a directory");
        let here: Vec<_> = fs::read_dir(at).expect("readable").map(|entry| entry.expect("readable").path()).collect();
        let here: Vec<_> = here.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect();
        let mounted = output("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs", text(at)]);
        assert!(
            mounted.status.success(),
            "a test needs a small filesystem of its own, which only root may mount: run it as root, or in `unshare -rm`. {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        for (path, bytes) in here {
            fs::write(path, bytes).expect("copied");
        }
        Self { at: at.to_owned() }
    }

    /// Writes to a file until nothing more fits.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.at.join("filler")).expect("made");
        for size in [65_536, 512] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Removes that file.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.at.join("filler")).expect("it was full");
    }

    /// Nobody may write to it from now on.
    pub(crate) fn read_only(&self) {
        run("mount", &["-o", "remount,ro", text(&self.at)]);
    }

    /// It may be written to again.
    pub(crate) fn writable(&self) {
        run("mount", &["-o", "remount,rw", text(&self.at)]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a guest that is killed after this may still have a file open.
        drop(output("umount", &["-l", text(&self.at)]));
    }
}
