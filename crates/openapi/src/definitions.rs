//! Definitions of Go types: what `openapi-gen` makes of structs, tags and markers.

use crate::names;
use crate::registered;
use crate::texts;
use crate::tree::{array, gvk, object, of_type, reference, set_text, strings};
use crate::unions;
use schema::types::{Field, ListType, Shape, Struct, TypeId, Types};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;
use value::{Map, Str, Value, json};

/// The definition of patches, which is no Go struct of the table.
pub(crate) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
/// What `/version` answers, which is none either.
pub(crate) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// String types with `+enum`, and their values where the table of types has none.
static ENUMS: LazyLock<HashMap<&'static str, Option<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("enums.txt").lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.split_once('\t').map_or((l, None), |(name, values)| (name, Some(values)))).collect()
});

/// The groups and versions of Go packages.
pub(crate) type Packages = HashMap<&'static str, (Str, Str)>;

/// Collects the definitions that a document refers to.
pub(crate) struct Definitions<'a> {
    types: &'static Types,
    packages: &'a Packages,
    group_version: (&'a str, &'a str),
    seen: HashSet<TypeId>,
    todo: Vec<TypeId>,
    extra: BTreeSet<&'static str>,
    custom: Vec<(Str, Value)>,
}

impl<'a> Definitions<'a> {
    pub(crate) fn new(packages: &'a Packages, group: &'a str, version: &'a str) -> Self {
        Self {
            types: Types::builtin(),
            packages,
            group_version: (group, version),
            seen: HashSet::new(),
            todo: Vec::new(),
            extra: BTreeSet::new(),
            custom: Vec::new(),
        }
    }

    /// A reference to a Go type (`k8s.io/api/core/v1.Pod`), whose definition is then needed; `None` if there
    /// is no such type.
    pub(crate) fn go(&mut self, go_name: &str) -> Option<Value> {
        let id = self.types.by_go_name(go_name)?;
        Some(self.refer(id))
    }

    /// A reference to a type of `meta/v1`.
    pub(crate) fn meta(&mut self, name: &str) -> Value {
        self.go(&format!("k8s.io/apimachinery/pkg/apis/meta/v1.{name}")).unwrap_or_default()
    }

    /// A reference to one of the definitions that are no Go types.
    pub(crate) fn extra(&mut self, definition: &'static str) -> Value {
        self.extra.insert(definition);
        reference(definition)
    }

    /// A reference to a definition that the caller makes.
    pub(crate) fn custom(&mut self, definition: &str, schema: impl FnOnce() -> Value) -> Value {
        if !self.custom.iter().any(|(name, _)| *name == definition) {
            self.custom.push((definition.into(), schema()));
        }
        reference(definition)
    }

    fn refer(&mut self, id: TypeId) -> Value {
        if self.seen.insert(id) {
            self.todo.push(id);
        }
        reference(&names::definition(&self.types.go_name(id)))
    }

    /// All definitions that were referred to, and those they refer to.
    pub(crate) fn finish(mut self) -> Map {
        let mut out: Vec<(Str, Value)> = std::mem::take(&mut self.custom);
        while let Some(id) = self.todo.pop() {
            let name = names::definition(&self.types.go_name(id));
            let definition = self.definition(id, &name);
            out.push((name.into(), definition));
        }
        for name in &self.extra {
            let mut definition = if *name == VERSION_INFO { version_info() } else { of_type("object") };
            set_text(&mut definition, "description", texts::of_type(name));
            out.push(((*name).into(), definition));
        }
        Map::from_entries(out, |_| {})
    }

