//! What the supervisor decides: pure, no clock, no process. Times are counted from the supervisor's start.
//!
//! ```text
//! Waiting ─ those before it were ready ─▶ Starting ─ ready ─▶ Ready
//!    ▲                                       │ ended            │ ended
//!    └──────────────── backoff ──────────────┴──────────────────┘
//! any ─ stop asked, those that need it ended ─▶ Stopping ─ ended ─▶ Ended
//! ```

use std::time::Duration;

/// The first pause before a restart; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// A cluster that heals itself is down no longer than this more.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Who was ready this long is a good process that met an accident: its pauses begin anew.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// Who ends this often before it was ever ready will not come up: `up` says so.
const STARTS_MAX: u32 = 3;
/// Time to end after SIGTERM before SIGKILL.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Something that is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Units (by place) that must have been ready once before this one starts.
    pub(crate) after: Vec<usize>,
    /// It is not ended with the supervisor.
    pub(crate) outlives: bool,
    /// It takes the signal to drain, and this long.
    pub(crate) drain: Option<Duration>,
}

/// Where a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// For its turn, or for the end of a pause.
    Waiting {
        /// Not before.
        until: Duration,
    },
    /// Runs, and has not said that it is ready.
    Starting,
    /// Does what it is for.
    Ready {
        /// When it said so.
        since: Duration,
    },
    /// Was asked to end.
    Stopping {
        /// When patience ends.
        until: Duration,
    },
    /// Is not run any more.
    Ended,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Everything runs.
    Run,
    /// Corten ends, containers run on.
    Stop,
    /// Pods are stopped first.
    Down,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing but time.
    Tick,
    /// A unit is ready.
    Ready(usize),
    /// A unit ended or could not be started.
    Ended(usize),
    /// Something else is wanted from now on.
    Goal(Goal),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start the unit.
    Start(usize),
    /// Ask it to end (SIGTERM).
    Terminate(usize),
    /// Ask it to stop what it runs, then to end.
    Drain(usize),
    /// End it (SIGKILL).
    Kill(usize),
    /// Say that it came up, and how long after its start.
    Up(usize, Duration),
    /// Say that all are up.
    AllUp,
    /// Say that it does not come up.
    GiveUp(usize),
    /// Everything ended as asked: leave.
    Leave,
}

#[derive(Debug)]
struct Member {
    unit: Unit,
    state: State,
    first_start: Option<Duration>,
    was_ready: bool,
    /// Since the last good run.
    starts: u32,
}

/// All units and what is wanted of them.
#[derive(Debug)]
pub(crate) struct Machine {
    members: Vec<Member>,
    goal: Goal,
    said_all_up: bool,
}

impl Machine {
    /// Nothing runs yet; [`Event::Tick`] starts it.
    pub(crate) fn new(units: Vec<Unit>) -> Self {
        let member = |unit| Member {
            unit,
            state: State::Waiting { until: Duration::ZERO },
            first_start: None,
            was_ready: false,
            starts: 0,
        };
        Self { members: units.into_iter().map(member).collect(), goal: Goal::Run, said_all_up: false }
    }

    /// Where a unit is.
    pub(crate) fn state(&self, unit: usize) -> State {
        self.members[unit].state
    }

    /// Times that a unit was started since its last good run.
    pub(crate) fn starts(&self, unit: usize) -> u32 {
        self.members[unit].starts
    }

    /// Whether everything came up once.
    pub(crate) fn is_up(&self) -> bool {
        self.said_all_up
    }

