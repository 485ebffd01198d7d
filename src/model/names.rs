//! Names and identities: what may name a snapshot, a set, a domain, and how they compare.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::text;

/// The longest snapshot name in bytes. libvirt stores `NAME.xml` in one directory entry (255 bytes) beside a temporary
/// suffix; a name of 248 bytes fails after the disk image was already changed.
pub const SNAPSHOT_NAME_MAX_BYTES: usize = 247;

/// Why a text cannot name a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no characters.
    #[error("a snapshot name must not be empty")]
    Empty,
    /// The name is longer than [`SNAPSHOT_NAME_MAX_BYTES`].
    #[error(
        "a snapshot name has at most {SNAPSHOT_NAME_MAX_BYTES} bytes, this one has {0}; libvirt would change the disk image first and fail afterwards"
    )]
    TooLong(usize),
    /// The name holds a `/`.
    #[error("a snapshot name must not hold '/': libvirt stores the snapshot in a file of that name")]
    Slash,
    /// The name starts with a dot.
    #[error("a snapshot name must not start with '.': libvirt does not read such files back")]
    LeadingDot,
    /// The name holds a control character, or one XML 1.0 does not allow.
    #[error("a snapshot name must not hold the character {}", .0.escape_unicode())]
    Character(char),
}

/// A snapshot's name, unique within its domain.
// Shared by its clones: a state and a plan say each name several times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SnapshotName(
    /// 1 to 247 bytes, no `/`, no leading `.`, no control characters.
    #[schemars(length(min = 1, max = 247), regex(pattern = r"^[^./][^/]*$"))]
    Arc<str>,
);

impl SnapshotName {
    /// Checks a name that somebody wants libvirt to use.
    ///
    /// # Errors
    /// [`NameError`] for what libvirt's QEMU driver refuses, or accepts and then fails on (`qemuSnapshotCreate*`).
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > SNAPSHOT_NAME_MAX_BYTES {
            return Err(NameError::TooLong(name.len()));
        }
        if name.contains('/') {
            return Err(NameError::Slash);
        }
        if name.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        if let Some(c) = name.chars().find(|&c| c.is_control() || !text::is_xml_char(c)) {
            return Err(NameError::Character(c));
        }
        Ok(Self(name.into()))
    }

    /// Takes a name that libvirt reported; it exists, so no rule of ours can refuse it.
    pub fn observed(name: impl Into<String>) -> Self {
        Self(name.into().into())
    }

    /// Reads back a name that was written down as it was observed.
    ///
    /// # Errors
    /// When there is anything but a text.
    pub fn deserialize_observed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Self::observed))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::printable(&self.0))
    }
}

impl Borrow<str> for SnapshotName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SnapshotName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

/// A domain's UUID, the part of its identity that survives a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DomainUuid(pub Uuid);

impl fmt::Display for DomainUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner written in every stamp: `namespace/name` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetId {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<SetId> for String {
    fn from(id: SetId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SetId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for SetId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_resource_name(namespace) && is_resource_name(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{}` is not namespace/name", text::printable(text))),
        }
    }
}

impl JsonSchema for SetId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SetId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "namespace/name of a manifest" })
    }
}

/// Whether the text can be a `metadata.name` or `metadata.namespace`: an RFC 1123 label of Kubernetes, 1 to 63 lower
/// case letters, digits, `-` and `.`, beginning and ending with a letter or digit.
pub fn is_resource_name(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63)
        && bytes.iter().all(|&c| edge(c) || c == b'-' || c == b'.')
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_names_follow_what_libvirt_can_store() {
        assert!(SnapshotName::parse(&"n".repeat(247)).is_ok());
        assert_eq!(SnapshotName::parse(&"n".repeat(248)), Err(NameError::TooLong(248)));
        assert_eq!(SnapshotName::parse(&"é".repeat(124)), Err(NameError::TooLong(248)));
        assert_eq!(SnapshotName::parse(""), Err(NameError::Empty));
        assert_eq!(SnapshotName::parse("a/b"), Err(NameError::Slash));
        assert_eq!(SnapshotName::parse(".a"), Err(NameError::LeadingDot));
        assert_eq!(SnapshotName::parse("a\0b"), Err(NameError::Character('\0')));
        assert_eq!(SnapshotName::parse("a\u{FFFE}"), Err(NameError::Character('\u{FFFE}')));
        assert!(SnapshotName::parse("before 2.0, ünïcode & <b>").is_ok());
    }

    #[test]
    fn a_set_id_round_trips() {
        let id: SetId = "default/web".parse().expect("valid");
        assert_eq!(id.to_string(), "default/web");
        for bad in ["web", "default/", "/web", "Default/web", "a/b/c", "-a/b"] {
            assert!(bad.parse::<SetId>().is_err(), "{bad}");
        }
    }
}
