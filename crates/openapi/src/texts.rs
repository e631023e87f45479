//! Sentences about types, fields and parameters: those of `explain`, and our own where it has none.
//!
//! Upstream's crate of types has no lists, no options and nothing of what a server says of itself; what is
//! missing there stands here once for all that share a name.

use crate::definitions::{PATCH, VERSION_INFO};
use value::{Value, json};

const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";

/// What a type is, by the name of its definition.
pub(crate) fn of_type(definition: &str) -> String {
    let known = explain::of_type(definition);
    if !known.is_empty() {
        return known;
    }
    match definition {
        PATCH => "What a PATCH request sends; its media type says which kind of patch it is.".to_owned(),
        WATCH_EVENT => "One change of a watched resource.".to_owned(),
        VERSION_INFO => "The version of a program, and how it was built.".to_owned(),
        _ => listed(definition).map(list_of).unwrap_or_default(),
    }
}

/// What a field is, by the name of its type's definition and its JSON name.
pub(crate) fn of_field(definition: &str, field: &str) -> String {
    let known = explain::of_field(definition, field);
    if !known.is_empty() {
        return known;
    }
    let own = match (definition, field) {
        (WATCH_EVENT, "type") => "What happened: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.",
        (WATCH_EVENT, "object") => {
            "The object as it is now; if it was deleted, as it was before. For BOOKMARK only its \
             resourceVersion means something, and for ERROR it is a Status."
        }
        (VERSION_INFO, "major") => "The program's own major version.",
        (VERSION_INFO, "minor") => "The program's own minor version.",
        (VERSION_INFO, "emulationMajor") => "The major version that it behaves as.",
        (VERSION_INFO, "emulationMinor") => "The minor version that it behaves as.",
        (VERSION_INFO, "minCompatibilityMajor") => "The lowest major version that it is compatible with.",
        (VERSION_INFO, "minCompatibilityMinor") => "The lowest minor version that it is compatible with.",
        (_, field) if listed(definition).is_some() => of_list(field),
        _ => "",
    };
    own.to_owned()
}

/// What the text of a field says of the values that it can have; nothing if it can have any.
///
/// Upstream goes on with what each of them means: comments of Go constants, of which no crate has the text.
pub(crate) fn of_values(values: &[Value]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let lines = values.iter().map(|value| format!("\n - `{}`", json::to_string(value)));
    format!("\n\nPossible enum values:{}", lines.collect::<String>())
}

/// What `apiVersion` and `kind` are in objects that lie in others: what they are everywhere, but for what a server does
/// about them.
pub(crate) fn of_embedded(field: &str, everywhere: &str) -> String {
    let (begin, end, instead) = match field {
        "apiVersion" => ("Servers should", "More info:", ""),
        _ => ("the REST resource", "In CamelCase.", "the type of this object. "),
    };
    let mut text = everywhere.to_owned();
    if let (Some(begin), Some(end)) = (text.find(begin), text.find(end))
        && begin <= end
    {
        text.replace_range(begin..end, instead);
    }
    // It begins with the field's name: here that of JSON, not that of Go.
    if text.get(..field.len()).is_some_and(|first| first.eq_ignore_ascii_case(field)) {
        text.replace_range(..field.len(), field);
    }
    text
}

/// What a list of a kind is.
pub(crate) fn list_of(kind: &str) -> String {
    format!("A list of objects of kind {kind}.")
}

/// What the fields of all lists are.
pub(crate) fn of_list(field: &str) -> &'static str {
    match field {
        "items" => "The objects.",
        "metadata" => "The state that the list shows, and where it goes on if it was cut.",
        _ => "",
    }
}

/// The kind that a definition is a list of, if it is one.
fn listed(definition: &str) -> Option<&str> {
    definition.rsplit('.').next()?.strip_suffix("List").filter(|kind| !kind.is_empty())
}

