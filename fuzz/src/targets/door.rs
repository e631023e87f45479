//! What the API server reads before it knows who asks, and the bodies after that.

use apiserver::codec::Codec;
use apiserver::negotiate::{self, Allows, Encoding};
use apiserver::query::Query;
use apiserver::request::RequestInfo;
use http::Method;
use kinds::Table;

pub(super) const QUERY: &[&str] = &[
    "&",
    "=",
    "%",
    "%2",
    "%41",
    "%ff",
    "+",
    ";",
    "watch=true",
    "limit=-1",
    "limit=99999999999999999999",
    "continue=",
    "labelSelector=a%3Db",
    "fieldSelector=metadata.name%3Dx",
    "resourceVersion=0",
    "resourceVersionMatch=Exact",
    "timeoutSeconds=1",
    "pretty",
    "dryRun=All",
    "dryRun=",
    "fieldManager=x",
    "\u{e9}",
];

pub(super) const ACCEPT: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "*/*",
    "application/*",
    "*",
    "/",
    ";",
    ",",
    "=",
    "q=0.5",
    "q=",
    "q=NaN",
    "q=-1",
    "as=Table",
    "as=PartialObjectMetadata",
    "as=PartialObjectMetadataList",
    ";g=meta.k8s.io",
    ";v=v1",
    ";v=v1beta1",
    "stream=watch",
    "pretty=1",
    " ",
];

pub(super) const PATHS: &[&str] = &[
    "/",
    "api",
    "apis",
    "v1",
    "apps",
    "namespaces",
    "watch",
    "proxy",
    "pods",
    "x",
    "status",
    "finalize",
    "..",
    "%2f",
    "/api/v1/namespaces/x/pods/y/log",
    "/apis/apps/v1/deployments",
    "/api/v1/watch/pods",
    "//",
    "\u{e9}",
];

pub(super) fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let query = Query::parse(Some(text));
    for key in ["limit", "timeoutSeconds", "watch", "labelSelector", "dryRun", "a", ""] {
        let (first, given) = (query.get(key), query.has(key));
        assert_eq!(first.is_some(), given);
        assert_eq!(query.all(key).next().map(|s| s.as_str()), first);
        let _ = (query.int(key), query.bool(key), query.str(key));
    }
}

pub(super) fn accept(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for encodings in [&Encoding::ALL[..], &Encoding::ALL[..1], &[]] {
        for allows in [Allows::Plain, Allows::Transforms] {
            if let Some(accepted) = negotiate::negotiate(Some(text), allows, encodings) {
                assert!(encodings.contains(&accepted.encoding), "it is on offer");
                assert!(
                    allows == Allows::Transforms || accepted.convert.is_none(),
                    "nothing is transformed there"
                );
            }
        }
        let _ = negotiate::body_encoding(Some(text), encodings);
    }
    let _ = (negotiate::route_accepts(Some(text), true), negotiate::route_accepts(Some(text), false));
    let _ = negotiate::wants_pretty(None, text);
}

pub(super) fn request_info(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        for (watch, name) in [(false, None), (true, None), (false, Some("x"))] {
            let _ = RequestInfo::parse(&method, text, watch, name).name_in_path();
        }
    }
}

/// A body: the first line is `group/version/plural`, the rest is JSON, YAML and protobuf at once.
pub(super) fn body(input: &[u8]) {
    let mut halves = input.splitn(2, |b| *b == b'\n');
    let (Some(header), Some(body)) = (halves.next(), halves.next()) else { return };
    let Ok(header) = std::str::from_utf8(header) else { return };
    let mut parts = header.splitn(3, '/');
    let (Some(group), Some(version), Some(plural)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let Some(row) = Table::builtin().get(group, version, plural) else { return };
    let codec = Codec::typed(row);
    for encoding in Encoding::ALL {
        for strict in [false, true] {
            let Ok(decoded) = codec.decode(row, encoding, body, strict) else { continue };
            let mut object = decoded.object;
            assert!(codec.from_stored(&codec.to_json(&object)).is_ok(), "what is served reads back");
            codec.stored_form(&mut object);
            let _ = codec.to_protobuf(&object);
        }
        let _ = apiserver::codec::decode_delete_options(encoding, body);
    }
    let _ = codec.from_stored(body);
}
