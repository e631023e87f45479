//! The decisions of the NodeRestriction admission plugin.
