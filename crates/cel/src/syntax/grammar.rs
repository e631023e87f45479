//! CEL's grammar, and the network of states that ANTLR makes of it.

use std::sync::LazyLock;

use crate::lexer::T;

/// A set of token kinds; bit 0 is "the end of the rule can be reached".
pub(super) type Set = u64;
pub(super) const EPSILON: Set = 1;

pub(super) const fn one(t: T) -> Set {
    1 << t as u8
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Start,
    Expr,
    Or,
    And,
    Relation,
    Calc,
    Unary,
    Member,
    Primary,
    ExprList,
    ListInit,
    FieldInit,
    OptField,
    MapInit,
    EscapeIdent,
    OptExpr,
    Literal,
}

pub(super) const RULES: usize = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateKind {
    Basic,
    Block,
    BlockEnd,
    LoopEntry,
    LoopBack,
    Stop,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Edge {
    To(usize),
    Tokens(Set, usize),
    Call { rule: Rule, follow: usize },
    Precedence(u8, usize),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) kind: StateKind,
    pub(super) rule: Rule,
    pub(super) edges: Vec<Edge>,
}

/// The grammar as it is walked; states are those of the network.
#[derive(Debug)]
pub(super) enum Part {
    Tokens {
        state: usize,
        set: Set,
    },
    Call {
        state: usize,
        rule: Rule,
        precedence: u8,
    },
    /// Only there for prediction.
    Precedence,
    Sequence(Vec<Self>),
    /// Alternatives; `adaptive` if one token does not decide.
    Block {
        state: usize,
        adaptive: bool,
        alternatives: Vec<Self>,
    },
    Optional {
        state: usize,
        first: Set,
        body: Box<Self>,
    },
    Star {
        entry: usize,
        back: usize,
        adaptive: bool,
        first: Set,
        body: Box<Self>,
    },
    Plus {
        start: usize,
        back: usize,
        adaptive: bool,
        first: Set,
        body: Box<Self>,
    },
}

pub(super) struct Grammar {
    pub(super) states: Vec<State>,
    pub(super) rules: Vec<Part>,
    pub(super) starts: [usize; RULES],
    pub(super) stops: [usize; RULES],
    /// States after the calls of each rule.
    pub(super) follows: Vec<Vec<usize>>,
    /// What can come next at a state within its rule.
    next: Vec<Set>,
}

