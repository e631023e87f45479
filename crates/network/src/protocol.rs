//! The transport protocols of Services.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// Stream Control Transmission Protocol.
    Sctp,
}

impl Protocol {
    /// By its name in objects (`TCP`) or in a runtime's configuration (`tcp`); TCP if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Tcp),
            name if name.eq_ignore_ascii_case("tcp") => Some(Self::Tcp),
            name if name.eq_ignore_ascii_case("udp") => Some(Self::Udp),
            name if name.eq_ignore_ascii_case("sctp") => Some(Self::Sctp),
            _ => None,
        }
    }

    /// Its number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}
