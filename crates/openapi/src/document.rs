//! Documents of version 3, one per group and version and for what is around them.

use crate::custom;
use crate::definitions::{Definitions, Packages, VERSION_INFO};
use crate::names::{group_tag, group_version_id};
use crate::operations::{self, PLAIN, responses};
use crate::tree::{array, object, of_type};
use kinds::Row;
use schema::types::Types;
use value::{Map, Str, Value};

/// By what others verify service-account tokens: documents of their own.
const OPENID_CONFIGURATION: &str = ".well-known/openid-configuration";
const OPENID_KEYS: &str = "openid/v1/jwks";

/// The version of Kubernetes that documents describe.
pub(crate) const VERSION: &str = "1.36";

/// A kind that is served.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// Its row.
    pub row: &'a Row,
    /// The schema of a custom resource in OpenAPI's form, as JSON; `None` for built-in kinds.
    pub schema: Option<&'a [u8]>,
    /// Whether a custom resource keeps fields that its schema does not know.
    pub preserves_unknown: bool,
}

impl Kind<'_> {
    /// A reference to the definition of its objects.
    pub(crate) fn schema(&self, definitions: &mut Definitions<'_>) -> Value {
        let row = self.row;
        if let Some(built_in) = definitions.go(&row.go_type) {
            return built_in;
        }
        definitions.meta("ObjectMeta");
        definitions.custom(&custom::name(self), || custom::v3(self))
    }

    /// A reference to the definition of its lists.
    pub(crate) fn list_schema(&self, definitions: &mut Definitions<'_>) -> Value {
        let row = self.row;
        if let Some(built_in) = definitions.go(&row.list_go_type) {
            return built_in;
        }
        self.schema(definitions);
        definitions.meta("ListMeta");
        let prefix = custom::name(self);
        let name = prefix.strip_suffix(row.kind.as_str()).unwrap_or_default();
        definitions.custom(&format!("{name}{}", row.list_kind), || custom::list(self))
    }

    /// Whether it is a custom resource.
    pub(crate) fn is_custom(&self) -> bool {
        self.row.go_type.is_empty()
    }
}

