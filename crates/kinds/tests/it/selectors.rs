//! Field selectors that a real server took or refused.

use super::golden::{cases, target};
use value::json;

#[test]
fn fields_are_selectable_as_recorded() {
    let mut looked_at = 0;
    for path in cases() {
        let case = json::parse(&std::fs::read(&path).expect("a readable case")).expect("valid JSON");
        for step in case.at("steps").items() {
            let (request, response) = (step.at("request"), step.at("response"));
            let selector = request.at("query").str().split('&').find_map(|p| {
                Some(p.strip_prefix("fieldSelector=")?.replace("%3D", "=").replace("%21", "!"))
            });
            let (Some(selector), Some(target)) = (selector, target(request.at("path").str(), true)) else {
                continue;
            };
            if request.at("method").str() != "GET" {
                continue;
            }
            let Some((field, _)) = selector.split_once(['=', '!']) else { continue };
            looked_at += 1;
            let resolved = target.row.fields.resolve(field);
            let message = response.at("body").at("message").str();
            match (response.at("status").int(), resolved) {
                (200, resolved) => assert!(resolved.is_ok(), "{}: {field}", path.display()),
                (_, Err(text)) => assert!(message.contains(&text), "{}: {message} / {text}", path.display()),
                (_, Ok(_)) => {}
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} selectors were looked at");
}