    fn definition(&mut self, id: TypeId, name: &str) -> Value {
        let ty = self.types.get(id);
        let mut out = match &ty.shape {
            Shape::Struct(structure) => self.structure(structure, name),
            Shape::Quantity => object([("oneOf", array([of_type("string"), of_type("number")]))]),
            Shape::IntOrString => object([
                ("oneOf", array([of_type("integer"), of_type("string")])),
                ("format", "int-or-string".into()),
            ]),
            Shape::Time | Shape::MicroTime => {
                object([("type", "string".into()), ("format", "date-time".into())])
            }
            Shape::RawExtension | Shape::FieldsV1 => of_type("object"),
            _ => Value::object(),
        };
        if let Shape::Struct(structure) = &ty.shape {
            if structure.struct_type == "atomic" {
                out.set("x-kubernetes-map-type", "atomic");
            }
            let own = self.packages.get(ty.package());
            let kinds = self.kinds(structure, ty.package(), ty.short_name(), own);
            if !kinds.is_empty() {
                out.set("x-kubernetes-group-version-kind", kinds);
            }
            if let Some(union) = unions::extension(ty.package(), ty.short_name()) {
                out.set("x-kubernetes-unions", union);
            }
        }
        set_text(&mut out, "description", texts::of_type(name));
        out
    }

    /// Under which groups, versions and kinds the scheme knows a struct.
    fn kinds(&self, structure: &Struct, package: &str, name: &str, own: Option<&(Str, Str)>) -> Vec<Value> {
        if package == "meta/v1" {
            let is_kind = structure.field("kind").is_some_and(|f| f.inlined == "TypeMeta");
            if !is_kind && name != "WatchEvent" {
                return Vec::new();
            }
            let mut kinds = vec![gvk("", "v1", name)];
            // These are registered in every built-in group: a group says its own, custom resources say all.
            let (group, version) = self.group_version;
            let built_in = self.packages.values().any(|(g, v)| g == group && v == version);
            let everywhere = matches!(name, "DeleteOptions" | "WatchEvent");
            if everywhere && built_in && (group, version) != ("", "v1") {
                kinds.push(gvk(group, version, name));
            } else if everywhere && !built_in {
                kinds.extend(self.packages.values().map(|(group, version)| gvk(group, version, name)));
                registered::add(&mut kinds, &registered::NOT_OF_CUSTOM);
            }
            return kinds;
        }
        let is_kind = structure.field("kind").is_some_and(|f| f.inlined == "TypeMeta");
        own.filter(|_| is_kind).map(|(group, version)| gvk(group, version, name)).into_iter().collect()
    }

    fn structure(&mut self, structure: &Struct, name: &str) -> Value {
        let mut properties = Vec::with_capacity(structure.fields.len());
        let mut required = Vec::new();
        for field in &structure.fields {
            if field.required {
                required.push(Value::from(field.json));
            }
            properties.push((Str::from(field.json), self.property(field, name)));
        }
        let mut out = of_type("object");
        if !properties.is_empty() {
            out.set("properties", Map::from_entries(properties, |_| {}));
        }
        if !required.is_empty() {
            out.set("required", required);
        }
        out
    }

    fn property(&mut self, field: &Field, definition: &str) -> Value {
        let mut schema = self.schema(field.ty, 0);
        let mut more = Value::object();
        if let Some(default) = self.default(field) {
            more.set("default", default);
        }
        let mut text = texts::of_field(definition, field.json);
        if text.is_empty() && field.inlined == "TypeMeta" {
            // Lists say of these what all kinds say.
            text = texts::of_field("io.k8s.apimachinery.pkg.apis.meta.v1.Status", field.json);
        }
        if !text.is_empty() {
            text.push_str(&texts::of_values(schema.at("enum").items()));
        }
        set_text(&mut more, "description", text);
        for (key, text) in [
            ("x-kubernetes-patch-strategy", field.patch_strategy),
            ("x-kubernetes-patch-merge-key", field.patch_merge_key),
            (
                "x-kubernetes-map-type",
                if field.map_type.is_empty() { field.struct_type } else { field.map_type },
            ),
        ] {
            set_text(&mut more, key, text.to_owned());
        }
        let list_type = match field.list_type {
            ListType::Unset => "",
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map => "map",
        };
        set_text(&mut more, "x-kubernetes-list-type", list_type.to_owned());
        if !field.list_map_keys.is_empty() {
            more.set("x-kubernetes-list-map-keys", strings(field.list_map_keys.iter().copied()));
        }
        if more.is_empty() {
            return schema;
        }
        // Nothing may stand beside a `$ref`.
        if schema.get("$ref").is_some() {
            schema = object([("allOf", array([schema]))]);
        }
        for (key, value) in more.entries() {
            schema.set(key, value.clone());
        }
        schema
    }

