//! Regular expressions, RE2's syntax as Go has it.

use regex::{Regex, RegexBuilder};

use crate::eval::Call;
use crate::val::{Eval, EvalError, Val};

/// The largest compiled program (bytes). Go's limit is of another kind (repeat counts up to 1000); patterns
/// within it fit in here, save hostile ones.
const PROGRAM_BYTES_MAX: usize = 10 << 20;
/// Working memory of lazy automata (bytes).
const DFA_BYTES_MAX: usize = 2 << 20;
/// How deep groups may nest; Go has the same limit.
const NESTING_MAX: u32 = 1000;

/// Compiles a pattern.
///
/// # Errors
/// The text of Go's `regexp.Compile`, as near as may be.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if let Some(refused) = refused_by_go(pattern) {
        return Err(refused);
    }
    RegexBuilder::new(&translate(pattern))
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(DFA_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|_| explain(pattern))
}

/// Go's classes `\d`, `\w`, `\s`, `\b` are ASCII; `\z` is the end; `\pN` and `\x{…}` are the same.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('d' | 'D' | 'w' | 'W' | 's' | 'S')) => out.push_str(ascii_class(c, in_class)),
                Some('b') if !in_class => out.push_str("(?-u:\\b)"),
                Some('B') if !in_class => out.push_str("(?-u:\\B)"),
                Some('Q') => {
                    // Literal text up to \E.
                    let mut text = String::new();
                    while let Some(c) = chars.next() {
                        if c == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        text.push(c);
                    }
                    out.push_str(&regex::escape(&text));
                }
                Some(c @ ('p' | 'P' | 'x')) => {
                    out.push('\\');
                    out.push(c);
                    if chars.peek() == Some(&'{') {
                        out.extend(std::iter::from_fn(|| chars.next_if(|c| *c != '}')));
                    }
                }
                // Any escaped punctuation is itself; for Rust `\<` would be the start of a word.
                Some(c @ ('<' | '>')) => out.push(c),
                Some(c) => {
                    out.push('\\');
                    out.push(c);
                }
                None => out.push('\\'),
            },
            '[' if in_class => {
                if chars.peek() == Some(&':') {
                    out.push('['); // [:alpha:]
                } else {
                    out.push_str("\\[");
                }
            }
            '[' => {
                in_class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                // The end of [:alpha:] within a class, or of the class.
                if out.ends_with(':') && out.rfind("[:").is_some_and(|i| i + 2 < out.len()) {
                    out.push(']');
                } else {
                    in_class = false;
                    out.push(']');
                }
            }
            // A brace that counts nothing is itself.
            '{' if !in_class && !is_count(chars.clone()) => out.push_str("\\{"),
            // Operators on classes that Go does not have.
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Whether `n}`, `n,}` or `n,m}` follows.
fn is_count(rest: impl Iterator<Item = char>) -> bool {
    let (mut digits, mut commas) = (false, 0);
    for c in rest {
        match c {
            '0'..='9' => digits = true,
            ',' if digits && commas == 0 => commas = 1,
            '}' => return digits,
            _ => return false,
        }
    }
    false
}

/// The `[:name:]` at the start of a class that is none, if any.
fn unknown_class(text: &str) -> Option<&str> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
        "upper", "word", "xdigit",
    ];
    let from = text.find("[:")?;
    let inside = &text[from + 2..];
    let name = &inside[..inside.find(":]")?];
    let known = NAMES.contains(&name.strip_prefix('^').unwrap_or(name));
    let is_name = name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'^');
    (is_name && !known).then(|| &text[from..from + name.len() + 4])
}

