//! Types of built-in kinds against what upstream's OpenAPI documents say.

use super::*;

#[test]
fn openapi_agrees() {
    let mut checked = 0;
    let mut bad = 0;
    for f in std::fs::read_dir("/work/shared/kubernetes-1.36/openapi-v3").unwrap() {
        let doc = value::json::parse(&std::fs::read(f.unwrap().path()).unwrap()).unwrap();
        for (name, s) in doc.path(&["components", "schemas"]).entries() {
            let Some(rest) = name.strip_prefix("io.k8s.") else { continue };
            let (pkg, ty) = rest.rsplit_once('.').unwrap();
            let pkg = pkg.replace('.', "/");
            let cands = [
                format!("k8s.io/{pkg}.{ty}"),
                pkg.replacen("apimachinery/pkg/apis/", "", 1)
                    .replacen("api/", "", 1)
                    .replacen("apiextensions-apiserver/pkg/apis/", "", 1)
                    .replacen("kube-aggregator/pkg/apis/", "", 1)
                    + "."
                    + ty,
            ];
            let Some(id) = cands.iter().find_map(|c| Types::builtin().by_go_name(c)) else {
                println!("no go type {name}");
                continue;
            };
            let Some(t) = type_of(id) else {
                if s.get("properties").is_some() {
                    println!("not struct {name}")
                };
                continue;
            };
            let schema = t.schema.clone();
            let Some(map) = &schema.atom(t.id).map else { continue };
            let mut say = |f: &str, m: String| {
                bad += 1;
                println!("{name}.{f}: {m}");
            };
            if map.atomic != (s.at("x-kubernetes-map-type").str() == "atomic") {
                say("", format!("atomic {}", map.atomic));
            }
            for (f, p) in s.at("properties").entries() {
                if f == "managedFields" {
                    continue;
                }
                let Some(field) = map.field(f) else {
                    say(f, "missing".into());
                    continue;
                };
                checked += 1;
                let lt = p.at("x-kubernetes-list-type").str();
                let atom = schema.atom(field.ty);
                if p.at("type").str() == "array" {
                    let want = match lt {
                        "set" => ListRelation::Set,
                        "map" => ListRelation::Map(
                            p.at("x-kubernetes-list-map-keys")
                                .items()
                                .iter()
                                .map(|k| k.str().into())
                                .collect(),
                        ),
                        _ => ListRelation::Atomic,
                    };
                    match &atom.list {
                        Some(l) if l.relation == want => {}
                        other => say(f, format!("{other:?} want {want:?}")),
                    }
                    let el_atomic = p.at("items").at("x-kubernetes-map-type").str();
                    if !el_atomic.is_empty() {
                        say(f, format!("items {el_atomic}"));
                    }
                }
                let r = p.at("$ref").str().to_string()
                    + p.at("allOf").items().first().map(|a| a.at("$ref").str()).unwrap_or("");
                let mt = p.at("x-kubernetes-map-type").str();
                let is_atomic = atom.map.as_ref().is_some_and(|m| m.atomic);
                let target = r.rsplit('/').next().unwrap();
                let target_atomic =
                    doc.path(&["components", "schemas", target]).at("x-kubernetes-map-type").str()
                        == "atomic";
                let want = match mt {
                    "atomic" => true,
                    "granular" => false,
                    _ => target_atomic,
                };
                if is_atomic != want && !target.ends_with("RawExtension") {
                    say(f, format!("map atomic {is_atomic} want {want} {mt} {target}"));
                }
                if let Some(d) = p.get("default")
                    && !d.is_empty()
                    && field.default.as_ref() != Some(d)
                {
                    say(f, format!("default {:?} want {d:?}", field.default));
                }
                if let Some(d) = &field.default
                    && p.get("default") != Some(d)
                    && !(d.is_empty() || d.str() == "" && d.as_i64().unwrap_or(0) == 0)
                {
                    say(f, format!("default {d:?} not there"));
                }
                if !is_form(p.at("type").str(), p.at("format").str(), field.ty) && r.is_empty() {
                    say(f, format!("type {} {} vs {:?}", p.at("type").str(), p.at("format").str(), field.ty));
                }
            }
            for f in map.fields() {
                if s.at("properties").get(&f.name).is_none() {
                    say(&f.name, "not in openapi".into());
                }
            }
        }
    }
    println!("checked {checked} bad {bad}");
    panic!();
}
fn is_form(t: &str, f: &str, ty: TypeId) -> bool {
    match (t, f) {
        ("string", "" | "byte") => ty == TypeId::STRING,
        ("string", _) => ty == TypeId::UNTYPED,
        ("integer" | "number", _) => ty == TypeId::NUMERIC,
        ("boolean", _) => ty == TypeId::BOOLEAN,
        ("", _) => ty == TypeId::DEDUCED,
        _ => true,
    }
}
