//! Names of documents: well-formed, and each kind, namespace and name once.

use std::collections::BTreeMap;

use super::Entry;
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::kind::Kind;
use crate::manifest::tree::shown;
use crate::model::names::is_resource_name;

/// Indexes all documents that have a name, also those with other faults: a reference to one of these is no fault.
pub(super) fn index<'a>(
    entries: &'a [Entry<'a>],
    out: &mut Vec<Diagnostic>,
) -> BTreeMap<(Kind, &'a str, &'a str), &'a Entry<'a>> {
    let mut index: BTreeMap<(Kind, &str, &str), &Entry<'_>> = BTreeMap::new();
    for entry in entries {
        let Some((name, namespace)) = &entry.decoded.name else { continue };
        for (field, value) in [("name", name), ("namespace", namespace)] {
            if !is_resource_name(value) {
                let message = format!("`metadata.{field}` cannot be `{}`", shown(value));
                out.push(
                    entry
                        .fault(Code::WrongValue, &format!("/metadata/{field}"), message)
                        .label("not a resource name")
                        .help(
                            "1 to 63 lower case letters, digits, - and ., beginning and ending with a letter or digit",
                        ),
                );
            }
        }
        let kind = entry.decoded.kind;
        match index.get(&(kind, namespace.as_str(), name.as_str())) {
            None => {
                index.insert((kind, namespace, name), entry);
            }
            Some(first) => {
                let place = first.place("/metadata/name");
                let message =
                    format!("{kind} `{}/{}` is declared twice, first at {place}", shown(namespace), shown(name));
                out.push(
                    entry
                        .fault(Code::DuplicateName, "/metadata/name", message)
                        .label("declared again here")
                        .related(first.text, &first.range("/metadata/name"), "declared first here")
                        .help("rename one of the two, or give it another namespace"),
                );
            }
        }
    }
    index
}
