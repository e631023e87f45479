//! Values against schemas, as upstream's fork of go-openapi checks them.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/validation/{validate,errors}`, and
//! `pkg/apiserver/validation/{validation,ratcheting}.go` for what unchanged values may keep.
//!
//! A [`Check`] is a schema with its regular expressions compiled. Work is linear in the value, times the
//! alternatives of the schema.

use crate::correlate::{ByKey, Pair};
use crate::formats;
use crate::prune::is_type_meta;
use crate::schema::{Items, Schema};
use meta::field::{Error, ErrorList, ErrorType, Path, Shown};
use meta::quote::{go_float, quote};
use regex::Regex;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use value::{Number, Str, Value};

/// Which formats count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// Those that fit the type; others are as if they were not there: for objects.
    Known,
    /// All: for defaults in schemas.
    All,
}

/// A schema made ready.
#[derive(Debug)]
pub struct Check {
    types: Vec<Str>,
    nullable: bool,
    format: Str,
    maximum: Option<f64>,
    exclusive_maximum: bool,
    minimum: Option<f64>,
    exclusive_minimum: bool,
    multiple_of: Option<f64>,
    max_length: Option<i64>,
    min_length: Option<i64>,
    pattern: Option<(Str, Result<Regex, String>)>,
    max_items: Option<i64>,
    min_items: Option<i64>,
    unique_items: bool,
    enumeration: Vec<Value>,
    max_properties: Option<i64>,
    min_properties: Option<i64>,
    required: Vec<Str>,
    item: Option<Box<Self>>,
    all_of: Vec<Self>,
    one_of: Vec<Self>,
    any_of: Vec<Self>,
    not: Option<Box<Self>>,
    /// Boxed, as those of a schema.
    properties: BTreeMap<Str, Box<Self>>,
    closed: bool,
    additional: Option<Box<Self>>,
}

/// What kind of failure: decides the field error.
#[derive(Clone, Debug, PartialEq)]
enum Code {
    Type,
    Required,
    TooLong(i64),
    TooMany(i64),
    Enum(Vec<Value>),
    Other,
    /// Without place or value.
    Plain,
}

struct Failure {
    code: Code,
    name: String,
    value: Value,
    message: String,
}

/// What a check found, and how many parts of it matched: the best alternative has the most.
#[derive(Default)]
struct Outcome {
    failures: Vec<Failure>,
    matches: u64,
    text_bytes: usize,
}

/// How many bytes the texts of one object's failures may take; what comes after is left out.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// Where in an object a value stands; written out only where something is wrong.
#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    /// A property: without dot at the root.
    Field(&'a str),
    /// An additional or missing property: with a dot always, as upstream.
    Dotted(&'a str),
    Index(usize),
}

impl At<'_> {
    const ROOT: At<'static> = At { parent: None, step: Step::Root };

    const fn step<'b>(&'b self, step: Step<'b>) -> At<'b> {
        At { parent: Some(self), step }
    }

    const fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) if self.parent.is_none_or(Self::is_root) => f.write_str(name),
            Step::Field(name) | Step::Dotted(name) => write!(f, ".{name}"),
            Step::Index(i) => write!(f, "[{i}]"),
        }
    }
}

impl Outcome {
    fn merge(&mut self, other: Self) {
        if self.text_bytes <= TEXT_BYTES_MAX {
            self.failures.extend(other.failures);
            self.text_bytes += other.text_bytes;
        }
        self.matches += other.matches;
    }

