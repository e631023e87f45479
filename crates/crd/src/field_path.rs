//! The simple JSON paths of rules and selectable fields.
//!
//! Upstream: `ValidFieldPath` in `pkg/apiserver/schema/cel/validation.go`.

use crate::schema::Schema;

/// A path that the schema has.
#[derive(Debug)]
pub struct FieldPath<'s> {
    /// As field errors print it.
    pub text: String,
    /// Its first field.
    pub root: String,
    /// The schema it leads to.
    pub schema: &'s Schema,
}

/// Whether `['key']` may stand in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscripts {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// Follows a path along a schema.
///
/// # Errors
/// Why it cannot be followed, in upstream's words.
pub fn resolve<'s>(path: &str, schema: &'s Schema, subscripts: Subscripts) -> Result<FieldPath<'s>, String> {
    let mut found = FieldPath { text: String::new(), root: String::new(), schema };
    let mut tokens = Tokens(path);
    let end = || "unexpected end of JSON path".to_owned();
    while let Some(token) = tokens.next() {
        match token {
            "[" => {
                if subscripts == Subscripts::Refused {
                    return Err("array notation is not allowed".into());
                }
                let token = tokens.next().ok_or_else(end)?;
                let inner = token.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                let Some(inner) = inner else {
                    return Err(format!("expected single quoted string but got {token}"));
                };
                let key = unescape(inner).map_err(|e| format!("invalid string literal: {e}"))?;
                found.step(&key)?;
                match tokens.next().ok_or_else(end)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => {
                let token = tokens.next().ok_or_else(end)?;
                found.step(token)?;
            }
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(found)
}

impl FieldPath<'_> {
    fn step(&mut self, name: &str) -> Result<(), String> {
        let invalid = || "does not refer to a valid field".to_owned();
        if self.schema.properties.is_empty() {
            self.schema = self.schema.additional().ok_or_else(invalid)?;
            self.text.push_str(&format!("[{name}]"));
        } else {
            self.schema = self.schema.property(name).ok_or_else(invalid)?;
            if !self.text.is_empty() {
                self.text.push('.');
            }
            self.text.push_str(name);
        }
        if self.root.is_empty() {
            self.root = name.to_owned();
        }
        Ok(())
    }
}

/// Delimiters, quoted strings and what is between them.
struct Tokens<'p>(&'p str);

impl<'p> Iterator for Tokens<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        let text = self.0;
        let first = text.chars().next()?;
        let len = match first {
            '.' | '[' | ']' => 1,
            '\'' => {
                let mut before = '\'';
                let mut end = text.len();
                for (i, c) in text.char_indices().skip(1) {
                    if c == '\'' && before != '\\' {
                        end = i + 1;
                        break;
                    }
                    before = c;
                }
                end
            }
            _ => text.find(['.', '[', ']']).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(len);
        self.0 = rest;
        Some(token)
    }
}

fn unescape(s: &str) -> Result<String, String> {
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(c) = chars.next() else {
            out.push('\\');
            break;
        };
        out.push(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\'' | '\\' => c,
            other => return Err(format!("invalid escape char \\{other}")),
        });
    }
    Ok(out)
}
