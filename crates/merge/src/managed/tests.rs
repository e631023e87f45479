//! Managed fields over writes: recorded from a real server, and scenarios of our own.

use super::*;
use crate::Filter;
use crate::testing::{Dice, everything, holds_empty, tree};
use crate::types::Builder;
use crate::updater::{Force, OneVersion};
use expect_test::{Expect, expect};
use value::{Str, json};

/// A kind for tests, with all that a [`Write`] needs.
struct Kind {
    version: Str,
    kind: Str,
    ty: Type,
    trust: Trust,
    versions: OneVersion,
    reset_fields: Vec<(Str, Filter)>,
    empty: Value,
}

impl Kind {
    fn new(version: &str, kind: &str, ty: Type, trust: Trust, empty: &str) -> Self {
        let mut empty = tree(empty);
        empty.set("apiVersion", version);
        empty.set("kind", kind);
        let versions = OneVersion { version: version.into(), ty: ty.clone() };
        Self {
            version: version.into(),
            kind: kind.into(),
            ty,
            trust,
            versions,
            reset_fields: Vec::new(),
            empty,
        }
    }

    fn builtin(version: &str, kind: &str) -> Self {
        let (go, empty) = match kind {
            "ConfigMap" => ("core/v1.ConfigMap", r#"{"metadata":{}}"#),
            "Secret" => ("core/v1.Secret", r#"{"metadata":{}}"#),
            "Role" => ("rbac/v1.Role", r#"{"metadata":{},"rules":null}"#),
            _ => (
                "apps/v1.Deployment",
                r#"{"metadata":{},"spec":{"selector":null,"strategy":{},"template":{"metadata":{},"spec":{"containers":null}}},"status":{}}"#,
            ),
        };
        let ty = crate::builtin::type_of(schema::Types::builtin().by_go_name(go).unwrap()).unwrap();
        Self::new(version, kind, ty, Trust::Decoded, empty)
    }

    fn custom() -> Self {
        Self::new("g/v1", "K", everything(), Trust::Nothing, "{}")
    }

    fn write<'a>(&'a self, manager: &'a str, now: &'a str) -> Write<'a> {
        Write {
            manager,
            subresource: "",
            now,
            version: &self.version,
            kind: &self.kind,
            ty: &self.ty,
            trust: self.trust,
            versions: &self.versions,
            reset_fields: &self.reset_fields,
            empty: &self.empty,
        }
    }
}

/// The list without times.
fn untimed(list: &Value) -> String {
    let mut list = list.clone();
    for entry in list.as_array_mut().into_iter().flatten() {
        entry.remove("time");
    }
    json::to_string(&list)
}

#[test]
fn recorded_applies() {
    for case in tree(include_str!("recorded.json")).items() {
        let name = case.at("case").str();
        let config = case.at("config");
        let mut kind = Kind::builtin(config.at("apiVersion").str(), config.at("kind").str());
        let subresource = case.at("subresource").str();
        let reset: &[&[&str]] =
            if subresource == "status" { &[&["spec"], &["metadata", "labels"]] } else { &[&["status"]] };
        kind.reset_fields = vec![(kind.version.clone(), Filter::exclude(reset))];
        let write = Write { subresource, ..kind.write(case.at("manager").str(), "2026-11-21T04:51:26Z") };
        let live = case.get("live").filter(|l| !l.is_null()).unwrap_or(&kind.empty);
        let force = if case.at("force").bool() { Force::Yes } else { Force::No };
        match apply(&write, live, config, force) {
            Ok(applied) => {
                let got = applied.managed_fields.unwrap_or_default();
                assert_eq!(untimed(&got), untimed(case.at("managedFields")), "{name}");
            }
            Err(status) => {
                assert_eq!(json::to_string(&status.to_value()), json::to_string(case.at("status")), "{name}");
            }
        }
    }
}

/// A stored object over a story of writes.
struct Story {
    kind: Kind,
    live: Value,
    /// Minutes since the first write.
    clock: u32,
}

impl Story {
    fn new(kind: Kind) -> Self {
        let live = kind.empty.clone();
        Self { kind, live, clock: 0 }
    }

