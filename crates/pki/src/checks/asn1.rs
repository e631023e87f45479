//! Reads DER along a schema, and tells what does not fit as Go's `encoding/asn1` does.

use std::fmt;

/// What is expected at a place: Go's type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// Anything.
    Raw,
    Int,
    Oid,
    BitString,
    /// A struct, by its name.
    Struct(&'static str, &'static [Field]),
    /// A list of anything, with a tag of its own.
    Tagged(u32),
}

/// A field of a struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) of: Type,
    pub(super) is_optional: bool,
}

impl Field {
    pub(super) const fn of(of: Type) -> Self {
        Self { of, is_optional: false }
    }

    pub(super) const fn optional(of: Type) -> Self {
        Self { of, is_optional: true }
    }
}

/// The most bytes of a length that Go's parser takes: a length that is this long already takes no more bytes.
const LENGTH_MAX: usize = 1 << 23;

const CONTEXT: u8 = 2;

fn syntax(what: &str) -> String {
    format!("asn1: syntax error: {what}")
}

fn structure(what: impl fmt::Display) -> String {
    format!("asn1: structure error: {what}")
}

/// Tag and length of an element, shown as Go shows its struct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    class: u8,
    tag: u32,
    length: usize,
    is_compound: bool,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, tag, length, is_compound } = self;
        write!(f, "{{class:{class} tag:{tag} length:{length} isCompound:{is_compound}}}")
    }
}

/// Takes tag and length from the front.
pub(super) fn header(rest: &mut &[u8]) -> Result<Header, String> {
    let truncated = || syntax("truncated tag or length");
    let mut next = || -> Option<u8> {
        let (first, after) = rest.split_first()?;
        *rest = after;
        Some(*first)
    };
    let first = next().ok_or_else(truncated)?;
    let mut tag = u32::from(first & 0x1f);
    if tag == 0x1f {
        tag = base128(&mut next)?;
        if tag < 0x1f {
            return Err(syntax("non-minimal tag"));
        }
    }
    let byte = next().ok_or_else(truncated)?;
    let mut length = usize::from(byte & 0x7f);
    if byte & 0x80 != 0 {
        let bytes = length;
        if bytes == 0 {
            return Err(syntax("indefinite length found (not DER)"));
        }
        length = 0;
        for _ in 0..bytes {
            let byte = next().ok_or_else(truncated)?;
            if length >= LENGTH_MAX {
                return Err(structure("length too large"));
            }
            length = length << 8 | usize::from(byte);
            if length == 0 {
                return Err(structure("superfluous leading zeros in length"));
            }
        }
        if length < 0x80 {
            return Err(structure("non-minimal length"));
        }
    }
    Ok(Header { class: first >> 6, tag, length, is_compound: first & 0x20 != 0 })
}

fn base128(next: &mut dyn FnMut() -> Option<u8>) -> Result<u32, String> {
    let mut value: u32 = 0;
    for shifted in 0.. {
        // Five bytes have 35 bits.
        if shifted == 5 {
            return Err(structure("base 128 integer too large"));
        }
        let byte = next().ok_or_else(|| syntax("truncated base 128 integer"))?;
        if shifted == 0 && byte == 0x80 {
            return Err(syntax("integer is not minimally encoded"));
        }
        value = value.checked_mul(0x80).ok_or_else(|| structure("base 128 integer too large"))?
            | u32::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    if i32::try_from(value).is_err() {
        return Err(structure("base 128 integer too large"));
    }
    Ok(value)
}

/// Takes the content of an element from the front.
fn content<'a>(rest: &mut &'a [u8], header: Header) -> Result<&'a [u8], String> {
    let (content, after) = rest.split_at_checked(header.length).ok_or_else(|| syntax("data truncated"))?;
    *rest = after;
    Ok(content)
}

/// Takes an element of this type from the front.
pub(super) fn read(rest: &mut &[u8], field: Field) -> Result<(), String> {
    let before = *rest;
    if rest.is_empty() {
        return if field.is_optional { Ok(()) } else { Err(syntax("sequence truncated")) };
    }
    let header = header(rest)?;
    let (class, tag, is_compound, name) = match field.of {
        Type::Raw => {
            content(rest, header)?;
            return Ok(());
        }
        Type::Int => (0, 2, false, "int"),
        Type::Oid => (0, 6, false, "ObjectIdentifier"),
        Type::BitString => (0, 3, false, "BitString"),
        Type::Struct(name, _) => (0, 16, true, name),
        Type::Tagged(tag) => (CONTEXT, tag, true, ""),
    };
    if (header.class, header.tag, header.is_compound) != (class, tag, is_compound) {
        if field.is_optional {
            *rest = before;
            return Ok(());
        }
        let at = before.len() - rest.len();
        let optional = field.is_optional;
        return Err(structure(format_args!(
            "tags don't match ({tag} vs {header}) {{optional:{optional} explicit:false application:false private:false \
             defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {name} @{at}"
        )));
    }
    let mut inner = content(rest, header)?;
    match field.of {
        Type::Raw => Ok(()),
        Type::Int => match inner {
            [] => Err(structure("empty integer")),
            [0, second, ..] if second & 0x80 == 0 => Err(structure("integer not minimally-encoded")),
            [0xff, second, ..] if second & 0x80 != 0 => Err(structure("integer not minimally-encoded")),
            long if long.len() > 8 => Err(structure("integer too large")),
            _ => Ok(()),
        },
        Type::Oid => {
            if inner.is_empty() {
                return Err(syntax("zero length OBJECT IDENTIFIER"));
            }
            let mut bytes = inner.iter().copied().peekable();
            while bytes.peek().is_some() {
                base128(&mut || bytes.next())?;
            }
            Ok(())
        }
        Type::BitString => match inner {
            [] => Err(syntax("zero length BIT STRING")),
            [padding, bits @ ..] => {
                let is_padded = *padding < 8
                    && bits.last().map_or(*padding == 0, |last| last & ((1 << padding) - 1) == 0);
                if is_padded { Ok(()) } else { Err(syntax("invalid padding bits in BIT STRING")) }
            }
        },
        // More may follow: later versions add fields at the end.
        Type::Struct(_, fields) => fields.iter().try_for_each(|field| read(&mut inner, *field)),
        Type::Tagged(_) => {
            while !inner.is_empty() {
                let header = self::header(&mut inner)?;
                content(&mut inner, header)?;
            }
            Ok(())
        }
    }
}

/// Takes an element with this tag from the front, of whatever content; nothing if it is another.
pub(super) fn element<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let before = *rest;
    let found = header(rest).and_then(|header| content(rest, header));
    match found {
        Ok(content) if before.first() == Some(&tag) => Some(content),
        _ => {
            *rest = before;
            None
        }
    }
}
