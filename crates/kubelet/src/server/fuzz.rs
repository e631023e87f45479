//! What fuzzers feed to the server's parsers.

use super::logs::{Options, Printer, TailSearch};
use super::route::Query;
use super::{attributes, stream};
use jiff::Timestamp;

pub(crate) fn log(data: &[u8]) {
    let mut halves = data.splitn(2, |b| *b == b'\n');
    let (query, file) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let Ok(query) = std::str::from_utf8(query) else { return };
    let options = Options::read(&Query::parse(Some(query)), Timestamp::UNIX_EPOCH).unwrap_or_default();
    let start = options.tail_lines.map_or(0, |lines| {
        let whole = tail(file, lines, file.len().max(1));
        assert_eq!(whole, tail(file, lines, 7), "wherever it is cut");
        let behind = file.get(whole..).unwrap_or_default();
        let ends = behind.iter().filter(|b| **b == b'\n').count() as u64;
        assert!(ends <= lines.saturating_add(1), "{ends} of {lines} lines");
        whole
    });
    let mut printer = Printer::new(options.since, options.timestamps, options.limit_bytes);
    let mut out = Vec::new();
    for line in file.get(start..).unwrap_or_default().split(|b| *b == b'\n') {
        printer.line(line, &mut out);
    }
    assert!(options.limit_bytes.is_none_or(|limit| out.len() as u64 <= limit));
    assert!(options.timestamps || out.len() <= file.len() + 1, "nothing is made up");
}

/// Where the last lines begin, looking at blocks of `size`.
fn tail(file: &[u8], lines: u64, size: usize) -> usize {
    let mut search = TailSearch::new(lines);
    let mut end = file.len();
    while end > 0 {
        let begin = end.saturating_sub(size);
        if let Some(at) = search.block(&file[begin..end]) {
            return begin + at;
        }
        end = begin;
    }
    0
}

pub(crate) fn request(text: &str) {
    let (path, raw) = text.split_once('?').unwrap_or((text, ""));
    assert!(!attributes::subresources(path).is_empty(), "there is always something to be allowed");
    let query = Query::parse(Some(raw));
    for key in ["command", "port", "container", ""] {
        assert_eq!(query.all(key).next(), query.get(key));
    }
    if let Ok(ports) = stream::ports(&query) {
        assert!(ports.iter().all(|port| (1..=65_535).contains(port)));
    }
    if let Ok(wanted) = stream::wanted(&query) {
        assert!(!(wanted.tty && wanted.stderr), "a terminal has one output");
    }
    let _ = Options::read(&query, Timestamp::UNIX_EPOCH);
}

pub(crate) fn streaming_url(url: &str) {
    if let Some((backend, uri)) = stream::backend(url) {
        assert!(
            backend.tls.is_none() && uri.authority().is_none() && backend.authority().len() <= url.len() + 5
        );
    }
}
