//! The nodes of a snapshot's XML that an XPath expression selects, as `virsh snapshot-dumpxml --xpath` prints them.
//!
//! `xmllint` evaluates the expression. It is libxml2's own program, and virsh uses that library too, so the same nodes are
//! selected. The XML may hold secrets: it goes to xmllint's standard input, never into a file or its arguments.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use super::super::error::CliError;
use crate::model::text::printable;

/// What evaluates expressions.
const PROGRAM: &str = "xmllint";

/// What it says, and fails, where an expression is right and selects nothing.
const NOTHING: &str = "XPath set is empty";

/// What stands in for a document where an expression is only checked.
const EMPTY: &str = "<domainsnapshot/>";

/// A checked expression, and how its nodes are printed.
pub(super) struct Selection<'a> {
    expression: &'a str,
    wrap: bool,
}

impl<'a> Selection<'a> {
    /// Checks the expression, before any host is asked.
    ///
    /// # Errors
    /// When it is not valid, when its value is a number, a text or a truth and not nodes, or when xmllint is not there.
    pub(super) fn new(expression: &'a str, wrap: bool) -> Result<Self, CliError> {
        let selection = Self { expression, wrap };
        selection.count(EMPTY, "")?;
        Ok(selection)
    }

    /// The nodes of this document, each on lines of its own, or all in one `<nodes>` element.
    ///
    /// # Errors
    /// When nodes that cannot stand in an element are to be wrapped, or xmllint fails.
    pub(super) fn of(&self, xml: &str) -> Result<String, CliError> {
        if self.wrap
            && self.count(xml, "[not(self::*|self::text()|self::comment()|self::processing-instruction())]")? > 0
        {
            let expression = printable(self.expression);
            return Err(CliError::usage(format!(
                "{expression} selects attributes or the whole document, which cannot stand in a <nodes> element"
            ))
            .hint("leave out --wrap, or select the elements they belong to"));
        }
        let nodes = (1..=self.count(xml, "")?).map(|number| self.node(xml, number)).collect::<Result<Vec<_>, _>>()?;
        if self.wrap {
            return formatted(&format!("<nodes>{}</nodes>", nodes.concat()));
        }
        Ok(nodes.iter().map(|node| format!("{}\n", node.trim_end_matches('\n'))).collect())
    }

    /// How many nodes it selects, of those that `condition` lets pass.
    fn count(&self, xml: &str, condition: &str) -> Result<usize, CliError> {
        let count = self.evaluate(xml, &format!("count(({}){condition})", self.expression))?;
        count
            .trim()
            .parse()
            .map_err(|_| CliError::failed(format!("{PROGRAM} counted {} nodes", printable(count.trim()))))
    }

    /// One of its nodes, in the order of the document.
    fn node(&self, xml: &str, number: usize) -> Result<String, CliError> {
        let node = self.evaluate(xml, &format!("({})[{number}]", self.expression))?;
        // xmllint prints it without white space between elements, and ends it with a line feed.
        if let Some((declaration, root)) = node.split_once("?>\n").filter(|_| node.starts_with("<?xml ")) {
            return Ok(format!("{declaration}?>\n{}", formatted(root)?));
        }
        let is_element = node.starts_with('<') && !node.starts_with("<!") && !node.starts_with("<?");
        if is_element { formatted(&node) } else { Ok(node.strip_suffix('\n').unwrap_or(&node).to_owned()) }
    }

    fn evaluate(&self, xml: &str, expression: &str) -> Result<String, CliError> {
        // White space between elements is no node, as with virsh.
        let output = run(&["--nonet", "--noblanks", "--xpath", expression, "-"], xml)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if said.trim() == NOTHING {
            return Ok(String::new());
        }
        let expression = printable(self.expression);
        let reason = said.lines().find_map(|line| line.strip_prefix("XPath error : ")).unwrap_or_else(|| said.trim());
        let reason = match reason {
            // count() takes nothing else.
            "Invalid type" => "its value is not a set of nodes".to_owned(),
            reason => printable(reason),
        };
        if xml == EMPTY {
            return Err(CliError::usage(format!("the XPath expression {expression} cannot be used: {reason}"))
                .hint("an XPath 1.0 expression that selects nodes, as //disk or /domainsnapshot/domain/name/text()"));
        }
        Err(CliError::failed(format!("{PROGRAM} could not read the snapshot's XML for {expression}: {reason}")))
    }
}

/// An element with its children indented.
fn formatted(element: &str) -> Result<String, CliError> {
    let output = run(&["--nonet", "--noblanks", "--format", "-"], element)?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.split_once("?>\n") {
        Some((_, element)) if output.status.success() => Ok(element.to_owned()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(CliError::failed(format!("{PROGRAM} could not format what was selected: {}", printable(said.trim()))))
        }
    }
}

fn run(args: &[&str], input: &str) -> Result<Output, CliError> {
    let piped = Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            // It reads all of it before it prints, so neither waits for the other. One that ends earlier says why.
            let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
            let output = child.wait_with_output()?;
            match written {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
                _ => Ok(output),
            }
        });
    piped.map_err(|error| match error.kind() {
        ErrorKind::NotFound => CliError::failed("--xpath needs xmllint, which is not installed; nothing was asked")
            .hint("it is in the package libxml2-utils of Debian and Ubuntu, libxml2 of Fedora"),
        _ => CliError::failed(format!("{PROGRAM} could not be run: {error}")),
    })
}
