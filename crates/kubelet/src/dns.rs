//! Names: a pod's resolver, its host name, its hosts file.
//!
//! Pure. Upstream counterparts: `pkg/kubelet/network/dns/dns.go`, `GeneratePodHostNameAndDomain` and
//! `managedHostsFileContent` of `pkg/kubelet/kubelet_pods.go`.

use std::fmt::Write;

use api::core::v1::{HostAlias, Pod};

use crate::runtime::messages::DnsConfig;
use crate::spec;

/// As `resolv.conf(5)` and upstream's limits.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
/// The kernel's limit of a host name.
const HOSTNAME_BYTES_MAX: usize = 64;
/// DNS's limit of a label.
const LABEL_BYTES_MAX: usize = 63;

/// What a resolver configuration says.
pub(crate) fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            // The last line wins.
            Some("search") => config.searches = words.map(|word| domain(word).to_owned()).collect(),
            Some("options") => {
                for option in words {
                    merge_option(&mut config.options, option);
                }
            }
            _ => {}
        }
    }
    config
}

fn domain(word: &str) -> &str {
    if word == "." { word } else { word.strip_suffix('.').unwrap_or(word) }
}

fn merge_option(options: &mut Vec<String>, option: &str) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|known| name(known) == name(option)) {
        Some(known) => option.clone_into(known),
        None => options.push(option.to_owned()),
    }
}

/// The pod's resolver. `host` is the node's; `cluster` the addresses and the domain of the cluster's.
pub(crate) fn resolver(pod: &Pod, host: DnsConfig, servers: &[String], domain: &str) -> DnsConfig {
    let spec = spec::spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let is_cluster = match policy {
        "ClusterFirst" => spec.host_network != Some(true),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut config = if policy == "None" {
        DnsConfig::default()
    } else if is_cluster && !servers.is_empty() {
        let namespace = spec::namespace(pod);
        let mut searches =
            vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        if domain.is_empty() {
            searches.clear();
        }
        for search in host.searches {
            if !searches.contains(&search) {
                searches.push(search);
            }
        }
        DnsConfig { servers: servers.to_vec(), searches, options: vec!["ndots:5".into()] }
    } else {
        host
    };
    if let Some(own) = &spec.dns_config {
        let mut add = |list: fn(&mut DnsConfig) -> &mut Vec<String>, items: &Option<Vec<String>>| {
            for item in items.iter().flatten() {
                let list = list(&mut config);
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        };
        add(|config| &mut config.servers, &own.nameservers);
        add(|config| &mut config.searches, &own.searches);
        for option in own.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            let text = match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.to_owned(),
            };
            merge_option(&mut config.options, &text);
        }
    }
    config.servers.truncate(SERVERS_MAX);
    config.searches.truncate(SEARCHES_MAX);
    while config.searches.join(" ").len() > SEARCH_CHARS_MAX {
        config.searches.pop();
    }
    config
}

/// The pod's host name and the domain that it is in (empty for none).
pub(crate) fn hostname(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = spec::spec(pod);
    if let Some(name) = &spec.hostname_override {
        return (short(name), String::new());
    }
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let name = short(own.unwrap_or_else(|| spec::name(pod)));
    let domain = match spec.subdomain.as_deref() {
        Some(subdomain) if !subdomain.is_empty() => {
            format!("{subdomain}.{}.svc.{cluster_domain}", spec::namespace(pod))
        }
        _ => String::new(),
    };
    (name, domain)
}

fn short(name: &str) -> String {
    if name.len() <= LABEL_BYTES_MAX {
        return name.to_owned();
    }
    name.chars().take(LABEL_BYTES_MAX).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

/// The name that the kernel is told.
pub(crate) fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (name, domain) = hostname(pod, cluster_domain);
    if spec::spec(pod).set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return Ok(name);
    }
    let full = format!("{name}.{domain}");
    if full.len() > HOSTNAME_BYTES_MAX {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
             ({HOSTNAME_BYTES_MAX} is the max, {} requested)",
            full.len()
        ));
    }
    Ok(full)
}

/// The hosts file of a pod with addresses of its own.
pub(crate) fn hosts(pod: &Pod, ips: &[String], cluster_domain: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let (name, domain) = hostname(pod, cluster_domain);
    for ip in ips {
        let _ = if domain.is_empty() {
            writeln!(text, "{ip}\t{name}")
        } else {
            writeln!(text, "{ip}\t{name}.{domain}\t{name}")
        };
    }
    text.push_str(&aliases(spec::spec(pod).host_aliases.as_deref().unwrap_or_default()));
    text
}

/// The hosts file of a pod in the node's network: the node's own, and the pod's aliases.
pub(crate) fn host_network_hosts(pod: &Pod, node: &str) -> String {
    let aliases = aliases(spec::spec(pod).host_aliases.as_deref().unwrap_or_default());
    format!("# Kubernetes-managed hosts file (host network).\n{node}{aliases}")
}

fn aliases(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn resolvers() {
        assert_eq!(parse("search .. a. .\n").searches, [".", "a", "."]);
        let host = || parse("# x\nsearch a.example b.\nnameserver 1.1.1.1\noptions ndots:1 rotate\n");
        let cluster = ["10.96.0.10".to_owned()];
        let made = |spec: serde_json::Value| {
            let config = resolver(&pod(spec), host(), &cluster, "cluster.local");
            (config.servers.join(" "), config.searches.join(" "), config.options.join(" "))
        };
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let first =
            text("10.96.0.10", "n.svc.cluster.local svc.cluster.local cluster.local a.example b", "ndots:5");
        assert_eq!(made(json!({"containers": []})), first);
        assert_eq!(
            made(json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"})),
            first
        );
        let default = text("1.1.1.1", "a.example b", "ndots:1 rotate");
        assert_eq!(made(json!({"containers": [], "dnsPolicy": "Default"})), default);
        assert_eq!(made(json!({"containers": [], "hostNetwork": true})), default);
        let own = json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"],
            "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}});
        assert_eq!(made(own), text("9.9.9.9", "x", "ndots:2 edns0"));
    }

    #[test]
    fn names() {
        let of = |spec| hostname(&pod(spec), "cluster.local");
        assert_eq!(of(json!({"containers": []})), ("p".into(), String::new()));
        let named = json!({"containers": [], "hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true});
        assert_eq!(of(named.clone()), ("h".into(), "s.n.svc.cluster.local".into()));
        assert_eq!(kernel_hostname(&pod(named.clone()), "cluster.local").unwrap(), "h.s.n.svc.cluster.local");
        let hosts = hosts(&pod(named), &["10.0.0.1".into()], "cluster.local");
        assert!(hosts.ends_with("ip6-allrouters\n10.0.0.1\th.s.n.svc.cluster.local\th\n"), "{hosts}");
    }
}
