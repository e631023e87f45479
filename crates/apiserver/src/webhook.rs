//! Webhooks, of admission and of conversion: where they are, how they are asked, and by what this server proves
//! to them who it is.

mod client;
mod credentials;
mod service;

pub(crate) use client::{Endpoint, Unanswered};
pub use credentials::Credentials;
pub(crate) use service::resolve as service_address;