/// The names of the documents, sorted: `.well-known/openid-configuration`, `api`, `api/v1`, `apis`, `apis/apps`, `apis/apps/v1`, …, `version`.
pub fn paths(kinds: &[Kind<'_>]) -> Vec<String> {
    let around = [OPENID_CONFIGURATION, "api", "apis", OPENID_KEYS, "version"];
    let mut names: Vec<String> = around.map(str::to_owned).into();
    for Kind { row, .. } in kinds {
        if row.group.is_empty() {
            names.push(format!("api/{}", row.version));
        } else {
            if !row.go_type.is_empty() {
                names.push(format!("apis/{}", row.group));
            }
            names.push(format!("apis/{}/{}", row.group, row.version));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The document with this name; `None` if there is none.
pub fn v3(kinds: &[Kind<'_>], path: &str) -> Option<Value> {
    let packages = packages(kinds);
    let segments: Vec<&str> = path.split('/').collect();
    let (paths, schemas) = match segments.as_slice() {
        ["api"] => around(&packages, "/api/", "getCoreAPIVersions", "core", "APIVersions"),
        ["apis"] => around(&packages, "/apis/", "getAPIVersions", "apis", "APIGroupList"),
        ["apis", group] => {
            kinds.iter().find(|k| k.row.group == *group && !group.is_empty() && !k.is_custom())?;
            let tag = group_tag(group);
            let id = format!("get{}APIGroup", crate::names::capital(&tag));
            around(&packages, &format!("/apis/{group}/"), &id, &tag, "APIGroup")
        }
        ["version"] => version(&packages),
        _ if path == OPENID_CONFIGURATION => (openid_configuration(), Map::new()),
        _ if path == OPENID_KEYS => (openid_keys(), Map::new()),
        ["api", version] => group_version(kinds, &packages, "", version)?,
        ["apis", group, version] if !group.is_empty() => group_version(kinds, &packages, group, version)?,
        _ => return None,
    };
    let is_custom = |k: &Kind<'_>| k.is_custom() && segments == ["apis", &k.row.group, &k.row.version];
    Some(document(paths, schemas, kinds.iter().any(is_custom)))
}

fn document(paths: Map, schemas: Map, custom: bool) -> Value {
    let bearer = object([
        ("type", "apiKey".into()),
        ("name", "authorization".into()),
        ("in", "header".into()),
        ("description", "Bearer Token authentication".into()),
    ]);
    let mut components = Value::object();
    let mut info = object([("title", "Kubernetes CRD Swagger".into()), ("version", "v0.1.0".into())]);
    if !custom {
        components.set("securitySchemes", object([("BearerToken", bearer)]));
        info = object([("title", "Kubernetes".into()), ("version", VERSION.into())]);
    }
    if !schemas.is_empty() {
        components.set("schemas", schemas);
    }
    object([("openapi", "3.0.0".into()), ("info", info), ("paths", paths.into()), ("components", components)])
}

/// Which group and version the structs of a Go package belong to.
fn packages(kinds: &[Kind<'_>]) -> Packages {
    let types = Types::builtin();
    let mut packages = Packages::new();
    for Kind { row, .. } in kinds {
        if let Some(id) = types.by_go_name(&row.go_type) {
            packages
                .entry(types.get(id).package())
                .or_insert_with(|| (row.group.clone(), row.version.clone()));
        }
    }
    packages
}

/// The document of one path that answers with a type of discovery.
fn around(packages: &Packages, path: &str, id: &str, tag: &str, kind: &str) -> (Map, Map) {
    let mut definitions = Definitions::new(packages, "", "v1");
    let schema = definitions.meta(kind);
    (single(path, id, tag, &schema, PLAIN), definitions.finish())
}

fn version(packages: &Packages) -> (Map, Map) {
    let mut definitions = Definitions::new(packages, "", "v1");
    let schema = definitions.extra(VERSION_INFO);
    (single("/version/", "getCodeVersion", "version", &schema, &["application/json"]), definitions.finish())
}

fn openid_configuration() -> Map {
    let id = "getServiceAccountIssuerOpenIDConfiguration";
    let path = format!("/{OPENID_CONFIGURATION}/");
    single(&path, id, "WellKnown", &of_type("string"), &["application/json"])
}

fn openid_keys() -> Map {
    let id = "getServiceAccountIssuerOpenIDKeyset";
    let path = format!("/{OPENID_KEYS}/");
    single(&path, id, "openid", &of_type("string"), &["application/jwk-set+json"])
}

fn single(path: &str, id: &str, tag: &str, schema: &Value, media: &[&str]) -> Map {
    let phrase = match tag {
        "version" => "get the version information for this server",
        "core" | "apis" => "get available API versions",
        "WellKnown" => "get the OpenID configuration of the issuer of service-account tokens",
        "openid" => "get the public keys that verify service-account tokens, as a JSON Web Key Set",
        _ if id.ends_with("APIGroup") => "get information of a group",
        _ => "get available resources",
    };
    let operation = object([
        ("description", phrase.into()),
        ("operationId", id.into()),
        ("tags", array([tag.into()])),
        ("responses", responses(&[("200", schema)], media)),
    ]);
    Map::from_entries(vec![(Str::from(path), object([("get", operation)]))], |_| {})
}

fn group_version(kinds: &[Kind<'_>], packages: &Packages, group: &str, version: &str) -> Option<(Map, Map)> {
    let mut own = kinds.iter().filter(|k| k.row.group == group && k.row.version == version).peekable();
    let root = operations::root(own.peek()?.row);
    let mut definitions = Definitions::new(packages, group, version);
    let mut paths = Vec::new();
    if own.peek().is_some_and(|k| !k.is_custom()) {
        let list = definitions.meta("APIResourceList");
        let id = format!("get{}APIResources", group_version_id(group, version));
        let tag = format!("{}_{version}", group_tag(group));
        paths = single(&format!("{root}/"), &id, &tag, &list, PLAIN).into_vec();
    }
    for kind in own {
        paths.extend(operations::of_kind(kind, &mut definitions));
    }
    Some((Map::from_entries(paths, |_| {}), definitions.finish()))
}

/// The definition that a reference names.
pub(crate) fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}
