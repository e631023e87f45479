//! What all parts of a cluster must be told alike.

use anyhow::{Result, bail, ensure};
use clap::Args;
use network::Cidr;
use std::net::IpAddr;

/// Nodes are at most as many as two to this power (`pkg/controller/nodeipam/ipam/cidrset`).
const NODES_BITS_MAX: u8 = 16;
/// Fewer than eight addresses are no range of Services, as upstream has it.
const SERVICE_RANGE_BITS_MIN: u8 = 3;

/// What all parts of a cluster must be told alike.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Addresses of pods, of which each node gets a part
    #[arg(long, default_value = "10.244.0.0/16", value_delimiter = ',')]
    pub(crate) cluster_cidr: Vec<Cidr>,
    /// How long the prefix of a node's part of IPv4 addresses is
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) node_cidr_mask_size_ipv4: u8,
    /// How long the prefix of a node's part of IPv6 addresses is
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub(crate) node_cidr_mask_size_ipv6: u8,
    /// Addresses of Services; the first range is primary
    #[arg(long, default_value = "10.96.0.0/16", value_delimiter = ',')]
    pub(crate) service_cluster_ip_range: Vec<Cidr>,
    /// The domain of the cluster's names
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
}

impl ClusterArgs {
    /// Refuses ranges that no cluster can have, as upstream's API server and controller manager do.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = meta::names::dns1123_subdomain(&self.cluster_domain);
        ensure!(wrong.is_empty(), "invalid --cluster-domain {:?}: {}", self.cluster_domain, wrong.join("; "));
        for (option, ranges) in [
            ("--cluster-cidr", &self.cluster_cidr),
            ("--service-cluster-ip-range", &self.service_cluster_ip_range),
        ] {
            if let Some(range) =
                ranges.iter().find(|range| is_nowhere(range.address()) || range.address().is_loopback())
            {
                bail!(
                    "invalid {option} {range}: nothing can be reached by addresses such as {}",
                    range.address()
                );
            }
        }
        for range in &self.cluster_cidr {
            let of_node = match range.address() {
                IpAddr::V4(_) => self.node_cidr_mask_size_ipv4,
                IpAddr::V6(_) => self.node_cidr_mask_size_ipv6,
            };
            ensure!(
                range.prefix() <= of_node,
                "invalid --cluster-cidr {range}: the mask size of the cluster CIDR must be less than or equal to the \
                 node CIDR mask size of its family, which is {of_node}; take a /{of_node} or a larger range"
            );
            ensure!(
                of_node - range.prefix() <= NODES_BITS_MAX,
                "invalid --cluster-cidr {range}: nodes with a /{of_node} each would be more than 2^{NODES_BITS_MAX}; give \
                 nodes larger parts by --node-cidr-mask-size-ipv4 or --node-cidr-mask-size-ipv6, or take a smaller range"
            );
        }
        // Upstream: `cmd/kube-apiserver/app/options/{completion,validation}.go`.
        let services = &self.service_cluster_ip_range;
        ensure!(services.len() <= 2, "--service-cluster-ip-range must not contain more than two entries");
        if let [first, second] = services[..] {
            ensure!(
                first.address().is_ipv4() != second.address().is_ipv4(),
                "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"
            );
        }
        for range in services {
            let bits = if range.address().is_ipv4() { 32 } else { 128 };
            ensure!(
                range.prefix() <= bits - SERVICE_RANGE_BITS_MIN,
                "invalid --service-cluster-ip-range {range}: the service cluster IP range must be at least {} IP \
                 addresses",
                1 << SERVICE_RANGE_BITS_MIN
            );
        }
        Ok(())
    }

    /// Refuses Services of an IP family that no pod has, as kubeadm does for `podSubnet` and `serviceSubnet`.
    pub(crate) fn check_families(&self) -> Result<()> {
        let is_served = |service: &Cidr| {
            self.cluster_cidr.iter().any(|pods| pods.address().is_ipv4() == service.address().is_ipv4())
        };
        if let Some(range) = self.service_cluster_ip_range.iter().find(|range| !is_served(range)) {
            bail!(
                "--service-cluster-ip-range has {range}, and --cluster-cidr has no addresses of its IP family: no pod \
                 could be behind such a Service; give ranges of the same families to both"
            );
        }
        Ok(())
    }

    /// Who issues service-account tokens, as kubeadm names it.
    pub(crate) fn issuer(&self) -> String {
        format!("https://kubernetes.default.svc.{}", self.cluster_domain)
    }

    /// What the API server's certificate must name: this machine, and the Service `kubernetes` by its addresses.
    pub(crate) fn pki_config(&self, advertise: IpAddr) -> pki::Config {
        pki::Config {
            addresses: vec![advertise],
            service_addresses: self
                .service_cluster_ip_range
                .iter()
                .filter_map(|range| range.nth(1))
                .collect(),
            cluster_domain: self.cluster_domain.clone(),
            ..pki::Config::default()
        }
    }

    /// Where Services' DNS is: the tenth address of the primary range, as kubeadm's.
    pub(crate) fn dns_address(&self) -> Option<IpAddr> {
        self.service_cluster_ip_range.first()?.nth(10)
    }
}

