//! Findings as text for people: the place, the source underlined, what is allowed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::diagnostic::{Diagnostic, Severity};
use super::source::{Source, Text};
use crate::model::text::printable;

/// The most findings shown in full per file. One wrong indentation or a wrong kind of file makes hundreds; nobody reads
/// more than a screen or two of them before fixing the first, and a hostile file must not fill a CI log. The JSON form
/// has them all.
pub const SHOWN_PER_FILE: usize = 20;

/// Longer lines are named but not shown: they are made by a program, a terminal cannot show them, and rendering takes
/// time proportional to their length.
const LINE_SHOWN_BYTES: usize = 2000;

/// Renders findings, in their order, with the sources they point into.
pub fn render(diagnostics: &[Diagnostic], sources: &[Source], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let texts: BTreeMap<&str, Text<'_>> = sources.iter().map(|source| (&*source.name, Text::of(source))).collect();
    let mut out = String::new();
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for diagnostic in diagnostics {
        let count = shown.entry(&diagnostic.file).or_default();
        *count += 1;
        if *count > SHOWN_PER_FILE {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}\n", renderer.render(&[group(diagnostic, &texts)]));
    }
    for (file, count) in shown.into_iter().filter(|(_, count)| *count > SHOWN_PER_FILE) {
        let _ =
            writeln!(out, "{}: {} more, not shown; `-o json` has them all\n", printable(file), count - SHOWN_PER_FILE);
    }
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, texts: &'a BTreeMap<&str, Text<'a>>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (own, elsewhere): (Vec<_>, Vec<_>) =
        diagnostic.related.iter().partition(|related| related.file == diagnostic.file && diagnostic.line > 0);
    let mut marks = vec![Mark { range: &diagnostic.range, label: diagnostic.label.as_deref(), primary: true }];
    marks.extend(own.iter().map(|r| Mark { range: &r.range, label: Some(&r.message), primary: false }));
    let title = level.primary_title(diagnostic.message.as_str()).id(format!("{:?}", diagnostic.code));
    let mut group = match texts.get(&*diagnostic.file).filter(|_| diagnostic.line > 0) {
        Some(text) if is_shown(text, &marks) => title.element(snippet(text, &marks)),
        Some(_) => title
            .element(Origin::path(printable(&diagnostic.file)).line(diagnostic.line).char_column(diagnostic.column)),
        None => title.element(Origin::path(printable(&diagnostic.file))),
    };
    for related in elsewhere {
        let mark = Mark { range: &related.range, label: Some(&related.message), primary: false };
        group = match texts.get(&*related.file) {
            Some(text) if is_shown(text, std::slice::from_ref(&mark)) => group.element(snippet(text, &[mark])),
            _ => group.element(Origin::path(printable(&related.file)).line(related.line).char_column(related.column)),
        };
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

struct Mark<'a> {
    range: &'a std::ops::Range<usize>,
    label: Option<&'a str>,
    primary: bool,
}

fn is_shown(text: &Text<'_>, marks: &[Mark<'_>]) -> bool {
    marks.iter().all(|mark| text.line_range(text.line(mark.range.start)).len() <= LINE_SHOWN_BYTES)
}

/// annotate-snippets replaces what a terminal could act on, but for the C1 controls. Each has two bytes, as what stands for it:
/// the marks stay where they are.
fn without_c1(source: &str) -> Cow<'_, str> {
    let is_c1 = |c: char| matches!(c, '\u{80}'..='\u{9F}');
    if source.contains(is_c1) { source.replace(is_c1, "\u{BF}").into() } else { source.into() }
}

/// The lines from the first to the last mark; those without a mark are folded away.
fn snippet<'a>(text: &'a Text<'_>, marks: &[Mark<'a>]) -> Snippet<'a, Annotation<'a>> {
    let lines = || marks.iter().map(|mark| text.line(mark.range.start));
    let (first, last) = (lines().min().unwrap_or(1), lines().max().unwrap_or(1));
    let window = text.line_range(first).start..text.line_range(last).end;
    let source = text.text.get(window.clone()).unwrap_or_default();
    let mut snippet = Snippet::source(without_c1(source)).line_start(first).path(printable(text.name)).fold(true);
    for mark in marks {
        let start = mark.range.start.clamp(window.start, window.end) - window.start;
        let end = mark.range.end.clamp(window.start + start, window.end) - window.start;
        let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        snippet = snippet.annotation(kind.span(start..end).label(mark.label));
    }
    snippet
}
