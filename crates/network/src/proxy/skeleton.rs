//! The parts of a table that do not depend on Services: base chains, sets, and the rules that consult them.
//! Mirrors what kube-proxy's nftables mode does (pkg/proxy/nftables/proxier.go), by other means.

use super::element::{
    AFFINITY_MAP, EXTERNAL_LOCAL_CHAIN, EXTERNAL_LOCAL_NODE_PORT_CHAIN, Group, Pick, REJECT_CHAIN, Set,
    affinity_definition,
};
use crate::cidr::{Cidr, Family, mask_octets, octets};
use crate::cni::fnv;
use crate::nft::{BaseChain, Batch, ChainKind, Expression, Hook, Register};

/// What the rules depend on besides their elements.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    /// The ranges of all pods: who is in the cluster.
    pub(crate) cluster_cidrs: Vec<Cidr>,
    /// Node ports answer at all addresses of the node, not just at its own of the Node object.
    pub(crate) node_ports_everywhere: bool,
    /// Pods go out of the cluster under the node's address: the pods are Corten's own.
    pub(crate) masquerade_pods: bool,
}

/// The mark of packets to be masqueraded: kube-proxy's, so that others keep away from it.
const MASQUERADE_MARK: u32 = 0x4000;
/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
const STATE_NEW: u32 = 8;
/// `IPS_DST_NAT`.
const STATUS_DESTINATION_NAT: u32 = 1 << 5;
/// `RTN_LOCAL`.
const KIND_LOCAL: u32 = 2;
/// `NF_IP_PRI_NAT_DST` less ten: before addresses are translated, with the connection known.
const PRIORITY_BEFORE_NAT: i32 = -110;
const PRIORITY_DESTINATION_NAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SOURCE_NAT: i32 = 100;

const BASE_CHAINS: [BaseChain; 8] = [
    base("filter-prerouting", ChainKind::Filter, Hook::Prerouting, PRIORITY_BEFORE_NAT),
    base("filter-output-before", ChainKind::Filter, Hook::Output, PRIORITY_BEFORE_NAT),
    base("filter-input", ChainKind::Filter, Hook::Input, PRIORITY_FILTER),
    base("filter-forward", ChainKind::Filter, Hook::Forward, PRIORITY_FILTER),
    base("filter-output", ChainKind::Filter, Hook::Output, PRIORITY_FILTER),
    base("nat-prerouting", ChainKind::Nat, Hook::Prerouting, PRIORITY_DESTINATION_NAT),
    base("nat-output", ChainKind::Nat, Hook::Output, PRIORITY_DESTINATION_NAT),
    base("nat-postrouting", ChainKind::Nat, Hook::Postrouting, PRIORITY_SOURCE_NAT),
];

const CHAINS: [&str; 9] = [
    "firewall",
    "no-endpoints",
    "no-endpoints-nodeport",
    "cluster-ips-check",
    "services-dispatch",
    "masquerading",
    REJECT_CHAIN,
    EXTERNAL_LOCAL_CHAIN,
    EXTERNAL_LOCAL_NODE_PORT_CHAIN,
];

const fn base(name: &'static str, kind: ChainKind, hook: Hook, priority: i32) -> BaseChain {
    BaseChain { name, kind, hook, priority }
}

/// The name of an empty chain that says which layout a table has: one with another is replaced as a whole.
pub(crate) fn layout_chain(family: Family, layout: &Layout) -> String {
    let rules = format!("{:?}", rules(family, layout));
    let picks = format!("{:?}", sample_picks().map(|pick| pick_rules(family, pick)));
    let sets = format!("{:?}", definitions(family));
    format!("layout-{:016x}", fnv(&[&rules, &picks, &sets, &format!("{BASE_CHAINS:?}")]))
}

/// Adds the table with everything but elements and the chains that pick endpoints.
pub(crate) fn add_table(batch: &mut Batch, family: Family, table: &str, layout: &Layout) {
    batch.add_table(family, table);
    for definition in definitions(family) {
        batch.add_set(family, table, &definition);
    }
    for chain in CHAINS {
        batch.add_chain(family, table, chain);
    }
    batch.add_chain(family, table, &layout_chain(family, layout));
    for chain in BASE_CHAINS {
        batch.add_base_chain(family, table, chain);
    }
    for (chain, rule) in rules(family, layout) {
        batch.add_rule(family, table, chain, &rule);
    }
}

