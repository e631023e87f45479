//! What changed in a struct that must not change, as upstream shows it: a unified diff of indented JSON.
//!
//! Upstream: `apimachinery/pkg/util/diff`, which compares lines with `pmezard/go-difflib` (Python's
//! `difflib`: the longest run of equal lines first, then what is left and right of it).

use std::collections::HashMap;

/// Lines of context around changes.
const CONTEXT: usize = 3;
/// From this many lines on, lines that are more than a hundredth of all are no anchors.
const POPULAR_FROM_LINES: usize = 200;
/// Steps of comparing after which the rest counts as changed, so that hostile objects cost no minutes.
const STEPS_MAX: usize = 2_000_000;

/// The diff of two values of an internal type (see [`crate::internal`]).
pub(super) fn diff(kind: &str, old: &value::Value, new: &value::Value) -> String {
    let (old, new) = (indent(&crate::internal::text(kind, old)), indent(&crate::internal::text(kind, new)));
    unified(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>())
}

/// Compact JSON with line breaks, one space for each level, as `json.MarshalIndent(v, "", " ")`.
fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            (in_string, escaped) = match c {
                _ if escaped => (true, false),
                '\\' => (true, true),
                '"' => (false, false),
                _ => (true, false),
            };
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(end) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// A run of equal lines: where in each text, and how many.
#[derive(Clone, Copy, Debug, Default)]
struct Match {
    a: usize,
    b: usize,
    size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tag {
    Equal,
    Changed,
}

/// What becomes of lines `a.0..a.1`: they are lines `b.0..b.1` afterwards.
#[derive(Clone, Copy, Debug)]
struct Step {
    tag: Tag,
    a: (usize, usize),
    b: (usize, usize),
}

/// The diff of two lists of lines.
fn unified(a: &[&str], b: &[&str]) -> String {
    let mut out = String::new();
    for group in groups(&steps(a, b)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        out.push_str(&format!("@@ -{} +{} @@\n", range(first.a.0, last.a.1), range(first.b.0, last.b.1)));
        let mut write = |mark: char, lines: Option<&[&str]>| {
            for line in lines.unwrap_or_default() {
                out.push(mark);
                out.push_str(line);
                out.push('\n');
            }
        };
        for step in &group {
            if step.tag == Tag::Equal {
                write(' ', a.get(step.a.0..step.a.1));
            } else {
                write('-', a.get(step.a.0..step.a.1));
                write('+', b.get(step.b.0..step.b.1));
            }
        }
    }
    out
}

fn range(start: usize, stop: usize) -> String {
    match stop - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        n => format!("{},{n}", start + 1),
    }
}

fn steps(a: &[&str], b: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut i, mut j) = (0, 0);
    for m in matches(a, b).into_iter().chain([Match { a: a.len(), b: b.len(), size: 0 }]) {
        if i < m.a || j < m.b {
            steps.push(Step { tag: Tag::Changed, a: (i, m.a), b: (j, m.b) });
        }
        (i, j) = (m.a + m.size, m.b + m.size);
        if m.size > 0 {
            steps.push(Step { tag: Tag::Equal, a: (m.a, i), b: (m.b, j) });
        }
    }
    steps
}

/// Runs of equal lines in order; neighbours are one run.
fn matches(a: &[&str], b: &[&str]) -> Vec<Match> {
    let places = places(b);
    let mut left = STEPS_MAX;
    let mut found = Vec::new();
    let mut todo = vec![(0, a.len(), 0, b.len())];
    while let Some((a_low, a_high, b_low, b_high)) = todo.pop() {
        let m = longest(a, b, &places, (a_low, a_high, b_low, b_high), &mut left);
        if m.size == 0 {
            continue;
        }
        found.push(m);
        if a_low < m.a && b_low < m.b {
            todo.push((a_low, m.a, b_low, m.b));
        }
        if m.a + m.size < a_high && m.b + m.size < b_high {
            todo.push((m.a + m.size, a_high, m.b + m.size, b_high));
        }
    }
    found.sort_by_key(|m| (m.a, m.b));
    let mut runs: Vec<Match> = Vec::new();
    for m in found {
        match runs.last_mut() {
            Some(last) if last.a + last.size == m.a && last.b + last.size == m.b => last.size += m.size,
            _ => runs.push(m),
        }
    }
    runs
}

