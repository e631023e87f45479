//! Splits source text into tokens by the lexer rules of CEL's grammar.
//!
//! Upstream counterpart: cel-go `parser/gen/CEL.g4`, lexer part. Where no rule matches, the text ANTLR
//! would report is recorded as an error and skipped.

/// Kinds of tokens, in the grammar's order (which is also the order of "expecting {…}" lists).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum T {
    Equals = 1,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    LParen,
    RParen,
    Dot,
    Comma,
    Minus,
    Exclam,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Whitespace,
    Comment,
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Ident,
    EscIdent,
    Eof,
}

impl T {
    /// How diagnostics name it.
    pub(crate) fn display(self) -> &'static str {
        match self {
            Self::Equals => "'=='",
            Self::NotEquals => "'!='",
            Self::In => "'in'",
            Self::Less => "'<'",
            Self::LessEquals => "'<='",
            Self::GreaterEquals => "'>='",
            Self::Greater => "'>'",
            Self::And => "'&&'",
            Self::Or => "'||'",
            Self::LBracket => "'['",
            Self::RBracket => "']'",
            Self::LBrace => "'{'",
            Self::RBrace => "'}'",
            Self::LParen => "'('",
            Self::RParen => "')'",
            Self::Dot => "'.'",
            Self::Comma => "','",
            Self::Minus => "'-'",
            Self::Exclam => "'!'",
            Self::Question => "'?'",
            Self::Colon => "':'",
            Self::Plus => "'+'",
            Self::Star => "'*'",
            Self::Slash => "'/'",
            Self::Percent => "'%'",
            Self::True => "'true'",
            Self::False => "'false'",
            Self::Null => "'null'",
            Self::Whitespace => "WHITESPACE",
            Self::Comment => "COMMENT",
            Self::Float => "NUM_FLOAT",
            Self::Int => "NUM_INT",
            Self::Uint => "NUM_UINT",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Ident => "IDENTIFIER",
            Self::EscIdent => "ESC_IDENTIFIER",
            Self::Eof => "<EOF>",
        }
    }
}

/// A token: its kind and where its text lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: T,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Text that no rule matches.
#[derive(Clone, Debug)]
pub(crate) struct LexError {
    pub(crate) start: u32,
    pub(crate) text: String,
}

/// The tokens of `source`, ending with [`T::Eof`], and what was not recognised. Never fails.
pub(crate) fn tokenize(source: &str) -> (Vec<Token>, Vec<LexError>) {
    let mut lexer = Lexer { src: source, bytes: source.as_bytes() };
    let mut tokens = Vec::with_capacity(source.len() / 3 + 2);
    let mut errors = Vec::new();
    let mut pos = 0;
    while pos < source.len() {
        match lexer.next(pos) {
            Ok((kind, end)) => {
                if !matches!(kind, T::Whitespace | T::Comment) {
                    tokens.push(Token { kind, start: pos as u32, end: end as u32 });
                }
                pos = end;
            }
            Err(stop) => {
                // ANTLR shows the text up to and with the character it stopped at, then skips what it
                // had consumed.
                let shown = lexer.char_end(stop);
                errors.push(LexError { start: pos as u32, text: source[pos..shown].to_owned() });
                pos = lexer.char_end(stop).max(pos + 1);
                while !source.is_char_boundary(pos) {
                    pos += 1;
                }
            }
        }
    }
    tokens.push(Token { kind: T::Eof, start: source.len() as u32, end: source.len() as u32 });
    (tokens, errors)
}

struct Lexer<'s> {
    src: &'s str,
    bytes: &'s [u8],
}

