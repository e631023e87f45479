//! OpenAPI documents of what is served: version 3 per group and version, version 2 for everything at once.
//!
//! Nothing is written down per kind: paths and operations come from the rows of the table of kinds,
//! definitions from the Go types, sentences from `explain`. Documents are trees; [`gnostic`] writes them in
//! the protobuf form that clients ask for.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/builder3`, `k8s.io/apiserver/pkg/endpoints/installer.go`,
//! `k8s.io/apiextensions-apiserver/pkg/controller/openapi`.

mod custom;
mod definitions;
mod document;
pub mod gnostic;
mod names;
mod operations;
mod parameters;
mod phrases;
mod registered;
mod shared;
#[cfg(test)]
mod tests;
mod texts;
mod tree;
mod unions;
mod v2;

pub use document::{Kind, paths, v3};
pub use v2::v2;
