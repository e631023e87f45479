//! Bytes that clients keep: how they learn that theirs are still good, and how they get a part.
//!
//! Upstream: `ServeContent` of Go's `net/http`, but for several ranges at once: those get everything.

use crate::body::ResponseBody;
use crate::call::Call;
use crate::reply::Reply;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::ops::Range;

/// What is sent.
pub(crate) struct Content {
    pub(crate) media: &'static str,
    pub(crate) bytes: Bytes,
    /// The entity tag, with its quotes; empty if there is none.
    pub(crate) tag: String,
    /// Since when the bytes are so.
    pub(crate) modified: Timestamp,
}

/// How a request's conditions came out.
enum Outcome {
    Send,
    NotModified,
    Failed,
}

impl Content {
    /// The answer, as the request's conditions and its range want it.
    pub(crate) fn reply(self, call: &Call) -> Reply {
        let head = |code| Reply { code, content_type: "", body: ResponseBody::empty(), headers: Vec::new() };
        let mut reply = match self.outcome(call) {
            Outcome::NotModified => {
                let mut reply = head(304);
                // One validator is enough.
                if self.tag.is_empty() {
                    self.add_modified(&mut reply);
                } else {
                    add(&mut reply, header::ETAG, &self.tag);
                }
                return reply;
            }
            Outcome::Failed => Reply { content_type: self.media, ..head(412) },
            Outcome::Send => {
                let range = call.header(header::RANGE).filter(|_| self.is_range_wanted(call));
                match range.map(|range| parse_range(range, self.bytes.len())) {
                    None | Some(Ok(None)) => self.whole(),
                    Some(Ok(Some(range))) => self.part(range),
                    Some(Err(refusal)) => return self.refuse(refusal),
                }
            }
        };
        if !self.tag.is_empty() {
            add(&mut reply, header::ETAG, &self.tag);
        }
        self.add_modified(&mut reply);
        reply
    }

    /// RFC 9110 section 13.2.2.
    fn outcome(&self, call: &Call) -> Outcome {
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        let since = |name| call.header(name).and_then(parse_date);
        let is_same = |tag: &str| tag == "*" || !tag.is_empty() && tag == self.tag;
        if let Some(tags) = call.header(header::IF_MATCH) {
            if !tags.split(',').any(|tag| is_same(tag.trim())) {
                return Outcome::Failed;
            }
        } else if since(header::IF_UNMODIFIED_SINCE).is_some_and(|since| self.seconds() > since) {
            return Outcome::Failed;
        }
        if let Some(tags) = call.header(header::IF_NONE_MATCH) {
            if tags.split(',').any(|tag| is_same(tag.trim().trim_start_matches("W/"))) {
                return if reads { Outcome::NotModified } else { Outcome::Failed };
            }
        } else if reads && since(header::IF_MODIFIED_SINCE).is_some_and(|since| self.seconds() <= since) {
            return Outcome::NotModified;
        }
        Outcome::Send
    }

    /// Whether a part fits to what the client has of it.
    fn is_range_wanted(&self, call: &Call) -> bool {
        call.header(header::IF_RANGE).is_none_or(|known| {
            let is_tag = known.starts_with(['"', 'W']);
            if is_tag { known == self.tag } else { parse_date(known) == Some(self.seconds()) }
        })
    }

    fn whole(&self) -> Reply {
        let mut reply = Reply::bytes(200, self.media, self.bytes.clone());
        add(&mut reply, header::ACCEPT_RANGES, "bytes");
        reply
    }

    fn part(&self, range: Range<usize>) -> Reply {
        let of = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), self.bytes.len());
        let mut reply = Reply::bytes(206, self.media, self.bytes.slice(range));
        add(&mut reply, header::ACCEPT_RANGES, "bytes");
        add(&mut reply, header::CONTENT_RANGE, &of);
        reply
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        let text = match refusal {
            Refusal::Syntax => "invalid range\n",
            Refusal::Outside => "invalid range: failed to overlap\n",
        };
        let mut reply = Reply::text_only(416, text);
        if refusal == Refusal::Outside {
            add(&mut reply, header::CONTENT_RANGE, &format!("bytes */{}", self.bytes.len()));
        }
        reply
    }

    /// Dates in headers have no fractions.
    fn seconds(&self) -> i64 {
        self.modified.as_second()
    }

    fn add_modified(&self, reply: &mut Reply) {
        add(reply, header::LAST_MODIFIED, &date(self.modified, "GMT"));
    }
}

/// A date as headers have it.
pub(crate) fn date(time: Timestamp, zone: &str) -> String {
    format!("{} {zone}", time.strftime("%a, %d %b %Y %H:%M:%S"))
}

/// Adds a header.
pub(crate) fn add(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers.push((name, value));
    }
}

fn parse_date(text: &str) -> Option<i64> {
    DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_second)
}

/// Why there is no such range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Syntax,
    Outside,
}

/// The range that a header asks for; `None` for everything.
fn parse_range(text: &str, length: usize) -> Result<Option<Range<usize>>, Refusal> {
    let ranges = text.strip_prefix("bytes=").ok_or(Refusal::Syntax)?;
    let mut ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Ok(None) };
    let (start, end) = range.split_once('-').ok_or(Refusal::Syntax)?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // What is too large for a number is behind the end as well.
        if is_number { Ok(text.parse().unwrap_or(usize::MAX)) } else { Err(Refusal::Syntax) }
    };
    let (start, end) = (start.trim(), end.trim());
    if start.is_empty() {
        let last = number(end)?.min(length);
        return Ok(Some(length - last..length));
    }
    let start = number(start)?;
    if start >= length {
        return Err(Refusal::Outside);
    }
    let last = if end.is_empty() { length } else { number(end)? };
    if start > last {
        return Err(Refusal::Syntax);
    }
    Ok(Some(start..last.saturating_add(1).min(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let table = [
            ("bytes=0-9", Ok(Some(0..10))),
            ("bytes=90-", Ok(Some(90..100))),
            ("bytes= 90 - 200 ", Ok(Some(90..100))),
            ("bytes=-9", Ok(Some(91..100))),
            ("bytes=-99999999999999999999999", Ok(Some(0..100))),
            ("bytes=-0", Ok(Some(100..100))),
            ("bytes=0-99999999999999999999999", Ok(Some(0..100))),
            ("bytes=0-1,5-6", Ok(None)),
            ("bytes=", Ok(None)),
            ("bytes=100-", Err(Refusal::Outside)),
            ("bytes=5-2", Err(Refusal::Syntax)),
            ("bytes=--1", Err(Refusal::Syntax)),
            ("bytes=5", Err(Refusal::Syntax)),
            ("bytes=a-b", Err(Refusal::Syntax)),
            ("foo", Err(Refusal::Syntax)),
        ];
        for (text, want) in table {
            assert_eq!(parse_range(text, 100), want, "{text}");
        }
    }

    #[test]
    fn dates_come_back() {
        let time = Timestamp::from_second(1_795_349_687).unwrap_or_default();
        let text = date(time, "GMT");
        assert_eq!(text, "Sun, 22 Nov 2026 12:14:47 GMT");
        assert_eq!(parse_date(&text), Some(1_795_349_687));
        assert_eq!(parse_date("yesterday"), None);
    }
}
