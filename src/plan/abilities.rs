//! What a host's libvirt can do, by its version and by what it says of itself: one table for every check, the plan and the docs.

use crate::model::observed::HostInfo;
use crate::model::plan::{HostLimit, PlannedHost};

/// Which versions can, as major * 1,000,000 + minor * 1,000 + release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    /// This one and later.
    Since(u64),
    /// Those before.
    Until(u64),
    /// All but those from the first to before the second.
    Except(u64, u64),
    /// The host says so in its capabilities; those from this one on do.
    Reported(u64),
}

/// Something that not every supported version of libvirt can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// For programs.
    pub code: &'static str,
    /// What it is, after "libvirt cannot".
    pub what: &'static str,
    versions: Versions,
    /// What snapward does where it is missing.
    pub without: &'static str,
}

/// Deletions and reverts of external snapshots, which came together in what a host reports (`<externalSnapshot/>`).
pub(super) const EXTERNAL: Ability = Ability {
    code: "externalDeleteAndRevert",
    what: "delete external snapshots or revert to them",
    versions: Versions::Reported(9_009_000),
    without: "blocks both (`NotPossible`), and warns where one is captured",
};

/// Before, the capture fails when it is made (libvirt 10.9 news, "Internal snapshots with UEFI").
pub(super) const UEFI_RUNNING: Ability = Ability {
    code: "internalOfRunningUefi",
    what: "capture an internal snapshot of a running domain whose firmware keeps its variables in a qcow2 file",
    versions: Versions::Since(10_009_000),
    without: "blocks the capture (`NotPossible`)",
};

/// The same of a domain that is off, for what comes after the capture (libvirt 10.10 news).
pub(super) const UEFI_OFF: Ability = Ability {
    code: "internalOfStoppedUefi",
    what: "delete or revert to an internal snapshot of a stopped domain whose firmware keeps its variables in a qcow2 file",
    versions: Versions::Since(10_010_000),
    without: "blocks both (`NotPossible`)",
};

/// Since then the name is part of a QEMU job's id, and QEMU has few characters for those (`id_wellformed`).
pub(super) const ANY_NAME: Ability = Ability {
    code: "anyNameOfRunningInternal",
    what: "capture an internal snapshot of a running domain under a name that holds more than letters, digits and - . _",
    versions: Versions::Until(10_009_000),
    without: "blocks the capture (`NotPossible`)",
};

/// `virDomainRevertToSnapshot` with `RESET_NVRAM`.
pub(super) const RESET_NVRAM: Ability = Ability {
    code: "resetNvram",
    what: "reset the firmware's variables on a revert",
    versions: Versions::Since(8_001_000),
    without: "refuses `--reset-nvram`",
};

/// "is writable but does not support snapshots", fixed in 11.4; distributions have the fix in 11.3.
pub(super) const LEFT_OUT: Ability = Ability {
    code: "revertWithDiskLeftOut",
    what: "revert to an internal snapshot of a domain with a disk that it leaves out, as released",
    versions: Versions::Except(11_002_000, 11_004_000),
    without: "says so in the plan of such a revert, which may fail and is safe to try: distributions have the fix",
};

/// Before, the overlays are readable for all users of the host (CVE-2025-13193).
pub(super) const CLOSED_OVERLAYS: Ability = Ability {
    code: "closedOverlays",
    what: "keep the new overlays of a stopped domain from the other users of the host",
    versions: Versions::Since(11_010_000),
    without: "closes the overlays of its captures and reverts itself, where it runs on the host",
};

/// A domain with a longer chain neither starts nor lets a snapshot go (libvirt 12.0 news).
pub(super) const LONG_CHAINS: Ability = Ability {
    code: "longChains",
    what: "start a domain with more than 24 overlays on a disk",
    versions: Versions::Since(12_000_000),
    without: "keeps `chainLimit` at 24 or below",
};

/// The profile of a running domain did not let QEMU write into the image below (libvirt 12.1 news).
pub(super) const APPARMOR: Ability = Ability {
    code: "mergeUnderAppArmor",
    what: "delete external snapshots of a running domain that AppArmor confines",
    versions: Versions::Since(12_001_000),
    without: "reports the deletion as failed; nothing is lost, and it goes on from there once it may, or while the domain is off",
};

