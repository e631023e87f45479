//! A custom kind: what its definition says, ready to be used.

use super::convert::Converter;
use crate::codec::Decoded;
use crd::correlate::Pair;
use crd::list_type;
use crd::metadata::{self, Malformed};
use crd::prune::{self, Track};
use crd::rules::{BUDGET, Rules};
use crd::schema::{Schema, normalize_numbers};
use crd::values::{Check, Formats, blocks_rules};
use meta::field::{Error, ErrorList, Path};
use meta::quote::quote;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use value::jsonpath::JsonPath;
use value::{Str, Value, json};

/// How deep an object may nest. Upstream's JSON decoder stops at 10,000; every walk of this depth fits the
/// stack of a server thread.
const DEPTH_MAX: usize = 1000;

fn is_deeper(v: &Value, max: usize) -> bool {
    let Some(below) = max.checked_sub(1) else { return true };
    match v {
        Value::Array(list) => list.iter().any(|v| is_deeper(v, below)),
        Value::Object(map) => map.values().any(|v| is_deeper(v, below)),
        _ => false,
    }
}

/// A kind, all versions.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: Str,
    pub(crate) kind: Str,
    pub(crate) versions: BTreeMap<Str, Version>,
    pub(crate) storage: Str,
    pub(crate) preserve_unknown: bool,
    pub(crate) converter: Converter,
    /// Whether its definition is being deleted: nothing new may be made.
    pub(crate) terminating: AtomicBool,
    /// Whether its definition says that it is served.
    pub(crate) established: AtomicBool,
}

/// One version.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) schema: Schema,
    /// `openAPIV3Schema` as JSON, if there is one.
    pub(crate) json: Option<Box<[u8]>>,
    /// What apply and managed fields go by.
    pub(crate) merge_type: merge::Type,
    /// Made for the first object: of most kinds a cluster has none.
    check: OnceLock<Check>,
    rules: Option<Rules>,
    pub(crate) columns: Vec<Column>,
    pub(crate) has_status: bool,
    pub(crate) scale: Option<ScalePaths>,
}

/// A printer column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) definition: Value,
    pub(crate) path: Option<JsonPath>,
}

/// Where the parts of a Scale stand.
#[derive(Clone, Debug)]
pub(crate) struct ScalePaths {
    pub(crate) spec: Str,
    pub(crate) status: Str,
    pub(crate) selector: Option<Str>,
}

/// Whether a webhook may be asked to convert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It may.
    Allowed,
    /// It may not: the feed cannot wait for it. Labels and names are the same in all versions.
    Refused,
}

/// Why an object cannot be read or written.
#[derive(Debug)]
pub(crate) enum Unwritable {
    /// It is not even an object of some kind.
    NoKind,
    /// Its metadata or numbers are wrong.
    Malformed(String),
}

impl Version {
    /// Reads a version of a definition, whose kind keeps or drops what the schema does not know.
    pub(crate) fn new(version: &Value, preserve_unknown: bool) -> Self {
        let tree = version.at("schema").at("openAPIV3Schema");
        let (schema, json) = if tree.is_null() {
            (Schema { preserve_unknown: Some(true), ..Schema::default() }, None)
        } else {
            let mut json = Vec::new();
            value::json::write(tree, &mut json);
            (Schema::read(tree), Some(json.into()))
        };
        let scale = version.at("subresources").at("scale");
        Self {
            check: OnceLock::new(),
            rules: Rules::new(&schema, true),
            columns: columns(version.at("additionalPrinterColumns").items()),
            has_status: !version.at("subresources").at("status").is_null(),
            scale: (!scale.is_null()).then(|| ScalePaths {
                spec: scale.at("specReplicasPath").str().into(),
                status: scale.at("statusReplicasPath").str().into(),
                selector: scale.at("labelSelectorPath").as_str().filter(|s| !s.is_empty()).map(Str::from),
            }),
            merge_type: merge::structural::type_of(tree, preserve_unknown),
            schema,
            json,
        }
    }

    fn check(&self) -> &Check {
        self.check.get_or_init(|| Check::new(&self.schema, Formats::Known))
    }
}

/// The columns beside the name: the age where a definition names none.
fn columns(named: &[Value]) -> Vec<Column> {
    if !named.is_empty() {
        return named.iter().map(Column::new).collect();
    }
    let mut age = Value::object();
    age.set("name", "Age");
    age.set("type", "date");
    age.set("description", kinds::columns::age_description());
    age.set("jsonPath", ".metadata.creationTimestamp");
    vec![Column::new(&age)]
}