/// What a parameter does, by its name; the same in all operations.
pub(crate) fn of_parameter(name: &str) -> &'static str {
    match name {
        // Of lists and watches.
        "allowWatchBookmarks" => {
            "Whether a watch may also send events of type BOOKMARK: they hold a resource version up to which \
             everything has been sent. When they come is the server's choice."
        }
        "continue" => {
            "Where a list that 'limit' cut goes on: the token in the metadata of the part before. All other \
             parameters must be the same. A token that is too old is answered with 410 Expired, and, if \
             possible, a token with which the list goes on at a newer state."
        }
        "fieldSelector" => {
            "Only objects whose fields have these values: 'metadata.name=x,status.phase!=Running'. Which \
             fields can be used depends on the kind."
        }
        "labelSelector" => "Only objects with such labels: 'app=x,tier!=y,stage in (a,b),!canary'.",
        "limit" => {
            "How many objects a list has at most; if there are more, its metadata have a token for \
             'continue'. Without it, or with 0, there is no limit. Watches take no notice of it."
        }
        "resourceVersion" => {
            "The state that a list shows or after which a watch begins. Lists without it show the newest \
             state, with 0 whatever state is at hand, else as 'resourceVersionMatch' says."
        }
        "resourceVersionMatch" => {
            "How 'resourceVersion' is meant: 'NotOlderThan' or 'Exact'. It needs a 'resourceVersion', \
             unless 'sendInitialEvents' is given."
        }
        "sendInitialEvents" => {
            "Whether a watch begins with an event for each object that there is, and then a BOOKMARK with \
             the annotation 'k8s.io/initial-events-end'. It needs 'resourceVersionMatch=NotOlderThan'."
        }
        "shardSelector" => {
            "Only objects of a shard: \"shardRange(object.metadata.uid, '0x0000000000000000', \
             '0x8000000000000000')\", or several such ranges joined by '||'. Needs the feature gate \
             ShardedListAndWatch."
        }
        "timeoutSeconds" => "After how many seconds a list or watch ends, whatever happens meanwhile.",
        "watch" => "Whether changes are sent as they happen, instead of a list.",
        // Of writes.
        "dryRun" => {
            "With 'All', everything is done but to store the result: defaults, admission, validation."
        }
        "fieldManager" => {
            "The name under which it is remembered who manages the fields that change: at most 128 \
             printable characters. Apply requires it; otherwise it is made from the User-Agent."
        }
        "fieldValidation" => {
            "What is done about fields that are unknown or given twice. 'Ignore': they are dropped. 'Warn', \
             which is the default: they are dropped with a warning. 'Strict': the request fails with all of \
             them."
        }
        "force" => {
            "Whether fields that others manage are taken from them; without it, apply then fails with a \
             conflict. Only for apply."
        }
        // Of everything.
        "pretty" => {
            "With 'true', JSON has lines and indentation. By default it has for browsers, curl and wget."
        }
        // Of containers.
        "command" => "The program and its arguments, one each time; no shell reads them.",
        "container" => "Which container of the pod; need not be said if there is only one.",
        "stdin" => "Whether standard input is sent.",
        "stdout" => "Whether standard output comes back.",
        "stderr" => "Whether standard error comes back; not with 'tty', which has one stream for both.",
        "tty" => "Whether the container has a terminal for it.",
        // Of logs.
        "follow" => "Whether lines are sent on as they are written.",
        "insecureSkipTLSVerifyBackend" => {
            "Whether the log is also taken from a kubelet whose certificate cannot be verified: what comes \
             may then be anybody's."
        }
        "limitBytes" => "After how many bytes the log ends, be it within a line.",
        "previous" => "Whether it is the log of the container before its last restart.",
        "sinceSeconds" => "Only lines of the last so many seconds. Not together with 'sinceTime'.",
        "stream" => "Which stream of the container: 'All', which is the default, 'Stdout' or 'Stderr'.",
        "tailLines" => "How many lines of the end.",
        "timestamps" => "Whether each line begins with the time at which it was written.",
        // Of connections.
        "ports" => "Which ports are forwarded, one each time; needed for WebSockets.",
        "path" => "Where the request goes at the target: '/proxy/a?b' passes on '/a?b'.",
        _ => "",
    }
}
