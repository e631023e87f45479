//! Brings a machine's Corten up and down: supervisor, container runtime, installation.

pub mod layout;

pub use layout::Layout;
