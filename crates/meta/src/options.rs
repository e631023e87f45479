//! The rules for the options of requests: `CreateOptions`, `ListOptions` and so on.
//!
//! Options come as trees, whether they stood in a query or in a body. Source:
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation` and `internalversion/validation`.

use crate::field::{Error, ErrorList, Path};
use crate::quote::{is_printable, unicode};
use value::{Str, Value};

/// How many bytes the name of a field manager may have.
pub const FIELD_MANAGER_BYTES_MAX: usize = 128;

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchUse {
    /// A server-side apply.
    Apply,
    /// Any other patch.
    Change,
}

/// A `DeleteOptions`.
pub fn validate_delete_options(options: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = options.at("propagationPolicy");
    let path = Path::new("propagationPolicy");
    if !options.at("orphanDependents").is_null() && !policy.is_null() {
        let text = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(Error::invalid(&path, policy.clone(), text).shown_as_json());
    }
    if !policy.is_null() && !matches!(policy.str(), "Foreground" | "Background" | "Orphan") {
        let supported = ["Foreground", "Background", "Orphan", "nil"];
        errors.push(Error::not_supported_in_order(&path, policy.clone(), &supported).shown_as_json());
    }
    errors.extend(validate_dry_run(options.at("dryRun"), &Path::new("dryRun")));
    errors
}

/// A `CreateOptions`.
pub fn validate_create_options(options: &Value) -> ErrorList {
    let manager = options.at("fieldManager").str();
    let mut errors = validate_field_manager(manager, &Path::new("fieldManager"));
    errors.extend(validate_dry_run(options.at("dryRun"), &Path::new("dryRun")));
    errors.extend(validate_field_validation(
        options.at("fieldValidation").str(),
        &Path::new("fieldValidation"),
    ));
    errors
}

/// An `UpdateOptions`.
pub fn validate_update_options(options: &Value) -> ErrorList {
    validate_create_options(options)
}

/// A `PatchOptions`.
pub fn validate_patch_options(options: &Value, usage: PatchUse) -> ErrorList {
    let mut errors = ErrorList::new();
    match usage {
        PatchUse::Apply if options.at("fieldManager").str().is_empty() => {
            errors.push(Error::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
        PatchUse::Change if !options.at("force").is_null() => {
            let text = "may not be specified for non-apply patch";
            errors.push(Error::forbidden(&Path::new("force"), text));
        }
        PatchUse::Apply | PatchUse::Change => {}
    }
    errors.extend(validate_create_options(options));
    errors
}

/// The name of a field manager: not too long, printable.
pub fn validate_field_manager(manager: &str, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > FIELD_MANAGER_BYTES_MAX {
        errors.push(Error::too_long(path, FIELD_MANAGER_BYTES_MAX));
    }
    let shown = Str::from(manager);
    let unprintable = manager.char_indices().filter(|(_, c)| !is_printable(*c));
    for (i, c) in unprintable.take(repeats_max(manager.len())) {
        let text = format!("invalid character {} (at position {i})", unicode(c));
        errors.push(Error::invalid(path, shown.clone(), text));
    }
    errors
}

/// How often errors may show the same value of `bytes`. Upstream has no bound, and a hostile value of a
/// megabyte could make a terabyte of messages.
pub(crate) fn repeats_max(bytes: usize) -> usize {
    const SHOWN_BYTES_MAX: usize = 1 << 20;
    (SHOWN_BYTES_MAX / bytes.max(1)).max(1)
}

/// The list `dryRun`.
pub fn validate_dry_run(dry_run: &Value, path: &Path<'_>) -> Option<Error> {
    let all = dry_run.items().iter().all(|v| v.str() == "All");
    (!all).then(|| Error::not_supported(path, dry_run.clone(), &["All"]))
}

/// The word `fieldValidation`.
pub fn validate_field_validation(word: &str, path: &Path<'_>) -> Option<Error> {
    let supported = ["", "Ignore", "Strict", "Warn"];
    (!supported.contains(&word)).then(|| Error::not_supported(path, word, &supported))
}

/// Whether the gate `WatchList` is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchList {
    /// Watches may start with a list.
    Enabled,
    /// They may not.
    Disabled,
}

/// A `ListOptions`, of a list or (with `watch`) a watch.
pub fn validate_list_options(options: &Value, watch_list: WatchList) -> ErrorList {
    let mut errors = ErrorList::new();
    let matching = options.at("resourceVersionMatch").str();
    let continues = !options.at("continue").str().is_empty();
    let initial = !options.at("sendInitialEvents").is_null();
    let path = Path::new("resourceVersionMatch");
    let initial_path = Path::new("sendInitialEvents");
    let forbidden = |text: &str| Error::forbidden(&path, text);
    let not_supported =
        |supported: &[&str]| Error::not_supported_in_order(&path, matching, supported).shown_as_json();
    let with_continue = "resourceVersionMatch is forbidden when continue is provided";

    if options.at("watch").bool() {
        if initial && matching != "NotOlderThan" {
            errors.push(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        if initial && watch_list == WatchList::Disabled {
            let text =
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            errors.push(Error::forbidden(&initial_path, text));
        }
        if matching.is_empty() {
            return errors;
        }
        if !initial {
            let text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(forbidden(text));
        }
        if matching != "NotOlderThan" {
            errors.push(not_supported(&["NotOlderThan"]));
        }
        if continues {
            errors.push(forbidden(with_continue));
        }
        return errors;
    }

    if !matching.is_empty() {
        let version = options.at("resourceVersion").str();
        if version.is_empty() {
            errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if continues {
            errors.push(forbidden(with_continue));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            errors.push(not_supported(&["Exact", "NotOlderThan", ""]));
        }
        if matching == "Exact" && version == "0" {
            let text = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(forbidden(text));
        }
    }
    if initial {
        errors.push(Error::forbidden(&initial_path, "sendInitialEvents is forbidden for list"));
    }
    errors
}

/// A `TableOptions`.
pub fn validate_table_options(options: &Value) -> ErrorList {
    let include = options.at("includeObject").str();
    if matches!(include, "" | "None" | "Metadata" | "Object") {
        return ErrorList::new();
    }
    let text = "must be 'Metadata', 'Object', 'None', or empty";
    vec![Error::invalid(&Path::new("includeObject"), include, text).shown_as_json()]
}
