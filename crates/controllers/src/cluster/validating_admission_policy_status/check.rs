//! The check of a policy: each of its expressions against each of its kinds.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/typechecking.go`.

use super::matched::Kind;
use super::schema::decl_type;
use api::admissionregistration::v1::{ExpressionWarning, ValidatingAdmissionPolicy};
use cel::DeclType;
use kinds::expressions::Typed;
use std::sync::Arc;
use value::Value;
use value::json::parse;

/// How many times expressions are checked for one policy; kinds beyond are left out. A hundred expressions about a
/// hundred kinds: a policy may have as many as there is room in an object.
const CHECKS_MAX: usize = 10_000;
/// How long the warnings of one policy may be altogether, in bytes; those beyond are left out. They are kept in the
/// policy, and a store takes a megabyte and a half of it.
const WARNINGS_BYTES_MAX: usize = 256 << 10;

/// What a policy's parameters are.
#[derive(Debug)]
enum Params {
    /// It has none.
    None,
    /// Of a type; anything where that is `None`.
    Of(Option<Arc<DeclType>>),
}

/// A policy's check, under way.
#[derive(Debug)]
pub(super) struct Check {
    policy: Arc<ValidatingAdmissionPolicy>,
    params: Params,
    /// For each of [`expressions`] what is wrong with it; empty if nothing is.
    warnings: Vec<String>,
    /// How many bytes more the warnings may have.
    room: usize,
    checks: usize,
}

impl Check {
    /// A check that has told nothing yet.
    pub(super) fn new(policy: Arc<ValidatingAdmissionPolicy>) -> Self {
        let warnings = expressions(&policy).map(|_| String::new()).collect();
        Self { policy, params: Params::None, warnings, room: WARNINGS_BYTES_MAX, checks: 0 }
    }

    /// Says what kind the parameters are of. Without a document, or where that does not know the kind, they may be
    /// anything.
    pub(super) fn set_params(&mut self, kind: &Kind, document: Option<&[u8]>) {
        let document = document.map(read).unwrap_or_default();
        self.params = Params::Of(type_of(&document, kind, '1').unwrap_or_default());
    }

    /// Checks the expressions against kinds, which the document has. Kinds that it does not know are left out.
    pub(super) fn add(&mut self, kinds: &[Kind], document: &[u8]) {
        let document = read(document);
        for kind in kinds {
            if let Some(object) = type_of(&document, kind, '0') {
                self.add_kind(kind, object.as_ref());
            }
        }
    }

    fn add_kind(&mut self, kind: &Kind, object: Option<&Arc<DeclType>>) {
        let variables = self.policy.spec.iter().flat_map(|spec| spec.variables.iter().flatten());
        self.checks += self.warnings.len() + variables.clone().count();
        if self.checks > CHECKS_MAX {
            return;
        }
        let mut types = Typed::new(object);
        if let Params::Of(params) = &self.params {
            types = types.with_params(params.as_ref());
        }
        for variable in variables {
            types.add_variable(&variable.name, &variable.expression);
        }
        for ((_, text), warning) in expressions(&self.policy).zip(&mut self.warnings) {
            let Err(issues) = types.check(text) else { continue };
            let between = if warning.is_empty() { "" } else { "\n" };
            let told = format!("{between}{kind}: {issues}\n");
            if let Some(room) = self.room.checked_sub(told.len()) {
                self.room = room;
                warning.push_str(&told);
            }
        }
    }

    /// What was found, in the order of the expressions.
    pub(super) fn warnings(self) -> Vec<ExpressionWarning> {
        let told = expressions(&self.policy).zip(self.warnings).filter(|(_, warning)| !warning.is_empty());
        told.map(|((field_ref, _), warning)| ExpressionWarning { field_ref, warning }).collect()
    }
}

fn read(document: &[u8]) -> Value {
    parse(document)
        .inspect_err(|error| tracing::debug!(%error, "an OpenAPI document is no JSON"))
        .unwrap_or_default()
}

