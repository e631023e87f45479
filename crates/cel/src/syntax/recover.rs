//! Walks the grammar and gets over errors: by leaving a token out, by imagining one, or by skipping to where
//! one of the rules at hand can go on.

use super::grammar::{EPSILON, Edge, GRAMMAR, Part, Rule, Set, StateKind, one};
use super::predict::{NoViable, Predictor};
use crate::issues::Issues;
use crate::lexer::{LexError, T, Token};
use crate::parser::{RECURSION_MAX, RESERVED};
use crate::stack::deep;

/// How often errors are recovered from before giving up.
const RECOVERIES_MAX: usize = 30;
/// How many tokens one recovery may skip.
const SKIPPED_MAX: usize = 256;

/// An error of a rule, to be reported where the rule ends.
enum Problem {
    NoViable {
        start: usize,
        offending: usize,
    },
    Mismatch,
    /// Give up.
    Stop,
}

struct Walker<'s> {
    source: &'s str,
    tokens: &'s [Token],
    lex_errors: &'s [LexError],
    at: usize,
    state: usize,
    /// Of the rules being walked: the state of the call, the rule's precedence.
    calls: Vec<(Option<usize>, u8)>,
    issues: &'s mut Issues,
    recovering: bool,
    last_error: Option<usize>,
    last_states: Vec<usize>,
    recoveries: usize,
    predictor: Predictor,
    depth: [u32; super::grammar::RULES],
}

/// Reports all syntax errors of the tokens.
pub(super) fn run(source: &str, tokens: &[Token], lex_errors: &[LexError], issues: &mut Issues) {
    let mut w = Walker {
        source,
        tokens,
        lex_errors,
        at: 0,
        state: 0,
        calls: Vec::new(),
        issues,
        recovering: false,
        last_error: None,
        last_states: Vec::new(),
        recoveries: 0,
        predictor: Predictor::new(),
        depth: [0; super::grammar::RULES],
    };
    // An error here is one after which upstream gives up, too.
    let _ = w.rule(Rule::Start, 0, None);
}

