//! Custom resources: the input is a JSONSchemaProps, an object, and perhaps the object before.

use crd::correlate::Pair;
use crd::metadata::{self, Malformed};
use crd::prune::{self, Track};
use crd::rules::Rules;
use crd::schema::{Schema, normalize_numbers};
use crd::values::{Check, Formats, blocks_rules};
use crd::{list_type, structural};
use meta::field::Path;
use schema::{Types, Unknown, decode_json};
use value::json;

pub(super) const TREES: &[&str] = &[
    "\"type\"",
    "\"object\"",
    "\"array\"",
    "\"string\"",
    "\"integer\"",
    "\"number\"",
    "\"boolean\"",
    "\"format\"",
    "\"date-time\"",
    "\"properties\"",
    "{\"a\":{\"type\":\"string\"}}",
    "\"additionalProperties\"",
    "\"items\"",
    "\"required\"",
    "[\"a\"]",
    "\"default\"",
    "\"enum\"",
    "[1,\"a\",null]",
    "\"pattern\"",
    "\"^(a+)+$\"",
    "\"[\"",
    "\"x-kubernetes-preserve-unknown-fields\"",
    "\"x-kubernetes-embedded-resource\"",
    "\"x-kubernetes-int-or-string\"",
    "\"x-kubernetes-list-type\"",
    "\"map\"",
    "\"set\"",
    "\"atomic\"",
    "\"x-kubernetes-list-map-keys\"",
    "\"x-kubernetes-map-type\"",
    "\"x-kubernetes-validations\"",
    "[{\"rule\":\"self.a == oldSelf.a\",\"messageExpression\":\"'x' + self.a\",\"fieldPath\":\".a\"}]",
    "[{\"rule\":\"self.all(x, self.all(y, x == y))\"}]",
    "[{\"rule\":\"self > 0\",\"reason\":\"FieldValueInvalid\"}]",
    "\"nullable\"",
    "true",
    "\"allOf\"",
    "\"anyOf\"",
    "\"oneOf\"",
    "\"not\"",
    "[{\"minimum\":1}]",
    "\"minimum\"",
    "\"multipleOf\"",
    "0",
    "0.1",
    "1e400",
    "\"maxLength\"",
    "\"uniqueItems\"",
    "\"maxProperties\"",
    "null",
    "{}",
    "[]",
    "{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}",
    "{\"name\":\"a\",\"labels\":{\"a\":1}}",
    "\"metadata\"",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
];

/// The budget of rules, small enough for many runs.
const BUDGET: i64 = 50_000;

pub(super) fn run(input: &[u8]) {
    let mut lines = input.splitn(3, |b| *b == b'\n');
    let types = Types::builtin();
    let name = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps";
    let ty = types.by_go_name(name).expect("a type of the table");
    let Some(Ok(given)) = lines.next().map(|text| decode_json(types, ty, text, Unknown::Report)) else {
        return;
    };
    let schema = Schema::read(&given.value);
    let root = Path::new("spec");
    let accepted = structural::validate(&root, &schema).is_empty() && schema.unsupported().is_none();
    let _ = crd::field_path::resolve(".a.b[0]", &schema, crd::field_path::Subscripts::Allowed);
    if !accepted {
        // The API server makes nothing of such a schema.
        return;
    }
    let mut objects: Vec<_> = lines.filter_map(|text| json::parse(text).ok()).collect();
    let (check, strict) = (Check::new(&schema, Formats::Known), Check::new(&schema, Formats::All));
    let rules = Rules::new(&schema, true);
    for object in &mut objects {
        let _ = normalize_numbers(object);
        let pruned = prune::prune(object, &schema, true, Track::Paths);
        assert!(pruned.is_sorted());
        assert!(
            prune::prune(&mut object.clone(), &schema, true, Track::Paths).is_empty(),
            "pruned once for all"
        );
        prune::prune_nulls(object, &schema);
        prune::default(object, &schema);
        let _ = metadata::coerce(&root, &mut object.clone(), &schema, true, Malformed::Refuse, Track::Paths);
        let _ = metadata::coerce(&root, object, &schema, true, Malformed::Drop, Track::Nothing);
        let mut again = object.clone();
        prune::default(&mut again, &schema);
        let _ = strict.validate(&root, object, None);
        let _ = metadata::validate(&root, object, &schema, true);
        let _ = list_type::validate(&root, &schema, object);
    }
    let Some(new) = objects.first() else { return };
    let old = objects.get(1);
    let pair = old.map(|old| Pair { new, old, schema: &schema });
    let errors = check.validate(&root, new, pair);
    if let Some(rules) = &rules
        && blocks_rules(&errors).is_none()
    {
        let _ = rules.validate(&root, &schema, new, old, pair, BUDGET);
    }
}
