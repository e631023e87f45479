//! From source text to a syntax tree with macros expanded.
//!
//! A recursive-descent parser for correct input. If the text breaks the grammar, [`syntax`](crate::syntax)
//! goes over it again the way ANTLR would, only to say what is wrong; errors beyond the grammar (reserved
//! words, bad literals, misused macros) are found here.
//!
//! Upstream counterpart: cel-go `parser/parser.go`. Its limits hold here too, with the same texts.

use value::Str;

use crate::ast::{Call, Expr, Id, Kind, Literal, MapEntry, StructField, op};
use crate::issues::Issues;
use crate::lexer::{T, Token, tokenize};
use crate::macros;
use crate::stack::deep;
use crate::syntax;
use crate::unescape::unescape;

/// Longest expression, in code points.
const EXPRESSION_CODE_POINTS_MAX: usize = 100_000;
/// How deep one grammar rule may nest within itself, and how deep the counted nodes of a tree may.
pub(crate) const RECURSION_MAX: u32 = 250;
/// Nodes of one tree. Upstream has no such limit, but macros that copy their target (`optMap`) grow
/// exponentially; this many nodes are some MiB.
const NODES_MAX: usize = 200_000;

/// Words that no variable or function may be named.
pub(crate) const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A parsed expression: the tree, and each node's place in the source.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) expr: Expr,
    /// Byte offsets by node id.
    pub(crate) positions: Vec<u32>,
}

/// Parses `source`; `macros` tells which macros there are.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse(source: &str, macros: macros::Set) -> Result<Parsed, Issues> {
    let mut issues = Issues::new(source);
    let size = source.chars().count();
    if size > EXPRESSION_CODE_POINTS_MAX {
        issues.report(
            None,
            format!(
                "expression code point size exceeds limit: size: {size}, limit {EXPRESSION_CODE_POINTS_MAX}"
            ),
        );
        return Err(issues);
    }
    let (tokens, lex_errors) = tokenize(source);
    if !lex_errors.is_empty() {
        return Err(syntax::explain(source, &tokens, &lex_errors));
    }
    let mut parser = Parser {
        source,
        tokens: &tokens,
        next: 0,
        b: Builder { positions: vec![0], issues },
        macros,
        rule_depth: [0; RULES],
    };
    match parser.start() {
        Ok(_) if !parser.b.issues.is_empty() => Err(parser.b.issues),
        Ok(expr) => Ok(Parsed { expr, positions: parser.b.positions }),
        Err(Stop::Syntax) => Err(syntax::explain(source, &tokens, &lex_errors)),
        Err(Stop::Limit(message)) => {
            let mut issues = Issues::new(source);
            issues.report(None, message);
            Err(issues)
        }
    }
}

/// Why parsing cannot go on.
pub(crate) enum Stop {
    Syntax,
    Limit(String),
}

type Parse<X> = Result<X, Stop>;

/// Makes nodes; macros use it too.
pub(crate) struct Builder {
    pub(crate) positions: Vec<u32>,
    pub(crate) issues: Issues,
}

impl Builder {
    pub(crate) fn id(&mut self, position: u32) -> Id {
        self.positions.push(position);
        self.positions.len() as Id - 1
    }

    pub(crate) fn position(&self, id: Id) -> u32 {
        self.positions.get(id as usize).copied().unwrap_or(0)
    }

    pub(crate) fn node(&mut self, position: u32, depth: u32, kind: Kind) -> Expr {
        Expr { id: self.id(position), depth, kind }
    }

    pub(crate) fn error(&mut self, position: u32, message: impl Into<String>) -> Expr {
        self.issues.report(Some(position), message);
        self.node(position, 0, Kind::Unspecified)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.positions.len() > NODES_MAX
    }
}

/// Rules whose self-nesting is limited.
#[derive(Clone, Copy)]
enum Rule {
    Expr,
    Relation,
    Calc,
    Member,
}
const RULES: usize = 4;

struct Parser<'s> {
    source: &'s str,
    tokens: &'s [Token],
    next: usize,
    b: Builder,
    macros: macros::Set,
    rule_depth: [u32; RULES],
}