    fn is_valid(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether more failures would be left out.
    fn is_full(&self) -> bool {
        self.text_bytes > TEXT_BYTES_MAX
    }

    fn fail(&mut self, code: Code, name: At<'_>, value: impl Into<Value>, message: String) {
        // A long key above a long list would make the texts far longer than the request.
        if self.is_full() {
            return;
        }
        self.text_bytes += 2 * message.len();
        self.failures.push(Failure { code, name: name.to_string(), value: value.into(), message });
    }

    fn plain(&mut self, message: String) {
        self.fail(Code::Plain, At::ROOT, Value::Null, message);
    }
}

fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Check {
    /// Makes a schema ready.
    pub fn new(s: &Schema, formats: Formats) -> Self {
        let many = |list: &[Schema]| list.iter().map(|s| Self::new(s, formats)).collect::<Vec<_>>();
        let boxed = |s: &Schema| Box::new(Self::new(s, formats));
        let mut types: Vec<Str> = if s.ty.is_empty() { Vec::new() } else { vec![s.ty.clone()] };
        if s.int_or_string && formats == Formats::Known {
            types = vec!["integer".into(), "string".into()];
        }
        let stripped = formats == Formats::Known && !formats::is_recognized(&types, &s.format);
        Self {
            nullable: s.nullable,
            format: if stripped { Str::default() } else { s.format.clone() },
            types,
            maximum: s.maximum,
            exclusive_maximum: s.exclusive_maximum,
            minimum: s.minimum,
            exclusive_minimum: s.exclusive_minimum,
            multiple_of: s.multiple_of,
            max_length: s.max_length,
            min_length: s.min_length,
            pattern: (!s.pattern.is_empty()).then(|| (s.pattern.clone(), cel::compile_regex(&s.pattern))),
            max_items: s.max_items,
            min_items: s.min_items,
            unique_items: s.unique_items,
            enumeration: s.enumeration.clone(),
            max_properties: s.max_properties,
            min_properties: s.min_properties,
            required: s.required.clone(),
            item: match &s.items {
                Some(Items::One(s)) => Some(boxed(s)),
                _ => None,
            },
            all_of: many(&s.all_of),
            one_of: many(&s.one_of),
            any_of: many(&s.any_of),
            not: s.not.as_deref().map(boxed),
            properties: s.properties.iter().map(|(k, s)| (k.clone(), boxed(s))).collect(),
            closed: s.additional_properties.as_ref().is_some_and(|a| !a.allows),
            additional: s.additional().map(boxed),
        }
    }

    /// The check of a property.
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).map(AsRef::as_ref)
    }

    /// All errors of a value; those of parts that have not changed since `old` are left out.
    pub fn validate(&self, path: &Path<'_>, value: &Value, old: Option<Pair<'_>>) -> ErrorList {
        let outcome = self.ratcheted(value, At::ROOT, old);
        let mut seen = HashSet::new();
        outcome
            .failures
            .into_iter()
            .filter(|f| seen.insert(f.message.clone()))
            .map(|f| f.error(path))
            .collect()
    }

    fn ratcheted(&self, value: &Value, at: At<'_>, old: Option<Pair<'_>>) -> Outcome {
        let mut outcome = self.check(value, at, old);
        if !outcome.is_valid() && old.is_some_and(|p| p.is_same()) {
            outcome.failures.clear();
        }
        outcome
    }

    fn has_type(&self, ty: &str) -> bool {
        self.types.iter().any(|t| t == ty)
    }

    fn check(&self, value: &Value, at: At<'_>, old: Option<Pair<'_>>) -> Outcome {
        let mut out = Outcome::default();
        if value.is_null() {
            out.merge(self.check_type(value, at));
            self.check_enum(value, at, &mut out);
            return out;
        }
        let mut applied = 2; // alternatives and enumeration always do
        if !self.types.is_empty() || !self.format.is_empty() {
            out.merge(self.check_type(value, at));
            applied += 1;
        }
        out.merge(self.alternatives(value, at));
        match value {
            Value::String(s) => {
                self.check_string(s, at, &mut out);
                applied += 1;
                if let Some(valid) = formats::check(&self.format, s) {
                    applied += 1;
                    if !valid {
                        type_failure(at, &self.format, s, &mut out);
                    }
                }
            }
            Value::Number(n) => {
                self.check_number(n, at, &mut out);
                applied += 1;
                out.matches += 1;
            }
            Value::Array(list) => {
                out.merge(self.check_list(list, at, old));
                applied += 1;
            }
            _ => {}
        }
        self.check_enum(value, at, &mut out);
        if let Value::Object(_) = value {
            out.merge(self.check_object(value, at, old));
            applied += 1;
        }
        out.matches += applied + 1;
        out
    }

    fn check_type(&self, value: &Value, at: At<'_>) -> Outcome {
        let mut out = Outcome::default();
        let wanted = || self.types.iter().map(Str::as_str).collect::<Vec<_>>().join(",");
        let is_int = |n: &Number| n.as_i64().is_some();
        let (ty, format) = match value {
            Value::Null => {
                if !self.types.is_empty() && !self.has_type("null") && !self.nullable {
                    type_failure(at, &wanted(), "null", &mut out);
                } else {
                    out.matches = 1;
                }
                return out;
            }
            Value::Bool(_) => ("boolean", ""),
            Value::String(_) => ("string", ""),
            Value::Number(n) if is_int(n) => ("integer", "int64"),
            Value::Number(_) => ("number", "float64"),
            Value::Array(_) => ("array", ""),
            Value::Object(_) => ("object", ""),
        };
        let float_as_int = match value {
            Value::Number(n) if !is_int(n) => is_json_integer(n.as_f64()) && self.has_type("integer"),
            _ => false,
        };
        let int_as_float = ty == "integer" && self.has_type("number");
        let sequence = matches!(value, Value::String(_) | Value::Array(_));
        let fits_format = self.has_type(ty) || self.format == format || float_as_int || int_as_float;
        if !(sequence || self.format.is_empty() || fits_format) {
            type_failure(at, &self.format, format, &mut out);
            return out;
        }
        let numeric = self.has_type("number") || self.has_type("integer");
        let passes = !numeric && !self.format.is_empty() && sequence;
        if !(passes || self.has_type(ty) || float_as_int || int_as_float) {
            type_failure(at, &wanted(), ty, &mut out);
            return out;
        }
        out.matches = 1;
        out
    }

    /// Upstream hands what it knows of the old value to properties and items, and not to alternatives: within them
    /// nothing is let pass for being unchanged.
    fn alternatives(&self, value: &Value, at: At<'_>) -> Outcome {
        let mut out = Outcome::default();
        if !self.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut success = None;
            for check in &self.any_of {
                let result = check.check(value, at, None);
                if result.is_valid() {
                    success = Some(result);
                    break;
                }
                if best.as_ref().is_none_or(|b| result.matches > b.matches) {
                    best = Some(result);
                }
            }
            match success {
                Some(result) => out.merge(result),
                None => {
                    out.plain(format!(
                        "{} must validate at least one schema (anyOf)",
                        quote(&at.to_string())
                    ));
                    out.merge(best.unwrap_or_default());
                }
            }
        }
        if !self.one_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut success = None;
            let mut valid = 0;
            for check in &self.one_of {
                let result = check.check(value, at, None);
                if result.is_valid() {
                    valid += 1;
                    best = None;
                    success.get_or_insert(result);
                } else if valid == 0 && best.as_ref().is_none_or(|b| result.matches > b.matches) {
                    best = Some(result);
                }
            }
            if valid == 1 {
                out.merge(success.unwrap_or_default());
            } else {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    n => format!("Found {n} valid alternatives"),
                };
                out.plain(format!(
                    "{} must validate one and only one schema (oneOf). {found}",
                    quote(&at.to_string())
                ));
                out.merge(best.unwrap_or_default());
            }
        }
        if !self.all_of.is_empty() {
            let mut valid = 0;
            for check in &self.all_of {
                let result = check.check(value, at, None);
                valid += usize::from(result.is_valid());
                out.merge(result);
            }
            if valid != self.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                out.plain(format!("{} must validate all the schemas (allOf){none}", quote(&at.to_string())));
            }
        }
        if let Some(not) = &self.not
            && not.check(value, at, None).is_valid()
        {
            out.plain(format!("{} must not validate the schema (not)", quote(&at.to_string())));
        }
        out.matches += 1;
        out
    }

    fn check_string(&self, s: &str, at: At<'_>, out: &mut Outcome) {
        let len = || int(s.chars().count());
        if let Some(max) = self.max_length
            && len() > max
        {
            let message = format!("{at} in body should be at most {max} chars long");
            return out.fail(Code::TooLong(max), at, s, message);
        }
        if let Some(min) = self.min_length
            && len() < min
        {
            return out.fail(Code::Other, at, s, format!("{at} in body should be at least {min} chars long"));
        }
        match &self.pattern {
            Some((pattern, Ok(regex))) if !regex.is_match(s) => {
                out.fail(Code::Other, at, s, format!("{at} in body should match '{pattern}'"));
            }
            Some((pattern, Err(why))) => {
                let shown = format!("{pattern}, but pattern is invalid: {why}");
                out.fail(Code::Other, at, s, format!("{at} in body should match '{shown}'"));
            }
            _ => {}
        }
    }

    fn check_number(&self, n: &Number, at: At<'_>, out: &mut Outcome) {
        let ty = match self.types.as_slice() {
            [one] if one == "integer" || one == "number" => one.as_str(),
            _ => "",
        };
        let format = match (ty, self.format.as_str()) {
            ("integer", "int32" | "int64") | ("number", "float" | "double") => self.format.as_str(),
            _ => "",
        };
        let fits = |x: &Number, what: &str| -> Option<String> {
            let ok = match (ty, format) {
                ("integer", "int32") => as_integer(x).is_some_and(|i| i32::try_from(i).is_ok()),
                ("integer", _) => as_integer(x).is_some(),
                (_, "float") => x.as_f64().abs() <= f64::from(f32::MAX),
                _ => true,
            };
            if ok {
                return None;
            }
            Some(match format {
                "" => format!("{what} value must be of type {ty} (default format) in {at}"),
                _ => format!("{what} value must be of type {ty} with format {format} in {at}"),
            })
        };
        if let Some(why) = fits(n, "Checked") {
            out.plain(why);
        }
        let data = n.as_i64();
        let mut bound = |limit: f64, what: &str, test: &dyn Fn(Option<i64>) -> Finding| {
            let unfit = fits(&Number::Float(limit), what);
            let native = if unfit.is_none() { data } else { None };
            if let Some(why) = unfit {
                out.plain(why);
            }
            if let Some((shown, message)) = test(native) {
                out.fail(Code::Other, at, shown.unwrap_or_else(|| n.clone().into()), message);
            }
        };
        if let Some(factor) = self.multiple_of {
            bound(factor, "MultipleOf", &|native| multiple_of(at, n, native, factor));
        }
        if let Some(min) = self.minimum {
            let exclusive = self.exclusive_minimum;
            bound(min, "Minimum boundary", &|native| {
                let (wrong, shown) = match native {
                    Some(i) => {
                        let min = min as i64;
                        (if exclusive { i <= min } else { i < min }, min.to_string())
                    }
                    None => {
                        let x = n.as_f64();
                        (if exclusive { x <= min } else { x < min }, go_float(min))
                    }
                };
                let word = if exclusive { "greater than" } else { "greater than or equal to" };
                wrong.then(|| (None, format!("{at} in body should be {word} {shown}")))
            });
        }
        if let Some(max) = self.maximum {
            let exclusive = self.exclusive_maximum;
            bound(max, "Maximum boundary", &|native| {
                let (wrong, shown) = match native {
                    Some(i) => {
                        let max = max as i64;
                        (if exclusive { i >= max } else { i > max }, max.to_string())
                    }
                    None => {
                        let x = n.as_f64();
                        (if exclusive { x >= max } else { x > max }, go_float(max))
                    }
                };
                let word = if exclusive { "less than" } else { "less than or equal to" };
                wrong.then(|| (None, format!("{at} in body should be {word} {shown}")))
            });
        }
    }

    fn check_enum(&self, value: &Value, at: At<'_>, out: &mut Outcome) {
        if self.enumeration.is_empty() || self.enumeration.iter().any(|e| is_enum_value(e, value)) {
            return;
        }
        let message = format!("{at} in body should be one of the enumeration");
        out.fail(Code::Enum(self.enumeration.clone()), at, value.clone(), message);
    }

    fn check_list(&self, list: &[Value], at: At<'_>, old: Option<Pair<'_>>) -> Outcome {
        let mut out = Outcome::default();
        if let Some(item) = &self.item {
            let by_key = old.map(|p| p.by_key()).unwrap_or_default();
            for (i, v) in list.iter().enumerate() {
                if out.is_full() {
                    break;
                }
                let below = old.and_then(|p| item_pair(&p, &by_key, i));
                out.merge(item.ratcheted(v, at.step(Step::Index(i)), below));
            }
        }
        let size = int(list.len());
        if let Some(min) = self.min_items.filter(|min| size < *min) {
            out.fail(Code::Other, at, size, format!("{at} in body should have at least {min} items"));
        }
        if let Some(max) = self.max_items.filter(|max| size > *max) {
            out.fail(Code::TooMany(max), at, size, format!("{at} in body should have at most {max} items"));
        }
        if self.unique_items {
            let mut seen = HashSet::new();
            if !list.iter().all(|v| seen.insert(value::json::to_vec(v))) {
                out.fail(Code::Other, at, Value::Null, format!("{at} in body shouldn't contain duplicates"));
            }
        }
        out.matches += 1;
        out
    }

    fn check_object(&self, object: &Value, at: At<'_>, old: Option<Pair<'_>>) -> Outcome {
        let mut out = Outcome::default();
        let size = int(object.entries().count());
        if let Some(min) = self.min_properties.filter(|min| size < *min) {
            out.fail(Code::Other, at, size, format!("{at} in body should have at least {min} properties"));
        }
        if let Some(max) = self.max_properties.filter(|max| size > *max) {
            let message = format!("{at} in body should have at most {max} properties");
            out.fail(Code::TooMany(max), at, size, message);
        }
        let pair = |key: &str| old.filter(|_| !(at.is_root() && is_type_meta(&key.into())))?.key(key);
        for (key, v) in object.entries() {
            if self.properties.contains_key(key) {
                continue;
            }
            if out.is_full() {
                break;
            }
            if self.closed {
                let message = format!("{at}.{key} in body is a forbidden property");
                out.fail(Code::Other, at, key.clone(), message);
            } else if let Some(additional) = &self.additional {
                out.merge(additional.ratcheted(v, at.step(Step::Dotted(key)), pair(key)));
            }
        }
        for (key, check) in &self.properties {
            if let Some(v) = object.get(key) {
                out.merge(check.ratcheted(v, at.step(Step::Field(key)), pair(key)));
            }
        }
        for key in self.required.iter().filter(|k| object.get(k).is_none()) {
            let name = at.step(Step::Dotted(key));
            let message = format!("{name} in body is required");
            out.fail(Code::Required, name, Value::Null, message);
        }
        out
    }
}

