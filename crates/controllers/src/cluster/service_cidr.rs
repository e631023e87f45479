//! Keeps ranges of Service addresses that are in use from being deleted, and says when they are ready.
//!
//! Watches ServiceCIDRs and IPAddresses; owns the finalizer `networking.k8s.io/service-cidr-finalizer` and the
//! condition `Ready` (KEP-1880). Upstream: `pkg/controller/servicecidrs`.

use crate::context::{Context, Tasks, spawn};
use api::meta::v1::{Condition, Time};
use api::networking::v1::{IPAddress, ServiceCIDR};
use api::{Key, Object};
use client::{Client, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconcile::{Clock, Next, Queue, Reconcile};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;
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
            cidrs(other).iter().any(|a| of.iter().any(|b| a.contains(b) || b.contains(a)))
        };
        all.list().iter().filter(|other| touches(other)).for_each(|other| changed.add(other.key()));
    });
    let (changed, all) = (queue.clone(), ranges.clone());
    addresses.subscribe(move |change| {
        let Ok(address) = change.object().name().parse::<IpAddr>() else { return };
        let holds = |range: &ServiceCIDR| cidrs(range).iter().any(|cidr| cidr.has(address));
        all.list().iter().filter(|range| holds(range)).for_each(|range| changed.add(range.key()));
    });
    let controller = ServiceCidrs {
        client: context.client("service-cidrs-controller"),
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

/// A prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        Some(Self { address: address.parse().ok()?, bits: bits.parse().ok()? })
    }

    fn has(&self, address: IpAddr) -> bool {
        let (a, b, width) = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128_u32),
            _ => return false,
        };
        let host_bits = width.saturating_sub(u32::from(self.bits));
        a.checked_shr(host_bits).unwrap_or_default() == b.checked_shr(host_bits).unwrap_or_default()
    }

    fn contains(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.has(other.address)
    }
}

fn cidrs(range: &ServiceCIDR) -> Vec<Cidr> {
    let texts = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    texts.filter_map(|text| Cidr::parse(text)).collect()
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
    let contained = own.iter().all(|cidr| others.iter().any(|other| other.contains(cidr)));
    let needed = |address: &&IpAddr| {
        own.iter().any(|cidr| cidr.has(**address)) && !others.iter().any(|other| other.has(**address))
    };
    if !contained && addresses.iter().any(|address| needed(&address)) {
        return Plan::Hold;
    }
    let left = GRACE - now.duration_since(deleted_at.0);
    Plan::Release(Duration::try_from(left).unwrap_or_default())
}

struct ServiceCidrs {
    client: Client,
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
            let has = range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
            match plan(&range, &self.ranges.list(), &addresses, self.clock.now()) {
                Plan::Nothing => {}
                Plan::Keep => {
                    if !has {
                        self.finalizer(&range, "finalizers").await?;
                    }
                    self.condition(&range, "True", "", "Kubernetes Service CIDR is ready").await?;
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
        let apply = Patch::Apply { manager: "service-cidr-controller".into(), force: true, object };
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
        let cases = [
            (vec![&old], vec![], 3, Plan::Release(Duration::from_secs(7))),
            (vec![&old], vec![], 20, at_once),
            (vec![&old], used.clone(), 20, Plan::Hold),
            (vec![&old, &wide], used.clone(), 20, Plan::Release(Duration::ZERO)),
            (vec![&old, &half], used, 20, Plan::Release(Duration::ZERO)),
            (vec![&old, &half], high, 20, Plan::Hold),
        ];
        for (all, addresses, second, expected) in cases {
            let all: Vec<_> = all.into_iter().cloned().collect();
            assert_eq!(plan(&old, &all, &addresses, at(second)), expected, "{all:?}");
        }
        assert_eq!(plan(&wide, &[], &[], at(0)), Plan::Keep);
    }

    #[test]
    fn prefixes() {
        let cidr = |text| Cidr::parse(text).expect("a prefix");
        assert!(cidr("0.0.0.0/0").contains(&cidr("10.0.0.0/8")));
        assert!(!cidr("10.0.0.0/8").contains(&cidr("0.0.0.0/0")));
        assert!(cidr("fd00::/8").has("fd12::1".parse().expect("an address")));
        assert!(!cidr("fd00::/8").has("10.0.0.1".parse().expect("an address")));
    }
}
