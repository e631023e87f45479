//! Finding the bytes that matter, eight or sixteen at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The index at or after `from` of the first byte that ends a run of plain string content: a quote, a
/// backslash or a control character. The length if there is none.
pub(super) fn string_run(bytes: &[u8], from: usize) -> usize {
    let mut i = from;
    while let Some(chunk) = bytes.get(i..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // A byte's high bit is set in `zero(x)` if the byte is zero. Borrows can set bits above such a
        // byte only, and the lowest set bit is what counts.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hit = (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH;
        if hit != 0 {
            return i + hit.trailing_zeros() as usize / 8;
        }
        i += 8;
    }
    let rest = bytes.get(i..).unwrap_or(&[]);
    i + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// Whether a byte of a string must be looked at when the string is written: it is escaped, or may begin
/// U+2028 or U+2029.
const fn is_special(b: u8) -> bool {
    // Two pairs of them differ in one bit: `<` and `>`, `"` and `&`.
    (b < 0x20) | (b | 2 == b'>') | (b | 4 == b'&') | (b == b'\\') | (b == 0xe2)
}

/// Whether all bytes of a string can be copied to the output blindly.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // Without early exit within a chunk, so that the compiler makes vector instructions of it. What is
    // left over is looked at together with bytes that have been seen already.
    fn none_in<const N: usize>(chunk: &[u8; N]) -> bool {
        !chunk.iter().fold(false, |any, b| any | is_special(*b))
    }
    fn none_in_all<const N: usize>(bytes: &[u8]) -> Option<bool> {
        let last = bytes.last_chunk::<N>()?;
        Some(bytes.as_chunks::<N>().0.iter().all(none_in) && none_in(last))
    }
    none_in_all::<16>(bytes)
        .or_else(|| none_in_all::<8>(bytes))
        .or_else(|| none_in_all::<4>(bytes))
        .unwrap_or_else(|| !bytes.iter().any(|b| is_special(*b)))
}

/// The index at or after `from` of the first byte that cannot be copied to the output blindly.
pub(super) fn write_run(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    from + rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len())
}
