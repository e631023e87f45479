//! A manager's name from the `User-Agent` header.
//!
//! Upstream: `managerOrUserAgent` in `apiserver/pkg/endpoints/handlers/create.go`.

/// The longest manager name, in bytes.
const MANAGER_NAME_MAX: usize = 128;

/// What stands before the first `/`, without what cannot be printed, cut to the longest name allowed.
pub fn from_user_agent(user_agent: &str) -> String {
    let product = user_agent.split('/').next().unwrap_or_default();
    let mut out = String::new();
    for c in product.chars() {
        if !meta::quote::is_printable(c) {
            continue;
        }
        if out.len() + c.len_utf8() > MANAGER_NAME_MAX {
            break;
        }
        out.push(c);
    }
    out
}