impl Parser<'_> {
    fn peek(&self) -> Token {
        // The last token is Eof, which is never consumed.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek2(&self) -> T {
        self.tokens.get(self.next + 1).map_or(T::Eof, |t| t.kind)
    }

    fn take(&mut self, kind: T) -> Option<Token> {
        let token = self.peek();
        (token.kind == kind).then(|| {
            self.next += 1;
            token
        })
    }

    fn expect(&mut self, kind: T) -> Parse<Token> {
        self.take(kind).ok_or(Stop::Syntax)
    }

    fn text(&self, token: Token) -> &str {
        &self.source[token.start as usize..token.end as usize]
    }

    fn enter(&mut self, rule: Rule) -> Parse<()> {
        self.rule_depth[rule as usize] += 1;
        if self.rule_depth[rule as usize] > RECURSION_MAX {
            return Err(Stop::Limit(format!("expression recursion limit exceeded: {RECURSION_MAX}")));
        }
        if self.b.is_full() {
            return Err(Stop::Limit(format!("expression expands to more than {NODES_MAX} nodes")));
        }
        Ok(())
    }

    fn leave(&mut self, rule: Rule) {
        self.rule_depth[rule as usize] -= 1;
    }

    /// A node that upstream's visitor counts; `below` is the depth of its deepest child.
    fn counted(&mut self, position: u32, below: u32, kind: Kind) -> Parse<Expr> {
        Ok(Expr { id: self.b.id(position), depth: deeper(below)?, kind })
    }

    fn start(&mut self) -> Parse<Expr> {
        let e = self.expr()?;
        self.expect(T::Eof)?;
        Ok(e)
    }

    fn expr(&mut self) -> Parse<Expr> {
        deep(|| self.expr_here())
    }

    fn expr_here(&mut self) -> Parse<Expr> {
        self.enter(Rule::Expr)?;
        let mut e = self.or()?;
        if let Some(question) = self.take(T::Question) {
            let then = self.or()?;
            self.expect(T::Colon)?;
            let otherwise = self.expr()?;
            let below = e.depth.max(then.depth).max(otherwise.depth);
            e = self.counted(question.start, below, call(op::CONDITIONAL, None, vec![e, then, otherwise]))?;
        }
        self.leave(Rule::Expr);
        Ok(e)
    }

    fn or(&mut self) -> Parse<Expr> {
        self.chain(T::Or, op::OR, Self::and)
    }

    fn and(&mut self) -> Parse<Expr> {
        self.chain(T::And, op::AND, Self::relation)
    }

    /// Terms joined by one logical operator, made into a balanced tree.
    fn chain(&mut self, kind: T, name: &'static str, term: fn(&mut Self) -> Parse<Expr>) -> Parse<Expr> {
        let first = term(self)?;
        if self.peek().kind != kind {
            return Ok(first);
        }
        let mut terms = vec![Some(first)];
        let mut ops = Vec::new();
        while let Some(token) = self.take(kind) {
            terms.push(Some(term(self)?));
            ops.push(self.b.id(token.start));
        }
        Ok(balance(name, &mut terms, &ops))
    }

    fn relation(&mut self) -> Parse<Expr> {
        self.binary(Rule::Relation, 0)
    }

    /// Precedence climbing over a left-recursive rule: `relation` or `calc`.
    fn binary(&mut self, rule: Rule, min: u8) -> Parse<Expr> {
        self.enter(rule)?;
        let mut left = match rule {
            Rule::Relation => self.binary(Rule::Calc, 0)?,
            _ => self.unary()?,
        };
        loop {
            let token = self.peek();
            let Some((name, level)) = operator(rule, token.kind) else { break };
            if level < min {
                break;
            }
            self.next += 1;
            let right = self.binary(rule, level + 1)?;
            let below = left.depth.max(right.depth);
            left = self.counted(token.start, below, call(name, None, vec![left, right]))?;
        }
        self.leave(rule);
        Ok(left)
    }

    fn unary(&mut self) -> Parse<Expr> {
        let token = self.peek();
        let name = match token.kind {
            T::Exclam => op::NOT,
            // A minus right before a number is the literal's sign.
            T::Minus if matches!(self.peek2(), T::Int | T::Float) => return self.member(),
            T::Minus => op::NEGATE,
            _ => return self.member(),
        };
        let mut times = 0;
        while self.take(token.kind).is_some() {
            times += 1;
        }
        let operand = self.member()?;
        if times % 2 == 0 {
            return Ok(operand);
        }
        let depth = operand.depth;
        Ok(self.b.node(token.start, depth, call(name, None, vec![operand])))
    }

    fn member(&mut self) -> Parse<Expr> {
        self.enter(Rule::Member)?;
        let mut e = self.primary()?;
        loop {
            let token = self.peek();
            match token.kind {
                T::Dot => {
                    self.next += 1;
                    e = self.selection(e, token)?;
                }
                T::LBracket => {
                    self.next += 1;
                    let optional = self.take(T::Question).is_some();
                    let index = self.expr()?;
                    self.expect(T::RBracket)?;
                    let below = e.depth.max(index.depth);
                    if optional && !self.macros.optional {
                        e = self.b.error(token.start, "unsupported syntax '[?'");
                        continue;
                    }
                    let name = if optional { op::OPT_INDEX } else { op::INDEX };
                    e = self.counted(token.start, below, call(name, None, vec![e, index]))?;
                }
                _ => break,
            }
        }
        self.leave(Rule::Member);
        Ok(e)
    }

    /// What follows a dot.
    fn selection(&mut self, operand: Expr, dot: Token) -> Parse<Expr> {
        let optional = self.take(T::Question).is_some();
        let id = self.peek();
        if !matches!(id.kind, T::Ident | T::EscIdent) {
            return Err(Stop::Syntax);
        }
        self.next += 1;
        let name = self.text(id).to_owned();
        let open = self.peek();
        if !optional && id.kind == T::Ident && open.kind == T::LParen {
            self.next += 1;
            let args = self.args(T::RParen)?;
            let below = args.iter().map(|a| a.depth).max().unwrap_or(0).max(operand.depth);
            return self.call_or_macro(open.start, &name, Some(operand), args, deeper(below)?);
        }
        if id.kind == T::EscIdent {
            return Ok(self.b.error(id.start, "unsupported syntax: '`'"));
        }
        let below = operand.depth;
        if optional {
            if !self.macros.optional {
                return Ok(self.b.error(dot.start, "unsupported syntax '.?'"));
            }
            let field = self.b.node(id.start, 0, Kind::Literal(Literal::String(name.into())));
            return self.counted(dot.start, below, call(op::OPT_SELECT, None, vec![operand, field]));
        }
        let select = Kind::Select { operand: Box::new(operand), field: name.into(), test_only: false };
        self.counted(dot.start, below, select)
    }

    fn args(&mut self, close: T) -> Parse<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(close).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.take(T::Comma).is_none() {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn call_or_macro(
        &mut self,
        position: u32,
        name: &str,
        target: Option<Expr>,
        args: Vec<Expr>,
        depth: u32,
    ) -> Parse<Expr> {
        let mut e = if let Some(expand) = self.macros.find(name, args.len(), target.is_some()) {
            expand(&mut self.b, position, target, args)
        } else {
            self.b.node(position, 0, call(name, target, args))
        };
        if self.b.is_full() {
            return Err(Stop::Limit(format!("expression expands to more than {NODES_MAX} nodes")));
        }
        e.depth = depth;
        Ok(e)
    }

    fn primary(&mut self) -> Parse<Expr> {
        let token = self.peek();
        match token.kind {
            T::LParen => {
                self.next += 1;
                let e = self.expr()?;
                self.expect(T::RParen)?;
                Ok(e)
            }
            T::LBracket => self.list(),
            T::LBrace => self.map(),
            T::Dot | T::Ident => self.named(),
            _ => self.literal(),
        }
    }

    fn list(&mut self) -> Parse<Expr> {
        let open = self.expect(T::LBracket)?;
        let id = self.b.id(open.start);
        let (mut elements, mut optional) = (Vec::new(), Vec::new());
        loop {
            if !elements.is_empty() && self.take(T::Comma).is_none()
                || elements.is_empty() && self.take(T::Comma).is_some()
            {
                self.expect(T::RBracket)?;
                break;
            }
            if self.take(T::RBracket).is_some() {
                break;
            }
            if let Some(question) = self.take(T::Question) {
                if !self.macros.optional {
                    self.b.error(question.start, "unsupported syntax '?'");
                }
                optional.push(elements.len());
            }
            elements.push(self.expr()?);
        }
        let depth = elements.iter().map(|e| e.depth).max().unwrap_or(0);
        Ok(Expr { id, depth, kind: Kind::List { elements, optional } })
    }

    fn map(&mut self) -> Parse<Expr> {
        let open = self.expect(T::LBrace)?;
        let id = self.b.id(open.start);
        let mut entries: Vec<MapEntry> = Vec::new();
        let mut depth = 0;
        loop {
            if !entries.is_empty() && self.take(T::Comma).is_none()
                || entries.is_empty() && self.take(T::Comma).is_some()
            {
                self.expect(T::RBrace)?;
                break;
            }
            if self.take(T::RBrace).is_some() {
                break;
            }
            let optional = self.optional_mark();
            let key = self.expr()?;
            self.expect(T::Colon)?;
            let value = self.expr()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push(MapEntry { key, value, optional });
        }
        Ok(Expr { id, depth, kind: Kind::Map(entries) })
    }

    fn optional_mark(&mut self) -> bool {
        let Some(question) = self.take(T::Question) else { return false };
        if !self.macros.optional {
            self.b.error(question.start, "unsupported syntax '?'");
        }
        true
    }

    /// An identifier, a call of a global function, or a struct.
    fn named(&mut self) -> Parse<Expr> {
        let start = self.peek();
        let dot = self.take(T::Dot).is_some();
        let ident = self.expect(T::Ident)?;
        if self.is_struct() {
            return self.structure(dot, ident);
        }
        let text = self.text(ident).to_owned();
        let name = if dot { format!(".{text}") } else { text.clone() };
        let open = self.take(T::LParen);
        let args = match open {
            Some(_) => self.args(T::RParen)?,
            None => Vec::new(),
        };
        if RESERVED.contains(&text.as_str()) {
            return Ok(self.b.error(start.start, format!("reserved identifier: {text}")));
        }
        match open {
            Some(open) => {
                let depth = args.iter().map(|a| a.depth).max().unwrap_or(0);
                self.call_or_macro(open.start, &name, None, args, depth)
            }
            None => Ok(self.b.node(ident.start, 0, Kind::Ident(name.into()))),
        }
    }

    /// Whether `(. IDENT)* {` comes next.
    fn is_struct(&self) -> bool {
        let mut i = self.next;
        let kind = |i: usize| self.tokens.get(i).map_or(T::Eof, |t| t.kind);
        while kind(i) == T::Dot && kind(i + 1) == T::Ident {
            i += 2;
        }
        kind(i) == T::LBrace
    }

    fn structure(&mut self, dot: bool, first: Token) -> Parse<Expr> {
        let mut name = if dot { ".".to_owned() } else { String::new() };
        name.push_str(self.text(first));
        while self.take(T::Dot).is_some() {
            let part = self.expect(T::Ident)?;
            name.push('.');
            name.push_str(self.text(part));
        }
        let open = self.expect(T::LBrace)?;
        let id = self.b.id(open.start);
        let mut fields: Vec<StructField> = Vec::new();
        let mut depth = 0;
        loop {
            if !fields.is_empty() && self.take(T::Comma).is_none()
                || fields.is_empty() && self.take(T::Comma).is_some()
            {
                self.expect(T::RBrace)?;
                break;
            }
            if self.take(T::RBrace).is_some() {
                break;
            }
            let optional = self.optional_mark();
            let field = self.peek();
            if !matches!(field.kind, T::Ident | T::EscIdent) {
                return Err(Stop::Syntax);
            }
            self.next += 1;
            let colon = self.expect(T::Colon)?;
            let field_id = self.b.id(colon.start);
            let value = self.expr()?;
            depth = depth.max(value.depth);
            if field.kind == T::EscIdent {
                self.b.error(field.start, "unsupported syntax: '`'");
            }
            let field_name: Str = self.text(field).into();
            fields.push(StructField { id: field_id, name: field_name, value, optional });
        }
        Ok(Expr { id, depth, kind: Kind::Struct { name: name.into(), fields } })
    }

    fn literal(&mut self) -> Parse<Expr> {
        let start = self.peek();
        let sign = self.take(T::Minus).is_some();
        let token = self.peek();
        if sign && !matches!(token.kind, T::Int | T::Float) {
            return Err(Stop::Syntax);
        }
        let text = self.text(token);
        let at = start.start;
        let literal = match token.kind {
            T::Int => parse_int(text, sign).map(Literal::Int).ok_or("invalid int literal"),
            T::Uint => parse_uint(text).map(Literal::Uint).ok_or("invalid uint literal"),
            T::Float => {
                let x: f64 = text.parse().unwrap_or(f64::INFINITY);
                let x = if sign { -x } else { x };
                if x.is_finite() { Ok(Literal::Double(x)) } else { Err("invalid double literal") }
            }
            T::String => unescape(text, false)
                .and_then(|b| String::from_utf8(b).map_err(|_| "unable to unescape string"))
                .map(|s| Literal::String(s.into())),
            T::Bytes => unescape(&text[1..], true).map(|b| Literal::Bytes(b.into())),
            T::True => Ok(Literal::Bool(true)),
            T::False => Ok(Literal::Bool(false)),
            T::Null => Ok(Literal::Null),
            _ => return Err(Stop::Syntax),
        };
        self.next += 1;
        Ok(match literal {
            Ok(l) => self.b.node(at, 0, Kind::Literal(l)),
            Err(message) => self.b.error(at, message),
        })
    }
}

