//! The policy against upstream's own expectation (its testdata as JSON, without a distribution's additions).

use super::*;
use std::collections::BTreeMap;

fn key(object: &Value) -> String {
    let metadata = object.at("metadata");
    format!("{} {}/{}", object.at("kind").str(), metadata.at("namespace").str(), metadata.at("name").str())
}

#[test]
fn the_policy_is_upstreams() {
    let facts = value::json::parse(include_bytes!("../../testdata/bootstrap-policy.json")).unwrap();
    let facts: BTreeMap<String, &Value> = facts.items().iter().map(|o| (key(o), o)).collect();
    let ours: BTreeMap<String, &Value> = objects().iter().map(|o| (key(o), o)).collect();
    assert_eq!(facts.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    assert_eq!(facts.len(), objects().len());
    for (key, fact) in facts {
        assert_eq!(fact, ours[&key], "{key}");
    }
}

#[test]
fn a_start_adds_what_is_missing_and_takes_nothing_away() {
    let all = objects();
    assert_eq!(plan(all, |_| None).len(), all.len());
    assert!(plan(all, |o| Some(o.clone())).is_empty());
    let one = |name: &str| all.iter().find(|o| o.path(&["metadata", "name"]).str() == name).unwrap();
    let change = |name: &str, edit: &dyn Fn(&mut Value)| {
        let wanted = one(name);
        plan(std::slice::from_ref(wanted), |o| {
            let mut stored = o.clone();
            edit(&mut stored);
            Some(stored)
        })
    };
    // A rule taken away comes back as its finest parts; an added one stays.
    let actions = change("system:basic-user", &|o| {
        let rules = o.get_mut("rules").unwrap().as_array_mut().unwrap();
        rules[0] = rule("get", "x", "y", None).to_value();
    });
    let [Action::Update(updated)] = actions.as_slice() else { panic!("{actions:?}") };
    let rules: Vec<String> =
        updated.at("rules").items().iter().map(|r| Rule::from_value(r).describe()).collect();
    assert_eq!(
        rules,
        [
            r#"{APIGroups:["x"], Resources:["y"], Verbs:["get"]}"#,
            r#"{APIGroups:["authentication.k8s.io"], Resources:["selfsubjectreviews"], Verbs:["create"]}"#,
            r#"{APIGroups:["authorization.k8s.io"], Resources:["selfsubjectaccessreviews"], Verbs:["create"]}"#,
            r#"{APIGroups:["authorization.k8s.io"], Resources:["selfsubjectrulesreviews"], Verbs:["create"]}"#,
        ]
    );
    // Protected ones stay as they are.
    let protect = |o: &mut Value| {
        o.remove("rules");
        let annotations = o.get_mut("metadata").and_then(|m| m.get_mut("annotations")).unwrap();
        annotations.set(AUTOUPDATE, "false");
    };
    assert!(change("system:discovery", &protect).is_empty());
    // A binding of another role is made anew; missing subjects are added to the others.
    let other = |o: &mut Value| o.get_mut("roleRef").unwrap().set("name", "x");
    assert!(matches!(change("system:node-proxier", &|_| ()).as_slice(), []));
    let binding = all.iter().find(|o| key(o) == "ClusterRoleBinding /system:node-proxier").unwrap();
    let mut changed = binding.clone();
    other(&mut changed);
    let actions = plan(std::slice::from_ref(binding), |_| Some(changed.clone()));
    assert_eq!(actions, [Action::Recreate(binding.clone())]);
    let mut changed = binding.clone();
    changed.set("subjects", vec![subject("user", "someone")]);
    let actions = plan(std::slice::from_ref(binding), |_| Some(changed.clone()));
    let [Action::Update(updated)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(updated.at("subjects").items().len(), 2);
    // Aggregated roles keep the rules that the controller gathered.
    assert!(change("admin", &|o| o.set("rules", vec![rule("r", "x", "y", None).to_value()])).is_empty());
}