/// Flags that Go does not have, or repeats beyond its limit.
fn refused_by_go(pattern: &str) -> Option<String> {
    const REPEAT_MAX: u32 = 1000;
    let b = pattern.as_bytes();
    let mut i = 0;
    // Where the repetition that was just read begins.
    let mut repeated: Option<usize> = None;
    while i < b.len() {
        let start = i;
        let is_repetition = match b[i] {
            b'*' | b'+' | b'?' => true,
            b'{' => is_count(pattern[i + 1..].chars()),
            _ => false,
        };
        if is_repetition && let Some(before) = repeated {
            let end = b[i..].iter().position(|c| *c == b'}').filter(|_| b[i] == b'{').map_or(i, |n| i + n);
            let shown = &pattern[before..=end];
            return Some(format!("error parsing regexp: invalid nested repetition operator: `{shown}`"));
        }
        match b[i] {
            b'\\' => {
                i += 1;
                let e = b.get(i).copied().unwrap_or(b'\\') as char;
                if e.is_ascii_alphabetic() && !"afnrtvxAbBdDpPQEsSwWz".contains(e) {
                    return Some(format!("error parsing regexp: invalid escape sequence: `\\{e}`"));
                }
            }
            b'[' => {
                if let Some(name) = unknown_class(&pattern[i..]) {
                    return Some(format!("error parsing regexp: invalid character class range: `{name}`"));
                }
                // Repetitions mean nothing within a class.
                let from = i + 1 + usize::from(b.get(i + 1) == Some(&b'^'));
                i = (from + 1..b.len()).find(|&j| b[j] == b']' && b[j - 1] != b'\\').unwrap_or(b.len());
            }
            b'(' if b[i..].starts_with(b"(?")
                && !b[i..].starts_with(b"(?P<")
                && !b[i..].starts_with(b"(?<") =>
            {
                let mut flags = b[i + 2..].iter().take_while(|c| c.is_ascii_alphabetic() || **c == b'-');
                if let Some(bad) = flags.position(|c| !b"imsU-".contains(c)) {
                    let end = (i + 3 + bad).min(b.len());
                    let shown = String::from_utf8_lossy(&b[i..end]);
                    return Some(format!(
                        "error parsing regexp: invalid or unsupported Perl syntax: `{shown}`"
                    ));
                }
            }
            b'{' => {
                let end = b[i..].iter().position(|c| *c == b'}').map_or(b.len(), |n| i + n + 1);
                let inside = &pattern[i..end].trim_matches(['{', '}']);
                if is_count(pattern[i + 1..].chars())
                    && inside
                        .split(',')
                        .any(|n| !n.is_empty() && n.parse::<u32>().map_or(true, |n| n > REPEAT_MAX))
                {
                    return Some(format!(
                        "error parsing regexp: invalid repeat count: `{}`",
                        &pattern[i..end]
                    ));
                }
                if is_repetition {
                    i = end - 1;
                }
            }
            _ => {}
        }
        i += 1;
        // A repetition may be lazy, and a group may begin with a question mark.
        let marked = is_repetition || b[start] == b'(';
        i += usize::from(marked && b.get(i) == Some(&b'?'));
        repeated = is_repetition.then_some(start);
    }
    None
}

fn ascii_class(c: char, in_class: bool) -> &'static str {
    match (c, in_class) {
        ('d', false) => "[0-9]",
        ('D', false) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('W', false) => "[^0-9A-Za-z_]",
        ('s', false) => "[\\t\\n\\x0c\\r ]",
        ('S', false) => "[^\\t\\n\\x0c\\r ]",
        ('d', true) => "0-9",
        ('D', true) => "[^0-9]",
        ('w', true) => "0-9A-Za-z_",
        ('W', true) => "[^0-9A-Za-z_]",
        ('s', true) => "\\t\\n\\x0c\\r ",
        _ => "[^\\t\\n\\x0c\\r ]",
    }
}