/// Where each line stands, but for those that stand everywhere.
fn places<'a>(b: &[&'a str]) -> HashMap<&'a str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if b.len() >= POPULAR_FROM_LINES {
        let most = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    places
}

/// The longest run within bounds; of several the first in `a`, then in `b`.
fn longest(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    (a_low, a_high, b_low, b_high): (usize, usize, usize, usize),
    left: &mut usize,
) -> Match {
    let mut best = Match { a: a_low, b: b_low, size: 0 };
    // Lengths of the runs that end in the line before, by their place in `b`.
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(a_high).skip(a_low) {
        let Some(rest) = left.checked_sub(1) else { return Match::default() };
        *left = rest;
        let mut next = HashMap::new();
        let at = places.get(line).map_or(&[][..], Vec::as_slice);
        let from = at.partition_point(|j| *j < b_low);
        for &j in at.get(from..).unwrap_or_default() {
            if j >= b_high {
                break;
            }
            let Some(rest) = left.checked_sub(1) else { return Match::default() };
            *left = rest;
            let before = j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or(0);
            let size = before + 1;
            next.insert(j, size);
            if size > best.size {
                best = Match { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    // Lines that are no anchors prolong a run all the same.
    while best.a > a_low && best.b > b_low && a.get(best.a - 1) == b.get(best.b - 1) {
        best = Match { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < a_high
        && best.b + best.size < b_high
        && a.get(best.a + best.size) == b.get(best.b + best.size)
    {
        best.size += 1;
    }
    best
}

/// Steps with their context, apart where more than two contexts are equal.
fn groups(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut groups = Vec::new();
    let mut group: Vec<Step> = Vec::new();
    let last = steps.len().saturating_sub(1);
    for (i, step) in steps.iter().enumerate() {
        let mut step = *step;
        if step.tag == Tag::Equal {
            if i == 0 {
                step.a.0 = step.a.0.max(step.a.1.saturating_sub(CONTEXT));
                step.b.0 = step.b.0.max(step.b.1.saturating_sub(CONTEXT));
            }
            if i == last {
                step.a.1 = step.a.1.min(step.a.0 + CONTEXT);
                step.b.1 = step.b.1.min(step.b.0 + CONTEXT);
            }
            if step.a.1 - step.a.0 > 2 * CONTEXT {
                group.push(Step {
                    a: (step.a.0, step.a.1.min(step.a.0 + CONTEXT)),
                    b: (step.b.0, step.b.1.min(step.b.0 + CONTEXT)),
                    ..step
                });
                groups.push(std::mem::take(&mut group));
                step.a.0 = step.a.0.max(step.a.1.saturating_sub(CONTEXT));
                step.b.0 = step.b.0.max(step.b.1.saturating_sub(CONTEXT));
            }
        }
        group.push(step);
    }
    if group.iter().any(|s| s.tag == Tag::Changed) {
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{indent, unified};

    #[test]
    fn indented() {
        assert_eq!(
            indent(r#"{"a":{},"b":["x:,{",1],"c":[]}"#),
            "{\n \"a\": {},\n \"b\": [\n  \"x:,{\",\n  1\n ],\n \"c\": []\n}"
        );
    }

    #[test]
    fn changes() {
        let a: Vec<String> = (0..30).map(|i| i.to_string()).collect();
        let mut b = a.clone();
        b[5] = "x".into();
        b.insert(20, "y".into());
        let (a, b): (Vec<&str>, Vec<&str>) =
            (a.iter().map(String::as_str).collect(), b.iter().map(String::as_str).collect());
        let text = "@@ -3,7 +3,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n@@ -18,6 +18,7 @@\n 17\n 18\n 19\n+y\n 20\n 21\n 22\n";
        assert_eq!(unified(&a, &b), text);
    }

    #[test]
    fn hostile_sizes() {
        let a: Vec<String> = (0..100_000).map(|i| (i % 997).to_string()).collect();
        let b: Vec<String> = (0..100_000).map(|i| (i % 991).to_string()).collect();
        let (a, b): (Vec<&str>, Vec<&str>) =
            (a.iter().map(String::as_str).collect(), b.iter().map(String::as_str).collect());
        assert!(unified(&a, &b).starts_with("@@"));
    }
}
