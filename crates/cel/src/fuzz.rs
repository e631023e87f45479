//! One function that a fuzzer can drive.

use std::sync::LazyLock;

use value::Value;

use crate::{Activation, Budget, DeclType, Env, NoSizes, Type, Val};

/// The most an evaluation may cost under a fuzzer.
const FUZZ_COST_MAX: u64 = 20_000;

/// Compiles and evaluates any text, within bounds. Must neither panic nor fail to end.
pub fn any_source(source: &str) {
    let data = sample();
    static ENV: LazyLock<Env> = LazyLock::new(|| {
        Env::stored_expressions()
            .variable_of("self", Type::Dyn)
            .variable_of("l", Type::list(Type::Int))
            .variable_of("s", Type::String)
            .variable_decl("request", &crate::admission::request_type())
            .with_mutation()
            .with_json_patch()
    });
    let program = match ENV.compile(source) {
        Ok(p) => p,
        Err(e) => {
            let _ = e.to_string();
            return;
        }
    };
    let _ = program.estimate_cost(&NoSizes);
    let variables = Activation::new()
        .with("self", Val::tree(&data))
        .with("l", Val::tree(data.at("l")))
        .with("s", Val::string("häl-lo 1.2.3"))
        .with("request", Val::typed(&data, DeclType::dynamic()).unwrap_or(Val::Null));
    let (result, _) = program.eval(&variables, Budget { cost: FUZZ_COST_MAX, interrupt: None });
    match result {
        Ok(v) => {
            let _ = (v.to_string(), v.to_tree());
        }
        Err(e) => {
            let _ = e.to_string();
        }
    }
}

fn sample() -> Value {
    let mut m = Value::object();
    m.set("a", 5);
    m.set("n", Value::Null);
    m.set("s", "text");
    m.set("l", vec![1, 2, 3]);
    m.set("b", true);
    let inner = m.clone();
    m.set("o", inner);
    m
}