/// What rules are written in.
enum G {
    T(T),
    Any(&'static [T]),
    R(Rule),
    /// A rule at a precedence.
    P(Rule, u8),
    /// A precedence predicate.
    Min(u8),
    Seq(Vec<Self>),
    Alt(Vec<Self>),
    /// Alternatives that one token decides.
    Alt1(Vec<Self>),
    Opt(Box<Self>),
    Star(Box<Self>),
    /// A loop that one token does not decide.
    StarA(Box<Self>),
    Plus(Box<Self>),
    PlusA(Box<Self>),
}

fn seq(parts: impl IntoIterator<Item = G>) -> G {
    G::Seq(parts.into_iter().collect())
}

fn opt(g: G) -> G {
    G::Opt(Box::new(g))
}

fn rule(r: Rule) -> G {
    use G::{Alt, Alt1, Any, Min, P, Plus, PlusA, R, Star, StarA};
    let t = G::T;
    let dot = || opt(t(T::Dot));
    let comma = || opt(t(T::Comma));
    let mark = || opt(t(T::Question));
    match r {
        Rule::Start => seq([R(Rule::Expr), t(T::Eof)]),
        Rule::Expr => seq([R(Rule::Or), opt(seq([t(T::Question), R(Rule::Or), t(T::Colon), R(Rule::Expr)]))]),
        Rule::Or => seq([R(Rule::And), Star(Box::new(seq([t(T::Or), R(Rule::And)])))]),
        Rule::And => seq([R(Rule::Relation), Star(Box::new(seq([t(T::And), R(Rule::Relation)])))]),
        Rule::Relation => {
            const OPERATORS: &[T] =
                &[T::Equals, T::NotEquals, T::In, T::Less, T::LessEquals, T::GreaterEquals, T::Greater];
            seq([P(Rule::Calc, 0), StarA(Box::new(seq([Min(1), Any(OPERATORS), P(Rule::Relation, 2)])))])
        }
        Rule::Calc => seq([
            R(Rule::Unary),
            StarA(Box::new(Alt(vec![
                seq([Min(2), Any(&[T::Star, T::Slash, T::Percent]), P(Rule::Calc, 3)]),
                seq([Min(1), Any(&[T::Minus, T::Plus]), P(Rule::Calc, 2)]),
            ]))),
        ]),
        Rule::Unary => Alt(vec![
            P(Rule::Member, 0),
            seq([Plus(Box::new(t(T::Exclam))), P(Rule::Member, 0)]),
            seq([PlusA(Box::new(t(T::Minus))), P(Rule::Member, 0)]),
        ]),
        Rule::Member => seq([
            R(Rule::Primary),
            StarA(Box::new(Alt(vec![
                seq([Min(3), t(T::Dot), mark(), R(Rule::EscapeIdent)]),
                seq([Min(2), t(T::Dot), t(T::Ident), t(T::LParen), opt(R(Rule::ExprList)), t(T::RParen)]),
                seq([Min(1), t(T::LBracket), mark(), R(Rule::Expr), t(T::RBracket)]),
            ]))),
        ]),
        Rule::Primary => Alt(vec![
            seq([dot(), t(T::Ident)]),
            seq([dot(), t(T::Ident), t(T::LParen), opt(R(Rule::ExprList)), t(T::RParen)]),
            seq([t(T::LParen), R(Rule::Expr), t(T::RParen)]),
            seq([t(T::LBracket), opt(R(Rule::ListInit)), comma(), t(T::RBracket)]),
            seq([t(T::LBrace), opt(R(Rule::MapInit)), comma(), t(T::RBrace)]),
            seq([
                dot(),
                t(T::Ident),
                Star(Box::new(seq([t(T::Dot), t(T::Ident)]))),
                t(T::LBrace),
                opt(R(Rule::FieldInit)),
                comma(),
                t(T::RBrace),
            ]),
            R(Rule::Literal),
        ]),
        Rule::ExprList => seq([R(Rule::Expr), Star(Box::new(seq([t(T::Comma), R(Rule::Expr)])))]),
        Rule::ListInit => seq([R(Rule::OptExpr), StarA(Box::new(seq([t(T::Comma), R(Rule::OptExpr)])))]),
        Rule::FieldInit => seq([
            R(Rule::OptField),
            t(T::Colon),
            R(Rule::Expr),
            StarA(Box::new(seq([t(T::Comma), R(Rule::OptField), t(T::Colon), R(Rule::Expr)]))),
        ]),
        Rule::OptField => seq([mark(), R(Rule::EscapeIdent)]),
        Rule::MapInit => seq([
            R(Rule::OptExpr),
            t(T::Colon),
            R(Rule::Expr),
            StarA(Box::new(seq([t(T::Comma), R(Rule::OptExpr), t(T::Colon), R(Rule::Expr)]))),
        ]),
        Rule::EscapeIdent => Alt1(vec![t(T::Ident), t(T::EscIdent)]),
        Rule::OptExpr => seq([mark(), R(Rule::Expr)]),
        Rule::Literal => Alt(vec![
            seq([opt(t(T::Minus)), t(T::Int)]),
            t(T::Uint),
            seq([opt(t(T::Minus)), t(T::Float)]),
            t(T::String),
            t(T::Bytes),
            t(T::True),
            t(T::False),
            t(T::Null),
        ]),
    }
}

const ALL: [Rule; RULES] = [
    Rule::Start,
    Rule::Expr,
    Rule::Or,
    Rule::And,
    Rule::Relation,
    Rule::Calc,
    Rule::Unary,
    Rule::Member,
    Rule::Primary,
    Rule::ExprList,
    Rule::ListInit,
    Rule::FieldInit,
    Rule::OptField,
    Rule::MapInit,
    Rule::EscapeIdent,
    Rule::OptExpr,
    Rule::Literal,
];

pub(super) static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::new);

