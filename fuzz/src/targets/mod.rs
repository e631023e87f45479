//! The targets: one function each, and a row.

mod custom;
mod door;
mod hooks;
mod json;
mod json_patch;
mod jsonpath;
mod languages;
mod nodes;
mod texts;
mod typed;
mod yaml;

use crate::{Target, trees};

/// All targets.
pub const ALL: &[Target] = &[
    // value
    Target::new("json", json::run, json::DICTIONARY),
    Target::new("json-patch", json_patch::run, json_patch::DICTIONARY),
    Target::new("yaml", yaml::run, yaml::DICTIONARY),
    Target::new("jsonpath", jsonpath::run, jsonpath::DICTIONARY),
    // meta
    Target::new("label-selector", texts::label_selector, texts::SELECTORS),
    Target::new("field-selector", texts::field_selector, texts::SELECTORS),
    Target::new("quantity", texts::quantity, texts::NUMBERS),
    Target::new("time", texts::time, texts::NUMBERS),
    Target::new("duration", texts::duration, texts::NUMBERS),
    Target::new("intstr", texts::intstr, texts::NUMBERS),
    Target::new("names", texts::name, texts::NAMES),
    // schema
    Target::new("schema-json", typed::decode_json, typed::WORDS).made_by(typed::make_json),
    Target::new("schema-protobuf", typed::decode_protobuf, typed::WORDS).made_by(typed::make_protobuf),
    // merge
    Target::new("managed-fields", typed::managed_fields, typed::TREES).made_by(trees::input),
    Target::new("strategic-merge", typed::strategic, typed::TREES).made_by(typed::make),
    Target::new("apply", typed::apply, typed::TREES).made_by(typed::make),
    // cel, auth
    Target::new("cel", languages::cel, languages::CEL),
    Target::new("token", auth::fuzz::token, languages::TOKENS),
    Target::new("impersonation", auth::fuzz::headers, languages::HEADERS),
    Target::new("certificates", auth::fuzz::certificates, languages::CERTIFICATES),
    Target::new("x509", auth::fuzz::x509, languages::DER),
    // kinds, crd
    Target::new("hooks", hooks::run, typed::TREES).made_by(hooks::make),
    Target::new("custom", custom::run, custom::TREES).made_by(trees::input),
    // apiserver
    Target::new("query", door::query, door::QUERY),
    Target::new("accept", door::accept, door::ACCEPT),
    Target::new("request-info", door::request_info, door::PATHS),
    Target::new("body", door::body, typed::WORDS),
    Target::new("continue", apiserver::fuzz::continue_token, door::CONTINUES),
    Target::new("accept-encoding", apiserver::fuzz::accept_encoding, door::ACCEPT),
    Target::new("log-options", apiserver::fuzz::log_options, nodes::LOGS),
    Target::new("proxied-page", apiserver::fuzz::proxied_page, door::PAGES),
    Target::new("admission-review", apiserver::fuzz::admission_review, door::REVIEWS).made_by(trees::input),
    Target::new("conversion-review", apiserver::fuzz::conversion_review, door::REVIEWS),
    Target::new("aggregated-document", apiserver::fuzz::aggregated_document, door::DOCUMENTS)
        .made_by(trees::input),
    Target::new("stored-value", apiserver::fuzz::stored_value, door::STORED),
    Target::new("encryption-config", apiserver::fuzz::encryption_configuration, door::STORED),
    Target::new("audit-policy", apiserver::fuzz::audit_policy, door::POLICIES),
    Target::new("audit-object", apiserver::fuzz::audit_object, json::DICTIONARY),
    // streaming
    Target::new("websocket", nodes::websocket, nodes::FRAMES),
    Target::new("spdy", nodes::spdy, nodes::FRAMES),
    Target::new("handshake", streaming::fuzz::handshake, nodes::HANDSHAKES),
    Target::new("exec-client", streaming::fuzz::command_client, nodes::FRAMES),
    Target::new("exec-runtime", streaming::fuzz::command_server, nodes::FRAMES),
    // client, store
    Target::new("watch", client::fuzz::watch, nodes::WATCHES),
    Target::new("failure", client::fuzz::failure, nodes::WATCHES),
    Target::new("kubeconfig", client::fuzz::kubeconfig, nodes::KUBECONFIGS),
    Target::new("etcd", store::etcd::fuzz::answer, nodes::ETCD),
    // dns, network
    Target::new("dns-question", dns::fuzz::question, nodes::DNS),
    Target::new("dns-resolver", dns::fuzz::resolver, nodes::DNS),
    Target::new("dns-resolv-conf", dns::fuzz::resolvers, nodes::RESOLV),
    Target::new("netlink", network::fuzz::netlink, nodes::NETLINK),
    Target::new("cni", network::fuzz::plugin, nodes::PLUGIN),
    Target::new("cidr", network::fuzz::range, nodes::RANGES),
    // kubelet
    Target::new("container-log", kubelet::fuzz::log, nodes::LOGS),
    Target::new("kubelet-request", kubelet::fuzz::request, nodes::REQUESTS),
    Target::new("runtime", kubelet::fuzz::runtime, nodes::RUNTIME),
    Target::new("image", kubelet::fuzz::image, nodes::IMAGES),
    Target::new("resolv-conf", kubelet::fuzz::resolv_conf, nodes::RESOLV),
    Target::new("expansion", kubelet::fuzz::expansion, nodes::EXPANSIONS),
    Target::new("redirect", kubelet::fuzz::redirect, nodes::URLS),
    Target::new("pod", kubelet::fuzz::pod, typed::WORDS).made_by(trees::input),
];