/// Whether packets to the address lead to no machine in particular.
pub(super) fn is_nowhere(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    ip.is_unspecified() || ip.is_multicast() || is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Up;

    #[test]
    fn ranges_that_hold_no_node() {
        let check = |ranges: &[&str]| {
            let cluster_cidr = ranges.iter().map(|range| range.parse().unwrap()).collect();
            let cluster = ClusterArgs { cluster_cidr, ..Up::usual().cluster.clone() };
            cluster.check().map_err(|error| error.to_string())
        };
        for good in [&["10.0.0.0/24"][..], &["10.0.0.0/8", "fd00::/48"], &["fd00::/64"]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        let error = check(&["fd00::/47"]).unwrap_err();
        assert!(error.contains("nodes with a /64 each would be more than 2^16"), "{error}");
        let cluster = ClusterArgs {
            cluster_cidr: vec!["10.0.0.0/25".parse().unwrap()],
            node_cidr_mask_size_ipv4: 26,
            ..Up::usual().cluster.clone()
        };
        assert!(cluster.check().is_ok());
        let error = check(&["10.0.0.0/16", "fd00::/65"]).unwrap_err();
        assert!(
            error.starts_with("invalid --cluster-cidr fd00::/65: the mask size of the cluster CIDR must"),
            "{error}"
        );
        let services = |ranges: &[&str]| {
            let service_cluster_ip_range = ranges.iter().map(|range| range.parse().unwrap()).collect();
            let cluster = ClusterArgs { service_cluster_ip_range, ..Up::usual().cluster.clone() };
            cluster.check().map_err(|error| error.to_string())
        };
        for good in [&["10.0.0.0/29"][..], &["10.0.0.0/8", "fd00::/125"]] {
            assert_eq!(services(good), Ok(()), "{good:?}");
        }
        for (bad, why) in [
            (&["10.0.0.0/30"][..], "at least 8 IP addresses"),
            (&["10.0.0.0/24", "fd00::/126"], "invalid --service-cluster-ip-range fd00::/126"),
            (&["10.0.0.0/24", "10.1.0.0/24"], "must be of different IP family"),
            (
                &["169.254.20.0/24"],
                "invalid --service-cluster-ip-range 169.254.20.0/24: nothing can be reached",
            ),
            (&["10.0.0.0/24", "fd00::/112", "fd01::/112"], "must not contain more than two entries"),
        ] {
            let error = services(bad).unwrap_err();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
        assert!(
            check(&["127.0.0.0/8"]).unwrap_err().starts_with("invalid --cluster-cidr 127.0.0.0/8: nothing")
        );
        for (domain, good) in
            [("cluster.local", true), ("k8s", true), ("-x-", false), ("a b", false), ("", false)]
        {
            let cluster = ClusterArgs { cluster_domain: domain.into(), ..Up::usual().cluster.clone() };
            assert_eq!(cluster.check().is_ok(), good, "{domain}");
        }
        assert!(check(&["10.0.0.0/25"]).unwrap_err().ends_with("which is 24; take a /24 or a larger range"));
    }

    #[test]
    fn families_that_no_cluster_can_have() {
        let families = |pods: &[&str], services: &[&str]| {
            let cidrs = |ranges: &[&str]| ranges.iter().map(|range| range.parse().unwrap()).collect();
            let (cluster_cidr, service_cluster_ip_range) = (cidrs(pods), cidrs(services));
            let cluster =
                ClusterArgs { cluster_cidr, service_cluster_ip_range, ..Up::usual().cluster.clone() };
            cluster.check_families().map_err(|error| error.to_string())
        };
        assert_eq!(families(&["10.0.0.0/16"], &["10.1.0.0/16"]), Ok(()));
        assert_eq!(families(&["10.0.0.0/16", "fd00::/48"], &["10.1.0.0/16"]), Ok(()));
        let error = families(&["fd00::/48"], &["10.1.0.0/16"]).unwrap_err();
        assert!(
            error.starts_with("--service-cluster-ip-range has 10.1.0.0/16, and --cluster-cidr has no"),
            "{error}"
        );
        assert!(families(&["10.0.0.0/16"], &["10.1.0.0/16", "fd00::/112"]).is_err());
    }
}
