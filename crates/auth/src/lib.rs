//! Who is calling, and what they may do.
//!
//! Authentication ([`Authenticator`]), impersonation ([`impersonation`]) and authorization
//! ([`authorize`]: system:masters, then [`node`], then [`rbac`]), the tokens of service accounts
//! ([`tokens`]), the policy that a new cluster starts with ([`policy`]) and the decisions of the
//! NodeRestriction admission plugin ([`node::restriction`]).
//!
//! Invariants:
//! - Decisions are pure: they see a snapshot and the request, and read no clock, file or socket. Live
//!   objects are asked for through [`Lookup`].
//! - Nothing turns authentication or authorization off; the callers inside the process have a
//!   [`UserInfo`] and are authorized like anyone.
//! - Texts that reach a client (reasons, forbidden messages) equal upstream's.
//! - Headers, tokens, certificates and trees may hold anything; none of it panics.

pub mod attributes;
pub mod authenticate;
pub mod authorize;
pub mod fuzz;
pub mod impersonation;
pub mod lookup;
pub mod node;
pub mod policy;
pub mod rbac;
pub mod tokens;
pub mod user;

pub use attributes::{Attributes, Selection};
pub use authenticate::{Anonymous, Authenticator, Config, FrontProxy, Peer, Response, Unauthenticated};
pub use authorize::{Access, authorize};
pub use lookup::Lookup;
pub use user::UserInfo;

/// What an authorizer thinks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed; nobody else is asked.
    Allow,
    /// Denied; nobody else is asked.
    Deny,
    /// Not known here; the next authorizer is asked, and none left means no.
    NoOpinion,
}

/// A decision with the text that explains it (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was decided.
    pub decision: Decision,
    /// Why; shown to clients in SubjectAccessReviews and forbidden messages, and in the audit log.
    pub reason: String,
}

impl Verdict {
    /// Allowed because of `reason`.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Allow, reason: reason.into() }
    }

    /// No opinion, because of `reason`.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: reason.into() }
    }

    /// Whether it is allowed.
    pub fn allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}