    fn now(&mut self) -> String {
        self.clock += 1;
        format!("2026-01-01T{:02}:{:02}:00Z", self.clock / 60, self.clock % 60)
    }

    fn whole(&self, text: &str) -> Value {
        let mut v = tree(text);
        v.set("apiVersion", self.kind.version.clone());
        v.set("kind", self.kind.kind.clone());
        v.object_at("metadata").unwrap().set("name", "x");
        v
    }

    fn update(&mut self, manager: &str, text: &str) -> &mut Self {
        let (now, mut new) = (self.now(), self.whole(text));
        update(&self.kind.write(manager, &now), &self.live, &mut new);
        self.store(new)
    }

    fn apply(&mut self, manager: &str, text: &str, force: Force) -> Result<&mut Self, String> {
        let (now, config) = (self.now(), self.whole(text));
        let applied = apply(&self.kind.write(manager, &now), &self.live, &config, force);
        let applied = applied.map_err(|status| status.message.clone())?;
        let mut new = applied.object.unwrap_or_else(|| self.live.clone());
        Applied::put_managed_fields(applied.managed_fields, &mut new);
        keep_timestamps(self.kind.trust, &self.live, &mut new);
        Ok(self.store(new))
    }

    fn store(&mut self, mut new: Value) -> &mut Self {
        new.object_at("metadata").unwrap().set("uid", "u");
        self.live = new;
        self
    }