    /// The schema of a value of a type, without what its field says.
    fn schema(&mut self, id: TypeId, depth: u8) -> Value {
        let ty = self.types.get(id);
        match &ty.shape {
            Shape::List(element) | Shape::MessageList(element) if depth < 8 => {
                let items = self.schema(*element, depth + 1);
                object([("type", "array".into()), ("items", items)])
            }
            Shape::Map { value, .. } if depth < 8 => {
                let values = self.schema(*value, depth + 1);
                object([("type", "object".into()), ("additionalProperties", values)])
            }
            Shape::String => {
                let mut schema = of_type("string");
                let values = self.enumeration(id);
                if !values.is_empty() {
                    schema.set("enum", strings(values));
                }
                schema
            }
            Shape::Duration => of_type("string"),
            Shape::Bool => of_type("boolean"),
            Shape::Int32 => object([("type", "integer".into()), ("format", "int32".into())]),
            Shape::Int64 => object([("type", "integer".into()), ("format", "int64".into())]),
            Shape::Float64 => object([("type", "number".into()), ("format", "double".into())]),
            Shape::Bytes => object([("type", "string".into()), ("format", "byte".into())]),
            Shape::Any | Shape::List(_) | Shape::MessageList(_) | Shape::Map { .. } => Value::object(),
            _ => self.refer(id),
        }
    }

    /// The values of a string type that OpenAPI tells, in order.
    fn enumeration(&self, id: TypeId) -> Vec<&'static str> {
        let ty = self.types.get(id);
        let full = self.types.get(id);
        let Some(values) = ENUMS.get(format!("{}.{}", ty.package(), ty.short_name()).as_str()) else {
            return Vec::new();
        };
        let mut values: Vec<&str> =
            values.map_or_else(|| full.values().collect(), |v| v.split('|').collect());
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The default of a field: what its marker says, else the zero of what JSON always shows.
    fn default(&self, field: &Field) -> Option<Value> {
        match field.default {
            "" => {}
            "ref(AzureDataDiskCachingReadWrite)" => return Some("ReadWrite".into()),
            "ref(AzureSharedBlobDisk)" => return Some("Shared".into()),
            text => return json::parse(text.as_bytes()).ok(),
        }
        if field.pointer {
            return None;
        }
        let always = !field.omitempty && !field.omitzero;
        match self.types.shape(field.ty) {
            Shape::Struct(_) => Some(Value::object()),
            Shape::String | Shape::Duration if always => Some("".into()),
            Shape::Bool if always => Some(false.into()),
            Shape::Int32 | Shape::Int64 | Shape::Float64 if always => Some(0.into()),
            _ => None,
        }
    }
}

/// The fields of `version.Info`.
fn version_info() -> Value {
    const REQUIRED: [&str; 9] = [
        "major",
        "minor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    const OPTIONAL: [&str; 4] =
        ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let mut properties = Value::object();
    for name in REQUIRED.into_iter().chain(OPTIONAL) {
        let mut property = of_type("string");
        if REQUIRED.contains(&name) {
            property.set("default", "");
        }
        set_text(&mut property, "description", texts::of_field(VERSION_INFO, name));
        properties.set(name, property);
    }
    object([("type", "object".into()), ("properties", properties), ("required", strings(REQUIRED))])
}
