//! virsh's memspec and diskspec: parts behind commas, a comma in a value doubled; and the XML that they make.

use crate::model::act::{CaptureSpec, MemorySpec};
use crate::model::kinds::{CaptureDisk, DiskLocation, SourceType};
use crate::model::text::printable;

/// Splits at single commas (`vshStringToArray`).
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, parts.last_mut()) {
            (',', Some(part)) if rest.peek() == Some(&',') => {
                rest.next();
                part.push(',');
            }
            (',', _) => parts.push(String::new()),
            (c, Some(part)) => part.push(c),
            (_, None) => {}
        }
    }
    parts
}

/// `[file=]name[,snapshot=type]`
pub(super) fn memspec(text: &str) -> Result<MemorySpec, String> {
    let mut spec = MemorySpec::default();
    for (at, part) in parts(text).into_iter().enumerate() {
        match part.split_once('=') {
            Some(("snapshot", "manual")) => {
                return Err("libvirt takes no manual part in memory; choose internal, external or no".to_owned());
            }
            Some(("snapshot", value)) => spec.location = Some(location(value)?),
            Some(("file", value)) if spec.file.is_none() => spec.file = Some(value.to_owned()),
            _ if at == 0 => spec.file = Some(part),
            _ => return Err(unknown(&part, "file=NAME, snapshot=no|internal|external")),
        }
    }
    Ok(spec)
}

/// `disk[,snapshot=type][,driver=type][,stype=type][,file=name]`
pub(super) fn diskspec(text: &str) -> Result<CaptureDisk, String> {
    let mut all = parts(text).into_iter();
    let target = all.next().filter(|target| !target.is_empty()).ok_or("it begins with the disk, as vda")?;
    let mut disk = CaptureDisk { target, location: None, format: None, file: None, source_type: None };
    for part in all {
        match part.split_once('=') {
            Some(("snapshot", value)) => disk.location = Some(location(value)?),
            Some(("driver", value)) => disk.format = Some(value.to_owned()),
            Some(("stype", "file")) => disk.source_type = Some(SourceType::File),
            Some(("stype", "block")) => disk.source_type = Some(SourceType::Block),
            Some(("file", value)) => disk.file = Some(value.to_owned()),
            _ => {
                let known = "snapshot=no|internal|external|manual, driver=FORMAT, stype=file|block, file=NAME";
                return Err(unknown(&part, known));
            }
        }
    }
    Ok(disk)
}

fn location(word: &str) -> Result<DiskLocation, String> {
    match word {
        "no" => Ok(DiskLocation::No),
        "internal" => Ok(DiskLocation::Internal),
        "external" => Ok(DiskLocation::External),
        "manual" => Ok(DiskLocation::Manual),
        other => Err(format!("snapshot={} is none of no, internal, external, manual", printable(other))),
    }
}

fn unknown(part: &str, known: &str) -> String {
    format!("`{}` is none of: {known}; a comma in a value is doubled", printable(part))
}

fn word(location: DiskLocation) -> &'static str {
    match location {
        DiskLocation::No => "no",
        DiskLocation::Internal => "internal",
        DiskLocation::External => "external",
        DiskLocation::Manual => "manual",
    }
}

/// The XML as `virsh snapshot-create-as --print-xml` writes it.
pub(super) fn xml(spec: &CaptureSpec) -> String {
    let escaped = |text: &str| quick_xml::escape::escape(text).into_owned();
    let attribute =
        |name: &str, value: Option<&str>| value.map(|v| format!(" {name}='{}'", escaped(v))).unwrap_or_default();
    let mut out = "<domainsnapshot>\n".to_owned();
    for (element, text) in [("name", &spec.name), ("description", &spec.description)] {
        out.extend(text.iter().map(|text| format!("  <{element}>{}</{element}>\n", escaped(text))));
    }
    if let Some(memory) = &spec.memory {
        let location = attribute("snapshot", memory.location.map(word));
        out.push_str(&format!("  <memory{location}{}/>\n", attribute("file", memory.file.as_deref())));
    }
    if !spec.disks.is_empty() {
        out.push_str("  <disks>\n");
        for disk in &spec.disks {
            let location = attribute("snapshot", disk.location.map(word));
            out.push_str(&format!("    <disk{}{location}", attribute("name", Some(&disk.target))));
            if disk.format.is_none() && disk.file.is_none() && disk.source_type.is_none() {
                out.push_str("/>\n");
                continue;
            }
            let block = disk.source_type == Some(SourceType::Block);
            let kind = disk.source_type.map(|_| if block { "block" } else { "file" });
            out.push_str(&format!("{}>\n", attribute("type", kind)));
            out.extend(disk.format.iter().map(|format| format!("      <driver type='{}'/>\n", escaped(format))));
            let kind = if block { "dev" } else { "file" };
            out.extend(disk.file.iter().map(|file| format!("      <source {kind}='{}'/>\n", escaped(file))));
            out.push_str("    </disk>\n");
        }
        out.push_str("  </disks>\n");
    }
    out.push_str("</domainsnapshot>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_doubled() {
        let disk = diskspec("vda,snapshot=external,file=/path/to,,new and more,driver=qcow2").expect("valid");
        assert_eq!(disk.file.as_deref(), Some("/path/to,new and more"));
        assert_eq!((disk.location, disk.format.as_deref()), (Some(DiskLocation::External), Some("qcow2")));
        assert_eq!(diskspec("a,,b").expect("valid").target, "a,b");
        let memory = memspec("/m,,1,snapshot=external").expect("valid");
        assert_eq!((memory.file.as_deref(), memory.location), (Some("/m,1"), Some(DiskLocation::External)));
        assert_eq!(memspec("file=/m=2").expect("valid").file.as_deref(), Some("/m=2"));
        assert_eq!(memspec("snapshot=no").expect("valid"), MemorySpec { location: Some(DiskLocation::No), file: None });
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, what) in
            [("", "begins"), ("vda,files=/x", "files=/x"), ("vda,snapshot=maybe", "maybe"), ("vda,", "``")]
        {
            let error = diskspec(text).expect_err(text);
            assert!(error.contains(what), "{error}");
        }
        assert!(memspec("/m,what=1").is_err());
        assert!(memspec("/m,snapshot=manual").is_err_and(|error| error.contains("no manual part in memory")));
    }
}