impl Lexer<'_> {
    fn at(&self, i: usize) -> u8 {
        self.bytes.get(i).copied().unwrap_or(0)
    }

    /// The end of the character that begins at `i`.
    fn char_end(&self, i: usize) -> usize {
        self.src.get(i..).and_then(|s| s.chars().next()).map_or(self.src.len(), |c| i + c.len_utf8())
    }

    /// The token at `pos` and its end, or where the rules gave up.
    fn next(&mut self, pos: usize) -> Result<(T, usize), usize> {
        let two = |second: u8, long: T, short: Option<T>| {
            if self.at(pos + 1) == second {
                Ok((long, pos + 2))
            } else {
                short.map(|t| (t, pos + 1)).ok_or(pos + 1)
            }
        };
        let one = |t| Ok((t, pos + 1));
        match self.at(pos) {
            b'=' => two(b'=', T::Equals, None),
            b'!' => two(b'=', T::NotEquals, Some(T::Exclam)),
            b'<' => two(b'=', T::LessEquals, Some(T::Less)),
            b'>' => two(b'=', T::GreaterEquals, Some(T::Greater)),
            b'&' => two(b'&', T::And, None),
            b'|' => two(b'|', T::Or, None),
            b'[' => one(T::LBracket),
            b']' => one(T::RBracket),
            b'{' => one(T::LBrace),
            b'}' => one(T::RBrace),
            b'(' => one(T::LParen),
            b')' => one(T::RParen),
            b',' => one(T::Comma),
            b'-' => one(T::Minus),
            b'?' => one(T::Question),
            b':' => one(T::Colon),
            b'+' => one(T::Plus),
            b'*' => one(T::Star),
            b'%' => one(T::Percent),
            b'.' if self.at(pos + 1).is_ascii_digit() => self.number(pos),
            b'.' => one(T::Dot),
            b'/' if self.at(pos + 1) == b'/' => {
                Ok((T::Comment, self.src[pos..].find('\n').map_or(self.src.len(), |i| pos + i)))
            }
            b'/' => one(T::Slash),
            b'0'..=b'9' => self.number(pos),
            b'"' | b'\'' => self.string(pos, false).map(|end| (T::String, end)),
            b'`' => self.escaped_ident(pos),
            b'\t' | b' ' | b'\r' | b'\n' | 0x0c => {
                let n = self.bytes[pos..].iter().take_while(|b| b" \t\r\n\x0c".contains(b)).count();
                Ok((T::Whitespace, pos + n))
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(self.word(pos)),
            _ => Err(pos),
        }
    }

    fn word(&self, pos: usize) -> (T, usize) {
        // A string with a prefix, if one begins and ends here.
        let (mut at, mut bytes, mut raw) = (pos, false, false);
        if matches!(self.at(at), b'b' | b'B') {
            bytes = true;
            at += 1;
        }
        if matches!(self.at(at), b'r' | b'R') {
            raw = true;
            at += 1;
        }
        if at > pos
            && matches!(self.at(at), b'"' | b'\'')
            && let Ok(end) = self.string(at, raw)
        {
            return (if bytes { T::Bytes } else { T::String }, end);
        }
        let n = self.bytes[pos..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let kind = match &self.src[pos..pos + n] {
            "in" => T::In,
            "true" => T::True,
            "false" => T::False,
            "null" => T::Null,
            _ => T::Ident,
        };
        (kind, pos + n)
    }

    fn digits(&self, pos: usize) -> usize {
        pos + self.bytes.get(pos..).unwrap_or(&[]).iter().take_while(|b| b.is_ascii_digit()).count()
    }

    fn exponent(&self, pos: usize) -> Option<usize> {
        if !matches!(self.at(pos), b'e' | b'E') {
            return None;
        }
        let digits = pos + 1 + usize::from(matches!(self.at(pos + 1), b'+' | b'-'));
        let end = self.digits(digits);
        (end > digits).then_some(end)
    }

    fn number(&self, pos: usize) -> Result<(T, usize), usize> {
        let unsigned = |end| {
            if matches!(self.at(end), b'u' | b'U') { (T::Uint, end + 1) } else { (T::Int, end) }
        };
        if self.at(pos) == b'0' && self.at(pos + 1) == b'x' {
            let n = self.bytes[pos + 2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if n > 0 {
                return Ok(unsigned(pos + 2 + n));
            }
        }
        let whole = self.digits(pos);
        if self.at(whole) == b'.' {
            let fraction = self.digits(whole + 1);
            if fraction > whole + 1 {
                return Ok((T::Float, self.exponent(fraction).unwrap_or(fraction)));
            }
        }
        if let Some(end) = self.exponent(whole) {
            return Ok((T::Float, end));
        }
        Ok(unsigned(whole))
    }

    /// The end of the string whose opening quote is at `pos`, or where it goes wrong.
    fn string(&self, pos: usize, raw: bool) -> Result<usize, usize> {
        let quote = self.at(pos);
        if self.at(pos + 1) == quote && self.at(pos + 2) == quote {
            // Longest match: the triple-quoted rule if it ends somewhere, else the empty string.
            return self.long_string(pos, raw).or(Ok(pos + 2));
        }
        let mut i = pos + 1;
        loop {
            match self.bytes.get(i) {
                None | Some(b'\n' | b'\r') => return Err(i),
                Some(&b) if b == quote => return Ok(i + 1),
                Some(b'\\') if !raw => i = self.escape(i)?,
                Some(_) => i += 1,
            }
        }
    }

    fn long_string(&self, pos: usize, raw: bool) -> Result<usize, usize> {
        let close = &self.bytes[pos..pos + 3];
        let mut i = pos + 3;
        loop {
            match self.bytes.get(i) {
                None => return Err(i),
                Some(b'\\') if !raw => i = self.escape(i)?,
                Some(_) if self.bytes[i..].starts_with(close) => return Ok(i + 3),
                Some(_) => i += 1,
            }
        }
    }

    /// The end of the escape sequence whose backslash is at `pos`, or the character that breaks it.
    fn escape(&self, pos: usize) -> Result<usize, usize> {
        let run =
            |from: usize, n: usize, ok: fn(u8) -> bool| match (from..from + n).find(|&i| !ok(self.at(i))) {
                Some(bad) => Err(bad),
                None => Ok(from + n),
            };
        match self.at(pos + 1) {
            b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => {
                Ok(pos + 2)
            }
            b'x' | b'X' => run(pos + 2, 2, |b| b.is_ascii_hexdigit()),
            b'u' => run(pos + 2, 4, |b| b.is_ascii_hexdigit()),
            b'U' => run(pos + 2, 8, |b| b.is_ascii_hexdigit()),
            b'0'..=b'3' => run(pos + 2, 2, |b| matches!(b, b'0'..=b'7')),
            _ => Err(pos + 1),
        }
    }

    fn escaped_ident(&self, pos: usize) -> Result<(T, usize), usize> {
        let inner = self.bytes[pos + 1..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b' '))
            .count();
        let end = pos + 1 + inner;
        if inner > 0 && self.at(end) == b'`' { Ok((T::EscIdent, end + 1)) } else { Err(end) }
    }
}
