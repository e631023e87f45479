//! Expressions of a ValidatingAdmissionPolicy, checked against kinds of objects that are known.
//!
//! Nothing is refused or run by what is found here: it is told to who wrote the policy. So the places of expressions
//! do not differ, no type is wanted of them, and what the policy's requests decide has no part in it.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/typechecking.go`.

use super::{Variables, admission_env};
use cel::{DeclType, Env, Issues, Type, authorizer_type};
use std::sync::Arc;

/// What the expressions of a policy may use where it is about one kind of objects.
#[derive(Clone, Debug)]
pub struct Typed {
    env: Env,
    variables: Variables,
}

impl Typed {
    /// For objects of a type; anything where it is `None`, as for kinds whose schema says nothing.
    pub fn new(object: Option<&Arc<DeclType>>) -> Self {
        // Upstream declares no `authorizer.requestResource` here, so that a policy that uses it is warned of it.
        let mut env = admission_env(true).clone().variable_of("authorizer", authorizer_type());
        if let Some(object) = object {
            env = env.variable_decl("object", object).variable_decl("oldObject", object);
        }
        Self { env, variables: Variables::default() }
    }

    /// With `params`: of a type, or anything where it is `None`.
    #[must_use]
    pub fn with_params(mut self, params: Option<&Arc<DeclType>>) -> Self {
        self.env = match params {
            Some(params) => self.env.variable_decl("params", params),
            None => self.env.variable_of("params", Type::Dyn),
        };
        self
    }

    /// Adds a variable, which those after it may use as well. One that is wrong may be anything: nothing is told of it.
    pub fn add_variable(&mut self, name: &str, text: &str) {
        let ty = self.check(text).ok();
        self.variables.insert(name, ty);
    }

    /// The type of an expression.
    ///
    /// # Errors
    /// What is wrong with it, in upstream's words.
    pub fn check(&self, text: &str) -> Result<Type, Issues> {
        let variables = self.variables.named_in(text);
        self.env.clone().variable_decl("variables", &variables).type_of(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn object(fields: &[(&str, DeclType)], name: &str) -> Arc<DeclType> {
        let fields = fields.iter().map(|(k, _)| (*k).into()).zip(fields.iter().map(|(_, t)| t));
        let copy = |t: &DeclType| Arc::new(DeclType::of_type(t.cel.clone()));
        Arc::new(DeclType::object(
            name,
            fields.map(|(k, t)| (k, copy(t))).collect::<BTreeMap<_, _>>(),
            |_| false,
        ))
    }

    fn told(types: &Typed, text: &str) -> String {
        types.check(text).map_or_else(|issues| issues.to_string(), |ty| format!("ok: {ty}"))
    }

    #[test]
    fn types_are_as_declared() {
        let of_text = object(&[("foo", DeclType::string(None, None))], "Deployment0");
        let of_int = object(&[("foo", DeclType::integer())], "Config1");
        let mut both = Typed::new(Some(&of_text)).with_params(Some(&of_int));
        both.add_variable("works", "true");
        both.add_variable("next", "!variables.works");
        both.add_variable("wrong", "object.foo == 1");
        both.add_variable("all", "[object]");
        let none = Typed::new(None).with_params(None);
        let cases = [
            (&both, "object.foo == oldObject.foo", "ok: bool"),
            (&both, "params.foo + 1", "ok: int"),
            (&both, "variables.works && variables.next", "ok: bool"),
            (&both, "variables.wrong == object.foo", "ok: bool"),
            (&both, "variables.all[0].bar", "ok: dyn"),
            (&both, "object != null && params != null", "ok: bool"),
            (&both, "request.userInfo.username + namespaceObject.metadata.name", "ok: string"),
            (&both, "authorizer.group('').resource('endpoints').check('create').allowed()", "ok: bool"),
            // What fails when it runs is well typed.
            (&both, "1 / 0 == 1", "ok: bool"),
            (&none, "object.a.b == params.c && oldObject == null", "ok: bool"),
            (
                &both,
                "object.foo == params.foo",
                "ERROR: <input>:1:12: found no matching overload for '_==_' applied to '(string, int)'\n \
                 | object.foo == params.foo\n | ...........^",
            ),
            (&both, "params.bar", "ERROR: <input>:1:7: undefined field 'bar'\n | params.bar\n | ......^"),
            (
                &both,
                "variables.nonExisting",
                "ERROR: <input>:1:10: undefined field 'nonExisting'\n | variables.nonExisting\n | .........^",
            ),
            (
                &both,
                "authorizer.allowed()",
                "ERROR: <input>:1:19: found no matching overload for 'allowed' applied to \
                 'kubernetes.authorization.Authorizer.()'\n | authorizer.allowed()\n | ..................^",
            ),
            (
                &both,
                "object == 1",
                "ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(Deployment0, int)'\n \
                 | object == 1\n | .......^",
            ),
            (
                &none,
                "1 + 'a'",
                "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
            ),
        ];
        for (types, text, expected) in cases {
            assert_eq!(told(types, text), expected, "{text}");
        }
        let without = told(&Typed::new(None), "params.foo");
        assert!(without.starts_with("ERROR: <input>:1:1: undeclared reference to 'params'"), "{without}");
        let resource = told(&both, "authorizer.requestResource.check('get').allowed()");
        let text = "unexpected failed resolution of 'kubernetes.authorization.Authorizer'";
        assert!(resource.contains(text), "{resource}");
    }
}
