//! Leader election by a Lease: `client-go/tools/leaderelection`.
//!
//! [`step`] decides from what was seen; [`Elector`] does it.

use crate::Clock;
use api::coordination::v1::{Lease, LeaseSpec};
use api::meta::v1::{MicroTime, ObjectMeta};
use client::{Client, Error};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

/// Who wants to lead, and how long a lease holds: upstream's defaults are 15 s, 10 s and 2 s.
#[derive(Clone, Debug)]
pub struct Elector {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who one is: unique among all that want to lead.
    pub identity: String,
    /// How long others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long one goes on leading without being able to renew.
    pub renew_deadline: Duration,
    /// How often one tries.
    pub retry_period: Duration,
}

impl Elector {
    /// With upstream's times, in `kube-system`.
    pub fn new(name: &str, identity: &str) -> Self {
        Self {
            namespace: "kube-system".into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// What one last saw of the Lease, and when one saw it change: other machines' clocks are not trusted.
#[derive(Clone, Debug)]
pub struct Observed {
    lease: Lease,
    changed: Timestamp,
}

/// What to do about a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create,
    /// It is one's own: renew it.
    Renew,
    /// Its holder has let it lapse or given it back: take it.
    Take,
    /// Somebody else holds it.
    Wait,
}

/// What to do at `now`.
pub fn step(identity: &str, observed: Option<&Observed>, now: Timestamp) -> Step {
    let Some(Observed { lease, changed }) = observed else { return Step::Create };
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    if holder == identity {
        return Step::Renew;
    }
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    let lapsed = now.duration_since(*changed) > SignedDuration::from_secs(seconds.into());
    if holder.is_empty() || lapsed { Step::Take } else { Step::Wait }
}

impl Elector {
    /// Leads when it can: `leading` is true from the moment the lease is held until it may have been lost.
    /// Ends, and gives the lease back, when `stop` is true.
    pub async fn run(
        &self,
        client: &Client,
        clock: &Clock,
        leading: &watch::Sender<bool>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut observed = None;
        let mut renewed = clock.now();
        loop {
            match self.attempt(client, clock, &mut observed).await {
                Ok(true) => {
                    renewed = clock.now();
                    leading.send_if_modified(|leading| !std::mem::replace(leading, true));
                }
                Ok(false) => {
                    leading.send_if_modified(|leading| std::mem::replace(leading, false));
                }
                Err(error) => tracing::warn!(lease = self.name, %error, "cannot get or renew the lease"),
            }
            let deadline = SignedDuration::try_from(self.renew_deadline).unwrap_or(SignedDuration::MAX);
            if *leading.borrow() && clock.now().duration_since(renewed) > deadline {
                tracing::error!(
                    lease = self.name,
                    "the lease could not be renewed in time; no longer leading"
                );
                leading.send_replace(false);
            }
            tokio::select! {
                () = tokio::time::sleep(self.retry_period) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if leading.send_replace(false) {
            self.release(client, clock, observed.as_ref()).await;
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        clock: &Clock,
        observed: &mut Option<Observed>,
    ) -> Result<bool, Error> {
        match client.get::<Lease>(&self.namespace, &self.name).await {
            Ok(lease) => {
                let same = observed.as_ref().is_some_and(|seen| {
                    seen.lease.metadata.resource_version == lease.metadata.resource_version
                });
                if !same {
                    *observed = Some(Observed { lease, changed: clock.now() });
                }
            }
            Err(error) if error.is_not_found() => *observed = None,
            Err(error) => return Err(error),
        }
        let now = clock.now();
        match step(&self.identity, observed.as_ref(), now) {
            Step::Wait => return Ok(false),
            Step::Create => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    namespace: Some(self.namespace.clone()),
                    ..ObjectMeta::default()
                };
                let spec = self.spec(now, now, 0);
                let lease = client.create(&Lease { metadata, spec: Some(spec) }).await?;
                *observed = Some(Observed { lease, changed: now });
            }
            action @ (Step::Renew | Step::Take) => {
                let Some(seen) = observed.as_mut() else { return Ok(false) };
                let old = seen.lease.spec.clone().unwrap_or_default();
                let transitions = old.lease_transitions.unwrap_or_default();
                let spec = match (action, old.acquire_time) {
                    (Step::Renew, Some(acquired)) => self.spec(acquired.0, now, transitions),
                    _ => self.spec(now, now, transitions + 1),
                };
                let lease = self.put(client, &seen.lease, spec).await?;
                *seen = Observed { lease, changed: now };
            }
        }
        Ok(true)
    }

    /// Writes the Lease whole, with the resource version of what was seen: of two that take it, one fails. Not by
    /// patch, as the roles of upstream's components let them update their Lease only
    /// (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`, `system::leader-locking-kube-scheduler`).
    async fn put(&self, client: &Client, seen: &Lease, spec: LeaseSpec) -> Result<Lease, Error> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": &seen.metadata,
            "spec": spec,
        });
        let answer = client.put_subresource::<Lease>(&self.namespace, &self.name, "", &lease).await?;
        serde_json::from_value(answer).map_err(|error| Error::Decode(error.to_string()))
    }

    fn spec(&self, acquired: Timestamp, renewed: Timestamp, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lease_duration.as_secs()).ok(),
            acquire_time: Some(MicroTime(acquired)),
            renew_time: Some(MicroTime(renewed)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self, client: &Client, clock: &Clock, observed: Option<&Observed>) {
        let Some(Observed { lease, .. }) = observed else { return };
        let now = Some(MicroTime(clock.now()));
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: transitions,
            ..LeaseSpec::default()
        };
        if let Err(error) = self.put(client, lease, spec).await {
            tracing::debug!(lease = self.name, %error, "the lease was not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(holder: &str, changed: i64) -> Observed {
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        Observed { lease, changed: Timestamp::from_second(changed).expect("a time") }
    }

    #[test]
    fn steps() {
        let now = Timestamp::from_second(100).expect("a time");
        let cases = [
            (None, Step::Create),
            (Some(observed("me", 0)), Step::Renew),
            (Some(observed("you", 85)), Step::Wait),
            (Some(observed("you", 84)), Step::Take),
            (Some(observed("", 100)), Step::Take),
        ];
        for (seen, expected) in cases {
            assert_eq!(step("me", seen.as_ref(), now), expected, "{seen:?}");
        }
    }
}
