//! Tests against recorded objects.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

mod golden;
mod roundtrip;
