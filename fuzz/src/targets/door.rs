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

pub(super) const CONTINUES: &[&str] = &[
    "{\"v\":\"meta.k8s.io/v1\",\"rv\":5,\"start\":\"a/b\\u0000\"}",
    "\"v\":\"meta.k8s.io/v1\"",
    "\"rv\":-1",
    "\"rv\":9223372036854775808",
    "\"start\":\"\"",
    "\\u0000",
    "../",
    "/",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEi",
    "-",
    "_",
    "=",
    ",",
    "{",
    "}",
    "\u{e9}",
];

pub(super) const PAGES: &[&str] = &[
    "<a href=\"/x\">",
    "<A HREF='/y'>",
    "<img src=/z>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<",
    ">",
    "/",
    "//10.0.0.1:80/a",
    "http://api.example/b",
    "https://elsewhere/c",
    "/api/v1/namespaces/a/pods/b/proxy/d",
    "mailto:a",
    "&amp;",
    "&quot;",
    "&#34;",
    "'",
    "\"",
    "=",
    " ",
    "\t",
    "<title>",
    "</title>",
    "?",
    "#",
    ":",
    "\u{e9}",
];

pub(super) const REVIEWS: &[&str] = &[
    "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"response\":{\"uid\":\"u\",\"allowed\":true}}",
    "\"patch\":\"W10=\"",
    "\"patchType\":\"JSONPatch\"",
    "\"allowed\":false",
    "\"status\":{\"code\":403,\"message\":\"no\"}",
    "\"status\":{\"code\":-1}",
    "\"code\":9223372036854775807",
    "\"warnings\":[\"a\"]",
    "\"uid\":\"u\"",
    "HTTP/1.1 200 OK\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n\r\n",
    "\r\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "5;x=y\r\n",
    "{\"kind\":\"ConversionReview\",\"apiVersion\":\"apiextensions.k8s.io/v1\"",
    "\"result\":{\"status\":\"Success\"}",
    "\"convertedObjects\":[{}]",
    "\"metadata\":{\"name\":\"n\",\"namespace\":\"s\",\"uid\":\"u\"}",
    "null",
    "[]",
    "{}",
];

pub(super) const DOCUMENTS: &[&str] = &[
    "\"items\"",
    "\"metadata\"",
    "{\"name\":\"a.example\"}",
    "\"versions\"",
    "[{\"version\":\"v1\",\"resources\":[]}]",
    "\"resources\"",
    "\"name\"",
    "\"a/status\"",
    "\"namespaced\"",
    "\"verbs\"",
    "\"paths\"",
    "\"/apis/a.example/v1/as\"",
    "\"definitions\"",
    "\"$ref\"",
    "\"#/definitions/a\"",
    "{\"$ref\":\"#/definitions/b\"}",
    "null",
    "[]",
    "{}",
    "[null]",
];

pub(super) const STORED: &[&str] = &[
    "k8s:enc:",
    "k8s:enc:aesgcm:v1:a:",
    "k8s:enc:aescbc:v1:b:",
    "k8s:enc:secretbox:v1:c:",
    "k8s:enc:kms:v2:x:",
    "identity",
    "aesgcm",
    "aescbc",
    "secretbox",
    "kms",
    "resources: [secrets]",
    "'*.*'",
    "'*.apps'",
    "providers:",
    "- ",
    "  ",
    "\n",
    "keys: [{name: a, secret: MDEyMzQ1Njc4OTAxMjM0NQ==}]",
    "secret: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "{}",
    "~",
    ":",
];

pub(super) const POLICIES: &[&str] = &[
    "level: None\n",
    "level: Metadata\n",
    "level: RequestResponse\n",
    "- ",
    "  ",
    "\n",
    "rules:\n",
    "users: [a]\n",
    "userGroups: ['system:masters']\n",
    "verbs: [get]\n",
    "namespaces: [a]\n",
    "resources: [{group: '', resources: [pods/log, '*']}]\n",
    "resources: [{group: apps, resources: ['*/status', 'a/*']}]\n",
    "resourceNames: [x]",
    "nonResourceURLs: ['/healthz*']\n",
    "omitStages: [RequestReceived]\n",
    "omitManagedFields: true\n",
    "{}",
    "[]",
    "~",
    "'*'",
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
        // What is fine when read strictly is the same when it is not.
        let decoded =
            codec.decode(row, encoding, body, true).or_else(|_| codec.decode(row, encoding, body, false));
        if let Ok(decoded) = decoded {
            let mut object = decoded.object;
            assert!(codec.from_stored(&codec.to_json(&object)).is_ok(), "what is served reads back");
            codec.stored_form(&mut object);
            let _ = codec.to_protobuf(&object);
        }
        let _ = apiserver::codec::decode_delete_options(encoding, body);
    }
    let _ = codec.from_stored(body);
}
