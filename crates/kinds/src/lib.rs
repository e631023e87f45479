//! The table of kinds, with their defaults and validation.
//!
//! Invariants: no I/O, no clock, no HTTP; nothing outside this crate (and `apiserver/src/special`) names
//! a kind. A kind is a row, a schema, and perhaps a file of hooks.

pub mod hooks;
