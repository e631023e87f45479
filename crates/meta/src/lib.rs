//! What all Kubernetes objects share: field errors, Status, names, labels, quantities, times.
//!
//! The counterpart of upstream's `k8s.io/apimachinery`. Invariants: no I/O, no clock (times come in as
//! arguments), no kind is named here. Texts that a client sees equal upstream's.
//!
//! | what | where |
//! |---|---|
//! | where a value stands and what is wrong with it | [`field`] |
//! | the answer to a request that failed | [`status`] |
//! | rules for names, ports, addresses; generated names | [`names`] |
//! | rules for `metadata` and conditions | [`object_meta`] |
//! | rules for the options of requests | [`options`] |
//! | labels and label selectors, and their rules | [`labels`] |
//! | field selectors | [`fields`] |
//! | quantities, times and durations, integers or strings | [`quantity`], [`time`], [`intstr`] |
//! | groups, versions, kinds and resources | [`gvk`] |
//! | how Go prints and reads: `%q`, `json.Marshal`, `strconv` | [`quote`], [`strconv`] |

/// The Kubernetes release whose API is served, as servers and kubelets name it.
pub const KUBERNETES_VERSION: &str = "v1.36.2";

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
