//! Acting as someone else: `Impersonate-User`, `-Uid`, `-Group`, `-Extra-*`.
//!
//! Constrained impersonation (KEP-5284, on by default in 1.36) is tried first: its modes allow certain
//! requests only (`impersonate-on:MODE:VERB`) as certain kinds of users (`impersonate:MODE`). The old verb
//! `impersonate` comes last and is worth more than all of them. If nothing allows it, the first refusal is
//! told. Which mode helped a user last is remembered and tried first the next time.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/filters/impersonation`. Its caches of allowed attempts are left
//! out: a decision here costs less than the key of such a cache.

use crate::authenticate::{header_text, unescape_header_key};
use crate::user::{
    ANONYMOUS, AUTHENTICATED, NODE_NAME, NODE_PREFIX, NODES, SYSTEM_MASTERS, UNAUTHENTICATED,
    service_account_groups, split_service_account,
};
use crate::{Attributes, UserInfo, Verdict};
use http::header::{HeaderMap, HeaderName};
use meta::field::Path;
use meta::names;
use meta::quote::{Quoted, go_strings};
use meta::status::Status;
use parking_lot::Mutex;
use std::collections::HashMap;
use value::Str;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// From this many groups (or values of extras) on, one check for all is tried first.
const MANY: usize = 4;
/// How many users' last modes are remembered, as upstream.
const REMEMBERED_USERS_MAX: usize = 10_000;

/// The way in which someone may act as someone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

impl Mode {
    const ALL: [Self; 5] =
        [Self::AssociatedNode, Self::ArbitraryNode, Self::ServiceAccount, Self::UserInfo, Self::Legacy];

    const fn verb(self) -> &'static str {
        match self {
            Self::AssociatedNode => "impersonate:associated-node",
            Self::ArbitraryNode => "impersonate:arbitrary-node",
            Self::ServiceAccount => "impersonate:serviceaccount",
            Self::UserInfo => "impersonate:user-info",
            Self::Legacy => "impersonate",
        }
    }

    const fn on(self) -> &'static str {
        match self {
            Self::AssociatedNode => "impersonate-on:associated-node:",
            Self::ArbitraryNode => "impersonate-on:arbitrary-node:",
            Self::ServiceAccount => "impersonate-on:serviceaccount:",
            Self::UserInfo => "impersonate-on:user-info:",
            Self::Legacy => "",
        }
    }

    /// Whether the mode is for this pair of users at all.
    fn applies(self, wanted: &UserInfo, requestor: &UserInfo) -> bool {
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_name(&wanted.name);
        let account = split_service_account(&wanted.name);
        match self {
            Self::AssociatedNode => {
                let own = requestor.extra.get(NODE_NAME).map_or(&[][..], Vec::as_slice);
                let associated = matches!((own, node), ([own], Some(node)) if own == node);
                only_name && associated && split_service_account(&requestor.name).is_some()
            }
            Self::ArbitraryNode => only_name && node.is_some(),
            Self::ServiceAccount => only_name && account.is_some(),
            Self::UserInfo => node.is_none() && account.is_none(),
            Self::Legacy => true,
        }
    }
}

/// The user that a request acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    /// The user.
    pub user: UserInfo,
    /// The verb that allowed it, for the audit log; empty for the old one.
    pub constraint: &'static str,
}

/// Reads the headers and takes them out. `None`: nobody is impersonated.
///
/// # Errors
/// 400 when groups, UID or extras come without a user.
pub fn wanted_user(headers: &mut HeaderMap) -> Result<Option<UserInfo>, Status> {
    let ours = |name: &&HeaderName| {
        matches!(name.as_str(), USER | UID | GROUP) || name.as_str().starts_with(EXTRA_PREFIX)
    };
    let names: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    let first = |name: &str| headers.get(name).map(|v| header_text(v.as_bytes())).unwrap_or_default();
    let mut wanted = UserInfo { name: first(USER), uid: first(UID), ..UserInfo::default() };
    let groups = headers.get_all(GROUP).into_iter().map(|v| header_text(v.as_bytes()));
    wanted.groups = groups.collect();
    for (name, value) in headers.iter() {
        let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) else { continue };
        wanted.extra.entry(unescape_header_key(key)).or_default().push(header_text(value.as_bytes()));
    }
    let more = !wanted.uid.is_empty() || !wanted.groups.is_empty() || !wanted.extra.is_empty();
    if wanted.name.is_empty() {
        if more {
            let text = format!("requested {} without impersonating a user name", go_syntax(&wanted));
            return Err(Status::bad_request(text));
        }
        return Ok(None);
    }
    for name in names {
        headers.remove(name);
    }
    Ok(Some(wanted))
}

