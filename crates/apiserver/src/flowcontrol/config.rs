//! From objects to what requests are sorted by.
//!
//! Upstream: `apf_controller.go` (`digestConfigObjects`) and `pkg/apis/flowcontrol/bootstrap`.

use super::level::Level;
use super::matching::Rule;
use super::metrics::Counters;
use super::queueset::Queueing;
use super::{Current, FlowControl, alloc};
use crate::request::RequestInfo;
use auth::UserInfo;
use http::HeaderValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use value::{Str, Value};

const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";

/// What becomes of a request that finds no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    Reject,
    Queue(Queueing),
}

impl Response {
    pub(super) const fn queueing(self) -> Queueing {
        match self {
            Self::Queue(queueing) => queueing,
            Self::Reject => Queueing { queues: 1, hand: 1, length_max: 0 },
        }
    }
}

/// A PriorityLevelConfiguration.
#[derive(Clone, Debug)]
pub(super) struct LevelSpec {
    pub(super) name: Str,
    pub(super) uid: HeaderValue,
    pub(super) exempt: bool,
    pub(super) response: Response,
    shares: u32,
    lendable_percent: u32,
    borrowing_percent: Option<u32>,
}

impl LevelSpec {
    /// `None` for an object that contradicts itself (validation lets none through).
    fn read(object: &Value) -> Option<Self> {
        let (spec, name) = (object.at("spec"), object.at("metadata").at("name").str());
        let exempt = spec.at("type").str() == "Exempt";
        if exempt != (name == EXEMPT) {
            return None;
        }
        let of = spec.at(if exempt { "exempt" } else { "limited" });
        let number = |v: &Value| v.as_i64().and_then(|n| u32::try_from(n).ok());
        let queuing = of.at("limitResponse").at("queuing");
        let response = match of.at("limitResponse").at("type").str() {
            "Queue" => {
                let size = |key: &str| usize::try_from(queuing.at(key).int()).unwrap_or(0).max(1);
                let (queues, hand) = (size("queues"), size("handSize"));
                Response::Queue(Queueing { queues, hand, length_max: size("queueLengthLimit") })
            }
            _ => Response::Reject,
        };
        Some(Self {
            name: name.into(),
            uid: uid(object),
            exempt,
            response,
            shares: number(of.at("nominalConcurrencyShares")).unwrap_or(0),
            lendable_percent: number(of.at("lendablePercent")).unwrap_or(0),
            borrowing_percent: number(of.at("borrowingLimitPercent")).filter(|_| !exempt),
        })
    }

    /// What upstream imagines where the object is missing.
    fn imagined(name: &'static str) -> Self {
        Self {
            name: Str::new_static(name),
            uid: HeaderValue::from_static(""),
            exempt: name == EXEMPT,
            response: Response::Reject,
            shares: if name == EXEMPT { 0 } else { 5 },
            lendable_percent: 0,
            borrowing_percent: None,
        }
    }
}

