//! What is wrong with an expression, printed as cel-go prints it.
//!
//! Upstream counterpart: cel-go `common/error.go`, `common/errors.go`, `common/source.go`.

use std::fmt;

/// Errors beyond this many are counted, not kept.
const ISSUES_MAX: usize = 100;
/// Source lines longer than this (in bytes) are not shown.
const SNIPPET_BYTES_MAX: usize = 16384;

/// Where an issue is: a byte offset into the source, or nowhere.
pub(crate) type Position = Option<u32>;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Issue {
    position: Position,
    message: String,
}

impl Issue {
    /// The bare message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Why an expression does not compile. Prints as cel-go's `Errors.ToDisplayString`.
#[derive(Clone, Debug)]
pub struct Issues {
    source: String,
    issues: Vec<Issue>,
    count: usize,
}

impl Issues {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), issues: Vec::new(), count: 0 }
    }

    pub(crate) fn report(&mut self, position: Position, message: impl Into<String>) {
        self.count += 1;
        if self.count <= ISSUES_MAX {
            self.issues.push(Issue { position, message: message.into() });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The issues, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter()
    }

    /// Line (from 1) and column (from 0, in code points) of a byte offset.
    fn line_column(&self, offset: u32) -> (usize, usize) {
        let offset = self.floor(offset as usize);
        let before = &self.source[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count())
    }

    /// The last character border not after `offset`.
    fn floor(&self, offset: usize) -> usize {
        (0..=offset.min(self.source.len())).rev().find(|&i| self.source.is_char_boundary(i)).unwrap_or(0)
    }

    fn write_one(&self, f: &mut fmt::Formatter<'_>, issue: &Issue) -> fmt::Result {
        let Some(offset) = issue.position else {
            return write!(f, "ERROR: <input>:-1:0: {}", issue.message);
        };
        if self.source.is_empty() {
            return write!(f, "ERROR: <input>:1:0: {}", issue.message);
        }
        let (line, column) = self.line_column(offset);
        write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
        let offset = self.floor(offset as usize);
        let start = self.source[..offset].rfind('\n').map_or(0, |i| i + 1);
        let end = self.source[offset..].find('\n').map_or(self.source.len(), |i| offset + i);
        let snippet = self.source[start..end].replace('\t', " ");
        if snippet.len() > SNIPPET_BYTES_MAX {
            return Ok(());
        }
        write!(f, "\n | {snippet}\n | ")?;
        let mut chars = snippet.chars();
        for c in chars.by_ref().take(column) {
            f.write_str(if c.is_ascii() { "." } else { "\u{ff0e}" })?;
        }
        f.write_str(if chars.next().is_some_and(|c| !c.is_ascii()) { "\u{ff3e}" } else { "^" })
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Issue> = self.issues.iter().collect();
        sorted.sort_by_key(|i| i.position.map(|p| p as i64).unwrap_or(-1));
        for (i, issue) in sorted.into_iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            self.write_one(f, issue)?;
        }
        if self.count > ISSUES_MAX {
            write!(f, "\n{} more errors were truncated", self.count - ISSUES_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}