/// The user as Go's `%#v` prints it.
fn go_syntax(user: &UserInfo) -> String {
    let groups = if user.groups.is_empty() { "[]string(nil)".into() } else { go_strings(&user.groups) };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let entry = |(k, v): (&Str, &Vec<Str>)| format!("{}:{}", Quoted(k), go_strings(v));
        let entries: Vec<String> = user.extra.iter().map(entry).collect();
        format!("map[string][]string{{{}}}", entries.join(", "))
    };
    format!(
        "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{groups}, Extra:{extra}}}",
        Quoted(&user.name),
        Quoted(&user.uid)
    )
}

/// Decides whether users may act as others.
#[derive(Debug, Default)]
pub struct Impersonator {
    last_modes: Mutex<HashMap<Str, Mode>>,
}

impl Impersonator {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the user of `request` may make it as `wanted` (from [`wanted_user`]), and as whom exactly.
    /// `authorize` is the server's whole authorizer.
    ///
    /// # Errors
    /// The 403 of the first mode that refused.
    pub fn impersonate(
        &self,
        authorize: &dyn Fn(&Attributes<'_>) -> Verdict,
        request: &Attributes<'_>,
        wanted: &UserInfo,
    ) -> Result<Impersonated, Status> {
        let requestor = request.user;
        let last = self.last_modes.lock().get(&requestor.name).copied();
        let rest = Mode::ALL.into_iter().filter(|mode| Some(*mode) != last);
        let mut refusal = None;
        for mode in last.into_iter().chain(rest) {
            if !mode.applies(wanted, requestor) {
                continue;
            }
            match (Attempt { authorize, request, wanted, mode }).run() {
                Ok(user) => {
                    self.remember(&requestor.name, mode);
                    let constraint = if mode == Mode::Legacy { "" } else { mode.verb() };
                    return Ok(Impersonated { user, constraint });
                }
                Err(status) => refusal = refusal.or(Some(status)),
            }
        }
        Err(refusal.expect("the legacy mode applies always and gave an answer"))
    }

    fn remember(&self, user: &Str, mode: Mode) {
        let mut modes = self.last_modes.lock();
        if modes.len() >= REMEMBERED_USERS_MAX && !modes.contains_key(user) {
            modes.clear();
        }
        modes.insert(user.clone(), mode);
    }
}

/// One mode's attempt.
struct Attempt<'a> {
    authorize: &'a dyn Fn(&Attributes<'_>) -> Verdict,
    request: &'a Attributes<'a>,
    wanted: &'a UserInfo,
    mode: Mode,
}

