//! Whether the defaults in a schema fit it.
//!
//! Upstream: `pkg/apiserver/schema/defaulting/validation.go`.

use crate::metadata::{self, Malformed};
use crate::prune::{Track, prune};
use crate::rules::{BUDGET, Rules};
use crate::schema::Schema;
use crate::values::{Check, Formats};
use meta::field::{Error, ErrorList, Path, to_aggregate};
use value::{Str, Value};

/// A step from a resource to a value in it.
#[derive(Clone, Debug)]
enum Step {
    Item,
    Field(Str),
}

struct Walk<'e> {
    errors: &'e mut ErrorList,
    require_pruned: bool,
    budget: i64,
}

/// All errors of the defaults in a schema.
pub(super) fn validate(path: &Path<'_>, s: &Schema, require_pruned: bool, errors: &mut ErrorList) {
    let mut walk = Walk { errors, require_pruned, budget: BUDGET };
    walk.node(path, s, s, true, &[], false);
}

/// Whether any default holds what its schema does not know.
pub(super) fn has_unpruned(s: &Schema) -> bool {
    s.any(&mut |s| s.default.as_ref().is_some_and(|d| !is_pruned(s, d)))
}

fn is_pruned(s: &Schema, default: &Value) -> bool {
    let mut pruned = default.clone();
    prune(&mut pruned, s, s.embedded_resource, Track::Nothing);
    pruned == *default
}

impl Walk<'_> {
    /// Whether the budget allows to go on. `resource` is the schema of the resource around, `steps` lead from
    /// there to here.
    fn node(
        &mut self,
        path: &Path<'_>,
        s: &Schema,
        resource: &Schema,
        is_root: bool,
        steps: &[Step],
        inside_meta: bool,
    ) -> bool {
        let is_resource = is_root || s.embedded_resource;
        let (resource, steps, inside_meta) =
            if is_resource { (s, &[][..], false) } else { (resource, steps, inside_meta) };
        if let Some(default) = &s.default
            && !self.default(path, s, default, resource, is_resource, steps, inside_meta)
        {
            return false;
        }
        let below = |step: Step| [steps, &[step]].concat();
        if let Some(item) = s.item()
            && !self.node(&path.child("items"), item, resource, false, &below(Step::Item), inside_meta)
        {
            return false;
        }
        let properties = path.child("properties");
        for (k, p) in &s.properties {
            let meta =
                inside_meta || (is_resource && matches!(k.as_str(), "metadata" | "apiVersion" | "kind"));
            if !self.node(&properties.key(k), p, resource, false, &below(Step::Field(k.clone())), meta) {
                return false;
            }
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one node")]
    fn default(
        &mut self,
        path: &Path<'_>,
        s: &Schema,
        default: &Value,
        resource: &Schema,
        is_resource: bool,
        steps: &[Step],
        inside_meta: bool,
    ) -> bool {
        let at = path.child("default");
        let before = self.errors.len();
        if inside_meta {
            let mut object = surround(default.clone(), steps);
            let wrong = match metadata::coerce(
                &Path::ROOT,
                &mut object,
                resource,
                true,
                Malformed::Refuse,
                Track::Nothing,
            ) {
                Err(error) => Some(error.to_string()),
                Ok(_) => to_aggregate(&metadata::validate(&Path::ROOT, &object, resource, true)),
            };
            if let Some(why) = wrong {
                let text = format!("must result in valid metadata: {why}");
                self.errors.push(Error::invalid(&at, default.clone(), text));
                return true;
            }
        } else {
            if self.require_pruned && !is_pruned(s, default) {
                self.errors.push(Error::invalid(&at, default.clone(), "must not have unknown fields"));
            }
            let mut object = default.clone();
            let embedded = is_resource;
            match metadata::coerce(&at, &mut object, s, embedded, Malformed::Refuse, Track::Nothing) {
                Err(error) => {
                    self.errors.push(error);
                    return true;
                }
                Ok(_) => {
                    let wrong = metadata::validate(&at, &object, s, embedded);
                    if !wrong.is_empty() {
                        self.errors.extend(wrong);
                        return true;
                    }
                }
            }
        }
        let _ = before;
        let wrong = Check::new(s, Formats::All).validate(&at, default, None);
        if !wrong.is_empty() {
            self.errors.extend(wrong);
            return true;
        }
        let Some(rules) = Rules::new(s, is_resource) else { return true };
        let (out, left) = rules.validate(&at, s, default, Some(default), None, self.budget);
        let fine = out.errors.is_empty();
        self.errors.extend(out.errors);
        let mut remaining = left;
        if fine {
            // As when it comes into an object that had nothing there.
            let (out, left) = rules.validate(&at, s, default, None, None, self.budget);
            self.errors.extend(out.errors);
            remaining = remaining.min(left);
        }
        self.budget = remaining;
        remaining >= 0
    }
}

/// A resource with a value at the end of the steps.
fn surround(value: Value, steps: &[Step]) -> Value {
    let mut value = value;
    for step in steps.iter().rev() {
        value = match step {
            Step::Item => Value::Array(vec![value]),
            Step::Field(name) => {
                let mut object = Value::object();
                object.set(name, value);
                object
            }
        };
    }
    for (field, text) in [("apiVersion", "validation/v1"), ("kind", "Validation")] {
        if value.get(field).is_none() {
            value.set(field, text);
        }
    }
    value
}
