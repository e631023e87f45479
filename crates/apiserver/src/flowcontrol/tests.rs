#![allow(clippy::unwrap_used)]

use super::config::Schema;
use super::dump::Detail;
use super::metrics::{Counters, Why};
use super::queueset::{QueueSet, Queueing, Work};
use super::*;
use crate::request::RequestInfo;
use auth::UserInfo;
use http::Method;
use std::collections::{BinaryHeap, HashMap};
use value::{Value, json};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

const MILLISECOND: u64 = 1_000_000;

/// When a request ends, its flow, its queue, its seats, and when it began. Sorted by when it ends.
type Running = (u64, usize, usize, u32, u64);

/// A level under a simulated clock: flows that always have `outstanding` requests there.
struct Simulation {
    set: QueueSet<usize>,
    limit: u32,
    in_use: u32,
    now: u64,
    running: BinaryHeap<std::cmp::Reverse<Running>>,
    done: HashMap<usize, u64>,
    next_id: u64,
}

#[derive(Clone, Copy)]
struct Flow {
    outstanding: usize,
    seats: u32,
    milliseconds: u64,
}

impl Simulation {
    fn new(queueing: Queueing, limit: u32) -> Self {
        Self {
            set: QueueSet::new(queueing, limit),
            limit,
            in_use: 0,
            now: 0,
            running: BinaryHeap::new(),
            done: HashMap::new(),
            next_id: 0,
        }
    }

    fn arrive(&mut self, flow: usize, seats: u32) -> bool {
        self.next_id += 1;
        let hash = Dice(flow as u64).below(u64::MAX);
        let full = self.in_use >= self.limit;
        self.set.enqueue(self.now, hash, self.next_id, Work::seats(seats), full, flow).is_ok()
    }

    fn dispatch(&mut self, flows: &[Flow]) {
        loop {
            let (limit, in_use) = (self.limit, &mut self.in_use);
            let next = self.set.dispatch(self.now, |seats| {
                let fits = *in_use + seats <= limit || *in_use == 0;
                if fits {
                    *in_use += seats;
                }
                fits
            });
            let Some(next) = next else { return };
            let ends = self.now + flows[next.payload].milliseconds * MILLISECOND;
            self.running.push(std::cmp::Reverse((ends, next.payload, next.queue, next.seats, self.now)));
        }
    }

    /// Lets the clock run until so many requests have ended.
    fn run(&mut self, flows: &[Flow], mut requests: usize) {
        for (i, flow) in flows.iter().enumerate() {
            for _ in 0..flow.outstanding {
                assert!(self.arrive(i, flow.seats));
            }
        }
        self.dispatch(flows);
        while requests > 0 {
            requests -= 1;
            let std::cmp::Reverse((ends, flow, queue, seats, began)) = self.running.pop().unwrap();
            self.now = ends;
            self.in_use -= seats;
            self.set.finish(self.now, queue, Work::seats(seats), seats, ends - began);
            *self.done.entry(flow).or_default() += 1;
            assert!(self.arrive(flow, flows[flow].seats));
            self.dispatch(flows);
            assert!(self.in_use <= self.limit.max(seats));
        }
    }

    /// Seat time that each flow was given, in milliseconds.
    fn given(&self, flows: &[Flow]) -> Vec<u64> {
        let given = |(i, f): (usize, &Flow)| {
            self.done.get(&i).copied().unwrap_or_default() * u64::from(f.seats) * f.milliseconds
        };
        flows.iter().enumerate().map(given).collect()
    }
}

fn assert_about_equal(given: &[u64]) {
    let (low, high) = (*given.iter().min().unwrap(), *given.iter().max().unwrap());
    assert!(high * 8 < low * 10, "{given:?}");
}

#[test]
fn flows_get_as_much_whatever_they_ask_for() {
    let queueing = Queueing { queues: 64, hand: 1, length_max: 1_000 };
    let flow = |outstanding, seats, milliseconds| Flow { outstanding, seats, milliseconds };
    let table: [(u32, &[Flow]); 5] = [
        (4, &[flow(50, 1, 10), flow(50, 1, 10)]),
        (4, &[flow(500, 1, 10), flow(8, 1, 10)]),
        (8, &[flow(50, 1, 10), flow(50, 1, 40)]),
        (8, &[flow(50, 1, 10), flow(50, 4, 10)]),
        (8, &[flow(200, 1, 5), flow(30, 1, 20), flow(60, 2, 10)]),
    ];
    for (limit, flows) in table {
        let mut simulation = Simulation::new(queueing, limit);
        simulation.run(flows, 4_000);
        assert_about_equal(&simulation.given(flows));
    }
}

