//! One writer per domain: a flock keyed by the name libvirt reports for its host and the domain UUID. The kernel drops it
//! with its process, so no crash leaves one behind. It excludes processes of one machine.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::names::DomainUuid;

/// The directory shared by root and the members of the group libvirt.
const SHARED: &str = "/run/lock/snapward";

/// Where the locks are: the shared directory for root and for whoever may write there; else one below the user's own
/// runtime directory, which serves for the user's own session and embedded drivers.
pub fn default_dir(runtime_dir: Option<&Path>) -> PathBuf {
    let shared = Path::new(SHARED);
    let writable = rustix::fs::access(shared, rustix::fs::Access::WRITE_OK).is_ok();
    if rustix::process::geteuid().is_root() || writable {
        return shared.to_owned();
    }
    match runtime_dir {
        Some(dir) => dir.join("snapward"),
        None => std::env::temp_dir().join(format!("snapward-{}", rustix::process::geteuid().as_raw())),
    }
}

/// A held lock; dropping it lets go.
pub struct Lock {
    _file: File,
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another writer holds it; what it wrote of itself.
    Held(String),
    /// The lock file could not be used.
    Io(PathBuf, io::Error),
}

impl Lock {
    /// Takes the lock of one domain without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] while another process holds it.
    pub fn take(dir: &Path, hostname: &str, domain: DomainUuid) -> Result<Self, LockError> {
        prepare(dir).map_err(|error| LockError::Io(dir.to_owned(), error))?;
        let path = dir.join(format!("{}_{domain}.lock", file_part(hostname)));
        let io_error = |error| LockError::Io(path.clone(), error);
        // No truncation before the lock is held, and no symlink followed: the directory is shared with a group.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o660)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What the holder wrote helps a person; without it the lock is held all the same.
                let _ = file.take(200).read_to_string(&mut holder);
                return Err(LockError::Held(crate::model::text::printable(holder.trim())));
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        share(&file, 0o660, dir);
        file.set_len(0).and_then(|()| file.rewind()).map_err(io_error)?;
        write!(file, "snapward, process {}", std::process::id()).map_err(io_error)?;
        Ok(Self { _file: file })
    }
}

/// A host's name as part of a file name. Two hosts that come out alike share the locks of domains with one UUID, which
/// makes one of them wait and harms nothing; a key that differed between two clients of one host would.
///
/// Not libvirt's host UUID, which identifies a host better and is no key: without a UUID in the firmware (containers,
/// small boards) libvirt makes one up per process, and two clients that ask a new daemon at once are told different ones.
fn file_part(hostname: &str) -> String {
    // A host name has at most 253 bytes, a file name 255: room for the domain UUID is needed.
    const LONGEST: usize = 64;
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    hostname.chars().take(LONGEST).map(plain).collect()
}

fn prepare(dir: &Path) -> io::Result<()> {
    match dir.symlink_metadata() {
        Ok(found) => return trusted(found.is_dir(), found.uid(), rustix::process::geteuid().as_raw()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().recursive(true).mode(0o770).create(dir)?;
    // The mode above was cut by the umask.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o770))?;
    match libvirt_group() {
        Some(gid) if dir == Path::new(SHARED) => std::os::unix::fs::chown(dir, None, Some(gid)),
        _ => Ok(()),
    }
}

/// Whether files may be made in a directory that was there already. Its parents can be writable to everybody
/// (`/run/lock`, `/tmp`), so another user could have made it: to take the locks away, or to have root write elsewhere.
fn trusted(is_dir: bool, owner: u32, me: u32) -> io::Result<()> {
    match (is_dir, owner) {
        (true, owner) if owner == me || owner == 0 => Ok(()),
        (true, owner) => Err(io::Error::other(format!("its directory belongs to user {owner}"))),
        (false, _) => Err(io::Error::other("its directory is a link or a file")),
    }
}

/// Gives a lock file to the group of its directory, where this process may. The open file and not its path, which a
/// member of the group could have pointed elsewhere meanwhile.
fn share(file: &File, mode: u32, dir: &Path) {
    let Ok(group) = dir.metadata().map(|metadata| metadata.gid()) else { return };
    // Another member of the group may own the file; then it was shared when it was made.
    let _ = std::os::unix::fs::fchown(file, None, Some(group));
    let _ = file.set_permissions(std::fs::Permissions::from_mode(mode));
}

/// The group that libvirt's packages give access to the system daemon.
fn libvirt_group() -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.starts_with("libvirt:"))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn any_host_name_makes_a_file_name() {
        assert_eq!(file_part("KVM-1.example.org"), "kvm-1_example_org");
        assert_eq!(file_part("../../etc"), "______etc");
        assert_eq!(file_part(&"\u{e9}".repeat(300)), "_".repeat(64));
    }

    #[test]
    fn a_lock_excludes_says_who_holds_it_and_goes_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("locks");
        let (host, domain) = ("kvm-1.example", DomainUuid(Uuid::from_u128(2)));
        let held = Lock::take(&dir, host, domain).unwrap_or_else(|_| panic!("free"));
        match Lock::take(&dir, host, domain) {
            Err(LockError::Held(holder)) => assert_eq!(holder, format!("snapward, process {}", std::process::id())),
            _ => panic!("the lock is held"),
        }
        assert!(Lock::take(&dir, host, DomainUuid(Uuid::from_u128(3))).is_ok(), "another domain is free");
        assert!(Lock::take(&dir, "kvm-2.example", domain).is_ok(), "another host's is free");
        drop(held);
        assert!(Lock::take(&dir, host, domain).is_ok());
    }

    #[test]
    fn a_planted_directory_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let domain = DomainUuid(Uuid::from_u128(2));
        assert!(matches!(Lock::take(&link, "kvm", domain), Err(LockError::Io(..))));
        assert!(Lock::take(&real, "kvm", domain).is_ok());
        assert!(trusted(true, 1000, 0).is_err(), "root does not write where a user owns the directory");
        assert!(trusted(true, 1001, 1000).is_err());
        assert!(trusted(true, 0, 1000).is_ok() && trusted(true, 1000, 1000).is_ok());
    }

    #[test]
    fn a_planted_symlink_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let domain = DomainUuid(Uuid::from_u128(2));
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(format!("kvm_{domain}.lock"))).unwrap();
        assert!(matches!(Lock::take(dir.path(), "kvm", domain), Err(LockError::Io(..))));
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
    }
}