impl Walker<'_> {
    fn token(&self, ahead: usize) -> Token {
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    fn la(&self, ahead: usize) -> T {
        self.token(ahead).kind
    }

    fn consume(&mut self) {
        if self.la(0) != T::Eof {
            self.at += 1;
        }
    }

    fn report(&mut self, token: Token, message: String) {
        self.issues.report(Some(token.start), format!("Syntax error: {message}"));
    }

    /// Stops what upstream's listener counts as too deep.
    fn enter(&mut self, r: Rule) -> Result<(), Problem> {
        self.depth[r as usize] += 1;
        if self.depth[r as usize] > RECURSION_MAX {
            self.issues.report(None, format!("expression recursion limit exceeded: {RECURSION_MAX}"));
            return Err(Problem::Stop);
        }
        Ok(())
    }

    fn rule(&mut self, r: Rule, precedence: u8, from: Option<usize>) -> Result<(), Problem> {
        self.calls.push((from, precedence));
        let before = self.depth[r as usize];
        let first = self.at.min(self.tokens.len() - 1);
        self.enter(r)?;
        let result = self.part(&GRAMMAR.rules[r as usize], r);
        match result {
            Ok(()) => self.visit(r, first),
            Err(Problem::Stop) => return Err(Problem::Stop),
            Err(problem) => {
                let place = self.token(0);
                if self.tokens.get(first + 1).is_some_and(|t| t.kind == T::LParen) {
                    self.visit(r, first);
                }
                self.report_problem(&problem);
                self.recover()?;
                if r == Rule::EscapeIdent && self.caller() == Some(Rule::Member) {
                    self.issues.report(Some(place.start), "unsupported ident kind");
                }
            }
        }
        self.depth[r as usize] = before;
        self.calls.pop();
        if let Some(from) = from {
            self.state = from;
        }
        Ok(())
    }

    /// The rule that called the one being walked.
    fn caller(&self) -> Option<Rule> {
        self.calls.last()?.0.map(|call| GRAMMAR.states[call].rule)
    }

    fn part(&mut self, part: &Part, r: Rule) -> Result<(), Problem> {
        deep(|| self.part_here(part, r))
    }

    fn part_here(&mut self, part: &Part, r: Rule) -> Result<(), Problem> {
        match part {
            Part::Tokens { state, set } => {
                self.state = *state;
                self.match_set(*set)
            }
            Part::Call { state, rule, precedence } => {
                self.state = *state;
                self.rule(*rule, *precedence, Some(*state))
            }
            Part::Precedence => Ok(()),
            Part::Sequence(parts) => parts.iter().try_for_each(|p| self.part(p, r)),
            Part::Block { state, adaptive, alternatives } => {
                self.state = *state;
                self.sync()?;
                let alternative = if *adaptive {
                    self.predict(*state)?
                } else {
                    let la = one(self.la(0));
                    let fits = |p: &Part| matches!(p, Part::Tokens { set, .. } if set & la != 0);
                    match alternatives.iter().position(fits) {
                        Some(i) => i + 1,
                        None => return Err(Problem::NoViable { start: self.at, offending: self.at }),
                    }
                };
                alternatives.get(alternative - 1).map_or(Ok(()), |a| self.part(a, r))
            }
            Part::Optional { state, first, body } => {
                self.state = *state;
                self.sync()?;
                if first & one(self.la(0)) != 0 { self.part(body, r) } else { Ok(()) }
            }
            Part::Star { entry, back, adaptive, first, body } => {
                self.state = *entry;
                self.sync()?;
                let mut go_on = self.continues(*entry, *adaptive, *first)?;
                while go_on {
                    self.part(body, r)?;
                    self.state = *back;
                    self.sync()?;
                    go_on = self.continues(*entry, *adaptive, *first)?;
                }
                Ok(())
            }
            Part::Plus { start, back, adaptive, first, body } => {
                self.state = *start;
                self.sync()?;
                loop {
                    self.part(body, r)?;
                    self.state = *back;
                    self.sync()?;
                    if !self.continues(*back, *adaptive, *first)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn continues(&mut self, decision: usize, adaptive: bool, first: Set) -> Result<bool, Problem> {
        if adaptive { Ok(self.predict(decision)? == 1) } else { Ok(first & one(self.la(0)) != 0) }
    }

    fn predict(&mut self, decision: usize) -> Result<usize, Problem> {
        let precedence = self.calls.last().map_or(0, |c| c.1);
        let follow = |call: usize| match GRAMMAR.states[call].edges.first() {
            Some(Edge::Call { follow, .. }) => Some(*follow),
            _ => None,
        };
        let calls = self.calls.iter().filter_map(|c| c.0.and_then(follow));
        self.predictor
            .predict(decision, precedence, calls, self.tokens, self.at)
            .map_err(|NoViable { offending }| Problem::NoViable { start: self.at, offending })
    }

    fn match_set(&mut self, set: Set) -> Result<(), Problem> {
        if set & one(self.la(0)) == 0 {
            return self.recover_inline();
        }
        self.end_recovery();
        self.consume();
        Ok(())
    }

    fn end_recovery(&mut self) {
        self.recovering = false;
        self.last_error = None;
        self.last_states.clear();
    }

    fn begin_recovery(&mut self) {
        self.recovering = true;
    }

    /// What may come here, also by the rules that wait for this one.
    fn expected(&self) -> Set {
        self.expected_from(self.state)
    }

    fn expected_from(&self, state: usize) -> Set {
        let mut following = GRAMMAR.next(state);
        let mut expected = following & !EPSILON;
        for (call, _) in self.calls.iter().rev() {
            if following & EPSILON == 0 {
                return expected;
            }
            let Some(Edge::Call { follow, .. }) = call.and_then(|c| GRAMMAR.states[c].edges.first()) else {
                break;
            };
            following = GRAMMAR.next(*follow);
            expected |= following & !EPSILON;
        }
        if following & EPSILON != 0 {
            expected |= one(T::Eof);
        }
        expected
    }

    /// Before a choice: gets rid of a token that fits nowhere.
    fn sync(&mut self) -> Result<(), Problem> {
        if self.recovering {
            return Ok(());
        }
        let next = GRAMMAR.next(self.state);
        if next & EPSILON != 0 || next & one(self.la(0)) != 0 {
            return Ok(());
        }
        match GRAMMAR.states[self.state].kind {
            StateKind::Block | StateKind::LoopEntry => {
                if self.delete_one() {
                    Ok(())
                } else {
                    Err(Problem::Mismatch)
                }
            }
            StateKind::LoopBack => {
                self.report_unwanted();
                let until = self.expected() | self.recovery_set();
                self.skip_until(until, &mut 0)
            }
            _ => Ok(()),
        }
    }

    fn report_unwanted(&mut self) {
        if self.recovering {
            return;
        }
        self.begin_recovery();
        let token = self.token(0);
        let message =
            format!("extraneous input {} expecting {}", self.display(token), self.list(self.expected()));
        self.report(token, message);
    }

    /// Leaves out one token if the next one fits.
    fn delete_one(&mut self) -> bool {
        if self.expected() & one(self.la(1)) == 0 {
            return false;
        }
        self.report_unwanted();
        self.consume();
        self.end_recovery();
        true
    }

    fn recover_inline(&mut self) -> Result<(), Problem> {
        self.count_recovery()?;
        if self.delete_one() {
            // The token that fits is there now.
            self.consume();
            return Ok(());
        }
        // Would it fit if the expected token were there?
        let next = GRAMMAR.states[self.state].edges.iter().find_map(|e| match e {
            Edge::Tokens(_, to) => Some(*to),
            _ => None,
        });
        if let Some(next) = next
            && self.expected_from(next) & one(self.la(0)) != 0
        {
            if !self.recovering {
                self.begin_recovery();
                let token = self.token(0);
                let message = format!("missing {} at {}", self.list(self.expected()), self.display(token));
                self.report(token, message);
            }
            return Ok(());
        }
        Err(Problem::Mismatch)
    }

    fn count_recovery(&mut self) -> Result<(), Problem> {
        if self.recoveries == RECOVERIES_MAX {
            let token = self.token(0);
            self.report(token, format!("error recovery attempt limit exceeded: {RECOVERIES_MAX}"));
            return Err(Problem::Stop);
        }
        self.recoveries += 1;
        Ok(())
    }

    fn report_problem(&mut self, problem: &Problem) {
        if self.recovering {
            return;
        }
        self.begin_recovery();
        match *problem {
            Problem::NoViable { start, offending } => {
                let start = self.tokens[start.min(self.tokens.len() - 1)];
                let offending = self.tokens[offending.min(self.tokens.len() - 1)];
                let text = self.text_between(start, offending);
                let message = match text.strip_prefix('.') {
                    Some(word @ ("true" | "false" | "null")) => {
                        format!("mismatched input '{word}' expecting IDENTIFIER")
                    }
                    _ => format!("no viable alternative at input {}", quote(&text)),
                };
                self.report(offending, message);
            }
            Problem::Mismatch => {
                let token = self.token(0);
                let message = format!(
                    "mismatched input {} expecting {}",
                    self.display(token),
                    self.list(self.expected())
                );
                self.report(token, message);
            }
            Problem::Stop => {}
        }
    }

    /// The source from one token to another, without what was no token.
    fn text_between(&self, start: Token, end: Token) -> String {
        if start.kind == T::Eof {
            return "<EOF>".to_owned();
        }
        let mut text = String::new();
        let mut at = start.start as usize;
        for e in self.lex_errors.iter().filter(|e| e.start >= start.start && e.start < end.end) {
            text.push_str(&self.source[at..(e.start as usize).max(at)]);
            at = at.max(e.start as usize + e.text.len());
        }
        text.push_str(self.source.get(at..end.end as usize).unwrap_or(""));
        text
    }

    /// Errors that upstream finds when it goes over what it could parse.
    fn visit(&mut self, r: Rule, first: usize) {
        let kind = |i: usize| self.tokens.get(i).map_or(T::Eof, |t| t.kind);
        if r == Rule::EscapeIdent && kind(first) == T::EscIdent && self.caller() == Some(Rule::Member) {
            self.issues.report(Some(self.tokens[first].start), "unsupported syntax: '`'");
        }
        if r != Rule::Primary {
            return;
        }
        let ident = first + usize::from(kind(first) == T::Dot);
        let mut next = ident + 1;
        while kind(next) == T::Dot && kind(next + 1) == T::Ident {
            next += 2;
        }
        if kind(ident) != T::Ident || kind(next) == T::LBrace {
            return;
        }
        let (start, end) = (self.tokens[ident].start, self.tokens[ident].end);
        let word = &self.source[start as usize..end as usize];
        if RESERVED.contains(&word) {
            let message = format!("reserved identifier: {word}");
            self.issues.report(Some(self.tokens[first].start), message);
        }
    }

    /// Skips to where one of the rules being walked can go on.
    fn recover(&mut self) -> Result<(), Problem> {
        self.count_recovery()?;
        let mut skipped = 0;
        if self.last_error == Some(self.at) && self.last_states.contains(&self.state) {
            // No progress since the last error at this place: leave a token out.
            self.consume();
            skipped += 1;
        }
        if self.last_error != Some(self.at) {
            self.last_error = Some(self.at);
        }
        self.last_states.push(self.state);
        let until = self.recovery_set();
        self.skip_until(until, &mut skipped)
    }

    fn recovery_set(&self) -> Set {
        self.calls
            .iter()
            .filter_map(|c| c.0)
            .filter_map(|c| match GRAMMAR.states[c].edges.first() {
                Some(Edge::Call { follow, .. }) => Some(GRAMMAR.next(*follow)),
                _ => None,
            })
            .fold(0, |s, n| s | n)
            & !EPSILON
    }

    fn skip_until(&mut self, until: Set, skipped: &mut usize) -> Result<(), Problem> {
        while self.la(0) != T::Eof && until & one(self.la(0)) == 0 {
            if *skipped >= SKIPPED_MAX {
                self.issues
                    .report(None, format!("error recovery token lookahead limit exceeded: {SKIPPED_MAX}"));
                return Err(Problem::Stop);
            }
            *skipped += 1;
            self.consume();
        }
        Ok(())
    }

    fn display(&self, token: Token) -> String {
        match token.kind {
            T::Eof => "'<EOF>'".to_owned(),
            _ => quote(&self.source[token.start as usize..token.end as usize]),
        }
    }

    fn list(&self, set: Set) -> String {
        // Upstream's order of tokens is that of its lexer's literals: the kinds' own.
        let mut names: Vec<&str> = Vec::new();
        for kind in ORDER {
            if set & one(kind) != 0 {
                names.push(kind.display());
            }
        }
        if let [one] = names[..] { one.to_owned() } else { format!("{{{}}}", names.join(", ")) }
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"))
}

/// Token kinds as sets list them.
const ORDER: [T; 36] = [
    T::Eof,
    T::Equals,
    T::NotEquals,
    T::In,
    T::Less,
    T::LessEquals,
    T::GreaterEquals,
    T::Greater,
    T::And,
    T::Or,
    T::LBracket,
    T::RBracket,
    T::LBrace,
    T::RBrace,
    T::LParen,
    T::RParen,
    T::Dot,
    T::Comma,
    T::Minus,
    T::Exclam,
    T::Question,
    T::Colon,
    T::Plus,
    T::Star,
    T::Slash,
    T::Percent,
    T::True,
    T::False,
    T::Null,
    T::Float,
    T::Int,
    T::Uint,
    T::String,
    T::Bytes,
    T::Ident,
    T::EscIdent,
];
