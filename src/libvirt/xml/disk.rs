//! Reads a disk of a domain's definition, and the chain of images below it.

use std::borrow::Cow;

use super::XmlError;
use super::walk::{Element, Walk};
use crate::model::observed::ObservedDisk;

/// Reads a `<disk>` of a domain's devices.
pub(super) fn read<'x>(walk: &mut Walk<'x>, disk: &Element<'x>) -> Result<ObservedDisk, XmlError> {
    let [source_type, device, snapshot] = disk.attributes(["type", "device", "snapshot"])?;
    let source_type = source_type.unwrap_or(Cow::Borrowed("file"));
    let (mut target, mut source, mut format, mut backing, mut readonly) = (None, None, None, None, false);
    walk.children(disk, |walk, child| {
        match child.name() {
            "target" if target.is_none() => target = child.attribute("dev")?.map(Cow::into_owned),
            "source" if source.is_none() => source = Some(read_source(child, &source_type)?),
            "driver" if format.is_none() => format = Some(child.attribute("type")?.map(Cow::into_owned)),
            "backingStore" if backing.is_none() => backing = Some(read_backing(walk, child)?),
            "readonly" => readonly = true,
            _ => {}
        }
        Ok(())
    })?;
    Ok(ObservedDisk {
        target: target.ok_or_else(|| XmlError::missing("<target dev=...>", "disk"))?,
        source_type: source_type.into_owned(),
        source: source.flatten(),
        format: format.flatten().unwrap_or_else(|| "raw".to_owned()),
        device: device.map_or_else(|| "disk".to_owned(), Cow::into_owned),
        readonly,
        snapshot: snapshot.map(Cow::into_owned),
        backing: backing.flatten(),
    })
}

/// One `<backingStore>` of a chain.
#[derive(Default)]
struct Image {
    source_type: Option<String>,
    source: Option<Option<String>>,
    /// Whether it has any child element: the end of a chain has none.
    filled: bool,
}

/// The images below a disk's own, from the top down. None where the XML does not have the chain to its end, which is an
/// empty element, or where one of them is not a file or device. Without recursion: a chain may be as long as its writer
/// likes.
fn read_backing<'x>(walk: &mut Walk<'x>, first: &Element<'x>) -> Result<Option<Vec<String>>, XmlError> {
    let image = |element: &Element<'x>| {
        Ok::<_, XmlError>(Image { source_type: element.attribute("type")?.map(Cow::into_owned), ..Image::default() })
    };
    // The one at place n is n + 1 deep: each holds the next as a child.
    let mut chain = vec![image(first)?];
    walk.descendants(first, |depth, element| {
        let below = chain.len();
        let Some(parent) = chain.get_mut(depth - 1) else { return Ok(()) };
        parent.filled = true;
        match element.name() {
            "source" if parent.source.is_none() => {
                let source_type = parent.source_type.clone().unwrap_or_default();
                parent.source = Some(read_source(element, &source_type)?);
            }
            "backingStore" if depth == below => chain.push(image(element)?),
            _ => {}
        }
        Ok(())
    })?;
    let mut paths = Vec::new();
    for image in chain {
        if !image.filled {
            return Ok(Some(paths));
        }
        if !image.source_type.is_some_and(|kind| matches!(kind.as_str(), "file" | "block")) {
            return Ok(None);
        }
        let Some(path) = image.source.flatten() else { return Ok(None) };
        paths.push(path);
    }
    Ok(None)
}

/// What a `<source>` names; see [`source_of`].
pub(super) fn read_source(source: &Element<'_>, source_type: &str) -> Result<Option<String>, XmlError> {
    const NAMES: [&str; 6] = ["file", "dev", "dir", "path", "pool", "volume"];
    let values = source.attributes(NAMES)?;
    let value = |name: &str| {
        let place = NAMES.iter().position(|known| *known == name)?;
        values[place].as_deref().map(str::to_owned)
    };
    Ok(source_of(source_type, value))
}

/// One text for the source, from its attributes; for the types without a path, something that says that there is a medium.
pub(super) fn source_of(source_type: &str, attribute: impl Fn(&str) -> Option<String>) -> Option<String> {
    if source_type == "network" {
        return None;
    }
    if let Some(path) = ["file", "dev", "dir", "path"].iter().find_map(|name| attribute(name)) {
        return Some(path);
    }
    match (attribute("pool"), attribute("volume")) {
        (Some(pool), Some(volume)) => Some(format!("{pool}/{volume}")),
        // An empty drive can have a <source> that only holds startupPolicy.
        _ => matches!(source_type, "nvme" | "vhostuser" | "vhostvdpa").then(|| source_type.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backing(chain: &str) -> Option<Vec<String>> {
        let disk = format!("<disk type='file'><source file='/top'/>{chain}<target dev='vda'/></disk>");
        Walk::document(&disk, read).expect("valid").backing
    }

    fn below(kind: &str, source: &str, rest: &str) -> String {
        format!("<backingStore type='{kind}' index='3'><format type='qcow2'/><source {source}/>{rest}</backingStore>")
    }

    #[test]
    fn a_chain_counts_only_where_the_xml_has_it_to_its_end() {
        let paths = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(backing(""), None);
        assert_eq!(backing("<backingStore/>"), paths(&[]));
        assert_eq!(backing("<backingStore></backingStore>"), paths(&[]));
        let whole = below("file", "file='/a'", &below("block", "dev='/dev/b'", "<backingStore/>"));
        assert_eq!(backing(&whole), paths(&["/a", "/dev/b"]));
        assert_eq!(backing(&below("file", "file='/a'", "")), None);
        assert_eq!(backing(&below("network", "protocol='nbd' name='x'", "<backingStore/>")), None);
        assert_eq!(backing(&below("file", "startupPolicy='optional'", "<backingStore/>")), None);
        // Deeper look-alikes are no part of the chain, and of two the first counts.
        let odd = "<backingStore type='file'><x><source file='/no'/><backingStore/></x><backingStore/>\
                   <source file='/a'/><source file='/no'/><backingStore type='file'/></backingStore>";
        assert_eq!(backing(odd), paths(&["/a"]));
    }

    #[test]
    fn a_chain_of_any_length_takes_no_stack() {
        let depth = 50_000;
        let open = "<backingStore type='file'><source file='/a'/>".repeat(depth);
        let chain = format!("{open}<backingStore/>{}", "</backingStore>".repeat(depth));
        assert_eq!(backing(&chain).map(|paths| paths.len()), Some(depth));
    }
}
