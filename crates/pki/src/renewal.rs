//! When certificates are renewed. Pure: the plan depends on the time and on what is held, nothing else.

/// How long leaves live: a year, as kubeadm's.
pub const LEAF_SECONDS: i64 = 365 * 24 * 60 * 60;
/// How long authorities live: ten years, as kubeadm's.
pub const AUTHORITY_SECONDS: i64 = 10 * LEAF_SECONDS;

/// A certificate that is held (or should be).
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// Which one.
    pub what: T,
    /// Its validity in Unix seconds; `None` if there is none (or one without its key).
    pub validity: Option<(i64, i64)>,
    /// Whether it names all that it should.
    pub names_match: bool,
    /// Whether it was issued by the authority that issues now.
    pub issuer_matches: bool,
}

/// Why a certificate is to be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Missing,
    /// It is of another authority.
    Issuer,
    /// It lacks a name or address.
    Names,
    /// Four fifths of its life are over.
    Age,
}

/// The moment (Unix seconds) from which a certificate is renewed: at 80 % of its life. There is no jitter:
/// each machine's certificates have a start of their own.
pub const fn renew_after(not_before: i64, not_after: i64) -> i64 {
    not_before.saturating_add(not_after.saturating_sub(not_before) / 5 * 4)
}

/// What to issue now, and when to look again (Unix seconds; `None` if nothing is held).
pub fn plan<T: Clone>(now: i64, held: &[Held<T>]) -> (Vec<(T, Reason)>, Option<i64>) {
    let mut issue = Vec::new();
    let mut next: Option<i64> = None;
    for cert in held {
        let reason = match cert.validity {
            None => Some(Reason::Missing),
            Some(_) if !cert.issuer_matches => Some(Reason::Issuer),
            Some(_) if !cert.names_match => Some(Reason::Names),
            Some((from, until)) if now >= renew_after(from, until) => Some(Reason::Age),
            Some((from, until)) => {
                let at = renew_after(from, until);
                next = Some(next.map_or(at, |n| n.min(at)));
                None
            }
        };
        if let Some(reason) = reason {
            issue.push((cert.what.clone(), reason));
        }
    }
    (issue, next)
}