impl Grammar {
    fn new() -> Self {
        let mut g = Self {
            states: Vec::new(),
            rules: Vec::new(),
            starts: [0; RULES],
            stops: [0; RULES],
            follows: vec![Vec::new(); RULES],
            next: Vec::new(),
        };
        for r in ALL {
            g.starts[r as usize] = g.state(r, StateKind::Basic);
            g.stops[r as usize] = g.state(r, StateKind::Stop);
        }
        for r in ALL {
            let (part, end) = g.build(r, rule(r), g.starts[r as usize]);
            g.edge(end, Edge::To(g.stops[r as usize]));
            g.rules.push(part);
        }
        g.shorten_calls();
        g.next = (0..g.states.len()).map(|s| g.look(s, &mut vec![false; g.states.len()])).collect();
        for i in 0..g.rules.len() {
            let mut part = std::mem::replace(&mut g.rules[i], Part::Precedence);
            g.set_firsts(&mut part);
            g.rules[i] = part;
        }
        g
    }

    /// Lets calls at the end of a block return to the block's end, as ANTLR does: alternatives that end with
    /// the same call then go on from the same state, and a conflict between them shows at once.
    fn shorten_calls(&mut self) {
        for s in 0..self.states.len() {
            for e in 0..self.states[s].edges.len() {
                let Edge::Call { rule, follow } = self.states[s].edges[e] else { continue };
                let mut follow = follow;
                if let [Edge::To(end)] = self.states[follow].edges[..]
                    && matches!(self.states[end].kind, StateKind::BlockEnd | StateKind::LoopBack)
                {
                    follow = end;
                    self.states[s].edges[e] = Edge::Call { rule, follow };
                }
                if !self.follows[rule as usize].contains(&follow) {
                    self.follows[rule as usize].push(follow);
                }
            }
        }
    }

    fn state(&mut self, rule: Rule, kind: StateKind) -> usize {
        self.states.push(State { kind, rule, edges: Vec::new() });
        self.states.len() - 1
    }

    fn edge(&mut self, from: usize, e: Edge) {
        self.states[from].edges.push(e);
    }

    /// Adds `g` after the state `from`; the part to walk, and the state after it.
    fn build(&mut self, r: Rule, g: G, from: usize) -> (Part, usize) {
        match g {
            G::T(t) => self.build_tokens(r, one(t), from),
            G::Any(ts) => self.build_tokens(r, ts.iter().fold(0, |s, t| s | one(*t)), from),
            G::R(callee) => self.build_call(r, callee, 0, from),
            G::P(callee, p) => self.build_call(r, callee, p, from),
            G::Min(level) => {
                let to = self.state(r, StateKind::Basic);
                self.edge(from, Edge::Precedence(level, to));
                (Part::Precedence, to)
            }
            G::Seq(parts) => {
                let mut at = from;
                let mut out = Vec::new();
                for p in parts {
                    let part;
                    (part, at) = self.build(r, p, at);
                    out.push(part);
                }
                (Part::Sequence(out), at)
            }
            G::Alt(alternatives) => self.build_block(r, alternatives, true, from),
            G::Alt1(alternatives) => self.build_block(r, alternatives, false, from),
            G::Opt(body) => {
                let state = self.state(r, StateKind::Block);
                self.edge(from, Edge::To(state));
                let inner = self.state(r, StateKind::Basic);
                self.edge(state, Edge::To(inner));
                let (body, end) = self.build(r, *body, inner);
                let after = self.state(r, StateKind::BlockEnd);
                self.edge(end, Edge::To(after));
                self.edge(state, Edge::To(after));
                (Part::Optional { state, first: 0, body: Box::new(body) }, after)
            }
            G::Star(body) => self.build_star(r, *body, false, from),
            G::StarA(body) => self.build_star(r, *body, true, from),
            G::Plus(body) => self.build_plus(r, *body, false, from),
            G::PlusA(body) => self.build_plus(r, *body, true, from),
        }
    }

    fn build_tokens(&mut self, r: Rule, set: Set, from: usize) -> (Part, usize) {
        let state = self.state(r, StateKind::Basic);
        self.edge(from, Edge::To(state));
        let to = self.state(r, StateKind::Basic);
        self.edge(state, Edge::Tokens(set, to));
        (Part::Tokens { state, set }, to)
    }

    fn build_call(&mut self, r: Rule, callee: Rule, precedence: u8, from: usize) -> (Part, usize) {
        let state = self.state(r, StateKind::Basic);
        self.edge(from, Edge::To(state));
        let follow = self.state(r, StateKind::Basic);
        self.edge(state, Edge::Call { rule: callee, follow });
        (Part::Call { state, rule: callee, precedence }, follow)
    }

