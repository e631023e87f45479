//! Flow schemas and priority levels that every cluster has.
//!
//! Source: `k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go`. Whoever switches
//! `apf.kubernetes.io/autoupdate-spec` off keeps their own; so does whoever changes a suggested one.

use super::{find, map, object};
use crate::api::Api;
use std::sync::Arc;
use value::{Str, Value};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// What happens to what there is no room for.
#[derive(Clone, Copy)]
enum Overflow {
    /// There is always room.
    Exempt,
    /// It is refused.
    Reject,
    /// It waits in one of so many queues, of which each flow is dealt a hand.
    Queue { queues: i64, hand: i64 },
}
use Overflow::{Exempt, Queue, Reject};

/// How many requests wait in one queue.
const QUEUE_LENGTH: i64 = 50;

/// Name, nominal concurrency shares, lendable percent, overflow.
const LEVELS: [(&str, i64, i64, Overflow); 8] = [
    ("exempt", 0, 0, Exempt),
    ("catch-all", 5, 0, Reject),
    ("system", 30, 33, Queue { queues: 64, hand: 6 }),
    ("node-high", 40, 25, Queue { queues: 64, hand: 6 }),
    ("leader-election", 10, 0, Queue { queues: 16, hand: 4 }),
    ("workload-high", 40, 50, Queue { queues: 128, hand: 6 }),
    ("workload-low", 100, 90, Queue { queues: 128, hand: 6 }),
    ("global-default", 20, 50, Queue { queues: 128, hand: 6 }),
];

