//! The lines of a log file as the CRI writes them: `<time> <stream> <tags> <text>`.
//!
//! Law: `design-proposals/node/kubelet-cri-logging.md`; the tag `P` says that the line goes on in the next.

use jiff::Timestamp;

/// One line of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As it is written, RFC 3339 with nanoseconds.
    pub(super) time: &'a str,
    /// Whether what the container wrote goes on in the next line.
    pub(super) is_partial: bool,
    /// What the container wrote.
    pub(super) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; `None` for one that makes no sense.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        if !matches!(parts.next()?, b"stdout" | b"stderr") {
            return None;
        }
        let tags = parts.next()?;
        let first = tags.split(|b| *b == b':').next()?;
        Some(Self { time, is_partial: first == b"P", text: parts.next().unwrap_or_default() })
    }
}

/// Makes of a log's lines what a client wants to see.
#[derive(Debug)]
pub(crate) struct Printer {
    since: Option<Timestamp>,
    timestamps: bool,
    remaining: Option<u64>,
    /// Whether the next text begins a line of the client's.
    at_start: bool,
}

impl Printer {
    pub(crate) fn new(since: Option<Timestamp>, timestamps: bool, limit_bytes: Option<u64>) -> Self {
        Self { since, timestamps, remaining: limit_bytes, at_start: true }
    }

    /// Whether nothing more is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.remaining == Some(0)
    }

    /// Takes one line of the file, without its newline.
    pub(crate) fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(line).filter(|line| self.is_wanted(line)) else { return };
        if self.timestamps && self.at_start {
            self.write(nanoseconds(line.time).as_bytes(), out);
            self.write(b" ", out);
        }
        self.write(line.text, out);
        if !line.is_partial {
            self.write(b"\n", out);
        }
        self.at_start = !line.is_partial;
    }

    fn is_wanted(&self, line: &Line<'_>) -> bool {
        let Some(since) = self.since else { return true };
        line.time.parse::<Timestamp>().is_ok_and(|time| time >= since)
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let n = match &mut self.remaining {
            None => bytes.len(),
            Some(remaining) => {
                let n = usize::try_from(*remaining).unwrap_or(usize::MAX).min(bytes.len());
                *remaining -= n as u64;
                n
            }
        };
        out.extend_from_slice(&bytes[..n]);
    }
}

/// A time with exactly nine digits of fraction, as upstream prints it.
fn nanoseconds(time: &str) -> String {
    let Some(zone) = time.rfind(['Z', '+', '-']).filter(|at| *at > 18) else { return time.to_owned() };
    let (time, zone) = time.split_at(zone);
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<9.9}{zone}")
}

/// Where the last `lines` lines of a file begin: a function of how many newlines there are from the end on.
/// Takes blocks of the file from its end; gives the offset within a block once it is there.
#[derive(Debug)]
pub(in crate::server) struct TailSearch {
    wanted: u64,
    seen: u64,
}

impl TailSearch {
    pub(in crate::server) fn new(lines: u64) -> Self {
        Self { wanted: lines, seen: 0 }
    }

    /// Looks through the block before the ones it was given.
    pub(in crate::server) fn block(&mut self, block: &[u8]) -> Option<usize> {
        for (i, byte) in block.iter().enumerate().rev() {
            if *byte == b'\n' {
                self.seen += 1;
                // The last line's own newline is the first that is seen.
                if self.seen > self.wanted {
                    return Some(i + 1);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOG: &[&str] = &[
        "2026-01-01T00:00:01.5Z stdout F one",
        "2026-01-01T00:00:02.000000001Z stderr P tw",
        "2026-01-01T00:00:03.000000001Z stderr F o",
        "nonsense",
        "2026-01-01T00:00:04.123456789+01:00 stdout F ",
        "2026-01-01T00:00:05.000000000Z stdout F a b  c",
        "2026-01-01T00:00:06.000000000Z stdin F no",
    ];

    fn print(mut printer: Printer) -> String {
        let mut out = Vec::new();
        for line in LOG {
            if printer.is_done() {
                break;
            }
            printer.line(line.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_printed() {
        assert_eq!(print(Printer::new(None, false, None)), "one\ntwo\n\na b  c\n");
        assert_eq!(
            print(Printer::new(None, true, None)),
            "2026-01-01T00:00:01.500000000Z one\n2026-01-01T00:00:02.000000001Z two\n\
             2026-01-01T00:00:04.123456789+01:00 \n2026-01-01T00:00:05.000000000Z a b  c\n"
        );
        let since = "2026-01-01T00:00:03Z".parse().ok();
        assert_eq!(print(Printer::new(since, false, None)), "o\na b  c\n");
        assert_eq!(print(Printer::new(None, false, Some(6))), "one\ntw");
        assert_eq!(print(Printer::new(None, true, Some(12))), "2026-01-01T0");
    }

    #[test]
    fn the_tail() {
        let find = |text: &'static str, lines: u64, block: usize| {
            let bytes = text.as_bytes();
            let (mut search, mut end) = (TailSearch::new(lines), bytes.len());
            while end > 0 {
                let begin = end.saturating_sub(block);
                if let Some(at) = search.block(&bytes[begin..end]) {
                    return &text[begin + at..];
                }
                end = begin;
            }
            text
        };
        for block in [1, 2, 3, 100] {
            for (text, lines, want) in [
                ("a\nbb\nc\n", 0, ""),
                ("a\nbb\nc\n", 1, "c\n"),
                ("a\nbb\nc\n", 2, "bb\nc\n"),
                ("a\nbb\nc\n", 3, "a\nbb\nc\n"),
                ("a\nbb\nc\n", 9, "a\nbb\nc\n"),
                ("", 1, ""),
            ] {
                assert_eq!(find(text, lines, block), want, "{lines} of {text:?} by {block}");
            }
        }
    }

    #[test]
    fn anything_is_a_line() {
        for line in ["", " ", "   ", "x stdout", "x stdout F", "2026 stdout P:x y", "\u{1f600} stderr F z"] {
            let mut out = Vec::new();
            Printer::new(None, true, None).line(line.as_bytes(), &mut out);
        }
        assert_eq!(nanoseconds("2026-01-01"), "2026-01-01");
        assert_eq!(nanoseconds("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00.000000000Z");
    }
}