/// What Go would say of a pattern that does not compile.
fn explain(pattern: &str) -> String {
    let (mut depth, mut in_class, mut class_start) = (0i64, false, 0);
    let mut chars = pattern.char_indices().peekable();
    let mut last_repeatable = false;
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                None => return "error parsing regexp: trailing backslash at end of expression: ``".into(),
                Some((_, e)) => {
                    if matches!(e, 'p' | 'P') {
                        // A class that compiles is not explained.
                        let rest = &pattern[i..];
                        let end = rest.find('}').map_or(rest.len().min(3), |n| n + 1);
                        let shown = rest.get(..end).unwrap_or(rest);
                        return format!("error parsing regexp: invalid character class range: `{shown}`");
                    }
                    if e.is_ascii_digit() && e != '0' {
                        return format!("error parsing regexp: invalid escape sequence: `\\{e}`");
                    }
                    last_repeatable = true;
                }
            },
            '[' if !in_class => {
                in_class = true;
                class_start = i;
                if chars.peek().is_some_and(|(_, c)| *c == '^') {
                    chars.next();
                }
                if chars.peek().is_some_and(|(_, c)| *c == ']') {
                    chars.next();
                }
            }
            ']' if in_class => {
                in_class = false;
                last_repeatable = true;
            }
            _ if in_class => {}
            '(' => {
                depth += 1;
                last_repeatable = false;
                let rest = &pattern[i..];
                let lookaround = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|p| rest.starts_with(p));
                if lookaround && rest.starts_with("(?<") {
                    return format!("error parsing regexp: invalid named capture: `{rest}`");
                }
                if lookaround {
                    return format!(
                        "error parsing regexp: invalid or unsupported Perl syntax: `{}`",
                        &rest[..3]
                    );
                }
                if rest.starts_with("(?") {
                    chars.next();
                }
            }
            ')' => {
                depth -= 1;
                if depth < 0 {
                    return format!("error parsing regexp: unexpected ): `{pattern}`");
                }
                last_repeatable = true;
            }
            '*' | '+' | '?' if !last_repeatable => {
                return format!("error parsing regexp: missing argument to repetition operator: `{c}`");
            }
            '*' | '+' | '?' => {
                if let Some((_, n)) = chars.peek() {
                    if *n == '?' {
                        chars.next();
                    }
                    if let Some((_, n @ ('*' | '+' | '?'))) = chars.peek() {
                        return format!("error parsing regexp: invalid nested repetition operator: `{c}{n}`");
                    }
                }
            }
            '|' => last_repeatable = false,
            _ => last_repeatable = true,
        }
    }
    if let Some(range) = backward_range(pattern) {
        return format!("error parsing regexp: invalid character class range: `{range}`");
    }
    if in_class {
        return format!("error parsing regexp: missing closing ]: `{}`", &pattern[class_start..]);
    }
    if depth > 0 {
        return format!("error parsing regexp: missing closing ): `{pattern}`");
    }
    format!("error parsing regexp: invalid or unsupported syntax: `{pattern}`")
}

/// The first range of a class that ends before it begins.
fn backward_range(pattern: &str) -> Option<&str> {
    let mut rest = pattern;
    while let Some(open) = rest.find('[') {
        rest = &rest[open + 1..];
        let class = &rest[..rest.find(']').unwrap_or(rest.len())];
        for (i, _) in class.match_indices('-') {
            let before = class[..i].chars().next_back();
            let after = class[i + 1..].chars().next();
            if let (Some(low), Some(high)) = (before, after)
                && low > high
                && high != '['
                && high != '\\'
            {
                return Some(&class[i - low.len_utf8()..i + 1 + high.len_utf8()]);
            }
        }
    }
    None
}

/// `matches`, `find` and `findAll` with a pattern compiled beforehand.
pub(crate) fn run<'a>(call: &Call, regex: &Regex, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let Some(Val::String(text)) = args.first() else { return Err(EvalError::no_overload()) };
    Ok(match (call.function, args.get(2)) {
        ("matches", _) => Val::Bool(regex.is_match(text)),
        ("find", _) => Val::string(regex.find(text).map_or("", |m| m.as_str())),
        (_, None) => all(regex, text, -1),
        (_, Some(Val::Int(n))) => all(regex, text, *n),
        _ => return Err(EvalError::no_overload()),
    })
}

fn all<'a>(regex: &Regex, text: &str, n: i64) -> Val<'a> {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    Val::list(regex.find_iter(text).take(n).map(|m| Val::string(m.as_str())).collect())
}

/// The same with a pattern that is only known now.
pub(crate) fn run_dynamic<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (Some(Val::String(_)), Some(Val::String(pattern))) = (args.first(), args.get(1)) else {
        return Err(EvalError::no_overload());
    };
    let regex = compile(pattern).map_err(|e| {
        EvalError::new(if call.function == "matches" { e } else { format!("Illegal regex: {e}") })
    })?;
    run(call, &regex, args)
}
