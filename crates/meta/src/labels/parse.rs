//! The grammar of label selectors.
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = [ "!" ] key [ set | exact ]
//! set         = ( "in" | "notin" ) "(" [ value ] { "," [ value ] } ")"
//! exact       = ( "=" | "==" | "!=" | ">" | "<" ) [ value ]
//! ```
//!
//! What upstream lets through is let through here too: `in` and `notin` as keys and values, no value after
//! an operator, a NUL as the end of a word.

use super::{Operator, Requirement, SelectorError, key_error};
use crate::field::Path;
use std::collections::BTreeSet;
use value::Str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    Word,
    In,
    NotIn,
    Comma,
    Not,
    Open,
    Close,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
}

/// What a text is cut into, lazily: a token and its spelling.
#[derive(Clone, Copy)]
struct Lexer<'a> {
    rest: &'a str,
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

const fn is_symbol(b: u8) -> bool {
    matches!(b, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

impl<'a> Lexer<'a> {
    /// Takes `n` bytes and, as upstream, a NUL that follows.
    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(n); // at ASCII only
        self.rest = rest.strip_prefix('\0').unwrap_or(rest);
        taken
    }

    fn next(&mut self) -> (Token, &'a str) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let bytes = self.rest.as_bytes();
        let token = match bytes {
            [] | [0, ..] => {
                self.rest = "";
                return (Token::End, "");
            }
            [b'=', b'=', ..] => Token::DoubleEquals,
            [b'!', b'=', ..] => Token::NotEquals,
            [b'=', ..] => Token::Equals,
            [b'!', ..] => Token::Not,
            [b'(', ..] => Token::Open,
            [b')', ..] => Token::Close,
            [b',', ..] => Token::Comma,
            [b'>', ..] => Token::Greater,
            [b'<', ..] => Token::Less,
            _ => {
                let end = bytes.iter().position(|&b| b == 0 || is_symbol(b) || is_space(b));
                let word = self.take(end.unwrap_or(bytes.len()));
                return match word {
                    "in" => (Token::In, word),
                    "notin" => (Token::NotIn, word),
                    _ => (Token::Word, word),
                };
            }
        };
        let width = if matches!(token, Token::DoubleEquals | Token::NotEquals) { 2 } else { 1 };
        (token, self.take(width))
    }

    /// The next token where `in` and `notin` are mere words.
    fn next_value(&mut self) -> (Token, &'a str) {
        match self.next() {
            (Token::In | Token::NotIn, word) => (Token::Word, word),
            other => other,
        }
    }

    fn peek_value(self) -> (Token, &'a str) {
        let mut ahead = self;
        ahead.next_value()
    }
}

fn error<T>(text: String) -> Result<T, SelectorError> {
    Err(SelectorError(text))
}

pub(super) fn requirements(path: &Path<'_>, text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut lexer = Lexer { rest: text };
    let mut all = Vec::new();
    loop {
        match lexer.peek_value() {
            (Token::Word | Token::Not, _) => {}
            (Token::End, _) => return Ok(all),
            (_, found) => {
                return error(format!("found '{found}', expected: !, identifier, or 'end of string'"));
            }
        }
        let requirement = requirement(path, &mut lexer)
            .map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?;
        all.push(requirement);
        match lexer.next_value() {
            (Token::End, _) => return Ok(all),
            (Token::Comma, _) => {
                let (token, found) = lexer.peek_value();
                if !matches!(token, Token::Word | Token::Not) {
                    return error(format!("found '{found}', expected: identifier after ','"));
                }
            }
            (_, found) => return error(format!("found '{found}', expected: ',' or 'end of string'")),
        }
    }
}

fn requirement(path: &Path<'_>, lexer: &mut Lexer<'_>) -> Result<Requirement, SelectorError> {
    let (mut token, mut key) = lexer.next_value();
    let negated = token == Token::Not;
    if negated {
        (token, key) = lexer.next_value();
    }
    if token != Token::Word {
        return error(format!("found '{key}', expected: identifier"));
    }
    if let Some(fault) = key_error(key, path) {
        return error(fault.to_string());
    }
    if negated {
        return Requirement::new(path, key, Operator::DoesNotExist, Vec::new());
    }
    if matches!(lexer.peek_value().0, Token::End | Token::Comma) {
        return Requirement::new(path, key, Operator::Exists, Vec::new());
    }
    let operator = match lexer.next() {
        (Token::In, _) => Operator::In,
        (Token::NotIn, _) => Operator::NotIn,
        (Token::Equals, _) => Operator::Equals,
        (Token::DoubleEquals, _) => Operator::DoubleEquals,
        (Token::NotEquals, _) => Operator::NotEquals,
        (Token::Greater, _) => Operator::GreaterThan,
        (Token::Less, _) => Operator::LessThan,
        (_, found) => {
            return error(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
        }
    };
    let values = match operator {
        Operator::In | Operator::NotIn => set(lexer)?,
        _ => vec![exact(lexer)?],
    };
    Requirement::new(path, key, operator, values)
}

/// The values in parentheses, sorted, each once.
fn set(lexer: &mut Lexer<'_>) -> Result<Vec<Str>, SelectorError> {
    match lexer.next_value() {
        (Token::Open, _) => {}
        (_, found) => return error(format!("found '{found}' expected: '('")),
    }
    match lexer.peek_value() {
        (Token::Word | Token::Comma, _) => {}
        (Token::Close, _) => {
            lexer.next_value();
            return Ok(vec![Str::default()]);
        }
        (_, found) => return error(format!("found '{found}', expected: ',', ')' or identifier")),
    }
    let mut values = BTreeSet::new();
    loop {
        match lexer.next_value() {
            (Token::Word, word) => {
                values.insert(Str::from(word));
                match lexer.peek_value() {
                    (Token::Comma | Token::Close, _) => {}
                    (_, found) => return error(format!("found '{found}', expected: ',' or ')'")),
                }
            }
            // Nothing before, between or after commas is the empty value.
            (Token::Comma, _) => {
                if values.is_empty() || matches!(lexer.peek_value().0, Token::Close | Token::Comma) {
                    values.insert(Str::default());
                }
            }
            (Token::Close, _) => return Ok(values.into_iter().collect()),
            (_, found) => return error(format!("found '{found}', expected: ',', or identifier")),
        }
    }
}

/// The value after an operator; nothing is the empty value.
fn exact(lexer: &mut Lexer<'_>) -> Result<Str, SelectorError> {
    match lexer.peek_value() {
        (Token::End | Token::Comma, _) => Ok(Str::default()),
        (Token::Word, word) => {
            lexer.next_value();
            Ok(word.into())
        }
        (_, found) => error(format!("found '{found}', expected: identifier")),
    }
}
