//! The `scale` subresource: how many replicas, in one shape for all kinds that have them.
//!
//! A Scale is written as an object of its own would be: it has owners of its fields, which are those of the replicas,
//! and admission sees it, not what it is the scale of.
//!
//! Upstream: `ScaleREST` in `pkg/registry/{apps,core}/*/storage/storage.go` and
//! `apiextensions-apiserver/pkg/registry/customresource/etcd.go`.

use crate::body::RequestBody;
use crate::call::Call;
use crate::codec::Codec;
use crate::door::read_body;
use crate::managed::{self, Tracking};
use crate::negotiate::{Accepted, Convert};
use crate::render::{once_reply, typed_reply};
use crate::reply::Reply;
use crate::resource::{Hub, Served, Target};
use crate::verbs::{get, patch, update};
use crate::write::{self, Given, OptionsKind, WriteOptions};
use merge::managed::{Applied, scale as owners};
use meta::field::{Error, Path};
use meta::gvk::{GroupKind, GroupResource};
use meta::status::Status;
use std::sync::Arc;
use value::{Str, Value, json};

const SCALE: &str = "k8s.io/api/autoscaling/v1.Scale";

/// What differs in the columns of a custom object's scale: `getScaleColumnsForVersion` of
/// `apiextensions-apiserver/pkg/apiserver/helpers.go`.
const CUSTOM_COLUMNS: [(&str, &str, &str); 4] = [
    ("Name", "format", "name"),
    ("Desired", "description", "Number of desired replicas"),
    ("Available", "description", "Number of actual replicas"),
    ("Age", "type", "date"),
];

/// What upstream says of the scale of a custom object that cannot be read, whatever is wrong with it.
const UNREADABLE: &str = "no kind is registered for the type v1.Scale in scheme \"k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go:781\"";

/// The replicas of a custom object without any, while its Scale is written.
const UNSET: i64 = i32::MIN as i64;

/// Answers a request for a scale.
pub(super) async fn answer(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    verb: &str,
    body: RequestBody,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(target.served.allows())?;
    let Some(scales) = Scales::of(target) else { return Err(crate::route::not_found()) };
    if verb == "get" {
        get::check_options(call)?;
        call.fresh(None).await?;
        get::check_key(&target.served.row, &call.info.namespace, &call.info.name)?;
        let entry = get::find(&target.served, hub, &call.info.namespace, &call.info.name)?;
        let object = target.served.tree(hub, &entry);
        if let Some(paths) = crate::crd::scale_paths(&target.served)
            && !paths.scale_of(&object)?.1
        {
            return Err(paths.missing());
        }
        return reply(call, accepted, &scales, &object);
    }
    let body = read_body(call, body).await?;
    let own = scales.as_target(target);
    let written = if verb == "patch" {
        let asked = patch::Asked::new(call, &target.served, &body)?;
        let mut make = |live: Option<&Value>| {
            let live = live.ok_or_else(|| missing(call, target))?;
            asked.apply(call, &own, Some(&scales.with_owners(live)?))
        };
        update::change(call, target, hub, &mut make, &asked.options, false, update::Create::No).await?.1
    } else {
        let options = WriteOptions::read(call, OptionsKind::Update)?;
        let versions = ["autoscaling/v1"];
        let given = super::decode_action(call, &versions, "Scale", SCALE, &body, options.validation);
        let mut given = given.map_err(|status| match status.code {
            400 if scales.are_custom() => Status::bad_request(UNREADABLE),
            _ => status,
        })?;
        write::match_namespace(call, &own.served, &mut given)?;
        write::check_name(call, &given)?;
        let mut make = |live: Option<&Value>| {
            let live = live.ok_or_else(|| missing(call, target))?;
            update::check_uid(call, target, &given, live, options.dry_run)?;
            let live = scales.with_owners(live)?;
            let mut new = Given { object: given.clone(), has_unshown: false, labels_of_template: false };
            managed::update(call, &own, Some(&live), &mut new, &options);
            Ok(new)
        };
        update::change(call, target, hub, &mut make, &options, false, update::Create::No).await?.1
    };
    reply(call, accepted, &scales, &target.served.tree(hub, &written.entry))
}