/// All of them, by the version that changed them.
pub const ALL: [Ability; 9] =
    [RESET_NVRAM, EXTERNAL, ANY_NAME, UEFI_RUNNING, UEFI_OFF, LEFT_OUT, CLOSED_OVERLAYS, LONG_CHAINS, APPARMOR];

impl Ability {
    /// Whether this host can.
    pub(super) fn of(&self, host: &HostInfo) -> bool {
        match self.versions {
            Versions::Since(version) => host.libvirt_version >= version,
            Versions::Until(version) => host.libvirt_version < version,
            Versions::Except(from, to) => !(from..to).contains(&host.libvirt_version),
            Versions::Reported(_) => host.external_snapshots,
        }
    }

    /// Which versions can, as `needs libvirt 9.9`.
    pub fn needs(&self) -> String {
        match self.versions {
            Versions::Since(version) | Versions::Reported(version) => format!("needs libvirt {}", short(version)),
            Versions::Until(version) => format!("needs libvirt below {}", short(version)),
            Versions::Except(_, to) => format!("needs libvirt {}", short(to)),
        }
    }
}

/// What the plan says of a host.
pub(super) fn planned(host: &HostInfo) -> PlannedHost {
    let missing = ALL.iter().filter(|ability| !ability.of(host));
    let limit = |ability: &Ability| HostLimit {
        code: ability.code.to_owned(),
        text: format!("cannot {}", ability.what),
        needs: ability.needs(),
    };
    PlannedHost {
        host: host.name.clone(),
        libvirt: version(host.libvirt_version),
        limits: missing.map(limit).collect(),
    }
}

/// libvirt's number of a version as people write it.
pub(super) fn version(number: u64) -> String {
    format!("{}.{}", short(number), number % 1_000)
}

/// The same without the release.
fn short(number: u64) -> String {
    format!("{}.{}", number / 1_000_000, number / 1_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn missing(libvirt_version: u64, external_snapshots: bool) -> Vec<String> {
        let host = HostInfo {
            name: "kvm-1".into(),
            uri: "qemu:///system".into(),
            hostname: "kvm-1".into(),
            labels: BTreeMap::new(),
            libvirt_version,
            external_snapshots,
        };
        planned(&host).limits.into_iter().map(|limit| limit.code).collect()
    }

    #[test]
    fn each_version_lacks_what_came_later() {
        let late = ["closedOverlays", "longChains", "mergeUnderAppArmor"];
        let with = |first: &[&str]| -> Vec<String> { first.iter().chain(&late).map(|&code| code.to_owned()).collect() };
        let uefi = ["internalOfRunningUefi", "internalOfStoppedUefi"];
        assert_eq!(missing(9_000_000, false), with(&[&["externalDeleteAndRevert"], &uefi[..]].concat()));
        assert_eq!(missing(9_009_000, true), with(&uefi));
        assert_eq!(missing(10_009_000, true), with(&["anyNameOfRunningInternal", "internalOfStoppedUefi"]));
        assert_eq!(missing(11_003_000, true), with(&["anyNameOfRunningInternal", "revertWithDiskLeftOut"]));
        assert_eq!(missing(11_004_000, true), with(&["anyNameOfRunningInternal"]));
        assert_eq!(missing(12_000_000, true), ["anyNameOfRunningInternal", "mergeUnderAppArmor"]);
        assert_eq!(missing(12_005_000, true), ["anyNameOfRunningInternal"]);
        // A newer libvirt without QEMU, or on another hypervisor.
        assert_eq!(missing(12_005_000, false), ["externalDeleteAndRevert", "anyNameOfRunningInternal"]);
    }

    #[test]
    fn a_need_names_the_version() {
        assert_eq!(EXTERNAL.needs(), "needs libvirt 9.9");
        assert_eq!(ANY_NAME.needs(), "needs libvirt below 10.9");
        assert_eq!(LEFT_OUT.needs(), "needs libvirt 11.4");
        assert_eq!(version(11_003_002), "11.3.2");
    }
}