#[test]
fn an_elephant_does_not_crowd_out_mice() {
    // The elephant has most queues full; mice with a hand of several queues find an empty one.
    let queueing = Queueing { queues: 64, hand: 6, length_max: 50 };
    let elephant = Flow { outstanding: 250, seats: 1, milliseconds: 100 };
    let mouse = Flow { outstanding: 1, seats: 1, milliseconds: 100 };
    let flows = [elephant, mouse, mouse, mouse];
    let mut simulation = Simulation::new(queueing, 10);
    simulation.run(&flows, 2_000);
    // A mouse with one request at a time cannot use more than a seat, and waits for one at most a round.
    let given = simulation.given(&flows);
    let seats = simulation.now / MILLISECOND;
    assert!(given[1..].iter().all(|mouse| *mouse * 2 > seats), "{given:?} in {seats}");
}

#[test]
fn nothing_is_lost_whatever_happens() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let limit = 1 + dice.below(8) as u32;
        let queueing = Queueing {
            queues: 1 + dice.below(8) as usize,
            hand: 1 + dice.below(4) as usize,
            length_max: 1 + dice.below(6) as usize,
        };
        let mut set: QueueSet<u64> = QueueSet::new(queueing, limit);
        let (mut now, mut in_use, mut waiting) = (0, 0_u32, Vec::new());
        let mut running: Vec<(usize, Work, u32, u64)> = Vec::new();
        let (mut entered, mut left) = (0_u64, 0_u64);
        for id in 0..2_000_u64 {
            now += dice.below(5) * MILLISECOND;
            match dice.below(10) {
                0..=4 => {
                    let work = Work {
                        initial: 1 + dice.below(3) as u32,
                        last: dice.below(5) as u32,
                        last_nanoseconds: dice.below(5) * MILLISECOND,
                    };
                    if set.enqueue(now, dice.below(20), id, work, in_use >= limit, id).is_ok() {
                        entered += 1;
                        waiting.push(id);
                    }
                }
                5 if !waiting.is_empty() => {
                    let id = waiting.swap_remove(dice.below(waiting.len() as u64) as usize);
                    assert!(set.cancel(now, id));
                    assert!(!set.cancel(now, id));
                    left += 1;
                }
                6 => {
                    let queues = 1 + dice.below(8) as usize;
                    set.configure(now, Queueing { queues, ..queueing }, limit);
                }
                _ if !running.is_empty() => {
                    let (queue, work, seats, began) =
                        running.swap_remove(dice.below(running.len() as u64) as usize);
                    in_use -= seats;
                    set.finish(now, queue, work, seats, now - began);
                    left += 1;
                }
                _ => {}
            }
            while let Some(next) = set.dispatch(now, |seats| in_use + seats <= limit || in_use == 0) {
                in_use += next.seats;
                waiting.retain(|id| *id != next.id);
                assert_eq!(next.payload, next.id);
                running.push((next.queue, next.work, next.seats, now));
                if in_use >= limit {
                    break;
                }
            }
            assert_eq!(set.waiting(), waiting.len());
        }
        while let Some((queue, work, seats, began)) = running.pop() {
            in_use -= seats;
            set.finish(now, queue, work, seats, now - began);
            left += 1;
            while let Some(next) = set.dispatch(now, |seats| in_use + seats <= limit || in_use == 0) {
                in_use += next.seats;
                running.push((next.queue, next.work, next.seats, now));
            }
        }
        assert_eq!((set.waiting(), set.seats_waiting(), entered), (0, 0, left), "seed {seed}");
    }
}

fn level_object(name: &str, shares: u32, queues: Option<u32>) -> Value {
    let response = match queues {
        None => r#"{"type":"Reject"}"#.to_owned(),
        Some(n) => {
            format!(r#"{{"type":"Queue","queuing":{{"queues":{n},"handSize":1,"queueLengthLimit":2}}}}"#)
        }
    };
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","uid":"uid-{name}"}},"spec":{{"type":"Limited","limited":{{"nominalConcurrencyShares":{shares},"lendablePercent":0,"limitResponse":{response}}}}}}}"#
    );
    json::parse(text.as_bytes()).unwrap()
}

fn schema_object(name: &str, level: &str, precedence: u32, rules: &str) -> Value {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","uid":"uid-{name}"}},"spec":{{"priorityLevelConfiguration":{{"name":"{level}"}},"matchingPrecedence":{precedence},"distinguisherMethod":{{"type":"ByUser"}},"rules":[{rules}]}}}}"#
    );
    json::parse(text.as_bytes()).unwrap()
}

