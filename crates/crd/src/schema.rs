//! The schema of one version of a custom resource, read from `openAPIV3Schema`.
//!
//! One type serves all ends: upstream's `JSONSchemaProps`, its structural schema and its OpenAPI schema hold
//! the same facts. [`Schema::unsupported`] tells whether upstream could make a structural schema of it.

use std::collections::BTreeMap;
use value::{Number, Str, Value};

/// How deep schemas are followed; the typed decoder admits less.
pub const DEPTH_MAX: usize = 500;

/// Schemas by name. Boxed: a map makes room for eleven at a time, most objects have fewer fields, and a schema is
/// most of a kilobyte.
pub type Properties = BTreeMap<Str, Box<Schema>>;

/// A schema node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// `id`
    pub id: Str,
    /// `$schema`
    pub url: Str,
    /// `$ref`
    pub reference: Option<Str>,
    /// `description`
    pub description: Str,
    /// `type`
    pub ty: Str,
    /// `nullable`
    pub nullable: bool,
    /// `format`
    pub format: Str,
    /// `title`
    pub title: Str,
    /// `default`; numbers are as Go holds them.
    pub default: Option<Value>,
    /// `maximum`
    pub maximum: Option<f64>,
    /// `exclusiveMaximum`
    pub exclusive_maximum: bool,
    /// `minimum`
    pub minimum: Option<f64>,
    /// `exclusiveMinimum`
    pub exclusive_minimum: bool,
    /// `maxLength`
    pub max_length: Option<i64>,
    /// `minLength`
    pub min_length: Option<i64>,
    /// `pattern`
    pub pattern: Str,
    /// `maxItems`
    pub max_items: Option<i64>,
    /// `minItems`
    pub min_items: Option<i64>,
    /// `uniqueItems`
    pub unique_items: bool,
    /// `multipleOf`
    pub multiple_of: Option<f64>,
    /// `enum`
    pub enumeration: Vec<Value>,
    /// `maxProperties`
    pub max_properties: Option<i64>,
    /// `minProperties`
    pub min_properties: Option<i64>,
    /// `required`
    pub required: Vec<Str>,
    /// `items`
    pub items: Option<Items>,
    /// `allOf`
    pub all_of: Vec<Self>,
    /// `oneOf`
    pub one_of: Vec<Self>,
    /// `anyOf`
    pub any_of: Vec<Self>,
    /// `not`
    pub not: Option<Box<Self>>,
    /// `properties`
    pub properties: Properties,
    /// `additionalProperties`
    pub additional_properties: Option<OrBool>,
    /// `patternProperties`
    pub pattern_properties: Properties,
    /// `dependencies`
    pub dependencies: Option<BTreeMap<Str, Dependency>>,
    /// `additionalItems`
    pub additional_items: Option<OrBool>,
    /// `definitions`
    pub definitions: Properties,
    /// `externalDocs`: description and URL.
    pub external_docs: Option<(Str, Str)>,
    /// `example`
    pub example: Option<Value>,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve_unknown: Option<bool>,
    /// `x-kubernetes-embedded-resource`
    pub embedded_resource: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-list-map-keys`
    pub list_map_keys: Vec<Str>,
    /// `x-kubernetes-list-type`
    pub list_type: Option<Str>,
    /// `x-kubernetes-map-type`
    pub map_type: Option<Str>,
    /// `x-kubernetes-validations`
    pub rules: Vec<Rule>,
    /// What was given without anything in it.
    pub empty: Empties,
}

/// Lists and maps that are given and empty, which upstream tells from those that are not given where it refuses or
/// shows a schema: a bit for each of [`Empties::NAMES`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Empties(u16);

impl Empties {
    const NAMES: [&str; 10] = [
        "enum",
        "required",
        "allOf",
        "oneOf",
        "anyOf",
        "properties",
        "patternProperties",
        "definitions",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    ];

    fn read(v: &Value) -> Self {
        let is_given = |name: &str| !v.at(name).is_null() && v.at(name).is_empty();
        let bits = Self::NAMES.iter().enumerate().filter(|(_, name)| is_given(name));
        Self(bits.fold(0, |all, (i, _)| all | 1 << i))
    }
}

/// An empty list is as good as none.
impl PartialEq for Empties {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// `items`: one schema, or (never valid) several.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// For all items.
    One(Box<Schema>),
    /// By position.
    Many(Vec<Schema>),
}

/// A schema or a bool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrBool {
    /// Whether anything is allowed.
    pub allows: bool,
    /// The schema.
    pub schema: Option<Box<Schema>>,
}

/// An entry of `dependencies`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// A schema.
    pub schema: Option<Box<Schema>>,
    /// Names of properties.
    pub properties: Vec<Str>,
}

/// An entry of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// The expression.
    pub rule: Str,
    /// What to say when it is false.
    pub message: Str,
    /// An expression that gives what to say.
    pub message_expression: Str,
    /// The reason of the error.
    pub reason: Option<Str>,
    /// The field the error is about.
    pub field_path: Str,
    /// Whether `oldSelf` is an optional.
    pub optional_old_self: Option<bool>,
}

impl Schema {
    /// Reads a node of the typed tree.
    pub fn read(v: &Value) -> Self {
        Self::read_to(v, DEPTH_MAX)
    }

    fn read_to(v: &Value, depth: usize) -> Self {
        let Some(below) = depth.checked_sub(1) else { return Self::default() };
        let text = |key: &str| Str::from(v.at(key).str());
        let opt_text = |key: &str| v.at(key).as_str().map(Str::from);
        let float = |key: &str| match v.at(key) {
            Value::Number(n) => Some(n.as_f64()),
            _ => None,
        };
        let int = |key: &str| v.at(key).as_i64();
        let flag = |key: &str| v.at(key).bool();
        let json = |key: &str| match v.at(key) {
            Value::Null => None,
            given => Some(go_numbers(given)),
        };
        let list = |key: &str| v.at(key).items().iter().map(|s| Self::read_to(s, below)).collect::<Vec<_>>();
        let map = |key: &str| {
            let entries = v.at(key).entries();
            entries.map(|(k, s)| (k.clone(), Box::new(Self::read_to(s, below)))).collect::<Properties>()
        };
        let boxed = |s: &Value| s.as_object().map(|_| Box::new(Self::read_to(s, below)));
        let or_bool = |key: &str| match v.at(key) {
            Value::Bool(allows) => Some(OrBool { allows: *allows, schema: None }),
            given @ Value::Object(_) => Some(OrBool { allows: true, schema: boxed(given) }),
            _ => None,
        };
        Self {
            id: text("id"),
            url: text("$schema"),
            reference: opt_text("$ref"),
            description: text("description"),
            ty: text("type"),
            nullable: flag("nullable"),
            format: text("format"),
            title: text("title"),
            default: json("default"),
            maximum: float("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: float("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            max_length: int("maxLength"),
            min_length: int("minLength"),
            pattern: text("pattern"),
            max_items: int("maxItems"),
            min_items: int("minItems"),
            unique_items: flag("uniqueItems"),
            multiple_of: float("multipleOf"),
            enumeration: v.at("enum").items().iter().map(go_numbers).collect(),
            max_properties: int("maxProperties"),
            min_properties: int("minProperties"),
            required: strings(v.at("required")),
            items: match v.at("items") {
                given @ Value::Object(_) => boxed(given).map(Items::One),
                Value::Array(_) => Some(Items::Many(list("items"))),
                _ => None,
            },
            all_of: list("allOf"),
            one_of: list("oneOf"),
            any_of: list("anyOf"),
            not: boxed(v.at("not")),
            properties: map("properties"),
            additional_properties: or_bool("additionalProperties"),
            pattern_properties: map("patternProperties"),
            dependencies: v.at("dependencies").as_object().map(|m| {
                let read = |d: &Value| Dependency { schema: boxed(d), properties: strings(d) };
                m.iter().map(|(k, d)| (k.clone(), read(d))).collect()
            }),
            additional_items: or_bool("additionalItems"),
            definitions: map("definitions"),
            external_docs: v.at("externalDocs").as_object().map(|_| {
                let docs = v.at("externalDocs");
                (docs.at("description").str().into(), docs.at("url").str().into())
            }),
            example: json("example"),
            preserve_unknown: v.at("x-kubernetes-preserve-unknown-fields").as_bool(),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_map_keys: strings(v.at("x-kubernetes-list-map-keys")),
            list_type: opt_text("x-kubernetes-list-type"),
            map_type: opt_text("x-kubernetes-map-type"),
            rules: v.at("x-kubernetes-validations").items().iter().map(Rule::read).collect(),
            empty: Empties::read(v),
        }
    }

    /// Whether the list or map of this name is given without anything in it.
    pub(crate) fn has_empty(&self, name: &str) -> bool {
        Empties::NAMES.iter().position(|n| *n == name).is_some_and(|i| self.empty.0 & 1 << i != 0)
    }

    /// Whether unknown fields are kept.
    pub fn preserves(&self) -> bool {
        self.preserve_unknown == Some(true)
    }

    /// The schema of all items.
    pub fn item(&self) -> Option<&Self> {
        match &self.items {
            Some(Items::One(s)) => Some(s),
            _ => None,
        }
    }

    /// The schema of a property.
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).map(AsRef::as_ref)
    }

    /// The schema of additional properties.
    pub fn additional(&self) -> Option<&Self> {
        self.additional_properties.as_ref()?.schema.as_deref()
    }

    /// Why no structural schema can be made of it: upstream's `NewStructural`.
    pub fn unsupported(&self) -> Option<&'static str> {
        if !self.id.is_empty() {
            return Some("OpenAPIV3Schema 'id' is not supported");
        }
        if !self.url.is_empty() {
            return Some("OpenAPIV3Schema 'schema' is not supported");
        }
        if self.reference.as_ref().is_some_and(|r| !r.is_empty()) {
            return Some("OpenAPIV3Schema '$ref' is not supported");
        }
        if !self.pattern_properties.is_empty() {
            return Some("OpenAPIV3Schema 'patternProperties' is not supported");
        }
        if self.dependencies.as_ref().is_some_and(|d| !d.is_empty()) {
            return Some("OpenAPIV3Schema 'dependencies' is not supported");
        }
        if self.additional_items.is_some() {
            return Some("OpenAPIV3Schema 'additionalItems' is not supported");
        }
        if !self.definitions.is_empty() {
            return Some("OpenAPIV3Schema 'definitions' is not supported");
        }
        let nested = self.not.as_deref().into_iter().chain(&self.all_of).chain(&self.any_of);
        if let Some(why) = nested.chain(&self.one_of).find_map(Self::unsupported) {
            return Some(why);
        }
        if self.preserve_unknown == Some(false) {
            return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined");
        }
        match &self.items {
            Some(Items::Many(list)) if !list.is_empty() => {
                return Some("OpenAPIV3Schema 'items' must be a schema, but is an array");
            }
            _ => {}
        }
        let properties = self.properties.values().map(AsRef::as_ref);
        let below = self.item().into_iter().chain(properties).chain(self.additional());
        below.into_iter().find_map(Self::unsupported)
    }

    /// Whether it or any schema below satisfies `test`: upstream's `SchemaHas`.
    pub fn any(&self, test: &mut dyn FnMut(&Self) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let items: &[Self] = match &self.items {
            Some(Items::One(s)) => std::slice::from_ref(s),
            Some(Items::Many(list)) => list,
            None => &[],
        };
        let or_bool = |s: &Option<OrBool>| s.as_ref().and_then(|s| s.schema.clone());
        items.iter().any(|s| s.any(test))
            || self.all_of.iter().any(|s| s.any(test))
            || self.any_of.iter().any(|s| s.any(test))
            || self.one_of.iter().any(|s| s.any(test))
            || self.not.as_ref().is_some_and(|s| s.any(test))
            || self.properties.values().any(|s| s.any(test))
            || self.additional().is_some_and(|s| s.any(test))
            || self.pattern_properties.values().any(|s| s.any(test))
            || or_bool(&self.additional_items).is_some_and(|s| s.any(test))
            || self.definitions.values().any(|s| s.any(test))
            || self
                .dependencies
                .iter()
                .flat_map(BTreeMap::values)
                .any(|d| d.schema.as_ref().is_some_and(|s| s.any(test)))
    }

    /// Whether it or a schema on its spine has rules.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.item().is_some_and(Self::has_rules)
            || self.additional().is_some_and(Self::has_rules)
            || self.properties.values().any(|s| s.has_rules())
    }
}

impl Rule {
    fn read(v: &Value) -> Self {
        let text = |key: &str| Str::from(v.at(key).str());
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: v.at("reason").as_str().map(Str::from),
            field_path: text("fieldPath"),
            optional_old_self: v.at("optionalOldSelf").as_bool(),
        }
    }

    /// How errors name it: its message, or its expression.
    pub fn shown(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }
}

fn strings(v: &Value) -> Vec<Str> {
    v.items().iter().map(|s| Str::from(s.str())).collect()
}

/// The tree with its numbers as Go's untyped decoding holds them.
pub fn go_numbers(v: &Value) -> Value {
    let mut v = v.clone();
    normalize_numbers(&mut v);
    v
}

/// Makes numbers what Go's untyped decoding makes of them; tells the first that is out of range.
pub fn normalize_numbers(v: &mut Value) -> Option<Number> {
    match v {
        Value::Number(n) => match n.normalized() {
            Some(normal) => {
                *n = normal;
                None
            }
            None => Some(n.clone()),
        },
        Value::Array(list) => {
            let mut bad = None;
            for item in list {
                bad = normalize_numbers(item).or(bad);
            }
            bad
        }
        Value::Object(map) => {
            let mut bad = None;
            for (_, item) in map.iter_mut() {
                bad = normalize_numbers(item).or(bad);
            }
            bad
        }
        _ => None,
    }
}