fn missing(call: &Call, target: &Target) -> Status {
    Status::not_found(&target.served.group_resource(), &call.info.name)
}

fn reply(call: &Call, accepted: Accepted, scales: &Scales, object: &Value) -> Result<Reply, Status> {
    let scale = scales.read(object)?;
    if let Some(Convert::Table { beta }) = accepted.convert {
        let table = printed(call, &scale, beta, scales.are_custom());
        return Ok(Reply::json(200, accepted, json::to_vec(&table)));
    }
    let go_type = if scales.are_custom() { "v1.Scale" } else { "autoscaling.Scale" };
    once_reply(200, accepted, &scale, go_type, || typed_reply(200, accepted, SCALE, &scale))
}

/// The scale as a Table: `kubectl get --subresource=scale`. For a custom object it is made as that object's own.
fn printed(call: &Call, scale: &Value, beta: bool, is_custom: bool) -> Value {
    let row = kinds::Row::custom("", "v1", "Scale", "scale");
    let mut definitions = kinds::columns::definitions(&row);
    let mut cells = kinds::columns::cells(&row, scale, call.api.now());
    if is_custom {
        for (column, field, text) in CUSTOM_COLUMNS {
            let all = definitions.as_array_mut().into_iter().flatten();
            for definition in all.filter(|d| d.at("name").str() == column) {
                definition.set(field, text);
            }
        }
        if scale.at("spec").get("replicas").is_none()
            && let Some(desired) = cells.get_mut(1)
        {
            *desired = Value::Null;
        }
    }
    let mut line = Value::object();
    line.set("cells", Value::Array(cells));
    line.set("object", crate::render::partial(scale, beta));
    let mut metadata = Value::object();
    metadata.set("resourceVersion", scale.at("metadata").at("resourceVersion").clone());
    let mut table = crate::render::typed("Table", beta);
    table.set("metadata", metadata);
    table.set("columnDefinitions", definitions);
    table.set("rows", vec![line]);
    table
}

/// The scales of a kind.
pub(crate) struct Scales {
    /// The kind itself, which is what a write of a scale changes.
    pub(crate) whole: Target,
}