    fn build_block(&mut self, r: Rule, alternatives: Vec<G>, adaptive: bool, from: usize) -> (Part, usize) {
        let state = self.state(r, StateKind::Block);
        self.edge(from, Edge::To(state));
        let after = self.state(r, StateKind::BlockEnd);
        let mut parts = Vec::new();
        for a in alternatives {
            let start = self.state(r, StateKind::Basic);
            self.edge(state, Edge::To(start));
            let (part, end) = self.build(r, a, start);
            self.edge(end, Edge::To(after));
            parts.push(part);
        }
        (Part::Block { state, adaptive, alternatives: parts }, after)
    }

    fn build_star(&mut self, r: Rule, body: G, adaptive: bool, from: usize) -> (Part, usize) {
        let entry = self.state(r, StateKind::LoopEntry);
        let back = self.state(r, StateKind::LoopBack);
        let start = self.state(r, StateKind::Basic);
        let after = self.state(r, StateKind::Basic);
        self.edge(from, Edge::To(entry));
        self.edge(entry, Edge::To(start));
        self.edge(entry, Edge::To(after));
        let (body, end) = self.build(r, body, start);
        self.edge(end, Edge::To(back));
        self.edge(back, Edge::To(entry));
        (Part::Star { entry, back, adaptive, first: 0, body: Box::new(body) }, after)
    }

    fn build_plus(&mut self, r: Rule, body: G, adaptive: bool, from: usize) -> (Part, usize) {
        let start = self.state(r, StateKind::Block);
        let back = self.state(r, StateKind::LoopBack);
        let after = self.state(r, StateKind::Basic);
        self.edge(from, Edge::To(start));
        let (body, end) = self.build(r, body, start);
        self.edge(end, Edge::To(back));
        self.edge(back, Edge::To(start));
        self.edge(back, Edge::To(after));
        (Part::Plus { start, back, adaptive, first: 0, body: Box::new(body) }, after)
    }

    /// The tokens that can come at a state within its rule; [`EPSILON`] if the rule can end there.
    fn look(&self, state: usize, seen: &mut Vec<bool>) -> Set {
        if std::mem::replace(&mut seen[state], true) {
            return 0;
        }
        if self.states[state].kind == StateKind::Stop {
            return EPSILON;
        }
        let mut out = 0;
        for e in &self.states[state].edges {
            out |= match e {
                Edge::To(to) | Edge::Precedence(_, to) => self.look(*to, seen),
                Edge::Tokens(set, _) => *set,
                Edge::Call { rule, follow } => {
                    // No rule of this grammar but those made of options matches nothing.
                    let inner = self.look(self.starts[*rule as usize], &mut vec![false; self.states.len()]);
                    if inner & EPSILON != 0 { (inner & !EPSILON) | self.look(*follow, seen) } else { inner }
                }
            };
        }
        out
    }

    /// What can come next at a state within its rule.
    pub(super) fn next(&self, state: usize) -> Set {
        self.next[state]
    }

    /// Fills in the tokens that start optional parts.
    fn set_firsts(&self, part: &mut Part) {
        match part {
            Part::Tokens { .. } | Part::Call { .. } | Part::Precedence => {}
            Part::Sequence(parts) | Part::Block { alternatives: parts, .. } => {
                parts.iter_mut().for_each(|p| self.set_firsts(p));
            }
            Part::Optional { first, body, .. }
            | Part::Star { first, body, .. }
            | Part::Plus { first, body, .. } => {
                *first = self.first_of(body);
                self.set_firsts(body);
            }
        }
    }

    fn first_of(&self, part: &Part) -> Set {
        match part {
            Part::Tokens { set, .. } => *set,
            Part::Call { rule, .. } => self.next(self.starts[*rule as usize]),
            Part::Precedence => 0,
            // No body starts with something optional but a mark, which starts its own rule.
            Part::Sequence(parts) => {
                parts.iter().find(|p| !matches!(p, Part::Precedence)).map_or(0, |p| self.first_of(p))
            }
            Part::Block { alternatives, .. } => alternatives.iter().fold(0, |s, a| s | self.first_of(a)),
            Part::Optional { body, .. } | Part::Star { body, .. } | Part::Plus { body, .. } => {
                self.first_of(body)
            }
        }
    }
}
