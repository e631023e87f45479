//! Tests against recorded objects.

mod golden;
mod roundtrip;
