//! Base64 with padding (RFC 4648, section 4), as lenient and with the errors of Go's `StdEncoding`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Byte → its six bits, or 255.
static VALUES: [u8; 256] = {
    let mut table = [255; 256];
    let mut i = 0;
    while i < 64 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
};

fn value(byte: u8) -> u8 {
    VALUES[usize::from(byte)]
}

/// Appends the encoding of `bytes`.
pub(crate) fn encode(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let n = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let six = (n >> (18 - 6 * i)) & 63;
            out.push(if i > chunk.len() { '=' } else { char::from(ALPHABET[six as usize]) });
        }
    }
}

/// Decodes; line breaks are skipped. The error is Go's text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let corrupt = |at: usize| format!("illegal base64 data at input byte {at}");
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut group = [0_u8; 4];
    let mut have = 0;
    let mut pos = 0;
    while let Some(&byte) = bytes.get(pos) {
        pos += 1;
        if matches!(byte, b'\r' | b'\n') {
            continue;
        }
        let six = value(byte);
        if six != 255 {
            group[have] = six;
            have += 1;
            if have == 4 {
                push(&group, 3, &mut out);
                have = 0;
            }
            continue;
        }
        if byte != b'=' || have < 2 {
            return Err(corrupt(pos - 1));
        }
        let mut rest = bytes.iter().enumerate().skip(pos).filter(|(_, b)| !matches!(b, b'\r' | b'\n'));
        if have == 2 {
            match rest.next() {
                Some((_, b'=')) => {}
                // A single padding character where two must be.
                Some((at, _)) => return Err(corrupt(at)),
                None => return Err(corrupt(bytes.len())),
            }
        }
        if let Some((at, _)) = rest.next() {
            return Err(corrupt(at));
        }
        group[have..].fill(0);
        push(&group, have - 1, &mut out);
        return Ok(out);
    }
    if have > 0 {
        return Err(corrupt(bytes.len() - have));
    }
    Ok(out)
}

fn push(group: &[u8; 4], n: usize, out: &mut Vec<u8>) {
    let bits = group.iter().fold(0_u32, |n, six| n << 6 | u32::from(*six));
    out.extend_from_slice(bits.to_be_bytes().get(1..=n).unwrap_or(&[]));
}

/// Whether the text is exactly what [`encode`] prints.
pub(crate) fn is_canonical(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return false;
    }
    let padding = bytes.iter().rev().take(2).take_while(|b| **b == b'=').count();
    let (data, _) = bytes.split_at(bytes.len() - padding);
    let unused = [0, 3, 15][padding];
    data.iter().all(|b| value(*b) != 255) && data.last().is_none_or(|b| value(*b) & unused == 0)
}
