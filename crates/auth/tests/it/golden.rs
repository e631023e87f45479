//! Replays the recorded cases of the area `auth` as far as this crate decides them: impersonation,
//! authorization, escalation checks, NodeRestriction and access reviews, without a server.

use auth::impersonation::{Impersonator, wanted_user};
use auth::node::Graph;
use auth::node::restriction::{self, Operation, Write};
use auth::rbac::{Rbac, RoleRef, check_binding, check_role, rules_review};
use auth::{Access, Attributes, Selection, UserInfo, policy};
use http::{HeaderMap, HeaderName, HeaderValue};
use meta::fields::Selector;
use std::fs;
use std::path::Path;
use value::Value;

/// Recorded texts that a carry patch of the recorded server made: it lets everyone read these paths.
const CARRIED_PATHS: [&str; 2] = ["/.well-known", "/.well-known/*"];

#[test]
fn recorded_answers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden/auth");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut compared, mut wrong) = (0, Vec::new());
    for file in files {
        let case = value::json::parse(&fs::read(&file).unwrap()).unwrap();
        let mut server = Server::new();
        for request in case.at("setup").items() {
            let request = request.get("request").unwrap_or(request);
            server.answer(request, &Value::Null);
        }
        for (i, step) in case.at("steps").items().iter().enumerate() {
            let (request, response) = (step.at("request"), step.at("response"));
            // HEAD and YAML answers have no message to compare.
            let comparable =
                response.at("status").int() < 400 || !response.path(&["body", "message"]).is_null();
            if let Some(got) = server.answer(request, response).filter(|_| comparable) {
                compared += 1;
                let want = expected(response, &got);
                if got != want {
                    wrong.push(format!("{} step {i}:\n got {got}\nwant {want}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 150, "only {compared} answers were compared");
}

/// What of a recorded answer is comparable with `got`: a message of a refusal, or a review's status.
fn expected(response: &Value, got: &str) -> String {
    let (status, body) = (response.at("status").int(), response.at("body"));
    if status >= 400 {
        return format!("{status} {}", body.at("message").str());
    }
    if got == "allowed" { got.to_owned() } else { review_text(body.at("status")) }
}

/// A review's status with its rules in a fixed order and without carried ones.
fn review_text(status: &Value) -> String {
    let mut status = status.clone();
    for key in ["resourceRules", "nonResourceRules"] {
        if let Some(rules) = status.get_mut(key).and_then(Value::as_array_mut) {
            rules.retain(|r| r.at("nonResourceURLs").items().iter().map(Value::str).ne(CARRIED_PATHS));
            rules.sort_by_key(value::json::to_string);
        }
    }
    value::json::to_string(&status)
}

struct Server {
    rbac: Rbac,
    graph: Graph,
    impersonator: Impersonator,
}

/// A path taken apart, as the server's request info.
#[derive(Debug, Default)]
struct Info {
    verb: String,
    group: String,
    version: String,
    namespace: String,
    resource: String,
    subresource: String,
    name: String,
}

/// A request without its user.
struct Asked<'a> {
    info: Option<&'a Info>,
    selector: Option<&'a Selector>,
    verb: &'a str,
    path: &'a str,
}

impl<'a> Asked<'a> {
    fn by<'b>(&self, user: &'b UserInfo) -> Attributes<'b>
    where
        'a: 'b,
    {
        let Some(info) = self.info else { return Attributes::path(user, self.verb, self.path) };
        Attributes {
            field_selector: self.selector.map_or(Selection::None, Selection::Some),
            api_version: &info.version,
            ..Attributes::resource(user, &info.verb, &info.group, &info.resource)
                .named(&info.namespace, &info.name)
                .sub(&info.subresource)
        }
    }
}

impl Server {
    fn new() -> Self {
        let mut rbac = Rbac::new();
        for object in policy::objects() {
            rbac.upsert(policy::resource_of(object), object);
        }
        Self { rbac, graph: Graph::new(), impersonator: Impersonator::new() }
    }

    /// The refusal, `allowed`, or a review's status; `None` where others than this crate decide.
    fn answer(&mut self, request: &Value, recorded: &Value) -> Option<String> {
        let mut headers = headers(request);
        if headers.contains_key("authorization") {
            return None; // tokens are not replayed
        }
        let mut user = if request.at("anonymous").bool() {
            UserInfo::anonymous()
        } else {
            UserInfo::new("admin", &["system:masters", "system:authenticated"])
        };
        let told = |status: meta::status::Status| Some(format!("{} {}", status.code, status.message));
        let wanted = match wanted_user(&mut headers) {
            Ok(wanted) => wanted,
            Err(status) => return told(status),
        };
        let path = request.at("path").str();
        let info = info(request);
        let selector = parameter(request, "fieldSelector").and_then(|s| Selector::parse(&s).ok());
        let verb = request.at("method").str().to_lowercase();
        let asked = Asked { info: info.as_ref(), selector: selector.as_ref(), verb: &verb, path };
        let authorize = |a: &Attributes<'_>| auth::authorize(&self.graph, &self.rbac, a);
        if let Some(wanted) = wanted {
            match self.impersonator.impersonate(&authorize, &asked.by(&user), &wanted) {
                Ok(done) => user = done.user,
                Err(status) => return told(status),
            }
        }
        let verdict = authorize(&asked.by(&user));
        if !verdict.allowed() {
            return told(asked.by(&user).forbidden(&verdict.reason));
        }
        let info = info.as_ref()?;
        let body = request.at("body");
        if let Some(status) = self.review(info, &user, body).filter(|_| recorded.at("status").int() < 300) {
            return Some(status);
        }
        let checked = self.check_write(info, &user, body);
        let refused = recorded.at("status").int() == 403;
        match checked {
            Some(status) => told(status),
            // Server-side apply asks again for `create`.
            None if refused && info.verb == "patch" => {
                let again = Attributes { verb: "create", ..asked.by(&user) };
                told(again.forbidden(&authorize(&again).reason))
            }
            None if recorded.at("status").int() >= 400 && !refused => None,
            None => {
                self.keep(info, body);
                Some("allowed".into())
            }
        }
    }

    fn review(&self, info: &Info, user: &UserInfo, body: &Value) -> Option<String> {
        let spec = body.at("spec");
        let access = match info.resource.as_str() {
            "subjectaccessreviews" | "localsubjectaccessreviews" => Access::of_subject(spec),
            "selfsubjectaccessreviews" => Access::of_self(user.clone(), spec),
            "selfsubjectrulesreviews" => {
                let review = rules_review(&self.rbac, user, spec.at("namespace").str());
                return Some(review_text(&review.to_value()));
            }
            _ => return None,
        };
        let verdict = auth::authorize(&self.graph, &self.rbac, &access.attributes());
        Some(review_text(&access.status(&verdict)))
    }

    fn check_write(&self, info: &Info, user: &UserInfo, body: &Value) -> Option<meta::status::Status> {
        let operation = match info.verb.as_str() {
            "create" => Operation::Create,
            "update" | "patch" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let authorize = |a: &Attributes<'_>| auth::authorize(&self.graph, &self.rbac, a);
        let in_body = body.path(&["metadata", "name"]).str();
        let name = if info.name.is_empty() { in_body } else { &info.name };
        let write = Write {
            user,
            operation,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name,
            object: body,
            old: &Value::Null,
        };
        if let Err(refusal) = restriction::check(&write, &(), &authorize) {
            return Some(refusal.status(&write));
        }
        let (rbac, namespace) = (&self.rbac, info.namespace.as_str());
        let result = match info.resource.as_str() {
            "roles" | "clusterroles" => {
                check_role(rbac, &authorize, user, &info.resource, namespace, &info.name, body, None)
            }
            "rolebindings" | "clusterrolebindings" if operation != Operation::Delete => {
                let role = RoleRef::from_value(body.at("roleRef"));
                check_binding(rbac, &authorize, user, &info.resource, namespace, &role)
            }
            _ => Ok(()),
        };
        result.err().map(|e| e.status(&info.resource, name))
    }

    fn keep(&mut self, info: &Info, body: &Value) {
        if !matches!(info.verb.as_str(), "create" | "update") {
            return;
        }
        let mut object = body.clone();
        if let Some(metadata) = object.get_mut("metadata") {
            metadata.set("namespace", info.namespace.as_str());
        }
        self.rbac.upsert(&info.resource, &object);
    }
}

fn headers(request: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in request.at("headers").entries() {
        let one = std::slice::from_ref(value);
        for value in value.as_array().unwrap_or(one).iter().filter_map(Value::as_str) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a recorded header name");
            headers.append(name, HeaderValue::from_str(value).expect("a recorded header value"));
        }
    }
    headers
}

fn parameter(request: &Value, key: &str) -> Option<String> {
    let query = request.at("query").str();
    let found = query.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == key)?;
    Some(found.1.replace("%3D", "="))
}

fn info(request: &Value) -> Option<Info> {
    let path = request.at("path").str();
    let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let mut info = Info::default();
    match parts.as_slice() {
        ["api", version, _, ..] => {
            info.version = (*version).to_owned();
            parts.drain(..2);
        }
        ["apis", group, version, _, ..] => {
            (info.group, info.version) = ((*group).to_owned(), (*version).to_owned());
            parts.drain(..3);
        }
        _ => return None,
    }
    let legacy_watch = parts.first() == Some(&"watch");
    if legacy_watch {
        parts.remove(0);
    }
    if let ["namespaces", namespace, rest @ ..] = parts.as_slice() {
        info.namespace = (*namespace).to_owned();
        if !matches!(rest, [] | ["status" | "finalize", ..]) {
            parts.drain(..2);
        }
    }
    let part = |i: usize| parts.get(i).map(|p| (*p).to_owned()).unwrap_or_default();
    (info.resource, info.name, info.subresource) = (part(0), part(1), part(2));
    let collection = info.name.is_empty();
    if collection && let Some(selector) = parameter(request, "fieldSelector") {
        let selector = Selector::parse(&selector).unwrap_or_default();
        info.name = selector.requires_exact_match("metadata.name").unwrap_or_default().to_owned();
    }
    let watch = legacy_watch || parameter(request, "watch").is_some_and(|w| w == "true" || w == "1");
    info.verb = match (request.at("method").str(), collection) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (_, _) if watch => "watch",
        (_, true) => "list",
        (_, false) => "get",
    }
    .to_owned();
    Some(info)
}