/// The type of a kind's objects; `None` if it has no schema. Its name is the kind's and a mark, by which it is neither
/// the name of another type nor of a built-in one; upstream puts the nanoseconds of its clock there.
fn type_of(document: &Value, kind: &Kind, mark: char) -> Option<Option<Arc<DeclType>>> {
    let found = decl_type(document, kind, &format!("{}{mark}", kind.kind));
    found.inspect_err(|error| tracing::debug!(%kind, %error, "a policy's types have no schema")).ok()
}

/// The expressions that are checked, by the paths of their fields.
fn expressions(policy: &ValidatingAdmissionPolicy) -> impl Iterator<Item = (String, &str)> {
    let validations = policy.spec.iter().flat_map(|spec| spec.validations.iter().flatten());
    validations.enumerate().flat_map(|(i, validation)| {
        let message = validation.message_expression.as_deref().filter(|text| !text.is_empty());
        let both = [("expression", Some(validation.expression.as_str())), ("messageExpression", message)];
        both.into_iter()
            .filter_map(move |(field, text)| Some((format!("spec.validations[{i}].{field}"), text?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(spec: serde_json::Value) -> Arc<ValidatingAdmissionPolicy> {
        let policy = json!({"metadata": {"name": "p"}, "spec": spec});
        Arc::new(serde_json::from_value(policy).expect("a policy"))
    }

    fn kind(kind: &str) -> Kind {
        Kind { group: "apps".into(), version: "v1".into(), kind: kind.into() }
    }

    /// A document in which every one of these kinds has the schema.
    fn document(kinds: &[&str], schema: &serde_json::Value) -> Vec<u8> {
        let mut schemas = json!({});
        for kind in kinds {
            schemas[*kind] = schema.clone();
            schemas[*kind]["x-kubernetes-group-version-kind"] =
                json!([{"group": "apps", "version": "v1", "kind": kind}]);
        }
        json!({"components": {"schemas": schemas}}).to_string().into_bytes()
    }

    fn object(properties: serde_json::Value) -> serde_json::Value {
        json!({"type": "object", "properties": properties})
    }

    /// Upstream's `TestTypeCheck`: the schema of both object and parameters, the policy, and for each warning its field
    /// and what it says.
    #[test]
    fn upstreams_table() {
        let expression = |text: &str| json!({"validations": [{"expression": text}]});
        let foo = || object(json!({"foo": {"type": "string"}}));
        let number = || object(json!({"foo": {"type": "integer", "format": "int64"}}));
        let first = "spec.validations[0].expression";
        let params = |text: &str| {
            let kind = json!({"apiVersion": "apps/v1", "kind": "Config"});
            json!({"paramKind": kind, "validations": [{"expression": text}]})
        };
        let variable = |name: &str, value: &str, text: &str| {
            let variables = [json!({"name": name, "expression": value})];
            json!({"variables": variables, "validations": [{"expression": text}]})
        };
        let message = json!({"validations": [
            {"expression": "object.foo == 'bar'", "messageExpression": "object.foo + 114514"}]});
        let two = json!({"validations": [
            {"expression": "object.foo == 'bar'"}, {"expression": "object.bar == 'foo'"}]});
        let free = object(json!({
            "spec": object(json!({"text": {"type": "string"}})),
            "status": object(json!({"problem": {"type": "object", "additionalProperties": true}})),
        }));
        let is_bar = "object.foo == 'bar'";
        let cases = [
            (foo(), json!({}), None),
            (foo(), expression(is_bar), None),
            (
                object(json!({"bar": {"type": "string"}})),
                expression(is_bar),
                Some((first, "undefined field 'foo'")),
            ),
            (number(), expression(is_bar), Some((first, "found no matching overload"))),
            (foo(), params("object.foo == params.bar"), Some((first, "undefined field 'bar'"))),
            (json!({}), params("params != null"), None),
            (foo(), expression("params != null"), Some((first, "undeclared reference to 'params'"))),
            (foo(), two, Some(("spec.validations[1].expression", "undefined field 'bar'"))),
            (foo(), message, Some(("spec.validations[0].messageExpression", "applied to '(string, int)'"))),
            (foo(), expression("authorizer.group('').resource('endpoints').check('create').allowed()"), None),
            (
                foo(),
                expression("authorizer.allowed()"),
                Some((
                    first,
                    "found no matching overload for 'allowed' applied to 'kubernetes.authorization.Authorizer",
                )),
            ),
            (free, expression("has(object.spec.text)"), None),
            (json!({}), expression("true"), None),
            (number(), variable("works", "true", "variables.works"), None),
            (
                number(),
                variable("works", "true", "variables.nonExisting"),
                Some((first, "undefined field 'nonExisting'")),
            ),
            (
                number(),
                variable("name", "'something'", "variables.name == object.foo"),
                Some((first, "found no matching overload for '_==_' applied to '(string, int)")),
            ),
            (number(), variable("name", "object.foo == 'str'", "variables.name == object.foo"), None),
        ];
        for (schema, spec, expected) in cases {
            let document = document(&["Deployment", "Config"], &schema);
            let mut check = Check::new(policy(spec.clone()));
            if spec.get("paramKind").is_some() {
                check.set_params(&kind("Config"), Some(&document));
            }
            check.add(&[kind("Deployment")], &document);
            let warnings = check.warnings();
            let found = warnings.iter().map(|w| (w.field_ref.as_str(), w.warning.as_str()));
            let (found, expected): (Vec<_>, Vec<_>) = (found.collect(), expected.into_iter().collect());
            let fits = |((field, text), (wanted, part)): (&(&str, &str), &(&str, &str))| {
                field == wanted && text.contains(part)
            };
            assert_eq!(found.len(), expected.len(), "{spec}: {found:?}");
            assert!(found.iter().zip(&expected).all(fits), "{spec}: {found:?}");
        }
    }

    #[test]
    fn kinds_are_told_one_after_the_other() {
        let wrong =
            policy(json!({"validations": [{"expression": "object.a == 1", "messageExpression": ""}]}));
        let mut check = Check::new(wrong.clone());
        check.add(&[kind("A"), kind("B"), kind("None")], &document(&["A", "B"], &object(json!({}))));
        check.add(&[kind("C")], &document(&["C"], &object(json!({"a": {"type": "string"}}))));
        check.add(&[kind("D")], b"no document");
        let warnings = check.warnings();
        let undefined = "ERROR: <input>:1:7: undefined field 'a'\n | object.a == 1\n | ......^\n";
        let expected = format!(
            "apps/v1, Kind=A: {undefined}\napps/v1, Kind=B: {undefined}\napps/v1, Kind=C: ERROR: <input>:1:10: found \
             no matching overload for '_==_' applied to '(string, int)'\n | object.a == 1\n | .........^\n"
        );
        assert_eq!((warnings.len(), warnings[0].warning.as_str()), (1, expected.as_str()));
        // Of parameters that nobody knows anything may be said; of objects without a schema nothing is.
        let unknown =
            policy(json!({"validations": [{"expression": "params.a.b == 1"}, {"expression": "1 + 'a'"}]}));
        let mut check = Check::new(unknown.clone());
        check.set_params(&kind("Gone"), None);
        check.add(&[kind("A")], &document(&["A"], &json!({})));
        let fields: Vec<String> = check.warnings().into_iter().map(|w| w.field_ref).collect();
        assert_eq!(fields, ["spec.validations[1].expression"]);
        assert_eq!(Check::new(unknown).warnings(), []);
    }

    #[test]
    fn warnings_have_limits() {
        let long = format!("object.a == '{}'", "x".repeat(10_000));
        let document = document(&["A"], &object(json!({})));
        let many: Vec<_> = (0..40).map(|_| json!({"expression": long})).collect();
        let mut check = Check::new(policy(json!({"validations": many})));
        check.add(&[kind("A")], &document);
        let warnings = check.warnings();
        let bytes: usize = warnings.iter().map(|w| w.warning.len()).sum();
        assert!(warnings.len() > 10 && bytes <= WARNINGS_BYTES_MAX, "{} {bytes}", warnings.len());
        let many: Vec<_> = (0..=CHECKS_MAX).map(|_| json!({"expression": "object.a"})).collect();
        let mut check = Check::new(policy(json!({"validations": many})));
        check.add(&[kind("A")], &document);
        assert_eq!(check.warnings(), []);
    }
}
