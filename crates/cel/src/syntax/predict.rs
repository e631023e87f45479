//! Which alternative to take, by as many tokens as that needs.
//!
//! The first pass knows nothing of the rules that are being parsed and follows a finished rule everywhere;
//! where that leaves a conflict, a second pass starts from the actual rules.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

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
/// Configurations that are remembered, of eight bytes each.
const KEPT_MAX: usize = 1 << 17;

/// Hashes small numbers that nobody outside chooses.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64((*b).into()));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

type Fast = BuildHasherDefault<Mix>;

/// Stacks of return states as linked lists in a table; equal stacks have one id.
struct Stacks {
    nodes: Vec<(u32, u32)>,
    ids: HashMap<u64, u32, Fast>,
}

/// The bottom of every stack.
const BOTTOM: u32 = 0;

impl Stacks {
    fn new() -> Self {
        Self { nodes: vec![(u32::MAX, BOTTOM)], ids: HashMap::default() }
    }

    fn push(&mut self, state: usize, parent: u32) -> u32 {
        let state = state as u32;
        *self.ids.entry(u64::from(state) << 32 | u64::from(parent)).or_insert_with(|| {
            self.nodes.push((state, parent));
            (self.nodes.len() - 1) as u32
        })
    }
}

/// A place in the grammar that the tokens so far can lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Config {
    state: u16,
    alternative: u8,
    /// Whether it left the rule of the decision.
    outer: bool,
    stack: u32,
}

impl std::hash::Hash for Config {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let place = u64::from(self.state) << 16 | u64::from(self.alternative) << 1 | u64::from(self.outer);
        hasher.write_u64(place << 32 | u64::from(self.stack));
    }
}

struct Simulation {
    stacks: Stacks,
    full: bool,
    /// The stack at the decision.
    bottom: u32,
    seen: HashSet<Config, Fast>,
    work: Vec<(Config, bool)>,
}

impl Simulation {
    fn new(full: bool) -> Self {
        let (seen, work) = (HashSet::default(), Vec::new());
        Self { stacks: Stacks::new(), full, bottom: BOTTOM, seen, work }
    }

    /// What can be reached from a configuration without a token. `initial` is the precedence of the rule that
    /// decides, for predicates met before anything else.
    fn close(&mut self, from: Config, initial: Option<u8>, out: &mut Vec<Config>) {
        self.work.push((from, initial.is_some()));
        while let Some((c, is_initial)) = self.work.pop() {
            if self.seen.len() > CONFIGS_MAX || !self.seen.insert(c) {
                continue;
            }
            let to = |state: usize| Config { state: state as u16, ..c };
            let state = &GRAMMAR.states[usize::from(c.state)];
            if state.kind == StateKind::Stop {
                if c.stack != BOTTOM {
                    let (state, stack) = self.stacks.nodes[c.stack as usize];
                    let outer = c.outer || c.stack == self.bottom;
                    self.work.push((Config { stack, outer, ..to(state as usize) }, false));
                } else if self.full {
                    out.push(c);
                } else {
                    let follows = &GRAMMAR.follows[state.rule as usize];
                    if follows.is_empty() {
                        out.push(c);
                    }
                    for &follow in follows.iter().rev() {
                        self.work.push((Config { outer: true, ..to(follow) }, false));
                    }
                }
                continue;
            }
            let mut consumes = false;
            for e in state.edges.iter().rev() {
                match *e {
                    Edge::To(state) => self.work.push((to(state), is_initial)),
                    Edge::Precedence(level, state) => {
                        if !is_initial || initial.is_none_or(|precedence| level >= precedence) {
                            self.work.push((to(state), is_initial));
                        }
                    }
                    Edge::Call { rule, follow } => {
                        let stack = self.stacks.push(follow, c.stack);
                        self.work.push((Config { stack, ..to(GRAMMAR.starts[rule as usize]) }, false));
                    }
                    Edge::Tokens(..) => consumes = true,
                }
            }
            if consumes {
                out.push(c);
            }
        }
    }