fn item_pair<'a>(pair: &Pair<'a>, by_key: &ByKey<'a>, i: usize) -> Option<Pair<'a>> {
    pair.item(by_key, pair.new.items().get(i)?)
}

fn type_failure(at: At<'_>, wanted: &str, found: &str, out: &mut Outcome) {
    out.fail(Code::Type, at, found, format!("{at} in body must be of type {wanted}: {}", quote(found)));
}

/// The number as Go reads its text as an integer: floats without fraction too.
fn as_integer(n: &Number) -> Option<i64> {
    n.as_i64().or_else(|| {
        let x = n.as_f64();
        let limit = 9_223_372_036_854_775_808.0;
        (x.fract() == 0.0 && (-limit..limit).contains(&x)).then_some(x as i64)
    })
}

/// What is wrong with a number, and the value to tell if it is not the number's.
type Finding = Option<(Option<Value>, String)>;

fn multiple_of(at: At<'_>, n: &Number, native: Option<i64>, factor: f64) -> Finding {
    // Of whole numbers Go looks at the whole part of the factor.
    let (factor, is_multiple) = match native {
        Some(i) => (Number::from(factor as i64), i.checked_rem(factor as i64) == Some(0)),
        None => {
            let x = n.as_f64();
            let times = if factor < 1.0 { 1.0 / factor * x } else { x / factor };
            (Number::Float(factor), is_json_integer(times))
        }
    };
    let shown = factor.as_i64().map_or_else(|| go_float(factor.as_f64()), |i| i.to_string());
    if factor.as_f64() <= 0.0 {
        let message = format!("factor MultipleOf declared for {at} must be positive: {shown}");
        return Some((Some(factor.into()), message));
    }
    (!is_multiple).then(|| (None, format!("{at} in body should be a multiple of {shown}")))
}

