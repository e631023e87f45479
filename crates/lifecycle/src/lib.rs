//! Brings a machine's Corten up and down: supervisor, container runtime, installation.
pub mod cgroups;
pub mod containerd;
pub mod doctor;
pub mod down;
pub mod image;
pub mod install;
pub mod layout;
pub mod mounts;
pub mod notify;
pub mod pause;
pub mod processes;
pub mod root;
mod spawn;
pub mod status;
pub mod supervisor;
pub mod up;

pub use layout::Layout;
