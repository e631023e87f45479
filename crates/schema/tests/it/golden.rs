//! Requests that a real server answered: what it said of bodies that it could not decode, and that the objects
//! it sent are in the form that we bring objects into.

use schema::{TypeId, Types, Unknown, decode_json, encode_json, normalize};
use std::fs;
use std::path::{Path, PathBuf};
use value::{Value, json};

fn cases() -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden");
    let mut paths: Vec<PathBuf> = Vec::new();
    for area in fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        paths.extend(fs::read_dir(area).unwrap().map(|e| e.unwrap().path()));
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let name = |p: &Path| p.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|p| (name(p), json::parse(&fs::read(p).unwrap()).unwrap())).collect()
}

fn type_of(object: &Value) -> Option<TypeId> {
    let (api_version, kind) = (object.at("apiVersion").str(), object.at("kind").str());
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let types = Types::builtin();
    let id = types.by_kind(group, version, kind)?;
    // Custom resources whose kind is one of `meta`'s by chance.
    (types.get(id).package() != "meta/v1" || group.is_empty() || group == "meta.k8s.io").then_some(id)
}

/// What the server said of a body: the text behind `cannot be handled as a Pod: `.
fn decode_complaint(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("cannot be handled as a ")?;
    // A body of another kind is the door's business.
    rest.split_once(": ").map(|(_, text)| text).filter(|text| !text.ends_with("unknown conversion"))
}

#[test]
fn decode_errors_are_those_of_the_server() {
    let types = Types::builtin();
    let (mut seen, mut failures) = (0, Vec::new());
    for (name, case) in cases() {
        for step in case.at("steps").items() {
            let request = step.at("request");
            let Some(want) = decode_complaint(step.at("response").at("body").at("message").str()) else {
                continue;
            };
            let is_json =
                request.at("contentType").is_null() || request.at("contentType").str() == "application/json";
            let text = match (request.get("body"), request.at("text").as_str()) {
                (Some(body), _) if is_json => json::to_vec(body),
                (None, Some(text)) if is_json => text.as_bytes().to_vec(),
                _ => continue,
            };
            let Some(ty) = json::parse(&text).ok().and_then(|v| type_of(&v)) else { continue };
            let got = match decode_json(types, ty, &text, Unknown::Report) {
                Err(e) => e.to_string(),
                Ok(d) => format!("strict decoding error: {}", d.strict_errors.join(", ")),
            };
            seen += 1;
            // The recorded bodies are sorted by key here, so the order of reports may differ.
            let sorted = |s: &str| {
                let mut parts: Vec<String> =
                    s.split(", ").map(|p| p.replace("strict decoding error: ", "")).collect();
                parts.sort();
                parts
            };
            if sorted(&got) != sorted(want) {
                failures.push(format!("{name}\n   got {got}\n  want {want}"));
            }
        }
    }
    assert!(seen > 40, "{seen} cases");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn objects_of_the_server_are_in_gos_form() {
    let types = Types::builtin();
    let (mut seen, mut failures) = (0, Vec::new());
    for (name, case) in cases() {
        for step in case.at("steps").items() {
            let body = step.at("response").at("body");
            let Some(ty) = type_of(body) else { continue };
            seen += 1;
            let mut fail = |what: &str| failures.push(format!("{name}: {what}"));
            match decode_json(types, ty, &json::to_vec(body), Unknown::Report) {
                Err(e) => fail(&e.to_string()),
                Ok(d) if !d.strict_errors.is_empty() => fail(&d.strict_errors.join(", ")),
                Ok(d) if d.value != *body => {
                    fail(&format!(
                        "\n   got {}\n  want {}",
                        json::to_string(&d.value),
                        json::to_string(body)
                    ));
                }
                Ok(mut d) => {
                    normalize(types, ty, &mut d.value);
                    if d.value != *body {
                        fail("normalisation changes it");
                    }
                    let mut out = Vec::new();
                    encode_json(types, ty, &d.value, &mut out);
                    if json::parse(&out).unwrap() != *body {
                        fail("encoding changes it");
                    }
                }
            }
        }
    }
    assert!(seen > 1_000, "{seen} objects");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
