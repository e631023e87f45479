//! The targets: one function each, and a row.

mod custom;
#[cfg(feature = "server")]
mod door;
mod hooks;
mod json;
mod json_patch;
mod jsonpath;
mod languages;
mod texts;
mod typed;
mod yaml;

use crate::{Target, trees};

/// All targets.
pub const ALL: &[Target] = &[
    // value
    Target::new("json", json::run, json::DICTIONARY),
    Target::new("json-patch", json_patch::run, json_patch::DICTIONARY),
    Target::new("yaml", yaml::run, yaml::DICTIONARY),
    Target::new("jsonpath", jsonpath::run, jsonpath::DICTIONARY),
    // meta
    Target::new("label-selector", texts::label_selector, texts::SELECTORS),
    Target::new("field-selector", texts::field_selector, texts::SELECTORS),
    Target::new("quantity", texts::quantity, texts::NUMBERS),
    Target::new("time", texts::time, texts::NUMBERS),
    Target::new("duration", texts::duration, texts::NUMBERS),
    Target::new("intstr", texts::intstr, texts::NUMBERS),
    Target::new("names", texts::name, texts::NAMES),
    // schema
    Target::new("schema-json", typed::decode_json, typed::WORDS).made_by(typed::make_json),
    Target::new("schema-protobuf", typed::decode_protobuf, typed::WORDS).made_by(typed::make_protobuf),
    // merge
    Target::new("managed-fields", typed::managed_fields, typed::TREES).made_by(trees::input),
    Target::new("strategic-merge", typed::strategic, typed::TREES).made_by(typed::make),
    Target::new("apply", typed::apply, typed::TREES).made_by(typed::make),
    // cel, auth
    Target::new("cel", languages::cel, languages::CEL),
    Target::new("token", auth::fuzz::token, languages::TOKENS),
    Target::new("impersonation", auth::fuzz::headers, languages::HEADERS),
    Target::new("certificates", auth::fuzz::certificates, languages::CERTIFICATES),
    // kinds, crd
    Target::new("hooks", hooks::run, typed::TREES).made_by(hooks::make),
    Target::new("custom", custom::run, custom::TREES).made_by(trees::input),
    // apiserver
    #[cfg(feature = "server")]
    Target::new("query", door::query, door::QUERY),
    #[cfg(feature = "server")]
    Target::new("accept", door::accept, door::ACCEPT),
    #[cfg(feature = "server")]
    Target::new("request-info", door::request_info, door::PATHS),
    #[cfg(feature = "server")]
    Target::new("body", door::body, typed::WORDS),
];
