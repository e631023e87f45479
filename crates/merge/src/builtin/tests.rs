//! Types of built-in kinds against what upstream's OpenAPI documents say.

use super::*;

/// How the field at a path is owned.
fn check(go: &str, path: &[&str], expect: &str) {
    let ty = type_of(Types::builtin().by_go_name(go).unwrap()).unwrap();
    let mut id = ty.id;
    for step in path {
        let atom = ty.schema.atom(id);
        id = match (&atom.map, &atom.list) {
            (_, Some(list)) if *step == "[]" => list.element,
            (Some(map), _) => map.type_of(step).unwrap(),
            _ => panic!("{go} has nothing at {step}"),
        };
    }
    let atom = ty.schema.atom(id);
    let got = match (&atom.map, &atom.list, id) {
        (_, _, TypeId::OPAQUE) => "opaque".into(),
        (_, _, TypeId::DEDUCED) => "deduced".into(),
        (_, _, TypeId::UNTYPED_ATOMIC) => "untyped, atomic".into(),
        (Some(map), None, _) if map.atomic => "atomic map".into(),
        (Some(_), None, _) => "map".into(),
        (None, Some(list), _) => match &list.relation {
            ListRelation::Atomic => "atomic list".into(),
            ListRelation::Set => "set".into(),
            ListRelation::Map(keys) => format!("list by {}", keys.join(", ")),
        },
        _ => format!("{:?}", atom.scalar),
    };
    assert_eq!(got, expect, "{go} {path:?}");
}

#[test]
fn ownership() {
    let pod = "core/v1.Pod";
    check(pod, &["metadata", "managedFields"], "opaque");
    check("core/v1.PodTemplate", &["template", "metadata", "managedFields"], "atomic list");
    check(pod, &["metadata", "finalizers"], "set");
    check(pod, &["metadata", "ownerReferences"], "list by uid");
    check(pod, &["metadata", "ownerReferences", "[]"], "atomic map");
    check(pod, &["metadata", "labels"], "map");
    check(pod, &["metadata", "creationTimestamp"], "Some(Untyped)");
    check(pod, &["spec", "containers"], "list by name");
    check(pod, &["spec", "containers", "[]", "args"], "atomic list");
    check(pod, &["spec", "containers", "[]", "ports"], "list by containerPort, protocol");
    check(pod, &["spec", "containers", "[]", "resources", "limits", "cpu"], "Some(Untyped)");
    check(pod, &["spec", "nodeSelector"], "atomic map");
    check(pod, &["spec", "tolerations"], "atomic list");
    check(pod, &["spec", "topologySpreadConstraints"], "list by topologyKey, whenUnsatisfiable");
    check(pod, &["spec", "imagePullSecrets", "[]"], "atomic map");
    check("core/v1.Service", &["spec", "ports", "[]", "targetPort"], "deduced");
    check("core/v1.Service", &["spec", "selector"], "atomic map");
    check("core/v1.Secret", &["data", "k"], "Some(String)");
    check("core/v1.ConfigMap", &["data"], "map");
    check("apps/v1.Deployment", &["spec", "selector"], "atomic map");
    check("apps/v1.ControllerRevision", &["data"], "untyped, atomic");
    check("core/v1.TypedLocalObjectReference", &[], "atomic map");
}

#[test]
fn defaults_of_keys() {
    let default = |go: &str, field: &str| {
        let ty = type_of(Types::builtin().by_go_name(go).unwrap()).unwrap();
        ty.schema.atom(ty.id).map.as_ref().unwrap().field(field).unwrap().default.clone()
    };
    assert_eq!(default("core/v1.ContainerPort", "protocol"), Some("TCP".into()));
    assert_eq!(default("core/v1.ServicePort", "protocol"), Some("TCP".into()));
    assert_eq!(default("core/v1.Container", "name"), Some("".into()));
    assert_eq!(default("core/v1.ContainerPort", "containerPort"), Some(0.into()));
    assert_eq!(default("core/v1.ContainerPort", "name"), None);
}

/// Defaults that are Go constants are not resolved; none may stand at a key.
#[test]
fn keys_have_plain_defaults() {
    let types = Types::builtin();
    for (_, ty) in types.iter() {
        let Shape::Struct(structure) = &ty.shape else { continue };
        for field in structure.fields.iter().filter(|f| f.list_type == ListType::Map) {
            let Shape::List(element) = types.shape(field.ty) else { continue };
            for key in &field.list_map_keys {
                let key = types.structure(*element).unwrap().field(key).unwrap();
                assert!(!key.default.starts_with("ref("), "{} {}", field.json, key.json);
            }
        }
    }
}