fn find(flow: &FlowControl, user: &UserInfo, method: &Method, path: &str) -> Arc<Schema> {
    let info = RequestInfo::parse(method, path, false, None);
    let current = flow.current.load();
    let found = current.schemas.iter().find(|s| s.matches(user, &info, path));
    found.or(current.schemas.last()).unwrap().clone()
}

#[test]
fn requests_find_their_schema() {
    const NODES: &str = r#"{"subjects":[{"kind":"Group","group":{"name":"system:nodes"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["","coordination.k8s.io"],"resources":["nodes","pods/status","leases"],"clusterScope":true,"namespaces":["*"]}]}"#;
    const ACCOUNTS: &str = r#"{"subjects":[{"kind":"ServiceAccount","serviceAccount":{"namespace":"kube-system","name":"*"}},{"kind":"ServiceAccount","serviceAccount":{"namespace":"default","name":"a"}}],"resourceRules":[{"verbs":["get","list"],"apiGroups":["*"],"resources":["*"],"namespaces":["x"]}]}"#;
    const PROBES: &str = r#"{"subjects":[{"kind":"User","user":{"name":"*"}}],"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/healthz","/livez/*"]}]}"#;
    let flow = FlowControl::new(600);
    let schemas = [
        schema_object("probes", "low", 2, PROBES),
        schema_object("accounts", "low", 900, ACCOUNTS),
        schema_object("nodes", "low", 500, NODES),
        schema_object("dangling", "nowhere", 1, PROBES),
    ];
    flow.digest(&[level_object("low", 10, Some(4))], &schemas);
    let names: Vec<String> = flow.current.load().schemas.iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["exempt", "probes", "nodes", "accounts", "catch-all"]);
    let admin = UserInfo::new("admin", &["system:masters", "system:authenticated"]);
    let node = UserInfo::new("system:node:n", &["system:nodes", "system:authenticated"]);
    let account = |namespace, name| {
        let mut user = UserInfo::service_account(namespace, name, "");
        user.groups.push("system:authenticated".into());
        user
    };
    let table = [
        (&admin, "GET", "/healthz", "exempt"),
        (&node, "GET", "/healthz", "probes"),
        (&node, "POST", "/healthz", "catch-all"),
        (&node, "GET", "/livez/ping", "probes"),
        (&node, "GET", "/livezz", "catch-all"),
        (&node, "GET", "/api/v1/nodes/n", "nodes"),
        (&node, "PATCH", "/api/v1/namespaces/x/pods/p/status", "nodes"),
        (&node, "GET", "/api/v1/namespaces/x/pods/p", "catch-all"),
        (&node, "PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/l", "nodes"),
        (&account("kube-system", "z"), "GET", "/apis/apps/v1/namespaces/x/deployments", "accounts"),
        (&account("kube-system", "z"), "GET", "/apis/apps/v1/namespaces/y/deployments", "catch-all"),
        (&account("kube-system", "z"), "GET", "/apis/apps/v1/deployments", "catch-all"),
        (&account("kube-system", "z"), "DELETE", "/apis/apps/v1/namespaces/x/deployments/d", "catch-all"),
        (&account("default", "a"), "GET", "/api/v1/namespaces/x/pods/p", "accounts"),
        (&account("default", "ab"), "GET", "/api/v1/namespaces/x/pods/p", "catch-all"),
        (&UserInfo::new("nobody", &[]), "GET", "/api/v1/nodes", "catch-all"),
    ];
    for (user, method, path, want) in table {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(find(&flow, user, &method, path).name, want, "{} {path}", user.name);
    }
    let schema = find(&flow, &node, &Method::GET, "/api/v1/nodes/n");
    assert_eq!(schema.hash("a"), schema.hash("a"));
    assert_ne!(schema.hash("a"), schema.hash("b"));
}

#[test]
fn levels_keep_their_seats_when_objects_change() {
    let flow = FlowControl::new(600);
    let level = |name: &str| {
        let current = flow.current.load();
        current.levels.iter().find(|l| l.name() == name).unwrap().clone()
    };
    assert_eq!(level("catch-all").limit(), 600);
    flow.digest(&[level_object("a", 30, Some(8)), level_object("b", 10, None)], &[]);
    // 30, 10 and catch-all's 5 of 45 shares.
    assert_eq!((level("a").limit(), level("b").limit()), (400, 134));
    let a = level("a");
    assert!(a.try_enter(3));
    flow.digest(&[level_object("a", 30, Some(2))], &[]);
    assert_eq!(level("a").in_use(), 3);
    assert!(Arc::ptr_eq(&a, &level("a")));
    flow.borrow(Duration::from_secs(10));
    let current = flow.current.load();
    let limited: u32 = current.levels.iter().filter(|l| l.name() != "exempt").map(|l| l.limit()).sum();
    assert!((599..=601).contains(&limited), "{limited}");
}

