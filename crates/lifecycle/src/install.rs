//! `corten install`: systemd's unit.

/// The unit's name.
pub const UNIT: &str = "corten.service";
