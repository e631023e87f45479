//! Who gets a certificate in a kubeadm cluster, under which name, from which authority.

use crate::{Name, Names, Usage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the certificates must name.
#[derive(Clone, Debug)]
pub struct Config {
    /// This machine's host name.
    pub host_name: String,
    /// This machine's addresses, and virtual ones under which the API server is reached.
    pub addresses: Vec<IpAddr>,
    /// Further DNS names of the API server.
    pub extra_names: Vec<String>,
    /// The addresses of the Service `kubernetes`: the first of each service range (10.96.0.1).
    pub service_addresses: Vec<IpAddr>,
    /// The cluster's domain, `cluster.local` unless changed.
    pub cluster_domain: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host_name: "localhost".into(),
            addresses: Vec::new(),
            extra_names: Vec::new(),
            service_addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
            cluster_domain: "cluster.local".into(),
        }
    }
}

/// The certificates that lie in `pki/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// `apiserver`: what clients of the API server see.
    ApiServer,
    /// `apiserver-kubelet-client`: the API server towards kubelets.
    ApiServerKubeletClient,
    /// `apiserver-etcd-client`: the API server towards etcd.
    ApiServerEtcdClient,
    /// `front-proxy-client`: the API server towards aggregated API servers.
    FrontProxyClient,
    /// `etcd/server`.
    EtcdServer,
    /// `etcd/peer`.
    EtcdPeer,
    /// `etcd/healthcheck-client`.
    EtcdHealthcheckClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    Cluster,
    FrontProxy,
    Etcd,
}

impl Issuer {
    pub(crate) const ALL: [Self; 3] = [Self::Cluster, Self::FrontProxy, Self::Etcd];

    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Cluster => "ca",
            Self::FrontProxy => "front-proxy-ca",
            Self::Etcd => "etcd/ca",
        }
    }

    pub(crate) const fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes",
            Self::FrontProxy => "front-proxy-ca",
            Self::Etcd => "etcd-ca",
        }
    }
}

impl Leaf {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ApiServer,
        Self::ApiServerKubeletClient,
        Self::ApiServerEtcdClient,
        Self::FrontProxyClient,
        Self::EtcdServer,
        Self::EtcdPeer,
        Self::EtcdHealthcheckClient,
    ];

    /// The files' name in `pki/`, without `.crt` and `.key`.
    pub const fn file(self) -> &'static str {
        match self {
            Self::ApiServer => "apiserver",
            Self::ApiServerKubeletClient => "apiserver-kubelet-client",
            Self::ApiServerEtcdClient => "apiserver-etcd-client",
            Self::FrontProxyClient => "front-proxy-client",
            Self::EtcdServer => "etcd/server",
            Self::EtcdPeer => "etcd/peer",
            Self::EtcdHealthcheckClient => "etcd/healthcheck-client",
        }
    }

    pub(crate) const fn issuer(self) -> Issuer {
        match self {
            Self::ApiServer | Self::ApiServerKubeletClient => Issuer::Cluster,
            Self::FrontProxyClient => Issuer::FrontProxy,
            _ => Issuer::Etcd,
        }
    }

    pub(crate) const fn usage(self) -> Usage {
        match self {
            Self::ApiServer => Usage::Server,
            Self::EtcdServer | Self::EtcdPeer => Usage::ServerAndClient,
            _ => Usage::Client,
        }
    }

    pub(crate) fn subject(self, config: &Config) -> Name {
        match self {
            Self::ApiServer => Name::new("kube-apiserver", &[]),
            Self::ApiServerKubeletClient => Name::new("kube-apiserver-kubelet-client", &[ADMINS]),
            Self::ApiServerEtcdClient => Name::new("kube-apiserver-etcd-client", &[]),
            Self::FrontProxyClient => Name::new("front-proxy-client", &[]),
            Self::EtcdServer | Self::EtcdPeer => Name::new(config.host_name.clone(), &[]),
            Self::EtcdHealthcheckClient => Name::new("kube-etcd-healthcheck-client", &[]),
        }
    }

    pub(crate) fn names(self, config: &Config) -> Names {
        let mut names = Names::default();
        let mut dns = vec![config.host_name.clone(), "localhost".into()];
        let mut ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        match self {
            Self::ApiServer => {
                let service = "kubernetes.default.svc";
                dns.extend(["kubernetes", "kubernetes.default", service].map(String::from));
                dns.push(format!("{service}.{}", config.cluster_domain));
                dns.extend(config.extra_names.iter().cloned());
                ips.extend(&config.service_addresses);
            }
            Self::EtcdServer | Self::EtcdPeer => {}
            _ => return names,
        }
        ips.extend(&config.addresses);
        for name in dns {
            // A host "name" may be an address.
            match name.parse::<IpAddr>() {
                Ok(ip) => ips.push(ip),
                Err(_) if !name.is_empty() && name.is_ascii() && !names.dns.contains(&name) => {
                    names.dns.push(name)
                }
                Err(_) => {}
            }
        }
        for ip in ips {
            if !names.ips.contains(&ip) {
                names.ips.push(ip);
            }
        }
        names
    }
}

/// Of kubeadm's administrators: an ordinary group, bound to `cluster-admin` by a ClusterRoleBinding of the
/// same name, so that a leaked admin.conf can be made worthless by deleting a binding. `system:masters`
/// cannot be revoked and is for [`Client::SuperAdmin`] only.
const ADMINS: &str = "kubeadm:cluster-admins";

/// Who gets a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// `admin.conf`: user `kubernetes-admin`, group `kubeadm:cluster-admins`.
    Admin,
    /// `admin.kubeconfig`: user `admin`, group `system:masters`: the key to the cluster that `up` prints. It
    /// works whatever becomes of the RBAC policy, and cannot be revoked but by a new authority.
    SuperAdmin,
    /// `controller-manager.conf`: `system:kube-controller-manager`.
    ControllerManager,
    /// `scheduler.conf`: `system:kube-scheduler`.
    Scheduler,
    /// `kubelet.conf`: `system:node:NAME`, group `system:nodes`.
    Kubelet(&'a str),
    /// `kube-proxy.conf`: `system:kube-proxy`, for Service rules and DNS.
    KubeProxy,
}

impl Client<'_> {
    /// The file's name, in the folder above `pki/`.
    pub const fn file(&self) -> &'static str {
        match self {
            Self::Admin => "admin.conf",
            Self::SuperAdmin => "admin.kubeconfig",
            Self::ControllerManager => "controller-manager.conf",
            Self::Scheduler => "scheduler.conf",
            Self::Kubelet(_) => "kubelet.conf",
            Self::KubeProxy => "kube-proxy.conf",
        }
    }

    /// The subject of the certificate.
    pub fn subject(&self) -> Name {
        match self {
            Self::Admin => Name::new("kubernetes-admin", &[ADMINS]),
            Self::SuperAdmin => Name::new("admin", &["system:masters"]),
            Self::ControllerManager => Name::new("system:kube-controller-manager", &[]),
            Self::Scheduler => Name::new("system:kube-scheduler", &[]),
            Self::Kubelet(node) => Name::new(format!("system:node:{node}"), &["system:nodes"]),
            Self::KubeProxy => Name::new("system:kube-proxy", &[]),
        }
    }
}