    /// The configurations of a decision before any token.
    fn start(&mut self, decision: usize, precedence: u8, stack: u32) -> Vec<Config> {
        self.seen.clear();
        let mut configs = Vec::new();
        for (i, e) in GRAMMAR.states[decision].edges.iter().enumerate() {
            if let Edge::To(to) = *e {
                let c = Config { state: to as u16, alternative: i as u8 + 1, stack, outer: false };
                self.close(c, Some(precedence), &mut configs);
            }
        }
        configs
    }

    /// Those after one more token.
    fn reach(&mut self, configs: &[Config], token: T) -> Vec<Config> {
        self.seen.clear();
        let mut reach = Vec::new();
        for c in configs {
            for e in &GRAMMAR.states[usize::from(c.state)].edges {
                if let Edge::Tokens(set, to) = *e
                    && set & one(token) != 0
                {
                    self.close(Config { state: to as u16, ..*c }, None, &mut reach);
                }
            }
        }
        reach
    }

    /// The second pass: nothing is remembered, as every place has its own rules around it.
    fn run(&mut self, decision: usize, precedence: u8, tokens: &[Token], start: usize) -> Outcome {
        let mut configs = self.start(decision, precedence, self.bottom);
        let mut at = start;
        loop {
            let token = tokens[at.min(tokens.len() - 1)];
            let reach = self.reach(&configs, token.kind);
            if reach.is_empty() {
                return finished(&configs, at);
            }
            if let Some(a) = only(&reach) {
                return Outcome::Take(a);
            }
            if token.kind == T::Eof || at - start > LOOKAHEAD_MAX || reach.len() > CONFIGS_MAX {
                return Outcome::Take(smallest(&reach));
            }
            if let Some(a) = single_viable(&reach) {
                return Outcome::Take(a);
            }
            configs = reach;
            at += 1;
        }
    }
}

/// What no further token fits: the first alternative that is complete.
fn finished(configs: &[Config], at: usize) -> Outcome {
    let is_stop = |c: &Config| GRAMMAR.states[usize::from(c.state)].kind == StateKind::Stop;
    let complete = configs.iter().filter(|c| c.outer || is_stop(c) && c.stack == BOTTOM);
    let first = complete.map(|c| usize::from(c.alternative)).min();
    first.map_or(Outcome::Error(NoViable { offending: at }), Outcome::Take)
}

/// The alternative that all configurations are of, if it is one.
fn only(configs: &[Config]) -> Option<usize> {
    let first = configs.first()?.alternative;
    configs.iter().all(|c| c.alternative == first).then_some(first.into())
}

fn smallest(configs: &[Config]) -> usize {
    configs.iter().map(|c| usize::from(c.alternative)).min().unwrap_or(1)
}

enum Outcome {
    Take(usize),
    Conflict,
    Error(NoViable),
}

fn groups(configs: &[Config]) -> HashMap<u64, u64, Fast> {
    let mut out: HashMap<u64, u64, Fast> = HashMap::default();
    for c in configs {
        *out.entry(u64::from(c.state) << 32 | u64::from(c.stack)).or_default() |= 1 << c.alternative;
    }
    out
}

/// Whether more tokens cannot be hoped to decide.
fn conflicts(configs: &[Config]) -> bool {
    if groups(configs).values().all(|a| a.count_ones() < 2) {
        return false;
    }
    let mut by_state: HashMap<u64, u64, Fast> = HashMap::default();
    for c in configs {
        *by_state.entry(c.state.into()).or_default() |= 1 << c.alternative;
    }
    by_state.values().all(|a| a.count_ones() > 1)
}

/// The one alternative that all groups of equal configurations resolve to.
fn single_viable(configs: &[Config]) -> Option<usize> {
    let mut smallest = groups(configs).into_values().map(|a| a.trailing_zeros());
    let first = smallest.next()?;
    smallest.all(|s| s == first).then_some(first as usize)
}

/// Predicts, and remembers first passes: they depend on the decision and on the tokens alone, and texts
/// repeat themselves. Upstream's parser does the same.
pub(super) struct Predictor {
    first: Simulation,
    sets: Vec<Found>,
    ids: HashMap<Rc<[Config]>, u32, Fast>,
    /// The sets before any token, by decision and precedence.
    starts: HashMap<u64, u32, Fast>,
    /// What a token makes of a set.
    steps: HashMap<u64, Step, Fast>,
    kept: usize,
}