    /// The object, then a line for each manager.
    fn check(&mut self, expect: Expect) -> &mut Self {
        let mut object = self.live.clone();
        for key in ["apiVersion", "kind"] {
            object.remove(key);
        }
        let mut metadata = object.remove("metadata").unwrap();
        let list = metadata.remove("managedFields").unwrap_or_default();
        metadata.remove("name");
        metadata.remove("uid");
        if !metadata.is_empty() {
            object.set("metadata", metadata);
        }
        let mut out = json::to_string(&object);
        for e in list.items() {
            let fields = crate::fields::v1::from_tree(e.at("fieldsV1")).unwrap();
            let time = e.at("time").str().get(11..16).unwrap_or("never");
            out.push_str(&format!(
                "\n{} {} {time}: {}",
                e.at("manager").str(),
                e.at("operation").str(),
                crate::fields::v1::to_json(&fields)
            ));
        }
        expect.assert_eq(&out);
        self
    }
}

#[test]
fn create_and_update() {
    let mut story = Story::new(Kind::builtin("v1", "ConfigMap"));
    story.update("a", r#"{"data":{"x":"1","y":"1"}}"#).check(expect![[r#"
        {"data":{"x":"1","y":"1"}}
        a Update 00:01: {"f:data":{".":{},"f:x":{},"f:y":{}}}"#]]);
    // Another takes what it changes, and nothing else.
    story.update("b", r#"{"data":{"x":"2","y":"1","z":"1"}}"#).check(expect![[r#"
        {"data":{"x":"2","y":"1","z":"1"}}
        a Update 00:01: {"f:data":{".":{},"f:y":{}}}
        b Update 00:02: {"f:data":{"f:x":{},"f:z":{}}}"#]]);
    // No change, no new time; what is removed is nobody's.
    story.update("a", r#"{"data":{"x":"2","y":"1","z":"1"}}"#);
    story.update("c", r#"{"data":{"y":"1"}}"#).check(expect![[r#"
        {"data":{"y":"1"}}
        a Update 00:01: {"f:data":{".":{},"f:y":{}}}"#]]);
    story.update("a", r#"{"data":{"y":"2"}}"#).check(expect![[r#"
        {"data":{"y":"2"}}
        a Update 00:05: {"f:data":{".":{},"f:y":{}}}"#]]);
    // An empty list resets, and nothing is tracked until somebody applies.
    story
        .update("a", r#"{"metadata":{"managedFields":[]},"data":{"y":"3"}}"#)
        .check(expect![[r#"{"data":{"y":"3"}}"#]]);
    story.update("a", r#"{"data":{"y":"4"}}"#).check(expect![[r#"{"data":{"y":"4"}}"#]]);
    story.apply("m", r#"{"data":{"z":"1"}}"#, Force::No).unwrap().check(expect![[r#"
        {"data":{"y":"4","z":"1"}}
        m Apply 00:08: {"f:data":{"f:z":{}}}
        before-first-apply Update 00:08: {"f:data":{".":{},"f:y":{}}}"#]]);
    story.update("", r#"{"metadata":{"managedFields":[{}]},"data":{"y":"4","z":"1"}}"#);
    assert_eq!(story.live.at("metadata").get("managedFields"), None);
}

#[test]
fn managed_fields_of_the_request() {
    let mut story = Story::new(Kind::builtin("v1", "ConfigMap"));
    story.update("a", r#"{"data":{"x":"1"}}"#).update("b", r#"{"data":{"x":"1","y":"1"}}"#);
    // A client may drop an entry,
    let list = r#"[{"manager":"b","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:02:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:y":{}}}}]"#;
    story
        .update("b", &format!(r#"{{"metadata":{{"managedFields":{list}}},"data":{{"x":"1","y":"1"}}}}"#))
        .check(expect![[r#"
        {"data":{"x":"1","y":"1"}}
        b Update 00:02: {"f:data":{"f:y":{}}}"#]]);
    // but what is malformed is not looked at,
    for bad in [
        r#"[{"operation":"X"}]"#,
        r#"[1]"#,
        r#"[{"operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f":{}}}]"#,
    ] {
        story.update("b", &format!(r#"{{"metadata":{{"managedFields":{bad}}},"data":{{"x":"1","y":"1"}}}}"#));
    }
    // nor is anything that comes through a subresource.
    let mut new = story.whole(r#"{"metadata":{"managedFields":[]},"data":{"x":"2","y":"1"}}"#);
    let write = Write { subresource: "status", ..story.kind.write("s", "2026-01-01T00:09:00Z") };
    update(&write, &story.live, &mut new);
    story.store(new).check(expect![[r#"
        {"data":{"x":"2","y":"1"}}
        b Update 00:02: {"f:data":{"f:y":{}}}
        s Update 00:09: {"f:data":{"f:x":{}}}"#]]);
    assert_eq!(story.live.path(&["metadata", "managedFields"]).items()[1].at("subresource").str(), "status");
}

#[test]
fn applies() {
    let mut story = Story::new(Kind::custom());
    story.apply("m", r#"{"s":"a","map":{"x":"1","y":"1"},"keyed":[{"name":"k","v":1}]}"#, Force::No).unwrap();
    story.check(expect![[r#"
        {"keyed":[{"name":"k","v":1}],"map":{"x":"1","y":"1"},"s":"a"}
        m Apply 00:01: {"f:keyed":{"k:{\"name\":\"k\"}":{".":{},"f:name":{},"f:v":{}}},"f:map":{"f:x":{},"f:y":{}},"f:s":{}}"#]]);
    // What it applied and no longer does goes; what others own stays.
    story.update(
        "u",
        r#"{"s":"a","map":{"x":"1","y":"1","z":"1"},"keyed":[{"name":"k","v":1,"inner":["i"]}]}"#,
    );
    story.apply("m", r#"{"map":{"x":"1"}}"#, Force::No).unwrap().check(expect![[r#"
        {"map":{"x":"1","z":"1"}}
        m Apply 00:03: {"f:map":{"f:x":{}}}
        u Update 00:02: {"f:map":{"f:z":{}}}"#]]);
    let conflict = story.apply("n", r#"{"map":{"x":"2","z":"2"}}"#, Force::No).err().unwrap();
    expect![[r#"
        Apply failed with 2 conflicts: conflicts with "m":
        - .map.x
        conflicts with "u" using g/v1:
        - .map.z"#]]
    .assert_eq(&conflict);
    story.apply("n", r#"{"map":{"x":"2"}}"#, Force::Yes).unwrap().check(expect![[r#"
        {"map":{"x":"2","z":"1"}}
        n Apply 00:05: {"f:map":{"f:x":{}}}
        u Update 00:02: {"f:map":{"f:z":{}}}"#]]);
    // Both may own what both apply alike; a manager that joins without a change has no time.
    story.apply("m", r#"{"map":{"x":"2"}}"#, Force::No).unwrap().check(expect![[r#"
        {"map":{"x":"2","z":"1"}}
        m Apply never: {"f:map":{"f:x":{}}}
        n Apply 00:05: {"f:map":{"f:x":{}}}
        u Update 00:02: {"f:map":{"f:z":{}}}"#]]);
    story.apply("n", "{}", Force::No).unwrap().apply("m", "{}", Force::No).unwrap().check(expect![[r#"
        {"map":{"z":"1"}}
        u Update 00:02: {"f:map":{"f:z":{}}}"#]]);
}

#[test]
fn repeated_apply_is_no_write() {
    let mut story = Story::new(Kind::custom());
    let config = r#"{"s":"a","set":["x","y"]}"#;
    story.apply("m", config, Force::No).unwrap();
    let before = story.live.clone();
    story.apply("m", config, Force::No).unwrap();
    assert_eq!(story.live, before);
    // Another order of a set is a change, though of nobody's fields.
    story.apply("m", r#"{"s":"a","set":["y","x"]}"#, Force::No).unwrap().check(expect![[r#"
        {"s":"a","set":["y","x"]}
        m Apply 00:03: {"f:s":{},"f:set":{"v:\"x\"":{},"v:\"y\"":{}}}"#]]);
}

#[test]
fn refused_configurations() {
    let mut story = Story::new(Kind::custom());
    let mut refused = |text: &str| story.apply("m", text, Force::No).err().unwrap();
    expect!["failed to create typed patch object (/x; g/v1, Kind=K): .nope: field not declared in schema"]
        .assert_eq(&refused(r#"{"nope":1}"#));
    expect![[
        r#"failed to create typed patch object (/x; g/v1, Kind=K): .set: duplicate entries for key [="a"]"#
    ]]
    .assert_eq(&refused(r#"{"set":["a","a"]}"#));
    expect!["metadata.managedFields must be nil"].assert_eq(&refused(r#"{"metadata":{"managedFields":[]}}"#));
    let other = |text: &str| {
        let kind = Kind::custom();
        let status = apply(&kind.write("m", ""), &kind.empty, &tree(text), Force::No).unwrap_err();
        format!("{} {}", status.code, status.message)
    };
    expect!["400 invalid object type: apps/v1, Kind=X"]
        .assert_eq(&other(r#"{"apiVersion":"apps/v1","kind":"X"}"#));
    expect!["400 invalid object type: /, Kind="].assert_eq(&other("{}"));
    let bad = tree(r#"{"metadata":{"managedFields":[{"operation":"Nope"}]}}"#);
    let kind = Kind::custom();
    let status = apply(&kind.write("m", ""), &bad, &kind.empty, Force::No).unwrap_err();
    expect!["failed to decode managed fields: operation must be `Apply` or `Update`"]
        .assert_eq(&status.message);
}

#[test]
fn kubectl_takes_over_client_side_apply() {
    let mut story = Story::new(Kind::builtin("v1", "ConfigMap"));
    let last = r#"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"1\",\"b\":\"1\"}}\n"#;
    let annotated = |data: &str| {
        format!(
            r#"{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{last}"}}}},"data":{data}}}"#
        )
    };
    story.update("kubectl-client-side-apply", &annotated(r#"{"a":"1","b":"1"}"#));
    story.update("other", &annotated(r#"{"a":"1","b":"2"}"#));
    // It may take what it applied, not what another changed since; another manager may take neither.
    let fail = |story: &mut Story, manager: &str| {
        story.apply(manager, r#"{"data":{"a":"9","b":"9"}}"#, Force::No).err().unwrap()
    };
    expect![[r#"Apply failed with 1 conflict: conflict with "other" using v1: .data.b"#]]
        .assert_eq(&fail(&mut story, "kubectl"));
    expect![[r#"
        Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using v1:
        - .data.a
        conflicts with "other" using v1:
        - .data.b"#]]
    .assert_eq(&fail(&mut story, "helm"));
    story.apply("kubectl", r#"{"data":{"a":"9"}}"#, Force::No).unwrap().check(expect![[r#"
        {"data":{"a":"9","b":"2"},"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"data\":{\"a\":\"9\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}\n"}}}
        kubectl Apply 00:05: {"f:data":{"f:a":{}}}
        kubectl-client-side-apply Update 00:01: {"f:data":{},"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}}}
        other Update 00:02: {"f:data":{"f:b":{}}}"#]]);
}

#[test]
fn update_managers_are_capped() {
    let mut story = Story::new(Kind::builtin("v1", "ConfigMap"));
    let mut data = String::new();
    for i in 0..14 {
        data.push_str(&format!("{}\"k{i}\":\"1\"", if i > 0 { "," } else { "" }));
        story.update(&format!("m{i}"), &format!(r#"{{"data":{{{data}}}}}"#));
    }
    let list = story.live.path(&["metadata", "managedFields"]).clone();
    let names: Vec<&str> = list.items().iter().map(|e| e.at("manager").str()).collect();
    assert_eq!(names, ["ancient-changes", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13"]);
    let first = &list.items()[0];
    assert_eq!(first.at("time").str(), "2026-01-01T00:05:00Z");
    expect![[r#"{"f:data":{".":{},"f:k0":{},"f:k1":{},"f:k2":{},"f:k3":{},"f:k4":{}}}"#]]
        .assert_eq(&json::to_string(first.at("fieldsV1")));
}

#[test]
fn reset_fields_are_nobodys() {
    let mut kind = Kind::custom();
    kind.reset_fields = vec![("g/v1".into(), Filter::exclude(&[&["struct"]]))];
    let mut story = Story::new(kind);
    story.update("u", r#"{"s":"a","struct":{"a":"x"}}"#);
    story.apply("m", r#"{"n":1,"struct":{"a":"y"}}"#, Force::No).unwrap().check(expect![[r#"
        {"n":1,"s":"a","struct":{"a":"y"}}
        m Apply 00:02: {"f:n":{}}
        u Update 00:01: {"f:s":{}}"#]]);
}

/// Two versions: what is `s` in v1 is `t` in v2.
struct Renamed(Type, Type);

impl Renamed {
    fn new() -> Self {
        let ty = |field: &str| {
            let schema = format!(
                r#"{{"type":"object","properties":{{"{field}":{{"type":"string"}},"n":{{"type":"integer"}}}}}}"#
            );
            crate::structural::type_of(&tree(&schema), false)
        };
        Self(ty("s"), ty("t"))
    }
}

impl Versions for Renamed {
    fn type_of(&self, version: &str) -> Option<Type> {
        match version {
            "g/v1" => Some(self.0.clone()),
            "g/v2" => Some(self.1.clone()),
            _ => None,
        }
    }

    fn convert(&self, object: &Value, version: &str) -> Result<Value, String> {
        let (from, to) = if version == "g/v2" { ("s", "t") } else { ("t", "s") };
        let mut object = object.clone();
        if let Some(v) = object.remove(from) {
            object.set(to, v);
        }
        object.set("apiVersion", version);
        Ok(object)
    }
}

#[test]
fn managers_of_other_versions() {
    let versions = Renamed::new();
    let kind = Kind::custom();
    let in_version = |version: &'static str, manager: &'static str| Write {
        version,
        ty: if version == "g/v1" { &versions.0 } else { &versions.1 },
        versions: &versions,
        ..kind.write(manager, "2026-01-01T00:00:00Z")
    };
    let config = tree(r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"x"},"s":"a","n":1}"#);
    let applied = apply(&in_version("g/v1", "m"), &kind.empty, &config, Force::No).unwrap();
    let mut live = applied.object.unwrap();
    Applied::put_managed_fields(applied.managed_fields, &mut live);
    live.get_mut("metadata").unwrap().set("uid", "u");

    // Another works in v2: m's field is found in conflict there.
    let live2 = versions.convert(&live, "g/v2").unwrap();
    let config2 = tree(r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"x"},"t":"b"}"#);
    let status = apply(&in_version("g/v2", "o"), &live2, &config2, Force::No).unwrap_err();
    expect![[r#"Apply failed with 1 conflict: conflict with "m": .s"#]].assert_eq(&status.message);
    // m itself moves to v2 and gives up n.
    let config2 = tree(r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"x"},"t":"a"}"#);
    let applied = apply(&in_version("g/v2", "m"), &live2, &config2, Force::No).unwrap();
    expect![[r#"{"apiVersion":"g/v2","kind":"K","metadata":{"name":"x","uid":"u"},"t":"a"}"#]]
        .assert_eq(&json::to_string(&applied.object.unwrap()));
    expect![[r#"[{"apiVersion":"g/v2","fieldsType":"FieldsV1","fieldsV1":{"f:t":{}},"manager":"m","operation":"Apply","time":"2026-01-01T00:00:00Z"}]"#]]
        .assert_eq(&json::to_string(&applied.managed_fields.unwrap()));
    // An update in v2 takes the field from m, whose entry stays in v1.
    let mut new2 = live2.clone();
    new2.set("t", "c");
    update(&in_version("g/v2", "u"), &live2, &mut new2);
    expect![[r#"[{"apiVersion":"g/v1","fieldsType":"FieldsV1","fieldsV1":{"f:n":{}},"manager":"m","operation":"Apply"},{"apiVersion":"g/v2","fieldsType":"FieldsV1","fieldsV1":{"f:t":{}},"manager":"u","operation":"Update"}]"#]]
        .assert_eq(&untimed(new2.path(&["metadata", "managedFields"])));
    // A version that is no more takes its owner with it.
    let mut old = live.clone();
    old.get_mut("metadata").unwrap().get_mut("managedFields").unwrap().as_array_mut().unwrap()[0]
        .set("apiVersion", "g/v0");
    let mut new = old.clone();
    new.set("n", 2);
    update(&in_version("g/v1", "u"), &old, &mut new);
    expect![[r#"[{"apiVersion":"g/v1","fieldsType":"FieldsV1","fieldsV1":{"f:n":{}},"manager":"u","operation":"Update"}]"#]]
        .assert_eq(&untimed(new.path(&["metadata", "managedFields"])));
}

#[test]
fn schema_changes() {
    // What was owned by entry is atomic by now: its owners own all of it.
    let mut story = Story::new(Kind::custom());
    story.update("u", r#"{"s":"a","atomicMap":{"a":"1"}}"#);
    let list = tree(
        r#"[{"manager":"u","operation":"Update","apiVersion":"g/v1","time":"2026-01-01T00:01:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:s":{},"f:atomicMap":{".":{},"f:a":{}}}}]"#,
    );
    story.live.get_mut("metadata").unwrap().set("managedFields", list);
    story.update("v", r#"{"s":"b","atomicMap":{"a":"1"}}"#).check(expect![[r#"
        {"atomicMap":{"a":"1"},"s":"b"}
        u Update 00:01: {"f:atomicMap":{}}
        v Update 00:02: {"f:s":{}}"#]]);
    let status = story.apply("m", r#"{"atomicMap":{"b":"1"}}"#, Force::No).err().unwrap();
    expect![[r#"Apply failed with 1 conflict: conflict with "u" using g/v1: .atomicMap"#]].assert_eq(&status);
}

#[test]
fn scale() {
    use super::scale::{to_parent, to_scale};
    let paths = [("apps/v1".into(), Some(crate::Path::fields(&["spec", "replicas"])))];
    let parent = tree(
        r#"[
        {"manager":"a","operation":"Apply","apiVersion":"apps/v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{},"f:x":{}}}},
        {"manager":"b","operation":"Update","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:y":{}}}},
        {"manager":"c","operation":"Update","apiVersion":"apps/v0","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:z":{}}}}]"#,
    );
    let scale = to_scale(&parent, &paths).unwrap().unwrap();
    expect![[r#"[{"apiVersion":"autoscaling/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}},"manager":"a","operation":"Apply","time":"2026-01-01T00:00:00Z"}]"#]]
        .assert_eq(&json::to_string(&scale));
    // Nobody took the replicas: all is as it was, but for versions that are not known.
    expect![[r#"[{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{},"f:x":{}}},"manager":"a","operation":"Apply","time":"2026-01-01T00:00:00Z"},{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:y":{}}},"manager":"b","operation":"Update"}]"#]]
        .assert_eq(&json::to_string(&to_parent(&parent, &scale, "apps/v1", &paths).unwrap().unwrap()));
    let taken = tree(
        r#"[{"manager":"s","operation":"Update","apiVersion":"autoscaling/v1","subresource":"scale","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}}}]"#,
    );
    expect![[r#"[{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:x":{}}},"manager":"a","operation":"Apply","time":"2026-01-01T00:00:00Z"},{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:y":{}}},"manager":"b","operation":"Update"},{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}},"manager":"s","operation":"Update","subresource":"scale"}]"#]]
        .assert_eq(&json::to_string(&to_parent(&parent, &taken, "apps/v1", &paths).unwrap().unwrap()));
}

#[test]
fn names_from_user_agents() {
    for (agent, name) in [
        ("kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "kubectl"),
        ("", ""),
        ("a b", "a b"),
        ("a\u{7}b\n/x", "ab"),
        ("/x", ""),
        ("ü/1", "ü"),
    ] {
        assert_eq!(manager_from_user_agent(agent), name);
    }
    assert_eq!(manager_from_user_agent(&"x".repeat(200)).len(), 128);
    assert_eq!(manager_from_user_agent(&format!("{}ü", "x".repeat(127))), "x".repeat(127));
}

#[test]
fn validation() {
    let path = meta::field::Path::new("metadata");
    let path = path.child("managedFields");
    let list = tree(r#"[{"operation":"Apply"},{"operation":"X","fieldsType":"Y","manager":"a\u0001"}]"#);
    let errors: Vec<String> =
        validate_entries(&list, &path).iter().map(|e| format!("{}: {}", e.field, e.body())).collect();
    expect![[r#"
        metadata.managedFields[1].operation: Invalid value: "X": must be `Apply` or `Update`
        metadata.managedFields[1].fieldsType: Invalid value: "Y": must be `FieldsV1`
        metadata.managedFields[1].manager: Invalid value: "a\x01": invalid character U+0001 (at position 1)"#]]
    .assert_eq(&errors.join("\n"));

    let mut object = tree(r#"{"metadata":{"managedFields":[{"operation":"Apply","apiVersion":"v1"}]}}"#);
    let before = tree(r#"[{"a":1}]"#);
    let warning = check_admission(Some(before.clone()), &mut object).unwrap();
    expect![".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: missing fieldsType in managed fields entry 0"].assert_eq(&warning);
    assert_eq!(object.path(&["metadata", "managedFields"]), &before);
    let mut fine = tree(r#"{"metadata":{}}"#);
    assert_eq!(check_admission(None, &mut fine), None);
}

/// The usual way gives what the plain way gives, and an apply repeated is the same.
#[test]
fn stories_by_seed() {
    for seed in 0..600 {
        let mut dice = Dice(seed);
        let mut story = Story::new(Kind::custom());
        for step in 0..12 {
            let note = format!("seed {seed}, step {step}");
            let manager = ["a", "b", "c"][dice.below(3)];
            let now = story.now();
            if dice.one_in(3) {
                let config = dice.object();
                let write = story.kind.write(manager, &now);
                let applied = apply(&write, &story.live, &config, Force::Yes).unwrap();
                let mut new = applied.object.unwrap_or_else(|| story.live.clone());
                Applied::put_managed_fields(applied.managed_fields, &mut new);
                // Empty containers aside, which pruning turns into null, the same again is no change.
                if !holds_empty(&config) {
                    let again = apply(&write, &new, &config, Force::No).unwrap();
                    let managed_fields = new.at("metadata").get("managedFields").cloned();
                    assert_eq!(again, Applied { object: None, managed_fields }, "{note}");
                }
                story.store(new);
            } else {
                let mut new = dice.object();
                if dice.one_in(2) {
                    let list = story.live.at("metadata").at("managedFields").clone();
                    new.get_mut("metadata").unwrap().set("managedFields", list);
                }
                let write = story.kind.write(manager, &now);
                let plain = super::update::try_update(&write, &story.live, &new).unwrap();
                update(&write, &story.live, &mut new);
                assert_eq!(new.at("metadata").get("managedFields"), plain.as_ref(), "{note}");
                story.store(new);
            }
            let list = story.live.at("metadata").at("managedFields");
            assert_eq!(encode(decode(list).unwrap()).unwrap_or_default(), *list, "{note}");
        }
    }
}

/// Long lists and many managers cost what they are long.
#[test]
fn hostile_managed_fields() {
    let entry = |i: usize| {
        let mut e = tree(r#"{"operation":"Update","apiVersion":"g/v1","fieldsType":"FieldsV1"}"#);
        e.set("manager", format!("m{i}"));
        let mut fields = Value::object();
        fields.set(&format!("f:x{i}"), Value::object());
        e.set("fieldsV1", fields);
        e
    };
    let kind = Kind::custom();
    let live = tree(r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"x","uid":"u"}}"#);
    let mut new = live.clone();
    let list: Vec<Value> = (0..20_000).map(entry).collect();
    new.get_mut("metadata").unwrap().set("managedFields", list);
    update(&kind.write("w", "2026-01-01T00:00:00Z"), &live, &mut new);
    assert_eq!(new.path(&["metadata", "managedFields"]).items().len(), 10);

    // Data of any depth, which no codec looks into.
    let go = schema::Types::builtin().by_go_name("apps/v1.ControllerRevision").unwrap();
    let ty = crate::builtin::type_of(go).unwrap();
    let revision =
        Kind::new("apps/v1", "ControllerRevision", ty, Trust::Decoded, r#"{"metadata":{},"revision":0}"#);
    let deep = |end: &str| tree(&format!("{}{end}{}", r#"{"a":"#.repeat(9_000), "}".repeat(9_000)));
    let mut live = revision.empty.clone();
    live.set("data", deep("1"));
    let mut new = revision.empty.clone();
    new.set("data", deep("2"));
    update(&revision.write("w", "2026-01-01T00:00:00Z"), &live, &mut new);
    keep_timestamps(Trust::Decoded, &live, &mut new);
    expect![[r#"[{"apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}},"manager":"w","operation":"Update"}]"#]]
        .assert_eq(&untimed(new.path(&["metadata", "managedFields"])));
    let mut config = revision.empty.clone();
    config.set("data", deep("3"));
    assert!(apply(&revision.write("w", ""), &live, &config, Force::Yes).is_err());

    // A schema may say nothing of its types: opaque, not a crash.
    let live = tree(r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"x","uid":"u"}}"#);
    let mut builder = Builder::new();
    let id = builder.declare();
    let ty = Type { schema: builder.finish(Trust::Nothing), id };
    let nothing = Kind::new("g/v1", "K", ty, Trust::Nothing, "{}");
    let mut new = live.clone();
    update(&nothing.write("w", "2026-01-01T00:00:00Z"), &nothing.empty, &mut new);
    assert_eq!(new.at("metadata").get("managedFields"), None);
}

#[test]
fn times() {
    use super::entry::unix_seconds;
    assert_eq!(unix_seconds("1970-01-01T00:00:00Z"), 0);
    assert_eq!(unix_seconds("2026-11-21T04:51:26Z"), 1_795_236_686);
    assert_eq!(unix_seconds("2024-02-29T23:59:59.5+01:30"), 1_709_245_799);
    for bad in
        ["", "x", "2024-01-01", "2024-01-01T00:00:00", "9999999999999999999999", "2024-01-01T00:00:00ü"]
    {
        assert_eq!(unix_seconds(bad), 0, "{bad}");
    }
}
