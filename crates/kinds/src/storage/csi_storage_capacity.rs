//! CSIStorageCapacity.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::node_labels;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    validate_create: |_, c| validate(c, false),
    validate_update: |_, new, old| {
        let mut old_errors = ErrorList::new();
        check::label_selector(old.at("nodeTopology"), &Path::new(""), &mut old_errors);
        let mut errors = validate(new, !old_errors.is_empty());
        let (topology, class) = (new.at("nodeTopology"), new.at("storageClassName"));
        if !semantic_equal(topology, old.at("nodeTopology")) {
            let path = Path::new("nodeTopology");
            errors.push(check::invalid_selector(&path, topology, "field is immutable"));
        }
        if class.str() != old.at("storageClassName").str() {
            let path = Path::new("storageClassName");
            errors.push(Error::invalid(&path, class.str(), "field is immutable"));
        }
        errors
    },
    warn_create: |_, c| node_labels::selector_warnings(c.at("nodeTopology"), &Path::new("nodeTopology")),
    warn_update: |_, c, _| node_labels::selector_warnings(c.at("nodeTopology"), &Path::new("nodeTopology")),
    ..Hooks::NONE
};

fn validate(c: &Value, lenient: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    check::label_selector_with(c.at("nodeTopology"), lenient, &Path::new("nodeTopology"), &mut errors);
    let class = c.at("storageClassName").str();
    check::dns1123_subdomain(class, &Path::new("storageClassName"), &mut errors);
    if !c.at("capacity").is_null() {
        check::non_negative_quantity(c.at("capacity"), &Path::new("capacity"), &mut errors);
    }
    errors
}