impl Column {
    fn new(column: &Value) -> Self {
        let json_path = column.at("jsonPath").str();
        let mut definition = Value::object();
        for field in ["name", "type", "format"] {
            definition.set(field, column.at(field).str());
        }
        definition.set("priority", column.at("priority").int());
        let description = match column.at("description").str() {
            "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
            text => text.to_owned(),
        };
        definition.set("description", description);
        Self { definition, path: JsonPath::parse(&format!("{{{json_path}}}")).ok() }
    }
}

/// One served version of a custom kind.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    pub(crate) all: Arc<Kind>,
    pub(crate) version: Str,
}

/// What becomes of fields that the schema does not know, of nulls where none may stand and no default replaces them,
/// and of what embedded metadata would not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strays {
    /// Decoding removes them.
    Pruned,
    /// They stay until the object is stored, for validation to refuse and for the generation to count: what an apply
    /// makes of an object is not decoded.
    Kept,
}

impl Custom {
    /// What is known of the version.
    pub(crate) fn here(&self) -> Option<&Version> {
        self.all.versions.get(&self.version)
    }

    fn api_version(&self) -> String {
        format!("{}/{}", self.all.group, self.version)
    }

    /// Whether new objects are refused.
    pub(crate) fn is_terminating(&self) -> bool {
        self.all.terminating.load(Ordering::Relaxed)
    }

    /// Whether discovery tells of it.
    pub(crate) fn is_established(&self) -> bool {
        self.all.established.load(Ordering::Relaxed)
    }

    /// Brings what a client sent into form: metadata, unknown fields, nulls, defaults.
    pub(crate) fn accept(
        &self,
        mut object: Value,
        track: Track,
        strays: Strays,
    ) -> Result<Decoded, Unwritable> {
        if is_deeper(&object, DEPTH_MAX) {
            return Err(Unwritable::Malformed("exceeded max depth".into()));
        }
        if let Some(number) = normalize_numbers(&mut object) {
            let why = format!("json: cannot unmarshal number {number} into Go value of type float64");
            return Err(Unwritable::Malformed(why));
        }
        if object.at("kind").str().is_empty() {
            return Err(Unwritable::NoKind);
        }
        let unknown = self.coerce(&mut object, &self.version, Malformed::Refuse, track, strays)?;
        self.default(&mut object);
        Ok(Decoded { object, has_unshown: false, strict: prune::words(unknown).collect() })
    }

    /// Gives an object of this version its defaults: what comes in, and what has been stored, for a new object's
    /// status is dropped in between.
    pub(crate) fn default(&self, object: &mut Value) {
        if object.at("kind").str() == self.all.kind
            && let Some(version) = self.here()
        {
            prune::default(object, &version.schema);
        }
    }

    /// Upstream's `unstructuredSchemaCoercer`.
    fn coerce(
        &self,
        object: &mut Value,
        version: &str,
        malformed: Malformed,
        track: Track,
        strays: Strays,
    ) -> Result<Vec<String>, Unwritable> {
        let mut unknown = Vec::new();
        if let Some(metadata) = object.get("metadata") {
            let (form, paths) = metadata::decode(metadata, malformed).map_err(Unwritable::Malformed)?;
            if track == Track::Paths {
                unknown.extend(paths.into_iter().map(|p| format!("metadata.{p}")));
            }
            object.set("metadata", form);
        }
        let Some(version) = self.all.versions.get(version) else { return Ok(unknown) };
        if object.at("kind").str() != self.all.kind {
            return Ok(unknown);
        }
        if strays == Strays::Kept {
            return Ok(unknown);
        }
        if !self.all.preserve_unknown {
            unknown.extend(prune::prune(object, &version.schema, true, track));
            prune::prune_nulls(object, &version.schema);
        }
        let root = Path::ROOT;
        let more = metadata::coerce(&root, object, &version.schema, false, malformed, track)
            .map_err(|e| Unwritable::Malformed(e.to_string()))?;
        unknown.extend(more);
        Ok(unknown)
    }