struct Crowd {
    level: Arc<Level>,
    counters: Arc<Counters>,
}

impl Crowd {
    /// A level of two seats.
    fn new(queues: Option<u32>) -> Self {
        let flow = FlowControl::new(2);
        flow.digest(&[level_object("a", 1_000, queues)], &[]);
        let level = flow.current.load().levels.iter().find(|l| l.name() == "a").unwrap().clone();
        level.set_limit(2, None);
        Self { level, counters: Arc::default() }
    }

    fn enter(&self) -> Option<level::Seat> {
        let entered = self.level.try_enter(1);
        entered.then(|| level::Seat::free(self.level.clone(), Work::seats(1), Instant::now()))
    }

    async fn wait(&self, work: Work, patience: Duration) -> Result<level::Seat, Why> {
        self.level.clone().wait(7, work, Detail::default(), &self.counters, patience).await
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_level_without_queues_refuses() {
    let crowd = Crowd::new(None);
    let (first, second) = (crowd.enter().unwrap(), crowd.enter().unwrap());
    assert!(crowd.enter().is_none());
    assert_eq!(crowd.wait(Work::seats(1), LONG).await.err(), Some(Why::ConcurrencyLimit));
    drop(first);
    let third = crowd.wait(Work::seats(1), LONG).await.unwrap();
    assert_eq!(crowd.level.in_use(), 2);
    drop((second, third));
    assert_eq!(crowd.level.in_use(), 0);
}

#[tokio::test]
async fn who_waits_gets_the_next_seat() {
    let crowd = Arc::new(Crowd::new(Some(1)));
    let first = crowd.enter().unwrap();
    let second = crowd.enter().unwrap();
    let task = |work: Work| {
        let crowd = crowd.clone();
        tokio::spawn(async move { crowd.wait(work, LONG).await.map(|seat| seat.seats()) })
    };
    let wide = task(Work::seats(2));
    while crowd.level.state().waiting < 1 {
        tokio::task::yield_now().await;
    }
    assert!(crowd.enter().is_none());
    drop(first);
    // One free seat is not enough for the wide one, and nobody passes it.
    assert!(crowd.enter().is_none());
    assert_eq!(crowd.level.state().waiting, 1);
    drop(second);
    assert_eq!(wide.await.unwrap().ok(), Some(2));
    assert_eq!((crowd.level.in_use(), crowd.level.state().waiting), (0, 0));
    assert!(crowd.enter().is_some());
}

#[tokio::test]
async fn queues_fill_and_patience_ends() {
    let crowd = Arc::new(Crowd::new(Some(1)));
    let seats = (crowd.enter().unwrap(), crowd.enter().unwrap());
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let crowd = crowd.clone();
            tokio::spawn(async move { crowd.wait(Work::seats(1), LONG).await.is_ok() })
        })
        .collect();
    while crowd.level.state().waiting < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(crowd.wait(Work::seats(1), LONG).await.err(), Some(Why::QueueFull));
    // A client that goes away leaves its place to another.
    waiting[0].abort();
    while crowd.level.state().waiting > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(crowd.wait(Work::seats(1), Duration::ZERO).await.err(), Some(Why::TimeOut));
    drop(seats);
    let mut left = waiting;
    assert!(left.pop().unwrap().await.unwrap());
    let state = crowd.level.state();
    assert_eq!((state.rejected, state.timed_out, state.cancelled, state.dispatched), (2, 1, 1, 3));
    assert_eq!((state.running, crowd.level.in_use()), (0, 0));
}

#[tokio::test]
async fn lingering_seats_come_back() {
    let crowd = Crowd::new(Some(1));
    let work = Work { initial: 1, last: 2, last_nanoseconds: 1_000 };
    assert!(crowd.level.try_enter(2));
    drop(level::Seat::free(crowd.level.clone(), work, Instant::now()));
    // Whoever comes next waits until the events of the one before are through.
    let seat = crowd.wait(Work::seats(2), LONG).await.unwrap();
    assert_eq!(crowd.level.in_use(), 2);
    drop(seat);
    assert_eq!(crowd.level.in_use(), 0);
}
