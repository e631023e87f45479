//! Keeps ranges of Service addresses that are in use from being deleted, and says when they are ready.
//!
//! Watches ServiceCIDRs and IPAddresses; owns the finalizer `networking.k8s.io/service-cidr-finalizer` and the
//! condition `Ready` (KEP-1880). Upstream: `pkg/controller/servicecidrs`.

use crate::context::{Context, Tasks, spawn};
use api::meta::v1::{Condition, Time};
use api::networking::v1::{IPAddress, ServiceCIDR};
use api::{Key, Object, reference};
use client::{Client, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use meta::names::ip::Cidr;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;
const ACCOUNT: &str = "service-cidrs-controller";
const COMPONENT: &str = "service-cidr-controller";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// How long the deletion of a range is given to become known to all who hand out addresses, as upstream.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let ranges = context.informers.get::<ServiceCIDR>();
    let addresses = context.informers.get::<IPAddress>();
    // What overlaps with a changed range may now be free to go, or not any more.
    let (changed, all) = (queue.clone(), ranges.clone());
    ranges.subscribe(move |change| {
        changed.add(change.object().key());
        let of = cidrs(change.object());
        let touches = |other: &ServiceCIDR| {
            cidrs(other).iter().any(|a| of.iter().any(|b| covers(*a, *b) || covers(*b, *a)))
        };
        all.list().iter().filter(|other| touches(other)).for_each(|other| changed.add(other.key()));
    });
    let (changed, all) = (queue.clone(), ranges.clone());
    addresses.subscribe(move |change| {
        let Ok(address) = change.object().name().parse::<IpAddr>() else { return };
        let holds = |range: &ServiceCIDR| cidrs(range).iter().any(|cidr| has(*cidr, address));
        all.list().iter().filter(|range| holds(range)).for_each(|range| changed.add(range.key()));
    });
    let controller = ServiceCidrs {
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT, COMPONENT),
        clock: context.clock.clone(),
        ranges: ranges.clone(),
        addresses: addresses.clone(),
    };
    let synced = async move {
        ranges.synced().await;
        addresses.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn cidrs(range: &ServiceCIDR) -> Vec<Cidr> {
    let texts = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    texts.filter_map(|text| Cidr::parse_strict(text)).collect()
}

fn covers(cidr: Cidr, other: Cidr) -> bool {
    cidr.prefix_len <= other.prefix_len && cidr.contains(other.address)
}

/// Whether a Service can have an address from a prefix: not the network's own nor, in IPv4, the one for all of it
/// (`PrefixContainsIP`).
fn has(cidr: Cidr, address: IpAddr) -> bool {
    let is_for_all = match address {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(cidr.prefix_len.into()).unwrap_or_default();
            address.to_bits() & hosts == hosts
        }
        IpAddr::V6(_) => false,
    };
    cidr.contains(address) && address != cidr.network() && !is_for_all
}

/// What is to be done about a range.
#[derive(Debug, PartialEq)]
enum Plan {
    /// It gets its finalizer, if it lacks it, and is ready.
    Keep,
    /// It is to go, but addresses need it.
    Hold,
    /// It may go, after that time.
    Release(Duration),
    Nothing,
}

fn plan(range: &ServiceCIDR, all: &[Arc<ServiceCIDR>], addresses: &[IpAddr], now: Timestamp) -> Plan {
    let Some(deleted_at) = &range.metadata.deletion_timestamp else { return Plan::Keep };
    if !range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER) {
        return Plan::Nothing;
    }
    let others: Vec<Cidr> =
        all.iter().filter(|other| other.name() != range.name()).flat_map(|other| cidrs(other)).collect();
    let own = cidrs(range);
    let contained = own.iter().all(|cidr| others.iter().any(|other| covers(*other, *cidr)));
    let needed = |address: &&IpAddr| {
        own.iter().any(|cidr| has(*cidr, **address)) && !others.iter().any(|other| has(*other, **address))
    };
    if !contained && addresses.iter().any(|address| needed(&address)) {
        return Plan::Hold;
    }
    let left = GRACE - now.duration_since(deleted_at.0);
    Plan::Release(Duration::try_from(left).unwrap_or_default())
}

struct ServiceCidrs {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    ranges: Lister<ServiceCIDR>,
    addresses: Lister<IPAddress>,
}