/// Adds the chain of a pick.
pub(crate) fn add_pick(batch: &mut Batch, family: Family, table: &str, pick: Pick) {
    let name = pick.name();
    batch.add_chain(family, table, &name);
    for rule in pick_rules(family, pick) {
        batch.add_rule(family, table, &name, &rule);
    }
}

fn definitions(family: Family) -> Vec<crate::nft::SetDefinition> {
    let planned = Set::ALL.into_iter().map(|set| set.definition(family));
    planned.chain([affinity_definition(family)]).collect()
}

type Rule = Vec<Expression>;

const R0: Register = Register(0);

fn words(family: Family) -> u8 {
    family.bits() / 32
}

/// Each rule with its chain, in order.
fn rules(family: Family, layout: &Layout) -> Vec<(&'static str, Rule)> {
    let mut rules: Vec<(&'static str, Rule)> = Vec::new();
    let mut add = |chain, parts: &[Rule]| rules.push((chain, parts.concat()));
    let new = || state_new();
    let jump = |chain| vec![Expression::Jump(chain)];
    let cluster_cidrs: Vec<Cidr> = of_family(&layout.cluster_cidrs, family);

    // Nobody reaches 127.0.0.0/8 of the node from outside, though `route_localnet` is set for host ports.
    if family == Family::V4 {
        let loopback = [[127, 0, 0, 0].to_vec(), [255, 0, 0, 0].to_vec()];
        add(
            "filter-prerouting",
            &[
                vec![
                    Expression::InputInterface(R0),
                    Expression::Differs(R0, interface_name("lo")),
                    Expression::Destination(family, R0),
                ],
                masked_equal(R0, &loopback[1], &loopback[0]),
                vec![Expression::Drop],
            ],
        );
    }
    add("filter-prerouting", &[new(), jump("firewall")]);
    add("filter-output-before", &[new(), jump("firewall")]);
    add("filter-input", &[new(), jump("no-endpoints-nodeport")]);
    add("filter-input", &[new(), jump("no-endpoints")]);
    add("filter-forward", &[new(), jump("no-endpoints")]);
    add("filter-output", &[new(), jump("no-endpoints")]);
    add("filter-forward", &[new(), jump("cluster-ips-check")]);
    add("filter-output", &[new(), jump("cluster-ips-check")]);
    add("nat-prerouting", &[jump("services-dispatch")]);
    add("nat-output", &[jump("services-dispatch")]);
    add("nat-postrouting", &[jump("masquerading")]);

    // loadBalancerSourceRanges
    let client = R0.plus(words(family) + 2);
    add(
        "firewall",
        &[
            frontend(family, R0, false),
            vec![
                Expression::Member { set: Set::Firewalled.name(), key: R0 },
                Expression::Source(family, client),
                Expression::NoMember { set: Set::SourceRanges.name(), key: R0 },
                Expression::Drop,
            ],
        ],
    );

    add("no-endpoints", &[frontend(family, R0, false), dispatch(Set::NoEndpoints)]);
    add(
        "no-endpoints-nodeport",
        &[node_port(family, layout), frontend(family, R0, true), dispatch(Set::NoEndpoints)],
    );
    add(REJECT_CHAIN, &[vec![Expression::Reject(family)]]);
    add(
        "cluster-ips-check",
        &[cluster_ip(family), vec![Expression::Reject(family)]], // a port that no Service has
    );
    let protocol = Expression::Protocol(R0.plus(words(family)));
    let not_given = Expression::Member { set: Set::ServiceRanges.name(), key: R0 };
    let destination = Expression::Destination(family, R0);
    add("cluster-ips-check", &[vec![destination, protocol, not_given, Expression::Drop]]);

    add("services-dispatch", &[frontend(family, R0, false), dispatch(Set::Redirects)]);
    if !cluster_cidrs.is_empty() {
        // A route to the Service range may lead to this node from outside of the cluster; the endpoint's
        // answer has to come back by it.
        let outside = from_outside(family, &cluster_cidrs);
        add("services-dispatch", &[cluster_ip(family), outside, mark()]);
    }
    add("services-dispatch", &[frontend(family, R0, false), dispatch(Set::Services)]);
    add(
        "services-dispatch",
        &[node_port(family, layout), frontend(family, R0, true), dispatch(Set::Services)],
    );
    for any_address in [false, true] {
        let found = R0.plus(words(family) + 2);
        add(
            "services-dispatch",
            &[
                local_destination(),
                frontend(family, R0, any_address),
                vec![
                    Expression::Find { map: Set::HostPorts.name(), key: R0, to: found },
                    Expression::DestinationNat { family, address: found, port: found.plus(words(family)) },
                ],
            ],
        );
    }

    for (chain, is_node_port) in [(EXTERNAL_LOCAL_CHAIN, false), (EXTERNAL_LOCAL_NODE_PORT_CHAIN, true)] {
        let shortcut = || [frontend(family, R0, is_node_port), dispatch(Set::Shortcuts)].concat();
        // From a pod on its way out it is as if it came back in by a load balancer: no policy holds.
        for cidr in &cluster_cidrs {
            let pod = [vec![Expression::Source(family, R0)], in_range(R0, *cidr)].concat();
            add(chain, &[pod, shortcut()]);
        }
        // From the node itself: the address is local and would be its own source.
        add(chain, &[local_source(), mark()]);
        add(chain, &[local_source(), shortcut()]);
        add(chain, &[frontend(family, R0, is_node_port), dispatch(Set::Locals)]);
    }

    add(
        "masquerading",
        &[
            marked(),
            vec![
                Expression::Mark(R0),
                Expression::Bits { register: R0, mask: number(!MASQUERADE_MARK), flip: number(0) },
                Expression::SetMark(R0),
                Expression::Masquerade,
            ],
        ],
    );
    add(
        "masquerading",
        &[
            destination_translated(),
            vec![
                Expression::Source(family, R0),
                Expression::Destination(family, R0.plus(words(family))),
                Expression::Member { set: Set::Hairpin.name(), key: R0 },
                Expression::Masquerade,
            ],
        ],
    );
    if family == Family::V4 {
        // A host port that was asked for at 127.0.0.1: the pod cannot answer there.
        let source = vec![Expression::Source(family, R0)];
        let loopback = masked_equal(R0, &[255, 0, 0, 0], &[127, 0, 0, 0]);
        add("masquerading", &[destination_translated(), source, loopback, vec![Expression::Masquerade]]);
    }
    // Pods go out under the node's address, but not to each other, nor by multicast.
    for cidr in cluster_cidrs.iter().filter(|_| layout.masquerade_pods) {
        let source = vec![Expression::Source(family, R0)];
        let (mask, multicast) = multicast(family);
        let elsewhere = to_outside(family, &cluster_cidrs);
        let to = vec![Expression::Destination(family, R0)];
        let not_multicast = masked_differs(R0, &mask, &multicast);
        add(
            "masquerading",
            &[source, in_range(R0, *cidr), elsewhere, to, not_multicast, vec![Expression::Masquerade]],
        );
    }
    rules
}

/// A chain that sends a connection to one of so many endpoints. Between the two look-ups of a packet the
/// tables may change, so the number may have gone; the last rule takes the first one, which is there as long
/// as there is any.
fn pick_rules(family: Family, pick: Pick) -> Vec<Rule> {
    let mut rules = Vec::new();
    if pick.masquerade {
        rules.push(mark());
    }
    let random = pick.count > 1;
    let offset = pick.group.offset();
    if pick.affinity_seconds == 0 {
        let index = R0.plus(words(family) + 2);
        let choose = |choice: Expression| {
            let mut rule = frontend(family, R0, pick.node_port);
            rule.push(choice);
            rule.push(Expression::Find { map: Set::Endpoints.name(), key: R0, to: R0 });
            rule.push(Expression::DestinationNat { family, address: R0, port: R0.plus(words(family)) });
            rule
        };
        if random {
            rules.push(choose(Expression::Random { to: index, modulus: pick.count, offset }));
        }
        rules.push(choose(Expression::Load(index, number(offset))));
        return rules;
    }

    // Registers: client, then frontend (address, protocol, port), then the endpoint's mark, then the endpoint
    // (address, port): all sixteen with IPv6. Client and frontend lie together, the key of the map of clients,
    // and so do frontend and mark, the key of the endpoints; a mark takes the place of its number.
    let frontend_at = R0.plus(words(family));
    let mark_at = frontend_at.plus(words(family) + 2);
    let backend = mark_at.plus(1);
    let key = || {
        let mut rule = vec![Expression::Source(family, R0)];
        rule.extend(frontend(family, frontend_at, pick.node_port));
        rule
    };
    let endpoint = Expression::Find { map: pick.group.affinity_set().name(), key: frontend_at, to: backend };
    let timeout_milliseconds = u64::from(pick.affinity_seconds) * 1000;
    let remember = Expression::Remember { map: AFFINITY_MAP, key: R0, data: mark_at, timeout_milliseconds };
    let send = Expression::DestinationNat { family, address: backend, port: backend.plus(words(family)) };
    // A mark that was found goes by way of the packet's priority: `nft`, with which people look at the rules,
    // crashes when what a look-up found is part of a key or remembered. Queues look at priorities later.
    let find_mark = |map, key| {
        let found = backend;
        let find = Expression::Find { map, key, to: found };
        [find, Expression::SetPriority(found), Expression::Priority(mark_at)]
    };
    let no_priority = [Expression::Load(R0, number(0)), Expression::SetPriority(R0)];
    let mut again = key();
    again.extend(find_mark(AFFINITY_MAP, R0));
    again.extend([endpoint.clone(), remember.clone()]);
    again.extend(no_priority.clone());
    again.push(send.clone());
    rules.push(again);
    let choose = |choice: Expression| {
        let mut rule = key();
        rule.push(choice);
        rule.extend(find_mark(Set::AffinityMarks.name(), frontend_at));
        // An entry that is there names an endpoint that is gone; updating it would not change that.
        let forget = Expression::Forget { map: AFFINITY_MAP, key: R0, data: mark_at };
        rule.extend([endpoint.clone(), forget, remember.clone()]);
        rule.extend(no_priority.clone());
        rule.push(send.clone());
        rule
    };
    if random {
        rules.push(choose(Expression::Random { to: mark_at, modulus: pick.count, offset }));
    }
    rules.push(choose(Expression::Load(mark_at, number(offset))));
    rules
}

/// Picks of every form: a change of their rules is a change of layout.
fn sample_picks() -> [Pick; 2] {
    let plain =
        Pick { count: 2, group: Group::Local, node_port: true, masquerade: true, affinity_seconds: 0 };
    [plain, Pick { affinity_seconds: 1, ..plain }]
}

fn of_family(cidrs: &[Cidr], family: Family) -> Vec<Cidr> {
    cidrs.iter().filter(|cidr| cidr.family() == family).copied().collect()
}

/// Loads the packet's frontend: address (or zeros for a node port), protocol, port.
fn frontend(family: Family, at: Register, any_address: bool) -> Rule {
    let address = if any_address {
        Expression::Load(at, octets(family.unspecified()))
    } else {
        Expression::Destination(family, at)
    };
    let after = at.plus(words(family));
    vec![address, Expression::Protocol(after), Expression::DestinationPort(after.plus(1))]
}

fn dispatch(map: Set) -> Rule {
    vec![Expression::Dispatch { map: map.name(), key: R0 }]
}

fn cluster_ip(family: Family) -> Rule {
    vec![Expression::Destination(family, R0), Expression::Member { set: Set::ClusterIps.name(), key: R0 }]
}

/// Whether the packet's destination is one at which node ports answer.
fn node_port(family: Family, layout: &Layout) -> Rule {
    if !layout.node_ports_everywhere {
        let set = Set::NodePortAddresses.name();
        return vec![Expression::Destination(family, R0), Expression::Member { set, key: R0 }];
    }
    let not_loopback = match family {
        Family::V4 => masked_differs(R0, &[255, 0, 0, 0], &[127, 0, 0, 0]),
        Family::V6 => vec![Expression::Differs(R0, octets(std::net::Ipv6Addr::LOCALHOST.into()))],
    };
    [local_destination(), vec![Expression::Destination(family, R0)], not_loopback].concat()
}

fn local_destination() -> Rule {
    vec![Expression::DestinationKind(R0), Expression::Equal(R0, number(KIND_LOCAL))]
}

fn local_source() -> Rule {
    vec![Expression::SourceKind(R0), Expression::Equal(R0, number(KIND_LOCAL))]
}

fn from_outside(family: Family, cidrs: &[Cidr]) -> Rule {
    let each = |cidr: &Cidr| [vec![Expression::Source(family, R0)], outside_range(R0, *cidr)].concat();
    cidrs.iter().flat_map(each).collect()
}

fn to_outside(family: Family, cidrs: &[Cidr]) -> Rule {
    let each = |cidr: &Cidr| [vec![Expression::Destination(family, R0)], outside_range(R0, *cidr)].concat();
    cidrs.iter().flat_map(each).collect()
}

fn in_range(register: Register, cidr: Cidr) -> Rule {
    masked_equal(register, &mask_octets(cidr.family(), cidr.prefix()), &octets(cidr.address()))
}

fn outside_range(register: Register, cidr: Cidr) -> Rule {
    masked_differs(register, &mask_octets(cidr.family(), cidr.prefix()), &octets(cidr.address()))
}

fn masked_equal(register: Register, mask: &[u8], value: &[u8]) -> Rule {
    vec![masked(register, mask), Expression::Equal(register, value.to_vec())]
}

fn masked_differs(register: Register, mask: &[u8], value: &[u8]) -> Rule {
    vec![masked(register, mask), Expression::Differs(register, value.to_vec())]
}

fn masked(register: Register, mask: &[u8]) -> Expression {
    Expression::Bits { register, mask: mask.to_vec(), flip: vec![0; mask.len()] }
}

fn multicast(family: Family) -> (Vec<u8>, Vec<u8>) {
    match family {
        Family::V4 => (vec![0xf0, 0, 0, 0], vec![0xe0, 0, 0, 0]),
        Family::V6 => {
            let first = |byte: u8| std::iter::once(byte).chain([0; 15]).collect();
            (first(0xff), first(0xff))
        }
    }
}

fn state_new() -> Rule {
    let mut rule = vec![Expression::ConnectionState(R0)];
    rule.extend(masked_differs(R0, &number(STATE_NEW), &number(0)));
    rule
}

fn destination_translated() -> Rule {
    let mut rule = vec![Expression::ConnectionStatus(R0)];
    rule.extend(masked_differs(R0, &number(STATUS_DESTINATION_NAT), &number(0)));
    rule
}

fn mark() -> Rule {
    vec![
        Expression::Mark(R0),
        Expression::Bits { register: R0, mask: number(!MASQUERADE_MARK), flip: number(MASQUERADE_MARK) },
        Expression::SetMark(R0),
    ]
}

fn marked() -> Rule {
    let mut rule = vec![Expression::Mark(R0)];
    rule.extend(masked_differs(R0, &number(MASQUERADE_MARK), &number(0)));
    rule
}

/// A number as registers have it.
fn number(number: u32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

/// An interface's name as registers have it.
fn interface_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_has_a_name() {
        let layout = Layout { cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()], ..Layout::default() };
        let name = layout_chain(Family::V4, &layout);
        assert_eq!(name, layout_chain(Family::V4, &layout.clone()));
        assert_ne!(name, layout_chain(Family::V6, &layout));
        assert_ne!(name, layout_chain(Family::V4, &Layout::default()));
    }

    /// IPv6 with session affinity needs all sixteen registers, and no more.
    #[test]
    fn registers_suffice() {
        let pick = sample_picks()[1];
        let text = format!("{:?}", pick_rules(Family::V6, pick));
        assert!(text.contains("Register(11)") && !text.contains("Register(16)"));
    }
}