/// Whether a float is an integer, but for what calculating with floats adds (swag's `IsFloat64AJSONInteger`).
fn is_json_integer(x: f64) -> bool {
    const MAX: f64 = 9_007_199_254_740_991.0;
    const EPSILON: f64 = 1e-9;
    if !x.is_finite() || x.abs() > MAX {
        return false;
    }
    let g = x.trunc();
    let difference = (x - g).abs();
    if difference == 0.0 {
        return true;
    }
    if g == 0.0 || difference < f64::from_bits(1) {
        return difference < EPSILON * f64::from_bits(1);
    }
    difference / (x.abs() + g.abs()).min(f64::MAX) < EPSILON
}

/// Whether a value, converted to the type of the enumeration's, is it.
fn is_enum_value(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Null, _) => false,
        (Value::Number(w), Value::Number(v)) => match (w.as_i64(), v.as_i64()) {
            (Some(w), Some(v)) => w == v,
            (Some(w), None) => v.as_f64() as i64 == w,
            (None, _) => w.as_f64() == v.as_f64(),
        },
        _ => wanted == value,
    }
}

impl Failure {
    fn error(self, base: &Path<'_>) -> Error {
        let name = self.name.strip_prefix('.').unwrap_or(&self.name);
        let path = if name.is_empty() { *base } else { base.child(name) };
        let count = |v: &Value| usize::try_from(v.int()).unwrap_or_default();
        let limit = |n: i64| usize::try_from(n).unwrap_or_default();
        match self.code {
            Code::Plain => Error::invalid(base, "", self.message),
            Code::Required => Error::required(&path, ""),
            Code::Enum(values) => {
                let shown: Vec<String> = values
                    .iter()
                    .map(|v| v.as_str().map_or_else(|| meta::quote::go_json(v).to_string(), str::to_owned))
                    .collect();
                let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
                Error::not_supported_in_order(&path, self.value, &shown)
            }
            Code::TooLong(max) => Error::too_long(&path, limit(max)),
            Code::TooMany(max) => Error::too_many(&path, count(&self.value), limit(max)),
            Code::Type => Error::type_invalid(&path, self.value, self.message),
            Code::Other => {
                let value = if self.value.is_null() { Value::from("") } else { self.value };
                Error::invalid(&path, value, self.message)
            }
        }
    }
}

/// Whether errors keep rules from being evaluated, and what is said of that.
pub fn blocks_rules(errors: &[Error]) -> Option<Error> {
    use ErrorType::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    let blocks = |e: &Error| matches!(e.ty, NotSupported | Required | TooLong | TooMany | TypeInvalid);
    errors.iter().any(blocks).then(|| {
        let text = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        Error { shown: Shown::Value, ..Error::invalid(&Path::ROOT, Value::Null, text) }
    })
}