impl Reconcile for ServiceCidrs {
    fn name(&self) -> &'static str {
        "service-cidr"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(range) = self.ranges.get_key(&key) else { return Ok(Next::Done) };
            let handed_out = |address: &Arc<IPAddress>| {
                let labels = address.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == ALLOCATOR)
            };
            let addresses: Vec<IpAddr> = self
                .addresses
                .list()
                .iter()
                .filter(|address| handed_out(address))
                .filter_map(|address| address.name().parse().ok())
                .collect();
            let is_held = range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
            match plan(&range, &self.ranges.list(), &addresses, self.clock.now()) {
                Plan::Nothing => {}
                Plan::Keep => {
                    if !is_held {
                        self.finalizer(&range, "finalizers").await?;
                    }
                    let told = self.condition(&range, "True", "", "Kubernetes Service CIDR is ready").await;
                    told.inspect_err(|_| {
                        let text = "The ServiceCIDR Status can not be set to Ready=True";
                        let range = reference(&*range);
                        self.recorder.event(&range, EventKind::Warning, "KubernetesServiceCIDRError", text);
                    })?;
                }
                Plan::Hold => {
                    let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or \
                                   create a new ServiceCIDR";
                    self.condition(&range, "False", "Terminating", message).await?;
                }
                Plan::Release(left) if !left.is_zero() => return Ok(Next::After(left)),
                Plan::Release(_) => self.finalizer(&range, "$deleteFromPrimitiveList/finalizers").await?,
            }
            Ok(Next::Done)
        })
    }
}

impl ServiceCidrs {
    async fn finalizer(&self, range: &ServiceCIDR, directive: &str) -> Result<(), client::Error> {
        let patch = Patch::Strategic(json!({"metadata": {"uid": range.uid(), directive: [FINALIZER]}}));
        match self.client.patch::<ServiceCIDR>("", range.name(), &patch).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn condition(
        &self,
        range: &ServiceCIDR,
        status: &str,
        reason: &str,
        message: &str,
    ) -> Result<(), client::Error> {
        let conditions = range.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let same = |c: &Condition| {
            c.type_ == "Ready" && c.status == status && c.reason == reason && c.message == message
        };
        if conditions.into_iter().any(same) {
            return Ok(());
        }
        let condition = Condition {
            type_: "Ready".into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: Time(self.clock.now()),
            observed_generation: None,
        };
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": range.name()},
            "status": {"conditions": [condition]},
        });
        let apply = Patch::Apply { manager: COMPONENT.into(), force: true, object };
        self.client.patch_subresource::<ServiceCIDR>("", range.name(), "status", &apply).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;

    fn range(name: &str, cidrs: &[&str], deleted: bool) -> Arc<ServiceCIDR> {
        let mut range =
            json!({"metadata": {"name": name, "finalizers": [FINALIZER]}, "spec": {"cidrs": cidrs}});
        if deleted {
            range["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z".into();
        }
        Arc::new(serde_json::from_value(range).expect("a range"))
    }

    #[test]
    fn ranges_go_when_nobody_needs_them() {
        let old = range("old", &["10.96.0.0/16"], true);
        let wide = range("wide", &["10.0.0.0/8"], false);
        let half = range("half", &["10.96.0.0/17"], false);
        let at_once = Plan::Release(Duration::ZERO);
        let used: Vec<IpAddr> = vec!["10.96.0.1".parse().expect("an address")];
        let high: Vec<IpAddr> = vec!["10.96.200.1".parse().expect("an address")];
        let last: Vec<IpAddr> = vec!["10.96.127.255".parse().expect("an address")];
        let cases = [
            (vec![&old], vec![], 3, Plan::Release(Duration::from_secs(7))),
            (vec![&old], vec![], 20, at_once),
            (vec![&old], used.clone(), 20, Plan::Hold),
            (vec![&old, &wide], used.clone(), 20, Plan::Release(Duration::ZERO)),
            (vec![&old, &half], used, 20, Plan::Release(Duration::ZERO)),
            (vec![&old, &half], high, 20, Plan::Hold),
            // Nobody can have this one from the half, whose last it is.
            (vec![&old, &half], last, 20, Plan::Hold),
        ];
        for (all, addresses, second, expected) in cases {
            let all: Vec<_> = all.into_iter().cloned().collect();
            assert_eq!(plan(&old, &all, &addresses, at(second)), expected, "{all:?}");
        }
        assert_eq!(plan(&wide, &[], &[], at(0)), Plan::Keep);
    }

    #[test]
    fn prefixes() {
        let cidr = |text| Cidr::parse_strict(text).expect("a prefix");
        assert!(covers(cidr("0.0.0.0/0"), cidr("10.0.0.0/8")));
        assert!(!covers(cidr("10.0.0.0/8"), cidr("0.0.0.0/0")));
        let cases = [
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fd00::", false),
            ("fd00::/112", "fd00::ffff", true),
            ("fd00::/8", "10.0.0.1", false),
            ("10.0.0.0/8", "10.0.0.1", true),
            ("10.0.0.0/8", "10.0.0.0", false),
            ("10.0.0.0/8", "10.255.255.255", false),
            ("10.0.0.0/24", "10.0.1.1", false),
            ("10.0.0.1/32", "10.0.0.1", false),
            ("0.0.0.0/0", "255.255.255.255", false),
        ];
        for (text, address, expected) in cases {
            let address = address.parse().expect("an address");
            assert_eq!(has(cidr(text), address), expected, "{address} in {text}");
        }
    }
}
