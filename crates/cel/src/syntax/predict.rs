//! Which alternative to take, by as many tokens as that needs.
//!
//! The first pass knows nothing of the rules that are being parsed and follows a finished rule everywhere;
//! where that leaves a conflict, a second pass starts from the actual rules.

use std::collections::{HashMap, HashSet};

use super::grammar::{Edge, GRAMMAR, StateKind, one};
use crate::lexer::{T, Token};

/// No alternative fits: where the offending token is.
pub(super) struct NoViable {
    pub(super) offending: usize,
}

/// Configurations of one prediction. Upstream has no such limit; its sets stay far below.
const CONFIGS_MAX: usize = 20_000;
/// Tokens to look ahead.
const LOOKAHEAD_MAX: usize = 5_000;

/// Stacks of return states as linked lists in a table; equal stacks have one id.
struct Stacks {
    nodes: Vec<(usize, usize)>,
    ids: HashMap<(usize, usize), usize>,
}

/// The bottom of every stack.
const BOTTOM: usize = 0;

impl Stacks {
    fn new() -> Self {
        Self { nodes: vec![(usize::MAX, BOTTOM)], ids: HashMap::new() }
    }

    fn push(&mut self, state: usize, parent: usize) -> usize {
        *self.ids.entry((state, parent)).or_insert_with(|| {
            self.nodes.push((state, parent));
            self.nodes.len() - 1
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Config {
    state: usize,
    alternative: usize,
    stack: usize,
    /// Whether it left the rule of the decision.
    outer: bool,
}

struct Simulation {
    stacks: Stacks,
    full: bool,
    /// The stack at the decision.
    bottom: usize,
    /// The precedence of the rule that decides, for predicates met before anything else.
    precedence: u8,
}

impl Simulation {
    fn close(&mut self, from: Config, initial: bool, out: &mut Vec<Config>, seen: &mut HashSet<Config>) {
        let mut work = vec![(from, initial)];
        while let Some((c, initial)) = work.pop() {
            if seen.len() > CONFIGS_MAX || !seen.insert(c) {
                continue;
            }
            let state = &GRAMMAR.states[c.state];
            if state.kind == StateKind::Stop {
                if c.stack != BOTTOM {
                    let (state, stack) = self.stacks.nodes[c.stack];
                    let outer = c.outer || c.stack == self.bottom;
                    work.push((Config { state, stack, outer, ..c }, false));
                } else if self.full {
                    out.push(c);
                } else {
                    let follows = &GRAMMAR.follows[state.rule as usize];
                    if follows.is_empty() {
                        out.push(c);
                    }
                    for &follow in follows.iter().rev() {
                        work.push((Config { state: follow, outer: true, ..c }, false));
                    }
                }
                continue;
            }
            let mut consumes = false;
            for e in state.edges.iter().rev() {
                match *e {
                    Edge::To(to) => work.push((Config { state: to, ..c }, initial)),
                    Edge::Precedence(level, to) => {
                        if !initial || level >= self.precedence {
                            work.push((Config { state: to, ..c }, initial));
                        }
                    }
                    Edge::Call { rule, follow } => {
                        let stack = self.stacks.push(follow, c.stack);
                        work.push((Config { state: GRAMMAR.starts[rule as usize], stack, ..c }, false));
                    }
                    Edge::Tokens(..) => consumes = true,
                }
            }
            if consumes {
                out.push(c);
            }
        }
    }

    fn run(&mut self, decision: usize, outer: usize, tokens: &[Token], start: usize) -> Outcome {
        let mut configs = Vec::new();
        let mut seen = HashSet::new();
        for (i, e) in GRAMMAR.states[decision].edges.iter().enumerate() {
            if let Edge::To(to) = *e {
                let c = Config { state: to, alternative: i + 1, stack: outer, outer: false };
                self.close(c, true, &mut configs, &mut seen);
            }
        }
        let mut at = start;
        loop {
            let token = tokens[at.min(tokens.len() - 1)];
            let mut reach = Vec::new();
            let mut seen = HashSet::new();
            for c in &configs {
                for e in &GRAMMAR.states[c.state].edges {
                    if let Edge::Tokens(set, to) = *e
                        && set & one(token.kind) != 0
                    {
                        self.close(Config { state: to, ..*c }, false, &mut reach, &mut seen);
                    }
                }
            }
            if reach.is_empty() {
                let finished = configs
                    .iter()
                    .filter(|c| {
                        c.outer || GRAMMAR.states[c.state].kind == StateKind::Stop && c.stack == BOTTOM
                    })
                    .map(|c| c.alternative)
                    .min();
                return finished.map_or(Outcome::Error(NoViable { offending: at }), Outcome::Take);
            }
            let first = reach[0].alternative;
            if reach.iter().all(|c| c.alternative == first) {
                return Outcome::Take(first);
            }
            let smallest = reach.iter().map(|c| c.alternative).min().unwrap_or(first);
            if token.kind == T::Eof || at - start > LOOKAHEAD_MAX || reach.len() > CONFIGS_MAX {
                return Outcome::Take(smallest);
            }
            if self.full {
                if let Some(a) = single_viable(&reach) {
                    return Outcome::Take(a);
                }
            } else if conflicts(&reach) {
                return Outcome::Conflict;
            }
            configs = reach;
            at += 1;
        }
    }
}

enum Outcome {
    Take(usize),
    Conflict,
    Error(NoViable),
}

fn groups(configs: &[Config]) -> HashMap<(usize, usize), u64> {
    let mut out: HashMap<(usize, usize), u64> = HashMap::new();
    for c in configs {
        *out.entry((c.state, c.stack)).or_default() |= 1 << c.alternative;
    }
    out
}

/// Whether more tokens cannot be hoped to decide.
fn conflicts(configs: &[Config]) -> bool {
    if groups(configs).values().all(|a| a.count_ones() < 2) {
        return false;
    }
    let mut by_state: HashMap<usize, u64> = HashMap::new();
    for c in configs {
        *by_state.entry(c.state).or_default() |= 1 << c.alternative;
    }
    by_state.values().all(|a| a.count_ones() > 1)
}

/// The one alternative that all groups of equal configurations resolve to.
fn single_viable(configs: &[Config]) -> Option<usize> {
    let mut smallest = groups(configs).into_values().map(|a| a.trailing_zeros());
    let first = smallest.next()?;
    smallest.all(|s| s == first).then_some(first as usize)
}

/// The alternative to take at `decision`, from 1.
///
/// `calls` are the states after the calls that are being parsed, outermost first.
///
/// # Errors
/// None fits.
pub(super) fn predict(
    decision: usize,
    precedence: u8,
    calls: &[usize],
    tokens: &[Token],
    at: usize,
) -> Result<usize, NoViable> {
    let mut first = Simulation { stacks: Stacks::new(), full: false, bottom: BOTTOM, precedence };
    match first.run(decision, BOTTOM, tokens, at) {
        Outcome::Take(a) => Ok(a),
        Outcome::Error(e) => Err(e),
        Outcome::Conflict => {
            let mut full = Simulation { stacks: Stacks::new(), full: true, bottom: BOTTOM, precedence };
            let outer = calls.iter().fold(BOTTOM, |stack, state| full.stacks.push(*state, stack));
            full.bottom = outer;
            match full.run(decision, outer, tokens, at) {
                Outcome::Take(a) => Ok(a),
                Outcome::Error(e) => Err(e),
                Outcome::Conflict => Ok(1),
            }
        }
    }
}
