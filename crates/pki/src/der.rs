//! Writing DER (X.690), as much of it as certificates need. Lengths are definite, sets sorted.

/// One element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let len = content.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// SET OF: DER wants the encodings in ascending order.
pub(crate) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(0x31, &parts.concat())
}

/// `[n]` around a complete element.
pub(crate) fn explicit(n: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | n, content)
}

/// `[n]` in place of a primitive element's own tag.
pub(crate) fn implicit(n: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | n, content)
}

/// A positive INTEGER from big-endian bytes.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let skip = magnitude.iter().take_while(|b| **b == 0).count();
    let digits = &magnitude[skip..];
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|b| b & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    element(0x02, &content)
}

pub(crate) fn boolean_true() -> Vec<u8> {
    element(0x01, &[0xff])
}

pub(crate) fn null() -> Vec<u8> {
    element(0x05, &[])
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// A BIT STRING of whole bytes.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    let mut with_unused = Vec::with_capacity(content.len() + 1);
    with_unused.push(0);
    with_unused.extend_from_slice(content);
    element(0x03, &with_unused)
}

/// A named BIT STRING: bit 0 is the first; trailing zeros are cut as DER wants.
pub(crate) fn named_bits(set: u16) -> Vec<u8> {
    let mut bytes = [0_u8; 2];
    for bit in (0..16).filter(|b| set & (1 << b) != 0) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    let used = if set == 0 { 0 } else { 16 - set.leading_zeros() as usize };
    let len = used.div_ceil(8);
    let mut content = vec![(len * 8 - used) as u8];
    content.extend_from_slice(&bytes[..len]);
    element(0x03, &content)
}

pub(crate) fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    let first = arcs.first().copied().unwrap_or(0) * 40 + arcs.get(1).copied().unwrap_or(0);
    for arc in std::iter::once(first).chain(arcs.iter().skip(2).copied()) {
        let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            content.push(((arc >> (group * 7)) & 0x7f) as u8 | more);
        }
    }
    element(0x06, &content)
}

/// PrintableString where the alphabet allows it, else UTF8String, as Go chooses.
pub(crate) fn text(s: &str) -> Vec<u8> {
    let printable = s.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    element(if printable { 0x13 } else { 0x0c }, s.as_bytes())
}

/// UTCTime up to 2049, then GeneralizedTime (RFC 5280 4.1.2.5).
pub(crate) fn time(unix_seconds: i64) -> Vec<u8> {
    let stamp = jiff::Timestamp::from_second(unix_seconds).unwrap_or(jiff::Timestamp::MAX);
    let t = jiff::tz::Offset::UTC.to_datetime(stamp);
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", t.month(), t.day(), t.hour(), t.minute(), t.second());
    if (1950..2050).contains(&t.year()) {
        element(0x17, format!("{:02}{rest}", t.year() % 100).as_bytes())
    } else {
        element(0x18, format!("{:04}{rest}", t.year()).as_bytes())
    }
}
