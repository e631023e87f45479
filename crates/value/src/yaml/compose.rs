//! Events to nodes.

use super::{DEPTH_MAX, Error};
use crate::Str;
use libyaml_safer::{Encoding, ErrorKind, EventData, Mark, Parser, ScalarStyle};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::panic;

/// Nodes refer to each other by index, the root is the last one.
pub(super) type NodeId = usize;

pub(super) struct Node {
    pub(super) kind: Kind,
    /// Counted from 0.
    pub(super) line: u64,
    /// In its long form; empty if there is none.
    pub(super) tag: String,
}

pub(super) enum Kind {
    /// `implicit`: plain and without a tag, so that its text tells its type.
    Scalar {
        text: Str,
        implicit: bool,
    },
    Sequence(Vec<NodeId>),
    /// Keys and values in turn.
    Mapping(Vec<NodeId>),
    Alias {
        anchor: String,
        target: NodeId,
    },
}

pub(super) struct Document {
    pub(super) nodes: Vec<Node>,
    /// `None` if there is no document at all.
    pub(super) root: Option<NodeId>,
}

/// How many bytes are decoded at a time; as many as upstream.
const READ_BYTES: usize = 512;

thread_local! {
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is where a panic is the library's, is caught and becomes an error: a panic hook should
/// not report it, or every such document would write to the log.
pub fn is_reading() -> bool {
    READING.get()
}

/// Reads the first document.
///
/// The library panics on a few malformed documents (tags in flow style followed by a comma, for one).
/// Nothing of ours is half changed by then, so such a panic becomes the error that `yaml.v2` has for what it
/// cannot name.
pub(super) fn compose(data: &[u8]) -> Result<Document, Error> {
    READING.set(true);
    let read = panic::catch_unwind(|| read_document(data));
    READING.set(false);
    read.unwrap_or_else(|_| Err(Error { message: "yaml: unknown problem parsing YAML content".to_owned() }))
}

fn read_document(data: &[u8]) -> Result<Document, Error> {
    // The library also panics when a block scalar ends with the input instead of a line. So a line end is
    // added, and taken off again from the scalar that took it in.
    let added = !data.is_empty() && !data.ends_with(b"\n");
    let input = data.chain(if added { &b"\n"[..] } else { b"" });
    // In small pieces, as the library decodes all it gets at once and would complain first of what comes last.
    let mut input = BufReader::with_capacity(READ_BYTES, input);
    let mut parser = Parser::new();
    // The library takes the first byte of some characters for one of a byte order mark.
    if !data.starts_with(b"\xff\xfe") && !data.starts_with(b"\xfe\xff") && !data.starts_with(b"\xef\xbb\xbf")
    {
        parser.set_encoding(Encoding::Utf8);
    }
    parser.set_input(&mut input);
    let mut composer = Composer { nodes: Vec::new(), anchors: HashMap::new(), open: Vec::new(), root: None };
    loop {
        let mut event = parser.parse().map_err(|e| syntax_error(&e, data))?;
        if let EventData::Scalar { value, style: ScalarStyle::Literal | ScalarStyle::Folded, .. } =
            &mut event.data
            && added
            && usize::try_from(event.end_mark.index).is_ok_and(|end| end > data.len())
        {
            remove_added_line_end(value, data);
        }
        match event.data {
            EventData::StreamEnd | EventData::DocumentEnd { .. } => break,
            data => composer.event(data, event.start_mark.line)?,
        }
    }
    Ok(Document { nodes: composer.nodes, root: composer.root })
}

/// Takes the line end that was added to `data` off the block scalar at its end.
fn remove_added_line_end(text: &mut String, data: &[u8]) {
    let Some(lines) = text.strip_suffix('\n') else { return };
    let is_blank = |line: &[u8]| line.iter().all(|b| *b == b' ');
    let last_of_data = data.rsplit(|b| *b == b'\n').next().unwrap_or(data);
    let last_of_text = lines.rsplit('\n').next().unwrap_or(lines);
    // A last line of mere indentation is no part of the text, unless all line ends are kept.
    if is_blank(last_of_text.as_bytes()) || !is_blank(last_of_data) {
        text.pop();
    }
}

struct Composer {
    nodes: Vec<Node>,
    anchors: HashMap<String, NodeId>,
    /// Sequences and mappings that are not complete.
    open: Vec<NodeId>,
    root: Option<NodeId>,
}

impl Composer {
    fn event(&mut self, data: EventData, line: u64) -> Result<(), Error> {
        match data {
            // Upstream's parser knows one version, ours two.
            EventData::DocumentStart { version_directive: Some(v), .. } if (v.major, v.minor) != (1, 1) => {
                return Err(Error { message: "yaml: found incompatible YAML document".to_owned() });
            }
            EventData::Scalar { anchor, tag, value, plain_implicit, .. } => {
                let kind = Kind::Scalar { text: Str::new(value), implicit: plain_implicit };
                self.add(kind, line, tag, anchor);
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                let id = self.add(Kind::Sequence(Vec::new()), line, tag, anchor);
                self.open(id)?;
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let id = self.add(Kind::Mapping(Vec::new()), line, tag, anchor);
                self.open(id)?;
            }
            EventData::SequenceEnd | EventData::MappingEnd => _ = self.open.pop(),
            EventData::Alias { anchor } => {
                let Some(target) = self.anchors.get(&anchor).copied() else {
                    return Err(Error { message: format!("yaml: unknown anchor '{anchor}' referenced") });
                };
                self.add(Kind::Alias { anchor, target }, line, None, None);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, id: NodeId) -> Result<(), Error> {
        self.open.push(id);
        if self.open.len() > DEPTH_MAX {
            return Err(too_deep());
        }
        Ok(())
    }

    fn add(&mut self, kind: Kind, line: u64, tag: Option<String>, anchor: Option<String>) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { kind, line, tag: tag.unwrap_or_default() });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        match self.open.last().and_then(|parent| self.nodes.get_mut(*parent)) {
            Some(Node { kind: Kind::Sequence(children) | Kind::Mapping(children), .. }) => children.push(id),
            _ => self.root = Some(id),
        }
        id
    }
}

pub(super) fn too_deep() -> Error {
    Error { message: format!("yaml: exceeded max depth of {DEPTH_MAX}") }
}

/// Words an error as `yaml.v2` does: the line is left out when it is the first.
fn syntax_error(error: &libyaml_safer::Error, data: &[u8]) -> Error {
    // Inside a token the line end that was added does not count. Between tokens it does: upstream, too,
    // goes on to a new line at the end of the data.
    let in_token = error.problem() == "found unexpected end of stream";
    let line_of = |mark: Option<Mark>| {
        let mark = mark.unwrap_or_default();
        let beyond = usize::try_from(mark.index).is_ok_and(|index| index > data.len());
        mark.line.saturating_sub(u64::from(in_token && beyond))
    };
    let line = match line_of(error.problem_mark()) {
        0 => line_of(error.context_mark()),
        // Where the parser complains, the line has been counted on already.
        line if error.kind() == ErrorKind::Scanner => line + 1,
        line => line,
    };
    let place = if line == 0 { String::new() } else { format!("line {line}: ") };
    Error { message: format!("yaml: {place}{}", error.problem()) }
}
