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
    /// How often one who leads renews.
    pub renew_period: Duration,
    /// How often one who does not, or could not, tries.
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
            renew_period: Duration::from_secs(2),
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

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// What to do at `now`.
pub fn step(identity: &str, observed: Option<&Observed>, now: Timestamp) -> Step {
    let Some(Observed { lease, changed }) = observed else { return Step::Create };
    let holder = holder(lease);
    if holder == identity {
        return Step::Renew;
    }
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
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
        let deadline = SignedDuration::try_from(self.renew_deadline).unwrap_or(SignedDuration::MAX);
        loop {
            let left = deadline.saturating_sub(clock.now().duration_since(renewed));
            let patience =
                if *leading.borrow() { left.try_into().unwrap_or_default() } else { self.renew_deadline };
            let attempt = self.attempt(client, clock, &mut observed);
            // Who waits for an answer longer than it may lead would not notice that it leads no more.
            let attempt = tokio::time::timeout(patience, attempt).await;
            let mut pause = self.retry_period;
            match attempt {
                Ok(Ok(true)) => {
                    renewed = clock.now();
                    pause = self.renew_period;
                    if leading.send_if_modified(|leading| !std::mem::replace(leading, true)) {
                        tracing::info!(lease = self.name, "leading");
                    }
                }
                Ok(Ok(false)) => {
                    leading.send_if_modified(|leading| std::mem::replace(leading, false));
                }
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "cannot get or renew the lease"),
                Err(_late) => tracing::warn!(lease = self.name, "no answer about the lease in {patience:?}"),
            }
            if *leading.borrow() && clock.now().duration_since(renewed) >= deadline {
                tracing::error!(
                    lease = self.name,
                    "the lease could not be renewed in time; no longer leading"
                );
                leading.send_replace(false);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
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
        // One's own Lease is as one left it, as a rule: without asking for it a renewal is one request.
        if observed.as_ref().is_some_and(|seen| holder(&seen.lease) == self.identity) {
            match self.advance(client, clock, observed).await {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                done => return done,
            }
        }
        match client.get::<Lease>(&self.namespace, &self.name).await {
            Ok(lease) => {
                let same = observed.as_ref().is_some_and(|seen| {
                    seen.lease.metadata.resource_version == lease.metadata.resource_version
                });
                if !same {
                    let (before, now) = (observed.as_ref().map(|seen| holder(&seen.lease)), holder(&lease));
                    if before != Some(now) && now != self.identity && !now.is_empty() {
                        tracing::info!(lease = self.name, holder = now, "another one leads; waiting");
                    }
                    *observed = Some(Observed { lease, changed: clock.now() });
                }
            }
            Err(error) if error.is_not_found() => *observed = None,
            Err(error) => return Err(error),
        }
        self.advance(client, clock, observed).await
    }

    /// Does what is to be done about what was seen; says whether that makes one lead.
    async fn advance(
        &self,
        client: &Client,
        clock: &Clock,
        observed: &mut Option<Observed>,
    ) -> Result<bool, Error> {
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
    use bytes::Bytes;
    use client::{ByteBody, Transport};
    use futures_util::future::BoxFuture;
    use http::{Method, Request, Response};
    use parking_lot::Mutex;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

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

    /// A server that keeps one Lease, and answers nobody while it hangs: then the lease's time passes.
    #[derive(Default)]
    struct Server {
        lease: Mutex<Option<Bytes>>,
        methods: Mutex<Vec<Method>>,
        hangs: AtomicBool,
        clock: Clock,
    }

    impl Transport for Server {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
            let (parts, body) = request.into_parts();
            Box::pin(async move {
                self.methods.lock().push(parts.method.clone());
                if self.hangs.load(Ordering::Relaxed) {
                    self.clock.advance(SignedDuration::from_secs(10));
                    std::future::pending::<()>().await;
                }
                let mut lease = self.lease.lock();
                if parts.method != Method::GET {
                    *lease = Some(body);
                }
                let missing = r#"{"kind":"Status","reason":"NotFound","code":404}"#;
                let code = if lease.is_some() { 200 } else { 404 };
                let answer = lease.clone().unwrap_or_else(|| Bytes::from_static(missing.as_bytes()));
                let body: ByteBody = Box::pin(futures_util::stream::iter([Ok(answer)]));
                Ok(Response::builder().status(code).body(body).expect("a response"))
            })
        }
    }

    /// A renewal is one request, and who gets no answer leads no longer than others wait.
    #[tokio::test(start_paused = true)]
    async fn a_leader_renews_until_nobody_answers() {
        let clock = Clock::simulated(Timestamp::from_second(100).expect("a time"));
        let server = Arc::new(Server { clock: clock.clone(), ..Server::default() });
        let client = Client::new(server.clone(), "test");
        let (leading, mut leads) = watch::channel(false);
        let (_stop, stopped) = watch::channel(false);
        let elector = Elector::new("a", "me");
        let running = elector.run(&client, &clock, &leading, stopped);
        let watching = async {
            leads.wait_for(|leads| *leads).await.expect("it leads");
            tokio::time::sleep(Duration::from_secs(5)).await;
            let methods = server.methods.lock().clone();
            assert_eq!(methods, [Method::GET, Method::POST, Method::PUT, Method::PUT]);
            server.hangs.store(true, Ordering::Relaxed);
            leads.wait_for(|leads| !*leads).await.expect("it leads no more");
        };
        tokio::select! {
            () = running => unreachable!("nobody stops it"),
            () = watching => {}
        }
    }
}