fn deeper(below: u32) -> Parse<u32> {
    if below >= RECURSION_MAX {
        return Err(Stop::Limit("max recursion depth exceeded".to_owned()));
    }
    Ok(below + 1)
}

pub(crate) fn call(name: &str, target: Option<Expr>, args: Vec<Expr>) -> Kind {
    Kind::Call(Call { function: name.into(), target: target.map(Box::new), args })
}

/// The operator a token is under `rule`, and how tight it binds.
fn operator(rule: Rule, kind: T) -> Option<(&'static str, u8)> {
    Some(match (rule, kind) {
        (Rule::Relation, T::Less) => (op::LESS, 0),
        (Rule::Relation, T::LessEquals) => (op::LESS_EQUALS, 0),
        (Rule::Relation, T::Greater) => (op::GREATER, 0),
        (Rule::Relation, T::GreaterEquals) => (op::GREATER_EQUALS, 0),
        (Rule::Relation, T::Equals) => (op::EQUALS, 0),
        (Rule::Relation, T::NotEquals) => (op::NOT_EQUALS, 0),
        (Rule::Relation, T::In) => (op::IN, 0),
        (Rule::Calc, T::Plus) => (op::ADD, 0),
        (Rule::Calc, T::Minus) => (op::SUBTRACT, 0),
        (Rule::Calc, T::Star) => (op::MULTIPLY, 1),
        (Rule::Calc, T::Slash) => (op::DIVIDE, 1),
        (Rule::Calc, T::Percent) => (op::MODULO, 1),
        _ => return None,
    })
}

/// A balanced tree of `terms` (each present) joined by `ops`, so that long chains stay shallow.
fn balance(name: &'static str, terms: &mut [Option<Expr>], ops: &[Id]) -> Expr {
    let mid = ops.len() / 2;
    let side = |terms: &mut [Option<Expr>], ops: &[Id]| match terms {
        [one] => one.take().expect("each term is taken once"),
        _ => balance(name, terms, ops),
    };
    let (left, right) = terms.split_at_mut(mid + 1);
    let left = side(left, &ops[..mid]);
    let right = side(right, &ops[mid + 1..]);
    Expr { id: ops[mid], depth: left.depth.max(right.depth), kind: call(name, None, vec![left, right]) }
}

fn parse_int(text: &str, negative: bool) -> Option<i64> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |h| (h, 16));
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

fn parse_uint(text: &str) -> Option<u64> {
    let text = &text[..text.len() - 1];
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |h| (h, 16));
    u64::from_str_radix(digits, radix).ok()
}