/// A set of configurations of several alternatives.
struct Found {
    configs: Rc<[Config]>,
    smallest: usize,
    conflicts: bool,
}

#[derive(Clone, Copy)]
enum Step {
    /// No configuration takes the token.
    Dead,
    /// All that do are of one alternative.
    Take(usize),
    To(u32),
}

impl Predictor {
    pub(super) fn new() -> Self {
        Self {
            first: Simulation::new(false),
            sets: Vec::new(),
            ids: HashMap::default(),
            starts: HashMap::default(),
            steps: HashMap::default(),
            kept: 0,
        }
    }

    /// The alternative to take at `decision`, from 1.
    ///
    /// `calls` are the states after the calls that are being parsed, outermost first.
    ///
    /// # Errors
    /// None fits.
    pub(super) fn predict(
        &mut self,
        decision: usize,
        precedence: u8,
        calls: impl Iterator<Item = usize>,
        tokens: &[Token],
        at: usize,
    ) -> Result<usize, NoViable> {
        let outcome = match self.run(decision, precedence, tokens, at) {
            Outcome::Conflict => {
                let mut full = Simulation::new(true);
                full.bottom = calls.fold(BOTTOM, |stack, state| full.stacks.push(state, stack));
                full.run(decision, precedence, tokens, at)
            }
            decided => decided,
        };
        match outcome {
            Outcome::Take(a) => Ok(a),
            Outcome::Error(e) => Err(e),
            Outcome::Conflict => Ok(1),
        }
    }

    /// The first pass.
    fn run(&mut self, decision: usize, precedence: u8, tokens: &[Token], start: usize) -> Outcome {
        if self.kept + self.first.stacks.nodes.len() > KEPT_MAX {
            *self = Self::new();
        }
        let key = (decision as u64) << 8 | u64::from(precedence);
        let mut set = match self.starts.get(&key) {
            Some(set) => *set,
            None => {
                let configs = self.first.start(decision, precedence, BOTTOM);
                let set = self.keep(configs);
                self.starts.insert(key, set);
                set
            }
        };
        let mut at = start;
        loop {
            let token = tokens[at.min(tokens.len() - 1)];
            match self.step(set, token.kind) {
                Step::Dead => return finished(&self.sets[set as usize].configs, at),
                Step::Take(a) => return Outcome::Take(a),
                Step::To(next) => {
                    let found = &self.sets[next as usize];
                    let is_far = at - start > LOOKAHEAD_MAX || found.configs.len() > CONFIGS_MAX;
                    if token.kind == T::Eof || is_far {
                        return Outcome::Take(found.smallest);
                    }
                    if found.conflicts {
                        return Outcome::Conflict;
                    }
                    set = if self.kept > KEPT_MAX { self.forget_all_but(next) } else { next };
                    at += 1;
                }
            }
        }
    }

    fn step(&mut self, set: u32, token: T) -> Step {
        let key = u64::from(set) << 8 | token as u64;
        if let Some(step) = self.steps.get(&key) {
            return *step;
        }
        let configs = self.sets[set as usize].configs.clone();
        let reach = self.first.reach(&configs, token);
        let step = match only(&reach) {
            _ if reach.is_empty() => Step::Dead,
            Some(a) => Step::Take(a),
            None => Step::To(self.keep(reach)),
        };
        self.steps.insert(key, step);
        step
    }

    /// The number of a set.
    fn keep(&mut self, configs: Vec<Config>) -> u32 {
        if let Some(set) = self.ids.get(configs.as_slice()) {
            return *set;
        }
        let set = self.sets.len() as u32;
        self.kept += configs.len();
        let configs: Rc<[Config]> = configs.into();
        self.ids.insert(configs.clone(), set);
        let (smallest, conflicts) = (smallest(&configs), conflicts(&configs));
        self.sets.push(Found { configs, smallest, conflicts });
        set
    }

    fn forget_all_but(&mut self, set: u32) -> u32 {
        let configs = self.sets[set as usize].configs.to_vec();
        self.sets.clear();
        self.ids.clear();
        self.starts.clear();
        self.steps.clear();
        self.kept = 0;
        self.keep(configs)
    }
}