    /// Reads a stored object, of whichever version it was stored in.
    pub(crate) fn read_stored(&self, bytes: &[u8], asking: Asking) -> Result<Value, String> {
        let asking = if self.has_own_conversion() { asking } else { Asking::Allowed };
        let mut object = json::parse(bytes).map_err(|e| e.to_string())?;
        let api_version = object.at("apiVersion").str();
        let stored: Str = api_version.rsplit('/').next().unwrap_or_default().into();
        let failed = |e: Unwritable| match e {
            Unwritable::NoKind => "the stored object has no kind".to_owned(),
            Unwritable::Malformed(why) => why,
        };
        self.coerce(&mut object, &stored, Malformed::Drop, Track::Nothing, Strays::Pruned).map_err(failed)?;
        if let Some(version) = self.all.versions.get(&stored) {
            prune::default(&mut object, &version.schema);
        }
        if object.at("metadata").at("generation").int() == 0
            && let Some(metadata) = object.object_at("metadata")
        {
            metadata.set("generation", 1);
        }
        if stored != self.version && asking == Asking::Allowed {
            self.convert(&mut object)?;
            self.tidy(&mut object);
        }
        Ok(object)
    }

    /// Converts an object to this version.
    pub(crate) fn convert(&self, object: &mut Value) -> Result<(), String> {
        let wanted = self.api_version();
        if object.at("apiVersion").str() == wanted {
            return Ok(());
        }
        self.all.converter.convert(object, &wanted)
    }

    /// Removes what this version does not know: after a conversion, and before an object is stored.
    pub(crate) fn tidy(&self, object: &mut Value) {
        if self.coerce(object, &self.version, Malformed::Drop, Track::Nothing, Strays::Pruned).is_err() {
            tracing::error!(kind = %self.all.kind, "cannot bring a custom object into form");
        }
    }

    /// Whether conversions change more than the version.
    pub(crate) fn has_own_conversion(&self) -> bool {
        self.all.converter.is_webhook()
    }

    /// Whether expressions judge what is written.
    pub(crate) fn has_rules(&self) -> bool {
        self.here().is_some_and(|version| version.rules.is_some())
    }

    /// All errors of a new object, after those of its metadata.
    pub(crate) fn validate_create(&self, object: &Value, errors: &mut ErrorList, warnings: &mut Vec<String>) {
        let Some(version) = self.here() else { return };
        let root = Path::ROOT;
        let wrong = self.type_errors(object);
        let is_of_type = wrong.is_empty();
        errors.extend(wrong);
        if is_of_type {
            errors.extend(version.check().validate(&root, object, None));
            self.scale_errors(version, object, true, errors);
        }
        errors.extend(metadata::validate(&root, object, &version.schema, false));
        errors.extend(list_type::validate(&root, &version.schema, object));
        self.rule_errors(version, object, None, errors, warnings);
    }

    /// All errors of a changed object.
    pub(crate) fn validate_update(&self, new: &Value, old: &Value, warnings: &mut Vec<String>) -> ErrorList {
        let Some(version) = self.here() else { return Vec::new() };
        let root = Path::ROOT;
        let pair = Pair { new, old, schema: &version.schema };
        let mut errors = self.type_errors(new);
        if errors.is_empty() {
            errors.extend(version.check().validate(&root, new, Some(pair)));
            self.scale_errors(version, new, true, &mut errors);
        }
        errors.extend(metadata::validate(&root, new, &version.schema, false));
        if list_type::validate(&root, &version.schema, old).is_empty() {
            errors.extend(list_type::validate(&root, &version.schema, new));
        }
        self.rule_errors(version, new, Some(pair), &mut errors, warnings);
        errors
    }

    /// All errors of a changed status.
    pub(crate) fn validate_status(&self, new: &Value, old: &Value, warnings: &mut Vec<String>) -> ErrorList {
        let Some(version) = self.here() else { return Vec::new() };
        let root = Path::ROOT;
        let pair = Pair { new, old, schema: &version.schema };
        let mut errors = self.type_errors(new);
        if errors.is_empty() {
            if let (Some(status), Some(check)) = (new.get("status"), version.check().property("status")) {
                errors.extend(check.validate(&Path::new("status"), status, pair.key("status")));
            }
            self.scale_errors(version, new, false, &mut errors);
        }
        let lists = list_type::validate(&root, &version.schema, new);
        if !lists.is_empty() && list_type::validate(&root, &version.schema, old).is_empty() {
            errors.extend(lists);
        }
        self.rule_errors(version, new, Some(pair), &mut errors, warnings);
        errors
    }

    fn type_errors(&self, object: &Value) -> ErrorList {
        let kind = object.at("kind").str();
        if kind == self.all.kind {
            return Vec::new();
        }
        vec![Error::invalid(&Path::new("kind"), kind, format!("must be {}", self.all.kind))]
    }

