//! What all Kubernetes objects share: field errors, Status, names, labels, quantities, times.
//!
//! The counterpart of upstream's `k8s.io/apimachinery`. Invariants: no I/O, no clock (times come in as
//! arguments), no kind is named here. Texts that a client sees equal upstream's.

pub mod field;
pub mod fields;
pub mod gvk;
pub mod intstr;
pub mod labels;
pub mod names;
pub mod object_meta;
pub mod options;
pub mod quantity;
pub mod quote;
pub mod status;
pub mod strconv;
pub mod time;
