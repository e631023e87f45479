//! Brings a machine's Corten up and down: supervisor, container runtime, installation.
//!
//! | what | where |
//! |---|---|
//! | paths and names of an instance, all from its root | [`layout`], [`root`] |
//! | `up`: the parent of all processes, and who waits for it | [`supervisor`], [`up`], [`notify`] |
//! | a containerd of our own, the sandbox image, images from files | [`containerd`], [`pause`], [`image`] |
//! | `down` and `reset` | [`down`] |
//! | `status`, `doctor`, `install` | [`status`], [`doctor`], [`install`] |
//! | what people read of an error | [`error`] |
//! | what Linux shows of processes, cgroups, mounts | [`processes`], [`cgroups`], [`mounts`] |
//!
//! What survives what:
//!
//! | event | containers | containerd | rules, mounts, namespaces | state | after `up` again |
//! |---|---|---|---|---|---|
//! | Ctrl-C, crash, kill -9, upgrade of Corten | run on | runs on | stay | stays | adopted, nothing restarted |
//! | `down` | stopped | stopped | none left | stays | same objects, pods started anew |
//! | power cut | gone | gone | gone | every acknowledged write | the same cluster converges |
//! | `reset` | gone | gone | none left | gone | a new cluster |
//!
//! Invariants: nothing here knows pods, Services or the store; those who do hand in [`down::Hooks`] and command
//! lines. The supervisor has no async runtime. Nothing is killed by a name alone: processes are told by number
//! and start, shims by their socket. Every name that the host shares carries the instance it belongs to.

mod by_hand;
pub mod cgroups;
pub mod containerd;
pub mod doctor;
pub mod down;
pub mod error;
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