    fn rule_errors(
        &self,
        version: &Version,
        new: &Value,
        pair: Option<Pair<'_>>,
        errors: &mut ErrorList,
        warnings: &mut Vec<String>,
    ) {
        let Some(rules) = &version.rules else { return };
        if let Some(blocked) = blocks_rules(errors) {
            errors.push(blocked);
            return;
        }
        let old = pair.map(|p| p.old);
        let (found, _) = rules.validate(&Path::ROOT, &version.schema, new, old, pair, BUDGET);
        errors.extend(found.errors);
        warnings.extend(found.warnings);
    }

    fn scale_errors(&self, version: &Version, object: &Value, spec: bool, errors: &mut ErrorList) {
        let Some(scale) = &version.scale else { return };
        let mut replicas = |path: &Str| {
            let at = Path::new(path);
            match super::scale::int_at(object, path) {
                Err(why) => errors.push(Error::invalid(&at, 0, why)),
                Ok(n) => {
                    let n = n.unwrap_or(0);
                    if n < 0 {
                        errors.push(Error::invalid(&at, n, "should be a non-negative integer"));
                    } else if n > i64::from(i32::MAX) {
                        let text = format!("should be less than or equal to {}", i32::MAX);
                        errors.push(Error::invalid(&at, n, text));
                    }
                }
            }
        };
        if spec {
            replicas(&scale.spec);
        }
        replicas(&scale.status);
        if let Some(path) = &scale.selector
            && let Err(why) = super::scale::text_at(object, path)
        {
            errors.push(Error::invalid(&Path::new(path), "", why));
        }
    }

    /// `Warning`s about finalizers that this write adds.
    pub(crate) fn finalizer_warnings(new: &Value, old: &Value) -> Vec<String> {
        let list = |o: &Value| {
            let items = o.at("metadata").at("finalizers").items();
            items.iter().map(|f| Str::from(f.str())).collect::<std::collections::BTreeSet<_>>()
        };
        let old = list(old);
        let mut warnings = Vec::new();
        for name in list(new).difference(&old) {
            let shown = quote(name);
            for why in meta::names::qualified_name(name) {
                warnings.push(format!("metadata.finalizers: {shown}: {why}"));
            }
            if !name.contains('/') && !matches!(name.as_str(), "orphan" | "foregroundDeletion" | "kubernetes")
            {
                let path = if name.contains('.') { "including a path (/) " } else { "" };
                warnings.push(format!("metadata.finalizers: {shown}: prefer a domain-qualified finalizer name {path}to avoid accidental conflicts with other finalizer writers"));
            }
        }
        warnings
    }

    /// `columnDefinitions`
    pub(crate) fn column_definitions(&self, name_description: &Value) -> Value {
        let mut name = Value::object();
        name.set("name", "Name");
        name.set("type", "string");
        name.set("format", "name");
        name.set("description", name_description.clone());
        name.set("priority", 0);
        let columns = self.here().map(|v| v.columns.as_slice()).unwrap_or_default();
        Value::Array(std::iter::once(name).chain(columns.iter().map(|c| c.definition.clone())).collect())
    }

    /// The cells of an object.
    pub(crate) fn cells(&self, object: &Value, age: impl Fn(&str) -> Value) -> Vec<Value> {
        let columns = self.here().map(|v| v.columns.as_slice()).unwrap_or_default();
        let cell = |column: &Column| -> Value {
            let found = column.path.as_ref().and_then(|p| p.first(object));
            let Some(found) = found else { return Value::Null };
            let number = |v: &Value| match v {
                Value::Number(n) => Some(n.clone()),
                _ => None,
            };
            match column.definition.at("type").str() {
                "string" => {
                    let mut out = String::new();
                    value::jsonpath::print_value(&found, &mut out);
                    Value::from(out)
                }
                "integer" => number(&found)
                    .map(|n| n.as_i64().unwrap_or_else(|| n.as_f64() as i64))
                    .map_or(Value::Null, Value::from),
                "number" => number(&found).map_or(Value::Null, |n| match n.as_i64() {
                    Some(i) => Value::from(i),
                    None => Value::Number(n),
                }),
                "boolean" => found.as_bool().map_or(Value::Null, Value::from),
                "date" => found.as_str().map_or(Value::Null, &age),
                _ => Value::Null,
            }
        };
        let name = object.at("metadata").at("name").clone();
        std::iter::once(name).chain(columns.iter().map(cell)).collect()
    }
}
