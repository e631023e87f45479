//! From a resource request to its verb.

use crate::body::RequestBody;
use crate::call::Call;
use crate::door::read_body;
use crate::negotiate::route_accepts;
use crate::reply::Reply;
use crate::request::RequestInfo;
use crate::resource::{Hub, Served, Target};
use crate::special;
use crate::verbs::{create, delete, get, list, patch, update, watch};
use http::Method;
use kinds::table::SubresourceKind;
use meta::gvk::GroupResource;
use meta::status::Status;
use std::sync::Arc;

/// Collections larger than this are not gone through in a connection's task: ten thousand objects take milliseconds.
const OBJECTS_HERE_MAX: usize = 2_000;

/// Requests that may last: they have no timeout and do not count against the requests in flight.
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    matches!(info.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
        || info.verb == "proxy"
}

/// 404 for a path that no resource has.
pub(crate) fn not_found() -> Status {
    Status::generic_server_response(404, "GET", &GroupResource::default(), "", "", 0)
}

/// 405 for a method that the resource does not know.
pub(crate) fn method_not_allowed() -> Status {
    Status::generic_server_response(405, "GET", &GroupResource::default(), "", "", 0)
}

/// Finds the kind behind the path.
fn find(call: &Call) -> Result<Option<Arc<Served>>, Status> {
    let info = &call.info;
    let registry = call.api.registry.load();
    if info.prefix == "apis" && info.group.is_empty() || call.path.starts_with("//") {
        return Ok(None);
    }
    let served = registry.find(&info.group, &info.version, &info.resource);
    // Their handler knows no empty segments.
    let served = served.filter(|served| !(info.has_gap && served.codec.custom().is_some()));
    let Some(served) = served else {
        return if registry.has_builtin_group(&info.group) { Err(not_found()) } else { Ok(None) };
    };
    let row = &served.row;
    let fits =
        if row.namespaced { info.in_namespace || info.name_in_path().is_empty() } else { !info.in_namespace };
    let custom = served.codec.custom().is_some();
    let across = matches!(info.verb.as_str(), "list" | "watch");
    if custom && row.namespaced && !info.in_namespace && !across {
        return Ok(None);
    }
    if !fits {
        return if custom { Ok(None) } else { Err(not_found()) };
    }
    Ok(Some(served.clone()))
}

/// Finds what of the kind the path is about.
fn target(call: &Call, served: Arc<Served>) -> Result<Target, Status> {
    let sub = match call.info.subresource.as_str() {
        "" => None,
        name => match served.row.subresource(name) {
            Some(sub) => Some(sub.clone()),
            None if served.codec.custom().is_some() => {
                return Err(Status::not_found(&served.group_resource(), &call.info.name));
            }
            None => return Err(not_found()),
        },
    };
    // Only what is passed on has a path behind its name; the handler of custom kinds does not look.
    let takes_path = sub.as_ref().is_some_and(|sub| sub.name == "proxy");
    if !call.info.rest.is_empty() && !takes_path && served.codec.custom().is_none() {
        return Err(not_found());
    }
    Ok(Target { served, sub })
}

/// What upstream says of a path that has the place for a name, and nothing there.
fn check_names(call: &Call, target: &Target) -> Result<(), Status> {
    let info = &call.info;
    let is_named = !info.name_in_path().is_empty();
    if target.sub.is_some() && !is_named {
        return Err(Status::bad_request("name must be provided"));
    }
    if is_named && info.in_namespace && info.namespace.is_empty() {
        return Err(Status::bad_request("Namespace parameter required."));
    }
    Ok(())
}

/// Answers a resource request.
pub(crate) async fn answer(call: &Call, body: RequestBody) -> Result<Reply, Status> {
    let Some(served) = find(call)? else {
        return Ok(Reply::no_such_path());
    };
    if served.codec.custom().is_some() {
        // Their handler says so of every path and method.
        warn_of_deprecation(call, &served);
    }
    let target = target(call, served)?;
    check_legacy(call, &target)?;
    if call.info.has_gap {
        check_names(call, &target)?;
    }
    let writes = matches!(call.info.verb.as_str(), "create" | "update" | "patch");
    // Conversions are waited for where they are met, and rules may take long.
    if target.served.asks_webhook() || writes && target.served.has_rules() {
        crate::listen::apart(&call.api).await;
    }
    match &target.sub {
        None => main_resource(call, &target, body).await,
        Some(_) => Box::pin(subresource(call, &target, body)).await,
    }
}

/// Paths of old name the verb that they are authorized by, whatever the method: nothing else may be done by them.
fn check_legacy(call: &Call, target: &Target) -> Result<(), Status> {
    let is_proxy = call.info.verb == "proxy";
    if !(is_proxy || call.info.legacy_watch) {
        return Ok(());
    }
    let watches = !is_proxy && target.sub.is_none() && target.served.row.has_verb("watch");
    if target.served.codec.custom().is_some() {
        // Upstream's handler of custom kinds goes by the verb alone.
        return if watches { Ok(()) } else { Err(not_supported(call, target)) };
    }
    match (watches, &call.method) {
        (false, _) => Err(not_found()),
        (true, &Method::GET) => Ok(()),
        (true, _) => Err(method_not_allowed()),
    }
}

