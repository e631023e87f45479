//! Templates to nodes.

use super::node::{Bound, Node};
use super::{Error, NESTING_MAX};
use crate::{Number, Str, json};

/// Parses a template that is `level` levels deep in another one's filters and unions.
pub(super) fn parse(template: &str, level: usize) -> Result<Vec<Node>, Error> {
    if level > NESTING_MAX {
        return Err(Error::new("expression is nested too deeply"));
    }
    let mut parser = Parser { input: template, pos: 0, start: 0, level };
    let mut nodes = Vec::new();
    loop {
        match parser.rest().find('{') {
            Some(text) => {
                parser.pos += text;
                parser.push_text(&mut nodes);
                parser.pos += 1;
                parser.take();
                nodes.push(Node::List(parser.action()?));
            }
            None => {
                parser.pos = template.len();
                parser.push_text(&mut nodes);
                return Ok(nodes);
            }
        }
    }
}

/// Parses what is inside of braces.
fn parse_action(text: &str, level: usize) -> Result<Vec<Node>, Error> {
    let mut nodes = parse(&format!("{{{text}}}"), level)?.into_iter();
    match nodes.next() {
        Some(Node::List(list)) => Ok(list),
        _ => Ok(Vec::new()),
    }
}

struct Parser<'a> {
    input: &'a str,
    pos: usize,
    /// Where the token begins that is being read.
    start: usize,
    level: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.input.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    /// The token read so far; the next one begins here.
    fn take(&mut self) -> &'a str {
        let token = self.input.get(self.start..self.pos).unwrap_or("");
        self.start = self.pos;
        token
    }

    fn push_text(&mut self, nodes: &mut Vec<Node>) {
        let text = self.take();
        if !text.is_empty() {
            nodes.push(Node::Literal(text.into()));
        }
    }

    /// Reads an expression up to and with its closing brace.
    fn action(&mut self) -> Result<Vec<Node>, Error> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with('}') {
                self.pos += 1;
                self.take();
                return Ok(nodes);
            }
            if rest.starts_with("[?(") {
                nodes.push(self.filter()?);
                continue;
            }
            if rest.starts_with("..") {
                self.recursive(&mut nodes)?;
                continue;
            }
            match self.next() {
                None | Some('\r' | '\n') => return Err(Error::new("unclosed action")),
                // The current object is what is there anyway.
                Some(' ' | '@' | '$') => _ = self.take(),
                Some('[') => self.array(&mut nodes)?,
                Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(quote)?),
                Some('.') => nodes.push(self.field()),
                Some(c) if c == '+' || c == '-' || c.is_ascii_digit() => nodes.push(self.number()?),
                Some(c) if is_alphanumeric(c) => nodes.push(self.identifier()),
                Some(c) => {
                    let shown = json::quote(&c.to_string());
                    let shown = shown.trim_matches('"');
                    let code = u32::from(c);
                    return Err(Error::new(if shown.starts_with('\\') && c != '\\' {
                        format!("unrecognized character in action: U+{code:04X}")
                    } else {
                        format!("unrecognized character in action: U+{code:04X} '{c}'")
                    }));
                }
            }
        }
    }

    fn identifier(&mut self) -> Node {
        while self.peek().is_some_and(|c| !is_terminator(c)) {
            self.next();
        }
        match self.take() {
            "true" => Node::Literal(true.into()),
            "false" => Node::Literal(false.into()),
            name => Node::Identifier(name.to_owned()),
        }
    }

    fn recursive(&mut self, nodes: &mut Vec<Node>) -> Result<(), Error> {
        if nodes.last() == Some(&Node::Recursive) {
            return Err(Error::new("invalid multiple recursive descent"));
        }
        self.pos += 2;
        self.take();
        nodes.push(Node::Recursive);
        if self.peek().is_some_and(is_alphanumeric) {
            nodes.push(self.field());
        }
        Ok(())
    }

    /// Reads a number of which the first character has been read.
    fn number(&mut self) -> Result<Node, Error> {
        while self.peek().is_some_and(|c| c == '.' || c.is_ascii_digit()) {
            self.next();
        }
        let text = self.take();
        if let Ok(n) = text.parse::<i64>() {
            return Ok(Node::Literal(n.into()));
        }
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Node::Literal(Number::Float(x).into())),
            _ => Err(Error::new(format!("cannot parse number {text}"))),
        }
    }

    /// Reads a field name from behind its dot.
    fn field(&mut self) -> Node {
        self.take();
        while let Some(c) = self.peek() {
            if is_terminator(c) {
                break;
            }
            self.next();
            if c == '\\' {
                self.next();
            }
        }
        match self.take() {
            "*" => Node::Wildcard,
            name => Node::Field(Str::new(name.replace('\\', ""))),
        }
    }

    /// Reads a quoted text from behind its opening quote.
    fn quoted(&mut self, quote: char) -> Result<Node, Error> {
        let mut before = quote;
        loop {
            match self.next() {
                None | Some('\n') => return Err(Error::new("unterminated quoted string")),
                Some(c) if c == quote && before != '\\' => break,
                Some(c) => before = c,
            }
        }
        let literal = self.take();
        match unquote(literal) {
            Some(text) => Ok(Node::Literal(text.into())),
            None => Err(Error::new(format!("unquote string {literal} error invalid syntax"))),
        }
    }

    /// Reads what is in brackets, from behind the opening one: indices, a slice, a key, or a union of them.
    fn array(&mut self, nodes: &mut Vec<Node>) -> Result<(), Error> {
        loop {
            match self.next() {
                None | Some('\n') => return Err(Error::new("unterminated array")),
                Some(']') => break,
                Some(_) => {}
            }
        }
        let text = self.take();
        let text = text.get(1..text.len() - 1).unwrap_or("");
        let text = if text == "*" { ":" } else { text };
        if text.contains(',') {
            let parts =
                text.split(',').map(|p| parse_action(&format!("[{}]", p.trim_matches(' ')), self.level + 1));
            nodes.push(Node::Union(parts.collect::<Result<_, _>>()?));
            return Ok(());
        }
        if let Some(key) =
            text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).filter(|k| !k.contains('\''))
        {
            nodes.extend(parse_action(&format!(".{key}"), self.level + 1)?);
            return Ok(());
        }
        nodes.push(Node::Slice(slice(text)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<Node, Error> {
        self.pos += 3;
        self.take();
        // A closing parenthesis inside of quotes does not count; only the first quotes are looked at.
        let (mut begun, mut ended) = (None, false);
        let mut before = '(';
        loop {
            let c = self.next();
            match c {
                None | Some('\n') => return Err(Error::new("unterminated filter")),
                Some('"' | '\'') if begun.is_none() => begun = c,
                Some('"' | '\'') if before != '\\' && c == begun => ended = true,
                Some(')') if begun.is_some() == ended => break,
                _ => {}
            }
            before = c.unwrap_or(' ');
        }
        if self.next() != Some(']') {
            return Err(Error::new("unclosed array expect ]"));
        }
        let text = self.take();
        let text = text.get(..text.len() - 2).unwrap_or("");
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let left_len = text.find(is_operator).unwrap_or(text.len());
        let (left, rest) = text.split_at(left_len);
        let operator_len = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
        let (operator, right) = rest.split_at(operator_len);
        // The last of several operator characters is the right side if there is nothing else.
        let (operator, right) = match operator.len() {
            len if right.is_empty() && len > 1 => operator.split_at(len - 1),
            _ => (operator, right),
        };
        if left.is_empty() || operator.is_empty() || right.is_empty() {
            let left = parse_action(text, self.level + 1)?;
            return Ok(Node::Filter { left, operator: "exists".to_owned(), right: Vec::new() });
        }
        Ok(Node::Filter {
            left: parse_action(left, self.level + 1)?,
            operator: operator.to_owned(),
            right: parse_action(right, self.level + 1)?,
        })
    }
}

/// Reads `begin:end:step`, all of them optional.
fn slice(text: &str) -> Result<[Bound; 3], Error> {
    let parts: Vec<&str> = text.split(':').collect();
    let well_formed = |p: &&str| p.strip_prefix('-').unwrap_or(p).bytes().all(|b| b.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(well_formed) {
        return Err(Error::new(format!("invalid array index {text}")));
    }
    let mut bounds = [Bound::default(); 3];
    for (i, part) in parts.iter().enumerate().filter(|(_, p)| !p.is_empty()) {
        let value = part.parse().map_err(|_| Error::new(format!("array index {part} is not a number")))?;
        bounds[i] = Bound { value, known: true, derived: false };
    }
    if parts.len() == 1 {
        bounds[1] = Bound { value: bounds[0].value.wrapping_add(1), known: true, derived: true };
    }
    Ok(bounds)
}

/// Go's `strconv.Unquote`, which allows more than one character in single quotes here.
fn unquote(literal: &str) -> Option<String> {
    let quote = literal.chars().next()?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    if !inner.contains(['\\', quote]) {
        return Some(inner.to_owned());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            return None;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let hex = |chars: &mut std::str::Chars<'_>, digits: usize| {
            (0..digits).try_fold(0, |n: u32, _| Some(n << 4 | chars.next()?.to_digit(16)?))
        };
        let byte = match chars.next()? {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            c if c == quote => u8::try_from(c).ok()?,
            'x' => u8::try_from(hex(&mut chars, 2)?).ok()?,
            c @ '0'..='7' => {
                let first = c.to_digit(8)?;
                let value = (0..2).try_fold(first, |n, _| Some(n << 3 | chars.next()?.to_digit(8)?))?;
                u8::try_from(value).ok()?
            }
            c @ ('u' | 'U') => {
                let c = char::from_u32(hex(&mut chars, if c == 'u' { 4 } else { 8 })?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(byte);
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

const fn is_terminator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_ascii_digit()
}
