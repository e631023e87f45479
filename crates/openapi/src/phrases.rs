//! What operations say of themselves: phrases put together from verb, subresource and kind.
//!
//! Clients see them, so they are upstream's (`k8s.io/apiserver/pkg/endpoints/installer.go`).

/// The phrase of an operation; `method` is that of connections.
pub(crate) fn of_operation(action: &str, method: &str, sub: &str, kind: &str, watchable: bool) -> String {
    let list = if watchable { "list or watch" } else { "list" };
    let of = |verb: &str, object: &str| match sub {
        "" => format!("{verb}{object}{kind}"),
        _ => format!("{verb} {sub} of{object}{kind}"),
    };
    let instead = "deprecated: use the 'watch' parameter with a list operation instead";
    match action {
        "get" => of("read", " the specified "),
        "list" => of(list, " objects of kind "),
        "put" => of("replace", " the specified "),
        "patch" => of("partially update", " the specified "),
        "post" => of("create", article(kind)),
        "delete" => of("delete", article(kind)),
        "deletecollection" => format!("delete collection of {kind}"),
        "watch" => format!(
            "watch changes to an object of kind {kind}. {instead}, \
             filtered to a single item with the 'fieldSelector' parameter."
        ),
        "watchlist" => format!("watch individual changes to a list of {kind}. {instead}."),
        "connect" => format!("connect {} requests to {sub} of {kind}", method.to_ascii_uppercase()),
        _ => String::new(),
    }
}

/// The article of a kind with blanks around it; plurals have none.
fn article(kind: &str) -> &'static str {
    if kind.ends_with('s') && !kind.ends_with("ss") {
        " "
    } else if kind.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) {
        " an "
    } else {
        " a "
    }
}

/// What a variable of a path stands for.
pub(crate) fn of_variable(name: &str, kind: &str) -> String {
    match name {
        "name" => format!("name of the {kind}"),
        "namespace" => "object name and auth scope, such as for teams and projects".to_owned(),
        "path" => "path to the resource".to_owned(),
        _ => String::new(),
    }
}