    /// When time alone changes something.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let of = |m: &Member| match m.state {
            State::Waiting { until } if self.goal == Goal::Run && self.may_start(m) => Some(until),
            State::Stopping { until } => Some(until),
            _ => None,
        };
        self.members.iter().filter_map(of).min()
    }

    /// Takes an event and says what is to be done.
    pub(crate) fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Ready(unit) => self.ready(now, unit, &mut actions),
            Event::Ended(unit) => self.ended(now, unit, &mut actions),
            // Who is asked to go on is not the one who was asked to end: a stop is final, a down may follow.
            Event::Goal(goal) if self.goal == Goal::Run || goal == Goal::Down => self.goal = goal,
            Event::Goal(_) => {}
        }
        if self.goal == Goal::Run {
            self.start(now, &mut actions)
        } else {
            self.stop(now, &mut actions)
        }
        actions
    }

    fn ready(&mut self, now: Duration, unit: usize, actions: &mut Vec<Action>) {
        let member = &mut self.members[unit];
        if member.state != State::Starting {
            return;
        }
        member.state = State::Ready { since: now };
        if !std::mem::replace(&mut member.was_ready, true) {
            actions.push(Action::Up(unit, now.saturating_sub(member.first_start.unwrap_or(now))));
        }
        if !self.said_all_up && self.members.iter().all(|m| m.was_ready) {
            self.said_all_up = true;
            actions.push(Action::AllUp);
        }
    }

    fn ended(&mut self, now: Duration, unit: usize, actions: &mut Vec<Action>) {
        let member = &mut self.members[unit];
        if self.goal != Goal::Run {
            member.state = State::Ended;
            return;
        }
        if matches!(member.state, State::Ready { since } if now.saturating_sub(since) >= GOOD_RUN) {
            member.starts = 1;
        }
        if !member.was_ready && member.starts >= STARTS_MAX {
            actions.push(Action::GiveUp(unit));
            self.goal = Goal::Stop;
            member.state = State::Ended;
            return;
        }
        let doublings = member.starts.saturating_sub(1).min(16);
        let pause = (BACKOFF_MIN * 2_u32.pow(doublings)).min(BACKOFF_MAX);
        member.state = State::Waiting { until: now + pause };
    }

    fn may_start(&self, member: &Member) -> bool {
        member.unit.after.iter().all(|before| self.members[*before].was_ready)
    }

    fn start(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for unit in 0..self.members.len() {
            let member = &self.members[unit];
            if !matches!(member.state, State::Waiting { until } if until <= now) || !self.may_start(member) {
                continue;
            }
            let member = &mut self.members[unit];
            member.state = State::Starting;
            member.first_start.get_or_insert(now);
            member.starts += 1;
            actions.push(Action::Start(unit));
        }
    }

    fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
        // Ending one may free the next, hence as many rounds as there are units.
        for _ in 0..self.members.len() {
            for unit in 0..self.members.len() {
                self.stop_one(now, unit, actions);
            }
        }
        if self.members.iter().all(|m| m.state == State::Ended) {
            actions.push(Action::Leave);
        }
    }

    fn stop_one(&mut self, now: Duration, unit: usize, actions: &mut Vec<Action>) {
        let needed = self.members.iter().any(|m| m.unit.after.contains(&unit) && m.state != State::Ended);
        let draining = self.goal == Goal::Down;
        let member = &mut self.members[unit];
        match member.state {
            State::Waiting { .. } => member.state = State::Ended,
            State::Starting | State::Ready { .. } if member.unit.outlives => member.state = State::Ended,
            State::Starting | State::Ready { .. } if !needed => {
                let drain = member.unit.drain.filter(|_| draining);
                member.state = State::Stopping { until: now + drain.unwrap_or(STOP_PATIENCE) };
                actions.push(if drain.is_some() { Action::Drain(unit) } else { Action::Terminate(unit) });
            }
            State::Stopping { until } if until <= now => {
                // Killing is repeated until it is heard to have ended.
                member.state = State::Stopping { until: now + STOP_PATIENCE };
                actions.push(Action::Kill(unit));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::fmt::Write;

    const CONTAINERD: usize = 0;
    const SERVER: usize = 1;
    const NODE: usize = 2;

    /// Plays events at times in milliseconds and writes down what was decided.
    fn check(events: &[(u64, Event)], expected: Expect) {
        let mut machine = Machine::new(vec![
            Unit { outlives: true, ..Unit::default() },
            Unit::default(),
            Unit { after: vec![CONTAINERD, SERVER], drain: Some(Duration::from_secs(90)), ..Unit::default() },
        ]);
        let mut text = String::new();
        for (time, event) in events {
            let actions = machine.step(Duration::from_millis(*time), *event);
            let next = machine.deadline().map(|d| d.as_millis());
            writeln!(text, "{time} {event:?} => {actions:?} next {next:?}").unwrap();
        }
        expected.assert_eq(&text);
    }

    const UP: [(u64, Event); 4] = [
        (0, Event::Tick),
        (400, Event::Ready(CONTAINERD)),
        (700, Event::Ready(SERVER)),
        (1_500, Event::Ready(NODE)),
    ];

    fn after_up(events: &[(u64, Event)]) -> Vec<(u64, Event)> {
        [&UP[..], events].concat()
    }

    #[test]
    fn those_that_need_nobody_start_together() {
        check(
            &UP,
            expect![[r#"
            0 Tick => [Start(0), Start(1)] next None
            400 Ready(0) => [Up(0, 400ms)] next None
            700 Ready(1) => [Up(1, 700ms), Start(2)] next None
            1500 Ready(2) => [Up(2, 800ms), AllUp] next None
        "#]],
        );
    }

    #[test]
    fn a_stop_ends_the_node_first_and_leaves_containerd() {
        check(
            &after_up(&[
                (2_000, Event::Goal(Goal::Stop)),
                (2_100, Event::Ended(NODE)),
                (2_200, Event::Ended(SERVER)),
            ]),
            expect![[r#"
            0 Tick => [Start(0), Start(1)] next None
            400 Ready(0) => [Up(0, 400ms)] next None
            700 Ready(1) => [Up(1, 700ms), Start(2)] next None
            1500 Ready(2) => [Up(2, 800ms), AllUp] next None
            2000 Goal(Stop) => [Terminate(2)] next Some(22000)
            2100 Ended(2) => [Terminate(1)] next Some(22100)
            2200 Ended(1) => [Leave] next None
        "#]],
        );
    }

    #[test]
    fn a_down_drains_the_node_and_kills_who_does_not_end() {
        check(
            &after_up(&[
                (2_000, Event::Goal(Goal::Down)),
                (3_000, Event::Goal(Goal::Stop)),
                (92_000, Event::Tick),
                (92_001, Event::Ended(NODE)),
                (92_002, Event::Ended(SERVER)),
            ]),
            expect![[r#"
                0 Tick => [Start(0), Start(1)] next None
                400 Ready(0) => [Up(0, 400ms)] next None
                700 Ready(1) => [Up(1, 700ms), Start(2)] next None
                1500 Ready(2) => [Up(2, 800ms), AllUp] next None
                2000 Goal(Down) => [Drain(2)] next Some(92000)
                3000 Goal(Stop) => [] next Some(92000)
                92000 Tick => [Kill(2)] next Some(112000)
                92001 Ended(2) => [Terminate(1)] next Some(112001)
                92002 Ended(1) => [Leave] next None
            "#]],
        );
    }

    #[test]
    fn who_ends_is_started_again_after_growing_pauses() {
        check(
            &after_up(&[
                (2_000, Event::Ended(SERVER)),
                (2_100, Event::Tick),
                (2_150, Event::Ended(SERVER)),
                (2_350, Event::Tick),
                (2_400, Event::Ready(SERVER)),
                (62_400, Event::Ended(SERVER)),
                (62_500, Event::Tick),
                (62_600, Event::Ready(SERVER)),
            ]),
            expect![[r#"
                0 Tick => [Start(0), Start(1)] next None
                400 Ready(0) => [Up(0, 400ms)] next None
                700 Ready(1) => [Up(1, 700ms), Start(2)] next None
                1500 Ready(2) => [Up(2, 800ms), AllUp] next None
                2000 Ended(1) => [] next Some(2100)
                2100 Tick => [Start(1)] next None
                2150 Ended(1) => [] next Some(2350)
                2350 Tick => [Start(1)] next None
                2400 Ready(1) => [] next None
                62400 Ended(1) => [] next Some(62500)
                62500 Tick => [Start(1)] next None
                62600 Ready(1) => [] next None
            "#]],
        );
    }

    #[test]
    fn who_never_comes_up_is_given_up() {
        check(
            &[
                (0, Event::Tick),
                (10, Event::Ended(SERVER)),
                (110, Event::Tick),
                (120, Event::Ended(SERVER)),
                (320, Event::Tick),
                (330, Event::Ended(SERVER)),
            ],
            expect![[r#"
                0 Tick => [Start(0), Start(1)] next None
                10 Ended(1) => [] next Some(110)
                110 Tick => [Start(1)] next None
                120 Ended(1) => [] next Some(320)
                320 Tick => [Start(1)] next None
                330 Ended(1) => [GiveUp(1), Leave] next None
            "#]],
        );
    }
}