fn uid(object: &Value) -> HeaderValue {
    HeaderValue::from_str(object.at("metadata").at("uid").str())
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// By what requests of a schema are told apart into flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

/// A FlowSchema.
pub(super) struct Schema {
    pub(super) name: Str,
    pub(super) uid: HeaderValue,
    pub(super) level: Arc<Level>,
    pub(super) counters: Arc<Counters>,
    precedence: i64,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

impl Schema {
    fn read(object: &Value, level: Arc<Level>, counters: Arc<Counters>) -> Self {
        let spec = object.at("spec");
        Self {
            name: object.at("metadata").at("name").str().into(),
            uid: uid(object),
            level,
            counters,
            precedence: spec.at("matchingPrecedence").int(),
            distinguisher: match spec.at("distinguisherMethod").at("type").str() {
                "ByUser" => Distinguisher::User,
                "ByNamespace" => Distinguisher::Namespace,
                _ => Distinguisher::None,
            },
            rules: spec.at("rules").items().iter().map(Rule::read).collect(),
        }
    }

    pub(super) fn matches(&self, user: &UserInfo, info: &RequestInfo, path: &str) -> bool {
        self.rules.iter().any(|rule| rule.matches(user, info, path))
    }

    /// Which flow a request belongs to.
    pub(super) fn flow(&self, user: &UserInfo, info: &RequestInfo) -> Str {
        match self.distinguisher {
            Distinguisher::None => Str::default(),
            Distinguisher::User => user.name.clone(),
            Distinguisher::Namespace => info.namespace.clone(),
        }
    }

    /// The flow's hash, by which its queues are dealt.
    pub(super) fn hash(&self, flow: &str) -> u64 {
        let text = [self.name.as_bytes(), b"\0", flow.as_bytes()].concat();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
        digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl FlowControl {
    /// Takes over the objects.
    pub(super) fn digest(&self, levels: &[Value], schemas: &[Value]) {
        let old = self.current.load_full();
        let mut specs: Vec<LevelSpec> = levels.iter().filter_map(LevelSpec::read).collect();
        for name in [EXEMPT, CATCH_ALL] {
            if !specs.iter().any(|s| s.name == name) {
                specs.push(LevelSpec::imagined(name));
            }
        }
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        let sum: f64 = specs.iter().map(|s| f64::from(s.shares)).sum::<f64>().max(1.0);
        let mut levels: Vec<Arc<Level>> = Vec::with_capacity(specs.len());
        for spec in &specs {
            let known = old.levels.iter().find(|l| *l.name() == spec.name).cloned();
            let level = known.unwrap_or_else(|| Arc::new(Level::new(spec, self.began)));
            let nominal = (f64::from(self.seats) * f64::from(spec.shares) / sum).ceil() as u32;
            let percent = |p: u32| (f64::from(nominal) * f64::from(p) / 100.0).round() as u32;
            let low = nominal - percent(spec.lendable_percent).min(nominal);
            let high = nominal + spec.borrowing_percent.map_or(self.seats, percent);
            level.configure(spec, nominal, low, high);
            levels.push(level);
        }
        let schemas = self.schemas(&old, &levels, schemas);
        self.retry_after.lock().retain(|name| levels.iter().any(|l| l.name() == name));
        self.current.store(Arc::new(Current { schemas, levels }));
    }

    fn schemas(&self, old: &Current, levels: &[Arc<Level>], objects: &[Value]) -> Vec<Arc<Schema>> {
        let counted: HashMap<(&str, &str), &Arc<Counters>> =
            old.schemas.iter().map(|s| ((s.level.name().as_str(), s.name.as_str()), &s.counters)).collect();
        let counters = |level: &Level, name: &str| {
            counted.get(&(level.name().as_str(), name)).map(|c| Arc::clone(c)).unwrap_or_default()
        };
        let level = |name: &str| levels.iter().find(|l| l.name() == name).cloned();
        let read = |object: &Value| {
            let level = level(object.at("spec").at("priorityLevelConfiguration").at("name").str())?;
            let counters = counters(&level, object.at("metadata").at("name").str());
            Some(Arc::new(Schema::read(object, level, counters)))
        };
        let mut schemas: Vec<Arc<Schema>> = objects.iter().filter_map(read).collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let imagined = |name: &'static str, precedence, distinguisher, groups: &[&str]| {
            level(name).filter(|_| !schemas.iter().any(|s| s.name == name)).map(|level| {
                Arc::new(Schema {
                    name: Str::new_static(name),
                    uid: HeaderValue::from_static(""),
                    counters: counters(&level, name),
                    level,
                    precedence,
                    distinguisher,
                    rules: vec![Rule::everything_of(groups)],
                })
            })
        };
        let first = imagined(EXEMPT, 1, Distinguisher::None, &[auth::user::SYSTEM_MASTERS]);
        let everybody = [auth::user::UNAUTHENTICATED, auth::user::AUTHENTICATED];
        let last = imagined(CATCH_ALL, 10_000, Distinguisher::User, &everybody);
        first.into_iter().chain(schemas).chain(last).collect()
    }

    /// Shares the seats out anew, by what was wanted in the last `period`.
    pub(super) fn borrow(&self, period: Duration) {
        let current = self.current.load_full();
        let demands: Vec<alloc::Demand> = current.levels.iter().map(|l| l.demand(period)).collect();
        let (limits, fraction) = alloc::limits(&demands);
        super::metrics::set_fair_fraction(fraction);
        for (level, limit) in current.levels.iter().zip(limits) {
            if level.limit() != limit {
                level.set_limit(limit, None);
            }
        }
    }
}
