//! Nodes over a tree.

use super::node::{Bound, Node};
use super::{Error, Found, MissingKeys, NESTING_MAX, VISITS_MAX, print::plain};
use crate::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Evaluates a template.
pub(super) fn find<'a>(
    nodes: &'a [Node],
    data: &'a Value,
    missing: MissingKeys,
) -> Result<Vec<Found<'a>>, Error> {
    let mut eval =
        Eval { nodes, missing, visits: 0, ranges_to_begin: 0, ranges: 0, ranges_to_end: 0, last_end: None };
    eval.template(0, Cow::Borrowed(data))
}

struct Eval<'a> {
    nodes: &'a [Node],
    missing: MissingKeys,
    visits: usize,
    /// `range` has been met, its loop has not begun.
    ranges_to_begin: usize,
    /// How many loops are being run, one inside the other.
    ranges: usize,
    /// `end` has been met, its loop's pass has not ended.
    ranges_to_end: usize,
    /// The node at which a loop's pass ended last.
    last_end: Option<usize>,
}

/// What a node found, and what went wrong. Upstream goes on with the former where it only asks whether
/// something exists.
type Outcome<'a> = (Found<'a>, Option<Error>);

fn ok(found: Found<'_>) -> Outcome<'_> {
    (found, None)
}

impl<'a> Eval<'a> {
    /// Runs the template from a node on, over one value.
    fn template(&mut self, from: usize, data: Cow<'a, Value>) -> Result<Vec<Found<'a>>, Error> {
        let nodes = self.nodes;
        let mut all = Vec::new();
        let mut i = from;
        while let Some(node) = nodes.get(i) {
            let (found, error) = self.walk(vec![data.clone()], node);
            if let Some(error) = error {
                return Err(error);
            }
            if self.ranges_to_end > 0 && self.ranges_to_end <= self.ranges {
                self.ranges_to_end -= 1;
                self.last_end = Some(i);
                break;
            }
            if self.ranges_to_begin > 0 {
                self.ranges_to_begin -= 1;
                self.ranges += 1;
                if self.ranges > NESTING_MAX {
                    return Err(Error::new("ranges are nested too deeply"));
                }
                // Over nothing, the nodes still have to be passed to find the end.
                let dry = found.is_empty();
                for value in if dry { vec![Cow::Owned(Value::Null)] } else { found } {
                    let results = self.template(i + 1, value)?;
                    if !dry {
                        all.extend(results);
                    }
                }
                self.ranges -= 1;
                if let Some(end) = self.last_end.filter(|end| *end > i) {
                    i = end;
                }
                i += 1;
                continue;
            }
            all.push(found);
            i += 1;
        }
        Ok(all)
    }

    fn walk(&mut self, input: Found<'a>, node: &'a Node) -> Outcome<'a> {
        self.visits = self.visits.saturating_add(input.len().max(1));
        if self.visits > VISITS_MAX {
            return (Vec::new(), Some(Error::new("expression visits too many values")));
        }
        match node {
            Node::Literal(value @ Value::String(_)) => ok(vec![Cow::Borrowed(value)]),
            Node::Literal(value) => ok(input.iter().map(|_| Cow::Borrowed(value)).collect()),
            Node::List(nodes) => self.list(input, nodes),
            Node::Field(name) => self.field(&input, name),
            Node::Slice(bounds) => slice(input, bounds),
            Node::Filter { left, operator, right } => self.filter(input, left, operator, right),
            Node::Wildcard => ok(input.iter().flat_map(children).collect()),
            Node::Recursive => self.recursive(&input),
            Node::Union(lists) => {
                let mut found = Vec::new();
                for list in lists {
                    match self.list(input.clone(), list) {
                        (more, None) => found.extend(more),
                        (_, error) => return (input, error),
                    }
                }
                ok(found)
            }
            Node::Identifier(name) => match name.as_str() {
                "range" => {
                    self.ranges_to_begin += 1;
                    ok(input)
                }
                "end" if self.ranges > 0 => {
                    self.ranges_to_end += 1;
                    ok(Vec::new())
                }
                "end" => (Vec::new(), Some(Error::new("not in range, nothing to end"))),
                _ => (input, Some(Error::new(format!("unrecognized identifier {name}")))),
            },
        }
    }

    fn list(&mut self, input: Found<'a>, nodes: &'a [Node]) -> Outcome<'a> {
        let mut current = input;
        for node in nodes {
            match self.walk(current, node) {
                (found, None) => current = found,
                failed => return failed,
            }
        }
        ok(current)
    }

    fn field(&self, input: &Found<'a>, name: &str) -> Outcome<'a> {
        let found: Found<'a> = input.iter().filter_map(|v| member(v, name)).collect();
        if found.is_empty() && !input.is_empty() && self.missing == MissingKeys::Errors {
            return (found, Some(Error::new(format!("{name} is not found"))));
        }
        ok(found)
    }

    /// All that has parts, each before its parts.
    fn recursive(&mut self, input: &Found<'a>) -> Outcome<'a> {
        let mut found = Vec::new();
        let mut todo: Vec<Cow<'a, Value>> = input.iter().rev().cloned().collect();
        while let Some(value) = todo.pop() {
            self.visits = self.visits.saturating_add(1);
            if self.visits > VISITS_MAX {
                return (found, Some(Error::new("expression visits too many values")));
            }
            let has_parts = match &*value {
                Value::String(s) => !s.is_empty(),
                Value::Array(_) | Value::Object(_) => !value.is_empty(),
                _ => false,
            };
            if has_parts {
                if value.as_str().is_none() {
                    let mut parts = children(&value);
                    parts.reverse();
                    todo.extend(parts);
                }
                found.push(value);
            }
        }
        ok(found)
    }

    fn filter(
        &mut self,
        input: Found<'a>,
        left: &'a [Node],
        operator: &str,
        right: &'a [Node],
    ) -> Outcome<'a> {
        let mut found = Vec::new();
        for value in &input {
            if value.as_array().is_none() {
                let message = format!("{} is not array or slice and cannot be filtered", plain(value));
                return (input, Some(Error::new(message)));
            }
            for element in children(value) {
                match self.passes(element.clone(), left, operator, right) {
                    Ok(true) => found.push(element),
                    Ok(false) => {}
                    Err(error) => return (input, Some(error)),
                }
            }
        }
        ok(found)
    }

    fn passes(
        &mut self,
        element: Cow<'a, Value>,
        left: &'a [Node],
        operator: &str,
        right: &'a [Node],
    ) -> Result<bool, Error> {
        let (lefts, error) = self.list(vec![element.clone()], left);
        if operator == "exists" {
            return Ok(!lefts.is_empty());
        }
        error.map_or(Ok(()), Err)?;
        let Some(left) = single(&lefts)? else { return Ok(false) };
        let (rights, error) = self.list(vec![element], right);
        error.map_or(Ok(()), Err)?;
        let Some(right) = single(&rights)? else { return Ok(false) };
        compare(left, operator, right)
    }
}

fn single<'b>(values: &'b Found<'_>) -> Result<Option<&'b Value>, Error> {
    match values.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Error::new("can only compare one element at a time")),
    }
}

