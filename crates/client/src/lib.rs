//! Talks to an API server: over HTTPS as every client, or through the door of a server in the same process.
//!
//! | what | where |
//! |---|---|
//! | how requests travel | [`Transport`]; [`Https`] is one, the binary has one for in-process callers |
//! | verbs on typed objects | [`Client`] |
//! | caches that follow the server | [`Informers`], [`Lister`] |
//! | kubeconfig files | [`Kubeconfig`] |
//!
//! Invariants: no kind is named here; callers never see a connection; whatever waits has a limit.

mod error;
mod failure;
pub mod fuzz;
mod https;
mod informer;
mod informers;
mod kubeconfig;
mod lister;
mod options;
mod scope;
mod service_account;
mod transport;
mod typed;
mod watch;

pub use error::Error;
pub use https::{Https, HttpsByFile};
pub use informers::Informers;
pub use kubeconfig::Kubeconfig;
pub use lister::{Change, Lister};
pub use options::{List, ListOptions, Patch};
pub use scope::Reading;
pub use service_account::ServiceAccountTransport;
pub use transport::{ByteBody, Transport};
pub use typed::Client;
pub use watch::{Event, EventStream};
