//! Tests against recorded objects.

mod roundtrip;