/// Whom a flow schema is about.
#[derive(Clone, Copy)]
enum Subject {
    Group(&'static str),
    User(&'static str),
    /// All accounts of kube-system.
    SystemAccounts,
}
use Subject::{Group, SystemAccounts, User};

/// Which requests.
#[derive(Clone, Copy)]
enum Requests {
    /// All.
    All,
    /// Health checks.
    Probes,
    /// Leases of leaders.
    Elections,
    /// A node's own object and lease.
    Heartbeats,
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    /// By what flows are told apart; may be empty.
    distinguisher: &'static str,
    subjects: &'static [Subject],
    requests: Requests,
}

const EVERYBODY: &[Subject] = &[Group("system:unauthenticated"), Group("system:authenticated")];
const MANAGER: Subject = User("system:kube-controller-manager");
const SCHEDULER: Subject = User("system:kube-scheduler");
const NODES: &[Subject] = &[Group("system:nodes")];

#[rustfmt::skip] // a table
const SCHEMAS: [Schema; 11] = [
    Schema { name: "exempt", level: "exempt", precedence: 1, distinguisher: "", subjects: &[Group("system:masters")], requests: Requests::All },
    Schema { name: "catch-all", level: "catch-all", precedence: 10_000, distinguisher: "ByUser", subjects: EVERYBODY, requests: Requests::All },
    Schema { name: "system-nodes", level: "system", precedence: 500, distinguisher: "ByUser", subjects: NODES, requests: Requests::All },
    Schema { name: "system-node-high", level: "node-high", precedence: 400, distinguisher: "ByUser", subjects: NODES, requests: Requests::Heartbeats },
    Schema { name: "probes", level: "exempt", precedence: 2, distinguisher: "", subjects: EVERYBODY, requests: Requests::Probes },
    Schema { name: "system-leader-election", level: "leader-election", precedence: 100, distinguisher: "ByUser", subjects: &[MANAGER, SCHEDULER, SystemAccounts], requests: Requests::Elections },
    Schema { name: "kube-controller-manager", level: "workload-high", precedence: 800, distinguisher: "ByNamespace", subjects: &[MANAGER], requests: Requests::All },
    Schema { name: "kube-scheduler", level: "workload-high", precedence: 800, distinguisher: "ByNamespace", subjects: &[SCHEDULER], requests: Requests::All },
    Schema { name: "kube-system-service-accounts", level: "workload-high", precedence: 900, distinguisher: "ByNamespace", subjects: &[SystemAccounts], requests: Requests::All },
    Schema { name: "service-accounts", level: "workload-low", precedence: 9_000, distinguisher: "ByUser", subjects: &[Group("system:serviceaccounts")], requests: Requests::All },
    Schema { name: "global-default", level: "global-default", precedence: 9_900, distinguisher: "ByUser", subjects: EVERYBODY, requests: Requests::All },
];

/// Who owns the fields, as upstream's producer.
const FIELD_MANAGER: &str = "api-priority-and-fairness-config-producer-v1";

/// Makes what is missing.
async fn ensure_missing(api: &Arc<Api>, objects: impl IntoIterator<Item = Value>, resource: &str) -> bool {
    let is_missing = |object: &Value| {
        let name = object.at("metadata").at("name").str();
        find(api, GROUP, resource, "", name).is_none()
    };
    let objects = objects.into_iter().filter(is_missing).collect::<Vec<_>>();
    let collection = format!("/apis/{API_VERSION}/{resource}?fieldManager={FIELD_MANAGER}");
    super::ensure_all(api, &collection, &objects).await
}

/// Makes what is missing of the levels, then of the schemas; false if something is not there then.
pub(super) async fn ensure(api: &Arc<Api>) -> bool {
    let levels = ensure_missing(api, LEVELS.map(level), "prioritylevelconfigurations").await;
    levels & ensure_missing(api, SCHEMAS.iter().map(schema), "flowschemas").await
}

fn own(kind: &str, name: &str, spec: Value) -> Value {
    let mut own = object(API_VERSION, kind, "", name);
    if let Some(metadata) = own.object_at("metadata") {
        metadata.set("annotations", map([("apf.kubernetes.io/autoupdate-spec", "true".into())]));
    }
    own.set("spec", spec);
    own
}

fn level((name, shares, lendable, overflow): (&str, i64, i64, Overflow)) -> Value {
    let mut limits = map([("nominalConcurrencyShares", shares.into()), ("lendablePercent", lendable.into())]);
    let spec = match overflow {
        Exempt => map([("type", "Exempt".into()), ("exempt", limits)]),
        Reject => {
            limits.set("limitResponse", map([("type", "Reject".into())]));
            map([("type", "Limited".into()), ("limited", limits)])
        }
        Queue { queues, hand } => {
            let queuing = map([
                ("queues", queues.into()),
                ("handSize", hand.into()),
                ("queueLengthLimit", QUEUE_LENGTH.into()),
            ]);
            limits.set("limitResponse", map([("type", "Queue".into()), ("queuing", queuing)]));
            map([("type", "Limited".into()), ("limited", limits)])
        }
    };
    own("PriorityLevelConfiguration", name, spec)
}

fn schema(schema: &Schema) -> Value {
    let subjects: Vec<Value> = schema.subjects.iter().map(subject).collect();
    let mut rule = map([("subjects", Value::Array(subjects))]);
    let everywhere = |verbs: &[&str], group: &str, resources: &[&str], is_cluster_too: bool| {
        let mut rule = map([
            ("verbs", list(verbs)),
            ("apiGroups", list(&[group])),
            ("resources", list(resources)),
            ("namespaces", list(&["*"])),
        ]);
        if is_cluster_too {
            rule.set("clusterScope", true);
        }
        rule
    };
    let paths = |verb: &str, paths: &[&str]| {
        Value::Array(vec![map([("verbs", list(&[verb])), ("nonResourceURLs", list(paths))])])
    };
    let leases = "coordination.k8s.io";
    match schema.requests {
        Requests::All => {
            rule.set("resourceRules", Value::Array(vec![everywhere(&["*"], "*", &["*"], true)]));
            rule.set("nonResourceRules", paths("*", &["*"]));
        }
        Requests::Probes => rule.set("nonResourceRules", paths("get", &["/healthz", "/readyz", "/livez"])),
        Requests::Elections => {
            let verbs = ["get", "create", "update"];
            rule.set("resourceRules", Value::Array(vec![everywhere(&verbs, leases, &["leases"], false)]));
        }
        Requests::Heartbeats => {
            let nodes = everywhere(&["*"], "", &["nodes", "nodes/status"], true);
            let leases = everywhere(&["*"], leases, &["leases"], false);
            rule.set("resourceRules", Value::Array(vec![nodes, leases]));
        }
    }
    let mut spec = map([
        ("priorityLevelConfiguration", map([("name", schema.level.into())])),
        ("matchingPrecedence", schema.precedence.into()),
        ("rules", Value::Array(vec![rule])),
    ]);
    if !schema.distinguisher.is_empty() {
        spec.set("distinguisherMethod", map([("type", schema.distinguisher.into())]));
    }
    own("FlowSchema", schema.name, spec)
}

fn subject(subject: &Subject) -> Value {
    let named = |name: &str| map([("name", name.into())]);
    match *subject {
        Group(name) => map([("kind", "Group".into()), ("group", named(name))]),
        User(name) => map([("kind", "User".into()), ("user", named(name))]),
        SystemAccounts => {
            let all = map([("namespace", "kube-system".into()), ("name", "*".into())]);
            map([("kind", "ServiceAccount".into()), ("serviceAccount", all)])
        }
    }
}

fn list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|t| Value::from(Str::from(*t))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use value::json;

    #[test]
    fn every_schema_has_its_level() {
        for schema in &SCHEMAS {
            assert!(LEVELS.iter().any(|(name, ..)| *name == schema.level), "{}", schema.name);
        }
    }

    #[test]
    fn documents() {
        let text = |v: Value| String::from_utf8_lossy(&json::to_vec(&v)).into_owned();
        let got = text(level(LEVELS[2]).at("spec").clone());
        let want = r#"{"limited":{"lendablePercent":33,"limitResponse":{"queuing":{"handSize":6,"queueLengthLimit":50,"queues":64},"type":"Queue"},"nominalConcurrencyShares":30},"type":"Limited"}"#;
        assert_eq!(got, want);
        let got = text(schema(&SCHEMAS[5]).at("spec").at("rules").clone());
        let want = r#"[{"resourceRules":[{"apiGroups":["coordination.k8s.io"],"namespaces":["*"],"resources":["leases"],"verbs":["get","create","update"]}],"subjects":[{"kind":"User","user":{"name":"system:kube-controller-manager"}},{"kind":"User","user":{"name":"system:kube-scheduler"}},{"kind":"ServiceAccount","serviceAccount":{"name":"*","namespace":"kube-system"}}]}]"#;
        assert_eq!(got, want);
    }
}