impl Attempt<'_> {
    fn constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    fn run(&self) -> Result<UserInfo, Status> {
        if self.constrained() {
            let verb = format!("{}{}", self.mode.on(), self.request.verb);
            self.check(&Attributes { verb: &verb, ..*self.request })?;
        }
        let mut user = self.check_name()?;
        if !self.wanted.uid.is_empty() {
            self.check(&self.attributes(AUTHENTICATION, "v1", "uids").named("", &self.wanted.uid))?;
        }
        self.check_groups()?;
        self.check_extra()?;
        let marker = if user.name == ANONYMOUS {
            Some(UNAUTHENTICATED)
        } else {
            (!user.in_group(UNAUTHENTICATED)).then_some(AUTHENTICATED)
        };
        if let Some(marker) = marker.filter(|m| !user.in_group(m)) {
            user.groups.push(marker.into());
        }
        Ok(user)
    }

    fn check_name(&self) -> Result<UserInfo, Status> {
        let mut user = self.wanted.clone();
        let (group, version) = self.names_group();
        let mut attributes = self.attributes(group, version, "users").named("", &self.wanted.name);
        if let Some(node) = node_name(&self.wanted.name).filter(|_| self.constrained()) {
            let name = if self.mode == Mode::AssociatedNode { "*" } else { node };
            attributes = Attributes { resource: "nodes", name, ..attributes };
            user.groups = vec![NODES.into()];
        }
        if let Some((namespace, name)) = split_service_account(&self.wanted.name) {
            attributes = Attributes { resource: "serviceaccounts", namespace, name, ..attributes };
            if self.wanted.groups.is_empty() {
                user.groups = service_account_groups(namespace);
            }
        }
        self.check(&attributes)?;
        Ok(user)
    }

    fn check_groups(&self) -> Result<(), Status> {
        let groups = &self.wanted.groups;
        let (group, version) = self.names_group();
        let attributes = self.attributes(group, version, "groups");
        if self.constrained() {
            if groups.iter().any(|g| g.is_empty()) {
                return Err(attributes.forbidden("impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|g| g == SYSTEM_MASTERS) {
                let named = attributes.named("", SYSTEM_MASTERS);
                return Err(named.forbidden("impersonating the system:masters group is not allowed"));
            }
            if groups.len() >= MANY && self.check(&attributes.named("", "*")).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.check(&attributes.named("", group)))
    }

    fn check_extra(&self) -> Result<(), Status> {
        let extra = &self.wanted.extra;
        let attributes = self.attributes(AUTHENTICATION, "v1", "userextras");
        if self.constrained() {
            if let Some(problem) = extra.iter().find_map(|(k, v)| problem_with_extra(k, v)) {
                return Err(attributes.forbidden(&problem));
            }
            let values: usize = extra.values().map(Vec::len).sum();
            let many = extra.len() >= MANY || values >= MANY;
            if many && self.check(&attributes.sub("*").named("", "*")).is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.check(&attributes.sub(key).named("", value))?;
            }
        }
        Ok(())
    }

    /// Users and groups were of the core group; the new verbs find them where they belong.
    fn names_group(&self) -> (&'static str, &'static str) {
        if self.constrained() { (AUTHENTICATION, "v1") } else { ("", "v1") }
    }

    fn attributes(
        &self,
        group: &'static str,
        version: &'static str,
        resource: &'static str,
    ) -> Attributes<'_> {
        let attributes = Attributes::resource(self.request.user, self.mode.verb(), group, resource);
        Attributes { api_version: version, ..attributes }
    }

    fn check(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        if self.mode == Mode::AssociatedNode {
            // An authorizer shall not tell the nodes apart: that the pair belongs together was checked.
            let mut requestor = attributes.user.clone();
            let keys = requestor.extra.keys().cloned().collect();
            requestor.extra = [("authentication.kubernetes.io/associated-node-keys".into(), keys)].into();
            return self.ask(&Attributes { user: &requestor, ..*attributes });
        }
        self.ask(attributes)
    }

    fn ask(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let verdict = (self.authorize)(attributes);
        if verdict.allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
    }
}

fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix(NODE_PREFIX).filter(|name| names::dns1123_subdomain(name).is_empty())
}

fn problem_with_extra(key: &str, values: &[Str]) -> Option<String> {
    const NOT_ALLOWED: &str = "in extra is not allowed";
    if key.is_empty() {
        return Some(format!("impersonating the empty string key {NOT_ALLOWED}"));
    }
    let path = Path::new("extra");
    let errors = names::domain_prefixed_path(&path.child("key"), key);
    if !errors.is_empty() {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = crate::rbac::aggregate_texts(&texts);
        return Some(format!("impersonating an invalid key {NOT_ALLOWED}: {text}"));
    }
    if key.to_lowercase() != key {
        return Some(format!("impersonating a non-lowercase key {NOT_ALLOWED}: {}", Quoted(key)));
    }
    if values.iter().any(|v| v.is_empty()) {
        return Some(format!("impersonating the empty string value {NOT_ALLOWED}"));
    }
    None
}

#[cfg(test)]
mod tests;