fn warn_of_deprecation(call: &Call, served: &Served) {
    if let Some(text) = &served.row.deprecation {
        call.warn(text.clone());
    }
}

fn hub(target: &Target) -> Option<&Arc<Hub>> {
    target.served.hub.as_ref()
}

async fn main_resource(call: &Call, target: &Target, body: RequestBody) -> Result<Reply, Status> {
    let row = &target.served.row;
    let named = !call.info.name_in_path().is_empty();
    if hub(target).is_none() && row.namespaced && !call.info.in_namespace {
        return Err(not_found());
    }
    // A kind that is not stored and not read by name has no path with a name at all.
    let unnamed_only = hub(target).is_none() && named && !row.has_verb("get");
    let custom = target.served.codec.custom().is_some();
    let method = if custom && call.method == Method::HEAD { &Method::GET } else { &call.method };
    let verb = match (method, named) {
        _ if call.info.legacy_watch => "watch",
        (&Method::GET, false) if call.info.verb == "watch" => "watch",
        (&Method::GET, false) => "list",
        (&Method::GET, true) => "get",
        (&Method::POST, named) if custom || !named => "create",
        (&Method::PUT, true) => "update",
        (&Method::PATCH, true) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        (&Method::PUT | &Method::PATCH, false) if custom => return Err(unnamed_change(call)),
        _ if custom => return Err(not_supported(call, target)),
        _ if unnamed_only => return Err(not_found()),
        _ => return Err(method_not_allowed()),
    };
    if unnamed_only && !row.has_verb(verb) {
        return Err(not_found());
    }
    let all_namespaces = row.namespaced && !call.info.in_namespace;
    if !row.has_verb(verb) || (all_namespaces && matches!(verb, "create" | "deletecollection")) {
        return Err(method_not_allowed());
    }
    if target.served.codec.is_typed() {
        if verb == "patch" {
            patch::route_takes(call)?;
        }
        route_accepts(call.accept(), matches!(verb, "list" | "watch"))?;
    }
    if !custom {
        warn_of_deprecation(call, &target.served);
    }
    let Some(hub) = hub(target) else {
        return Box::pin(special::virtual_kind(call, target, verb, body)).await;
    };
    let goes_through = matches!(verb, "watch" | "list" | "deletecollection");
    if goes_through && hub.cache.len() > OBJECTS_HERE_MAX {
        crate::listen::apart(&call.api).await;
    }
    // All but what reads one object is boxed: it keeps several times as much while it waits, and all requests would be
    // as large.
    match verb {
        "get" => get::get(call, target, hub).await,
        "watch" => Box::pin(watch::watch(call, &target.served, hub)).await,
        "list" => Box::pin(list::list(call, &target.served, hub)).await,
        _ => Box::pin(write(call, target, hub, verb, body)).await,
    }
}

async fn write(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    verb: &str,
    body: RequestBody,
) -> Result<Reply, Status> {
    let body = &read_body(call, body).await?;
    match verb {
        "create" => create::create(call, target, hub, body).await,
        "update" => update::update(call, target, hub, body).await,
        "patch" => patch::patch(call, target, hub, body).await,
        "delete" => delete::delete(call, target, hub, body).await,
        _ => delete::delete_collection(call, target, hub, body).await,
    }
}

/// 405 of the one handler that custom resources have for all paths and methods.
fn not_supported(call: &Call, target: &Target) -> Status {
    Status::method_not_supported(&target.served.group_resource(), &call.info.verb)
}

/// What that handler says of a change of a collection.
fn unnamed_change(call: &Call) -> Status {
    let wrong = if call.method == Method::PATCH { patch::custom_takes(call) } else { Ok(()) };
    wrong.err().unwrap_or_else(|| Status::bad_request("name must be provided"))
}

async fn subresource(call: &Call, target: &Target, body: RequestBody) -> Result<Reply, Status> {
    let Some(sub) = &target.sub else { return Err(not_found()) };
    let custom = target.served.codec.custom().is_some();
    let verb = match call.method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        // What is passed on is passed on with any method.
        Method::HEAD | Method::OPTIONS if sub.name == "proxy" => "get",
        Method::HEAD if custom => "get",
        _ if custom => return Err(not_supported(call, target)),
        _ => return Err(method_not_allowed()),
    };
    if !sub.verbs.iter().any(|v| v == verb) {
        return Err(if custom { not_supported(call, target) } else { method_not_allowed() });
    }
    if !custom && sub.does != SubresourceKind::Connect {
        if verb == "patch" {
            patch::route_takes(call)?;
        }
        route_accepts(call.accept(), false)?;
    }
    match (sub.does, hub(target)) {
        (SubresourceKind::Object, Some(hub)) => match verb {
            "get" => get::get(call, target, hub).await,
            "update" => update::update(call, target, hub, &read_body(call, body).await?).await,
            "patch" => patch::patch(call, target, hub, &read_body(call, body).await?).await,
            _ => Err(method_not_allowed()),
        },
        _ => special::subresource(call, target, verb, body).await,
    }
}
