//! JSON as it goes into an event: without white space, and where it is asked for without managed fields. Keys
//! stay in their order, so nothing is parsed into a tree.

/// Where in an object the walker is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An object of the API, a list, or a Table.
    Object,
    /// The elements of `items` are objects, those of `rows` have one in `object`.
    Items,
    Rows,
    Row,
    Metadata,
    Elsewhere,
}

impl Place {
    /// The place of a member's value.
    fn member(self, key: &[u8]) -> Self {
        match (self, key) {
            (Self::Object, b"metadata") => Self::Metadata,
            (Self::Object, b"items") => Self::Items,
            (Self::Object, b"rows") => Self::Rows,
            (Self::Row, b"object") => Self::Object,
            _ => Self::Elsewhere,
        }
    }

    /// The place of an element.
    const fn element(self) -> Self {
        match self {
            Self::Items => Self::Object,
            Self::Rows => Self::Row,
            _ => Self::Elsewhere,
        }
    }
}

/// Copies JSON that a server has written or parsed; of anything else, something is left out.
pub(super) fn compact(json: &[u8], without_managed_fields: bool) -> Vec<u8> {
    let mut walker = Walker { json, at: 0, out: Vec::with_capacity(json.len()) };
    walker.all(without_managed_fields);
    walker.out
}

struct Walker<'a> {
    json: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Walker<'_> {
    /// Not recursive: objects nest as deep as their authors like.
    fn all(&mut self, strip: bool) {
        // The places of the containers around here, and whether each is an object.
        let mut around: Vec<(Place, bool)> = Vec::new();
        let mut next = if strip { Place::Object } else { Place::Elsewhere };
        let mut key_comes = false;
        while let Some(b) = self.peek() {
            match b {
                b'{' | b'[' => {
                    around.push((next, b == b'{'));
                    key_comes = b == b'{';
                    next = next.element();
                    self.take();
                }
                b'}' | b']' => {
                    around.pop();
                    key_comes = false;
                    self.take();
                }
                b',' => {
                    let (place, object) = around.last().copied().unwrap_or((Place::Elsewhere, false));
                    key_comes = object;
                    next = place.element();
                    self.take();
                }
                b'"' if key_comes => {
                    let (place, _) = around.last().copied().unwrap_or((Place::Elsewhere, true));
                    let (before, start) = (self.out.len(), self.at);
                    self.string();
                    let key = &self.json
                        [(start + 1).min(self.at)..self.at.saturating_sub(1).max(start + 1).min(self.at)];
                    next = place.member(key);
                    key_comes = false;
                    if place == Place::Metadata && key == b"managedFields" {
                        self.leave_out(before);
                        next = Place::Elsewhere;
                    }
                }
                b'"' => self.string(),
                _ => self.take(),
            }
        }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while self.json.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    fn take(&mut self) {
        self.out.push(self.json[self.at]);
        self.at += 1;
    }

    /// Copies a string with its quotes.
    fn string(&mut self) {
        let start = self.at;
        self.at = (start + 1 + string_length(&self.json[start + 1..])).min(self.json.len());
        self.out.extend_from_slice(&self.json[start..self.at]);
    }

    /// Drops the member whose key has just been copied, with one comma.
    fn leave_out(&mut self, before: usize) {
        self.out.truncate(before);
        let mut depth = 0_usize;
        while let Some(b) = self.peek() {
            match b {
                b'"' => {
                    self.at += 1 + string_length(&self.json[self.at + 1..]);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.out.last() == Some(&b',') {
            self.out.pop();
        } else if self.peek() == Some(b',') {
            // It was the first: the comma behind it goes, and a key comes.
            self.at += 1;
            self.first_key_again();
        }
    }

    /// Behind a member that was left out at the beginning, the next one stands as if it were the first.
    fn first_key_again(&mut self) {
        if self.peek() == Some(b'"') {
            self.string();
        }
    }
}

/// The length of a string behind its first quote, with the last one.
fn string_length(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (i, b) in rest.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_fields_go_and_white_space_goes() {
        let table = [
            (r#"{ "a" : [ 1, "x y" ] , "b" : {} }"#, r#"{"a":[1,"x y"],"b":{}}"#),
            (
                r#"{"metadata":{"name":"a","managedFields":[{"a":"]}\""}],"uid":"u"},"managedFields":1}"#,
                r#"{"metadata":{"name":"a","uid":"u"},"managedFields":1}"#,
            ),
            (
                r#"{"metadata":{"managedFields":[],"uid":"u","z":{"metadata":1}}}"#,
                r#"{"metadata":{"uid":"u","z":{"metadata":1}}}"#,
            ),
            (r#"{"metadata":{"uid":"u","managedFields":null}}"#, r#"{"metadata":{"uid":"u"}}"#),
            (r#"{"metadata":{"managedFields":[{}]},"a":1}"#, r#"{"metadata":{},"a":1}"#),
            (
                r#"{"items":[{"metadata":{"managedFields":[]}},{"metadata":{"managedFields":[],"a":1}}],"metadata":{}}"#,
                r#"{"items":[{"metadata":{}},{"metadata":{"a":1}}],"metadata":{}}"#,
            ),
            (
                r#"{"rows":[{"cells":[],"object":{"metadata":{"a":1,"managedFields":[]}}}]}"#,
                r#"{"rows":[{"cells":[],"object":{"metadata":{"a":1}}}]}"#,
            ),
            (
                r#"{"spec":{"template":{"metadata":{"managedFields":[1]}}}}"#,
                r#"{"spec":{"template":{"metadata":{"managedFields":[1]}}}}"#,
            ),
        ];
        for (json, want) in table {
            assert_eq!(String::from_utf8_lossy(&compact(json.as_bytes(), true)), want);
        }
        let kept = br#"{"metadata":{"managedFields":[]}}"#;
        assert_eq!(compact(kept, false), kept);
    }

    #[test]
    fn broken_texts_end() {
        let whole = br#"{"metadata":{"managedFields":[{"a":"]}\""}],"uid":"u"},"x":"\\"}"#;
        for end in 0..whole.len() {
            compact(&whole[..end], true);
            compact(&whole[end..], true);
        }
    }
}
