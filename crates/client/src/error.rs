//! Why a request failed.

use api::meta::v1::Status;

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a `Status`.
    #[error("{}", text(.0))]
    Status(Box<Status>),
    /// No answer came, or it broke off.
    #[error("cannot reach the API server: {0}")]
    Transport(String),
    /// The answer, or what was to be sent, is not what it should be.
    #[error("cannot read or write the object: {0}")]
    Decode(String),
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(String),
    /// Something else that a caller found out on the way.
    #[error("{0}")]
    Other(String),
}

fn text(status: &Status) -> String {
    match status.message.as_deref() {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => format!("the server answered {}", status.code.unwrap_or_default()),
    }
}

impl Error {
    /// The server's `Status`, if it gave one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// The HTTP status of the answer.
    pub fn code(&self) -> Option<i32> {
        self.status()?.code
    }

    /// The machine-readable reason of the answer.
    pub fn reason(&self) -> Option<&str> {
        self.status()?.reason.as_deref()
    }

    /// What the answer said if it was no `Status`; the error's own text is then what its code says.
    pub fn unexpected(&self) -> Option<&str> {
        let causes = self.status()?.details.as_ref()?.causes.as_deref()?;
        let cause =
            causes.iter().find(|cause| cause.reason.as_deref() == Some(crate::failure::UNEXPECTED))?;
        cause.message.as_deref()
    }

    /// The object, or the resource, is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Somebody else was faster, or a precondition does not hold.
    pub fn is_conflict(&self) -> bool {
        self.reason() == Some("Conflict")
    }

    /// An object of that name is there.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == Some("AlreadyExists")
    }

    /// The resource version is too old, or the watch has ended.
    pub fn is_gone(&self) -> bool {
        matches!(self.reason(), Some("Expired" | "Gone")) || self.code() == Some(410)
    }

    /// The object is not valid.
    pub fn is_invalid(&self) -> bool {
        self.reason() == Some("Invalid")
    }

    /// The caller may not do that.
    pub fn is_forbidden(&self) -> bool {
        self.reason() == Some("Forbidden")
    }

    /// The namespace is being deleted (`NamespaceTerminating` among the causes).
    pub fn is_namespace_terminating(&self) -> bool {
        let causes = self.status().and_then(|s| s.details.as_ref()?.causes.as_deref());
        causes.into_iter().flatten().any(|cause| cause.reason.as_deref() == Some("NamespaceTerminating"))
    }

    /// The server asks to come again: in how many seconds.
    pub fn retry_after(&self) -> Option<u64> {
        let status = self.status()?;
        if status.code != Some(429) && status.reason.as_deref() != Some("ServerTimeout") {
            return None;
        }
        u64::try_from(status.details.as_ref()?.retry_after_seconds?).ok()
    }
}
