//! What is wrong in a manifest, where, and what to do; also the JSON form of `validate`.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::source::{Source, Text};

/// The version of the JSON form below.
pub const VALIDATION_FORMAT_VERSION: u32 = 1;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The manifests cannot be used.
    Error,
    /// They can, but this is probably not what was meant.
    Warning,
}

/// What kind of fault it is, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum Code {
    /// A file or directory could not be read, or lies outside the given root.
    Unreadable,
    /// No manifest was found.
    NoManifest,
    /// A file is too large, too deep or has too many values.
    Limit,
    /// The text is not UTF-8, or holds a character that is not allowed.
    Character,
    /// The text is not YAML.
    Syntax,
    /// An anchor, alias, merge key, tag, or a key that is not text.
    Feature,
    /// A key is given twice.
    DuplicateKey,
    /// `apiVersion` or `kind` is not one of ours.
    UnknownKind,
    /// A field that the kind does not have.
    UnknownField,
    /// A field that must be given.
    MissingField,
    /// Text where a number is wanted, and the like.
    WrongType,
    /// A value that the field does not allow.
    WrongValue,
    /// Two things of one name.
    DuplicateName,
    /// A reference to something that no manifest declares.
    Unresolved,
    /// Two fields that contradict each other.
    Contradiction,
    /// A capture that libvirt can never make.
    NotPossible,
    /// Internal and external snapshots for one domain.
    MixedKinds,
    /// Two sets that claim the same thing of a domain.
    Conflict,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of fault it is.
    pub code: Code,
    /// The file, as named on the command line or found below a directory; `-` for standard input.
    pub file: Arc<str>,
    /// 1-based; 0 where the finding is about the file as a whole.
    pub line: usize,
    /// 1-based, in characters; 0 where the finding is about the file as a whole.
    pub column: usize,
    /// The byte range to underline, in the text without a byte order mark.
    #[serde(skip)]
    pub range: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to say at the underlined place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is allowed, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Other places that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// Another place that belongs to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    /// The file.
    pub file: Arc<str>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// The byte range to underline.
    #[serde(skip)]
    pub range: Range<usize>,
    /// What is there.
    pub message: String,
}

impl Diagnostic {
    /// An error about a file or directory as a whole.
    pub fn about_file(code: Code, file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: file.into(),
            line: 0,
            column: 0,
            range: 0..0,
            message: message.into(),
            label: None,
            help: None,
            related: Vec::new(),
        }
    }

    pub(super) fn at(code: Code, text: &Text<'_>, range: &Range<usize>, message: impl Into<String>) -> Self {
        let range = text.within_line(range);
        let (line, column) = text.position(range.start);
        Self { line, column, range, ..Self::about_file(code, text.name, message) }
    }

    /// An error about a whole line of a source, for readers that know lines only; 1-based.
    pub fn at_line(code: Code, source: &Source, line: usize, message: impl Into<String>) -> Self {
        let text = Text::of(source);
        let range = text.line_range(line);
        let written = text.text.get(range.clone()).unwrap_or_default();
        let indent = written.len() - written.trim_start().len();
        Self::at(code, &text, &(range.start + indent..range.end), message)
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// The same with words at the underlined place.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(super) fn related(mut self, text: &Text<'_>, range: &Range<usize>, message: impl Into<String>) -> Self {
        let range = text.within_line(range);
        let (line, column) = text.position(range.start);
        self.related.push(Related { file: Arc::clone(text.name), line, column, range, message: message.into() });
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What `validate -o json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// The version of this form.
    pub format_version: u32,
    /// Counts.
    pub summary: ValidationSummary,
    /// By file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Counts of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ValidationSummary {
    /// Files read.
    pub files: usize,
    /// Documents in them.
    pub documents: usize,
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Validation {
    /// Counts and takes the findings.
    pub fn new(files: usize, documents: usize, diagnostics: Vec<Diagnostic>) -> Self {
        let errors = diagnostics.iter().filter(|d| d.is_error()).count();
        let warnings = diagnostics.len() - errors;
        let summary = ValidationSummary { files, documents, errors, warnings };
        Self { format_version: VALIDATION_FORMAT_VERSION, summary, diagnostics }
    }
}