fn member<'a>(value: &Cow<'a, Value>, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(v) => v.get(name).map(Cow::Borrowed),
        Cow::Owned(v) => v.get(name).cloned().map(Cow::Owned),
    }
}

/// Members, elements, or the bytes of a string.
fn children<'a>(value: &Cow<'a, Value>) -> Found<'a> {
    match value {
        Cow::Borrowed(Value::Array(a)) => a.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(m)) => m.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(a)) => a.iter().cloned().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(m)) => m.values().cloned().map(Cow::Owned).collect(),
        Cow::Borrowed(Value::String(s)) | Cow::Owned(Value::String(s)) => {
            s.bytes().map(|b| Cow::Owned(i64::from(b).into())).collect()
        }
        _ => Vec::new(),
    }
}

fn slice<'a>(input: Found<'a>, bounds: &[Bound; 3]) -> Outcome<'a> {
    let mut found = Vec::new();
    for value in &input {
        if value.is_null() {
            continue;
        }
        let Some(elements) = value.as_array() else {
            let message = format!("{} is not array or slice", go_type(value));
            return (input, Some(Error::new(message)));
        };
        let len = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let [begin, end, step] = bounds;
        let mut from = if begin.known { begin.value } else { 0 };
        if from < 0 {
            from = from.wrapping_add(len);
        }
        let mut to = if end.known { end.value } else { len };
        if to < 0 || (to == 0 && end.derived) {
            to = to.wrapping_add(len);
        }
        if from == to {
            // Nothing is asked for; upstream does not look at further values then.
            return ok(found);
        }
        let problem = if from >= len || from < 0 {
            Some(format!("array index out of bounds: index {from}, length {len}"))
        } else if to > len || to < 0 {
            Some(format!("array index out of bounds: index {}, length {len}", to.wrapping_sub(1)))
        } else if from > to {
            Some(format!("starting index {from} is greater than ending index {to}"))
        } else if step.known && step.value <= 0 {
            Some("step must be > 0".to_owned())
        } else {
            None
        };
        if let Some(message) = problem {
            return (input, Some(Error::new(message)));
        }
        let index = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        let step = if step.known { index(step.value) } else { 1 };
        let chosen = (index(from)..index(to)).step_by(step);
        found.extend(chosen.filter_map(|i| match value {
            Cow::Borrowed(v) => v.as_array()?.get(i).map(Cow::Borrowed),
            Cow::Owned(v) => v.as_array()?.get(i).cloned().map(Cow::Owned),
        }));
    }
    ok(found)
}

/// Compares scalars of one type, as Go's templates do.
fn compare(left: &Value, operator: &str, right: &Value) -> Result<bool, Error> {
    let wrong_type = || Error::new("invalid type for comparison");
    if !matches!(operator, "<" | ">" | "==" | "!=" | "<=" | ">=") {
        return Err(Error::new(format!("unrecognized filter operator {operator}")));
    }
    let is_scalar = |v: &Value| matches!(v, Value::Bool(_) | Value::Number(_) | Value::String(_));
    if !is_scalar(left) || !is_scalar(right) {
        return Err(wrong_type());
    }
    let ordering = match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => match operator {
            "==" => return Ok(a == b),
            "!=" => return Ok(a != b),
            _ => return Err(wrong_type()),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            (None, None) => a.as_f64().partial_cmp(&b.as_f64()),
            _ => return Err(Error::new("incompatible types for comparison")),
        },
        _ => return Err(Error::new("incompatible types for comparison")),
    };
    Ok(match operator {
        "<" => ordering == Some(Ordering::Less),
        ">" => ordering == Some(Ordering::Greater),
        "==" => ordering == Some(Ordering::Equal),
        "!=" => ordering != Some(Ordering::Equal),
        "<=" => ordering != Some(Ordering::Greater),
        _ => ordering != Some(Ordering::Less),
    })
}

/// What Go calls the type of a decoded value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.as_i64().is_some() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