impl Scales {
    /// Those of the kind that the target is the scale of.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        let is_scale = target.sub.as_ref().is_some_and(|sub| sub.name == "scale");
        is_scale.then(|| Self { whole: Target { served: target.served.clone(), sub: None } })
    }

    /// Whether they are those of a custom kind.
    fn are_custom(&self) -> bool {
        self.whole.served.codec.custom().is_some()
    }

    /// The scale as a kind of its own.
    fn as_target(&self, target: &Target) -> Target {
        let (codec, mut row) = Codec::of_action("autoscaling/v1", "Scale", SCALE);
        row.namespaced = self.whole.served.row.namespaced;
        let tracking = Tracking::new(&row, codec.merge_type(), codec.empty());
        let served = Served { row: Arc::new(row), codec, hub: None, tracking };
        Target { served: Arc::new(served), sub: target.sub.clone() }
    }

    /// The scale of an object; custom kinds say where its parts stand.
    fn read(&self, object: &Value) -> Result<Value, Status> {
        match crate::crd::scale_paths(&self.whole.served) {
            Some(paths) => Ok(paths.scale_of(object)?.0),
            None => Ok(scale_of(object)),
        }
    }

    /// The scale of an object in the stored version.
    pub(crate) fn read_hub(&self, object: &Value) -> Result<Value, Status> {
        let mut object = object.clone();
        self.whole.served.try_from_hub(&mut object)?;
        self.read(&object)
    }

    /// The scale of an object, with those who own the replicas, as it is before a write.
    pub(crate) fn with_owners(&self, live: &Value) -> Result<Value, Status> {
        let mut scale = self.read(live)?;
        if let Some(paths) = crate::crd::scale_paths(&self.whole.served)
            && !paths.scale_of(live)?.1
        {
            scale.object_at("spec").into_iter().for_each(|spec| spec.set("replicas", UNSET));
        }
        let fields = owners::to_scale(live.at("metadata").at("managedFields"), &self.replicas_paths());
        Applied::put_managed_fields(fields.map_err(Status::plain_error)?, &mut scale);
        Ok(scale)
    }

    /// The object with what a scale says.
    pub(crate) fn write(&self, call: &Call, live: &Value, scale: &Value) -> Result<Value, Status> {
        let served = &self.whole.served;
        let metadata = scale.at("metadata");
        let replicas = scale.at("spec").at("replicas").int();
        let mut new = live.clone();
        if let Some(paths) = crate::crd::scale_paths(served) {
            if replicas == UNSET {
                return Err(paths.unset());
            }
            paths.set_replicas(&mut new, replicas)?;
        } else {
            self.check(call, live, scale)?;
            new.object_at("spec").into_iter().for_each(|spec| spec.set("replicas", replicas));
        }
        if let Some(own) = new.object_at("metadata") {
            match metadata.at("resourceVersion").str() {
                // Custom objects are not changed without a version: it is that of now.
                "" if self.are_custom() => {}
                "" => drop(own.remove("resourceVersion")),
                v => own.set("resourceVersion", v),
            }
        }
        let before = live.at("metadata").at("managedFields");
        let (after, version) = (metadata.at("managedFields"), served.row.api_version());
        let fields = owners::to_parent(before, after, &version, &self.replicas_paths());
        Applied::put_managed_fields(fields.map_err(Status::plain_error)?, &mut new);
        Ok(new)
    }

    /// What is asked of the scale of a built-in kind.
    fn check(&self, call: &Call, live: &Value, scale: &Value) -> Result<(), Status> {
        let replicas = scale.at("spec").at("replicas").int();
        if replicas < 0 {
            let path = Path::new("spec");
            let path = path.child("replicas");
            let errors = vec![Error::invalid(&path, replicas, "must be greater than or equal to 0")];
            return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), &call.info.name, &errors));
        }
        let uid = |object: &Value| Str::from(object.at("metadata").at("uid").str());
        let (given, own) = (uid(scale), uid(live));
        if given.is_empty() || given == own {
            return Ok(());
        }
        let row = &self.whole.served.row;
        let resource = GroupResource::new(row.group.clone(), format!("{}/scale", row.plural));
        let text = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {own}");
        Err(Status::conflict(&resource, &call.info.name, text))
    }

    /// Where the replicas stand in each version of the kind.
    fn replicas_paths(&self) -> Vec<(Str, Option<merge::Path>)> {
        let served = &self.whole.served;
        match served.codec.custom() {
            Some(custom) => custom.replicas_paths(),
            None => vec![(served.row.api_version(), Some(merge::Path::fields(&["spec", "replicas"])))],
        }
    }
}

/// The scale of an object with `spec.replicas` and `spec.selector`.
fn scale_of(object: &Value) -> Value {
    let mut metadata = Value::object();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(v) = object.at("metadata").get(field) {
            metadata.set(field, v.clone());
        }
    }
    let mut spec = Value::object();
    let replicas = object.at("spec").at("replicas").int();
    if replicas != 0 {
        spec.set("replicas", replicas);
    }
    let mut status = Value::object();
    status.set("replicas", object.at("status").at("replicas").int());
    let selector = object.at("spec").at("selector");
    let is_label_selector =
        selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let text = if is_label_selector {
        meta::labels::Selector::from_label_selector(selector).map(|s| s.to_string()).unwrap_or_default()
    } else {
        meta::labels::Selector::from_set(selector).to_string()
    };
    if !text.is_empty() {
        status.set("selector", text);
    }
    let mut scale = Value::object();
    scale.set("kind", "Scale");
    scale.set("apiVersion", "autoscaling/v1");
    scale.set("metadata", metadata);
    scale.set("spec", spec);
    scale.set("status", status);
    scale
}
