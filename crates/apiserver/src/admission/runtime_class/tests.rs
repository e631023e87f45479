use super::merge;
use expect_test::{Expect, expect};
use value::json;

fn check(first: &str, second: &str, want: Expect) {
    let parse = |text: &str| json::parse(text.as_bytes()).unwrap().items().to_vec();
    let merged = merge(&parse(first), &parse(second));
    want.assert_eq(&String::from_utf8(json::to_vec(&merged.into())).unwrap());
}

#[test]
fn wider_tolerations_swallow_narrower_ones() {
    check(
        r#"[{"key":"a","operator":"Equal","value":"1"},{"key":"b","operator":"Exists"}]"#,
        r#"[{"key":"a","operator":"Exists"},{"key":"b","operator":"Exists"}]"#,
        expect![[r#"[{"key":"b","operator":"Exists"},{"key":"a","operator":"Exists"}]"#]],
    );
    check(
        r#"[{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":10}]"#,
        r#"[{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":5}]"#,
        expect![[r#"[{"effect":"NoExecute","key":"a","operator":"Exists","tolerationSeconds":10}]"#]],
    );
}
