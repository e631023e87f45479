use std::rc::Rc;

use expect_test::{Expect, expect};
use value::{Map, Value};

use crate::{Activation, Budget, DeclSizes, DeclType, Env, ListKind, Type, Val};

mod eval;
mod golden;
mod syntax;

fn run(env: &Env, source: &str, variables: &Activation<'_>) -> String {
    match env.compile(source) {
        Err(e) => e.to_string(),
        Ok(p) => match p.eval(variables, Budget::default()) {
            (Ok(v), cost) => format!("{v:?} : {} [{cost}]", p.output_type()),
            (Err(e), cost) => format!("error: {e} [{cost}]"),
        },
    }
}

/// Each line of `sources` with what it evaluates to.
fn table(sources: &str, expected: Expect) {
    let env = Env::stored_expressions();
    let mut out = String::new();
    for line in sources.lines().map(str::trim).filter(|l| !l.is_empty()) {
        out.push_str(&format!("{line}\n    = {}\n", run(&env, line, &Activation::new())));
    }
    expected.assert_eq(&out);
}
