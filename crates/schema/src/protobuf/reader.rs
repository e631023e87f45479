//! Reads the members of a message, with the errors of upstream's generated code.

use crate::DecodeError;
use std::borrow::Cow;

/// A member's number and wire type, and where it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) number: i32,
    pub(super) wire: u8,
    start: usize,
}

pub(super) struct Reader<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.pos >= self.data.len()
    }

    /// The next member of a message of type `message`; `None` at the end.
    pub(super) fn tag(&mut self, message: &str) -> Result<Option<Tag>, DecodeError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let start = self.pos;
        let key = self.varint()?;
        let (number, wire) = ((key >> 3) as i32, (key & 7) as u8);
        if wire == 4 {
            return Err(DecodeError::syntax(format!("proto: {message}: wiretype end group for non-group")));
        }
        if number <= 0 {
            return Err(DecodeError::syntax(format!(
                "proto: {message}: illegal tag {number} (wire type {key})"
            )));
        }
        Ok(Some(Tag { number, wire, start }))
    }

    /// The next member, if it is of the same field as `tag`.
    pub(super) fn again(&mut self, tag: Tag) -> Option<Tag> {
        let start = self.pos;
        if self.is_at_end() {
            return None;
        }
        match self.varint() {
            Ok(key) if (key >> 3) as i32 == tag.number && key & 7 == u64::from(tag.wire) => {
                Some(Tag { start, ..tag })
            }
            _ => {
                self.pos = start;
                None
            }
        }
    }

    /// Reads the length of a map entry, and returns where the entry ends.
    pub(super) fn entry(&mut self) -> Result<usize, DecodeError> {
        let len = self.delimited()?.len();
        let end = self.pos;
        self.pos -= len;
        Ok(end)
    }

    /// The next member of the map entry that ends at `end`; its wire type is not checked.
    pub(super) fn entry_tag(&mut self, end: usize) -> Result<Option<Tag>, DecodeError> {
        if self.pos >= end {
            return Ok(None);
        }
        let start = self.pos;
        let key = self.varint()?;
        Ok(Some(Tag { number: (key >> 3) as i32, wire: (key & 7) as u8, start }))
    }

    /// Steps over a member of a map entry.
    pub(super) fn skip_in_entry(&mut self, tag: Tag, end: usize) -> Result<(), DecodeError> {
        self.skip(tag)?;
        if self.pos > end { Err(eof()) } else { Ok(()) }
    }

    /// Goes to the end of a map entry, from wherever its last member ended.
    pub(super) const fn leave_entry(&mut self, end: usize) {
        self.pos = end;
    }

    /// Makes sure that a member has the wire type of its field.
    pub(super) fn expect(&self, tag: Tag, wire: u8, field: &str) -> Result<(), DecodeError> {
        expect_wire(tag, wire, field)
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            if shift >= 64 {
                break;
            }
            let byte = *self.data.get(self.pos).ok_or_else(eof)?;
            self.pos += 1;
            // Bits beyond the 64th fall off, as in Go.
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::syntax("proto: integer overflow"))
    }

    /// The value of a varint member.
    pub(super) fn varint_of(&mut self, tag: Tag, field: &str) -> Result<u64, DecodeError> {
        expect_wire(tag, 0, field)?;
        self.varint()
    }

    /// The value of a 64-bit member.
    pub(super) fn fixed64_of(&mut self, tag: Tag, field: &str) -> Result<u64, DecodeError> {
        expect_wire(tag, 1, field)?;
        let bytes = self.data.get(self.pos..).and_then(<[u8]>::first_chunk::<8>).ok_or_else(eof)?;
        self.pos += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// The value of a string, bytes or message member.
    pub(super) fn bytes(&mut self, tag: Tag, field: &str) -> Result<&'a [u8], DecodeError> {
        expect_wire(tag, 2, field)?;
        self.delimited()
    }

    /// Bytes that follow their length.
    pub(super) fn delimited(&mut self) -> Result<&'a [u8], DecodeError> {
        // Go reads lengths as signed.
        let len = i64::try_from(self.varint()?).map_err(|_| negative())?;
        let len = usize::try_from(len).map_err(|_| negative())?;
        let end = self.pos.checked_add(len).filter(|end| i64::try_from(*end).is_ok()).ok_or_else(negative)?;
        let bytes = self.data.get(self.pos..end).ok_or_else(eof)?;
        self.pos = end;
        Ok(bytes)
    }

    /// Steps over a member that the type does not have.
    pub(super) fn skip(&mut self, tag: Tag) -> Result<(), DecodeError> {
        self.pos = tag.start;
        let mut depth = 0_usize;
        while !self.is_at_end() {
            let wire = self.varint()? & 7;
            match wire {
                0 => self.skip_varint()?,
                1 => self.pos = self.pos.saturating_add(8),
                2 => {
                    let len = i64::try_from(self.varint()?).map_err(|_| negative())?;
                    let len = usize::try_from(len).map_err(|_| negative())?;
                    self.pos = self.pos.checked_add(len).ok_or_else(negative)?;
                }
                3 => depth += 1,
                4 => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or_else(|| DecodeError::syntax("proto: unexpected end of group"))?;
                }
                5 => self.pos = self.pos.saturating_add(4),
                _ => return Err(DecodeError::syntax(format!("proto: illegal wireType {wire}"))),
            }
            if depth == 0 {
                return if self.pos > self.data.len() { Err(eof()) } else { Ok(()) };
            }
        }
        Err(eof())
    }

    fn skip_varint(&mut self) -> Result<(), DecodeError> {
        self.varint().map(|_| ())
    }
}

fn expect_wire(tag: Tag, wire: u8, field: &str) -> Result<(), DecodeError> {
    if tag.wire == wire { Ok(()) } else { Err(wrong_wire(tag, field)) }
}

#[cold]
fn wrong_wire(tag: Tag, field: &str) -> DecodeError {
    DecodeError::syntax(format!("proto: wrong wireType = {} for field {field}", tag.wire))
}

#[cold]
fn eof() -> DecodeError {
    DecodeError::syntax("unexpected EOF")
}

#[cold]
fn negative() -> DecodeError {
    DecodeError::syntax("proto: negative length found during unmarshaling")
}

/// Bytes as text; what is no UTF-8 is replaced byte by byte, as when Go prints it in JSON.
pub(super) fn text(data: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(data) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = String::with_capacity(data.len() + 8);
            for chunk in data.utf8_chunks() {
                out.push_str(chunk.valid());
                out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
            Cow::Owned(out)
        }
    }
}
