//! Who passes, as whom, and who does not.

use super::*;
use crate::lookup::Objects;
use http::{HeaderName, HeaderValue};
use pki::{Authority, Identity, Name, Names, PrivateKey, Usage};
use value::Value;

const NOW: i64 = 1_800_000_000;

struct World {
    cluster: Authority,
    proxy: Authority,
    keys: Arc<ServiceAccountKeys>,
    authenticator: Authenticator,
    objects: Objects,
}

fn world(anonymous: Anonymous) -> World {
    let authority = |name| Authority::create(name, PrivateKey::generate().unwrap(), NOW, 1_000_000).unwrap();
    let (cluster, proxy) = (authority("kubernetes"), authority("front-proxy-ca"));
    let keys = Arc::new(ServiceAccountKeys::new(PrivateKey::generate().unwrap(), Vec::new()));
    let trust = |a: &Authority| ClientAuthorities::new(&[a.certificate()]).unwrap();
    let config = Config {
        client_authorities: trust(&cluster),
        front_proxy: Some(FrontProxy::standard(trust(&proxy))),
        service_account_keys: keys.clone(),
        issuers: vec!["https://kubernetes.default.svc".into()],
        audiences: vec!["https://kubernetes.default.svc".into()],
        bootstrap_tokens: true,
        anonymous,
    };
    let mut objects = Objects::default();
    objects.put("serviceaccounts", r#"{"metadata":{"namespace":"a","name":"robot","uid":"1"}}"#);
    objects.put("pods", r#"{"metadata":{"namespace":"a","name":"p","uid":"2"}}"#);
    objects.put("pods", r#"{"metadata":{"namespace":"a","name":"dying","uid":"3","deletionTimestamp":"2020-01-01T00:00:00Z"}}"#);
    World { cluster, proxy, keys, authenticator: Authenticator::new(config).unwrap(), objects }
}

impl World {
    fn ask(&self, headers: &[(&str, &str)], peer: Option<&Identity>) -> (String, HeaderMap) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        let peer = peer.and_then(|i| Peer::new(&[i.certificate.der().clone()]));
        let result = self.authenticator.authenticate(&mut map, "/api", peer.as_ref(), &self.objects, NOW);
        let text = match result {
            Ok(response) => {
                let mut user = response.user.to_value();
                if let Some(extra) = user.get_mut("extra") {
                    // The fingerprint is another one each time.
                    if let Some(Value::Array(ids)) = extra.get_mut(crate::user::CREDENTIAL_ID) {
                        ids[0] = Value::from(ids[0].str().split('=').next().unwrap_or_default());
                    }
                }
                value::json::to_string(&user)
            }
            Err(error) => format!("401 {}", error.reason),
        };
        (text, map)
    }

    fn check(&self, headers: &[(&str, &str)], peer: Option<&Identity>, want: &str) {
        assert_eq!(self.ask(headers, peer).0, want, "{headers:?}");
    }

    fn token(&self, claims: &str) -> String {
        format!("Bearer {}", self.keys.sign(claims.as_bytes()).unwrap())
    }
}

fn client(by: &Authority, name: &str, groups: &[&str]) -> Identity {
    by.issue(&Name::new(name, groups), &Names::default(), Usage::Client, NOW, 1000).unwrap()
}

/// Claims of a good token with `more` in `kubernetes.io`.
fn claims(more: &str) -> String {
    format!(
        r#"{{"aud":["https://kubernetes.default.svc"],"exp":{},"iat":{NOW},"iss":"https://kubernetes.default.svc","jti":"j","kubernetes.io":{{"namespace":"a","serviceaccount":{{"name":"robot","uid":"1"}}{more}}},"nbf":{NOW},"sub":"system:serviceaccount:a:robot"}}"#,
        NOW + 600
    )
}

#[test]
fn certificates() {
    let w = world(Anonymous::Everywhere);
    let jane = client(&w.cluster, "jane", &["dev"]);
    let known = r#"{"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256"]},"groups":["dev","system:authenticated"],"username":"jane"}"#;
    w.check(&[], Some(&jane), known);
    // A good certificate wins over a bad token, and the other way round.
    w.check(&[("authorization", "Bearer no")], Some(&jane), known);
    let foreign =
        client(&Authority::create("x", PrivateKey::generate().unwrap(), NOW, 9999).unwrap(), "jane", &[]);
    assert!(w.ask(&[], Some(&foreign)).0.starts_with("401 verifying certificate failed"));
    assert!(w.ask(&[("authorization", &w.token(&claims("")))], Some(&foreign)).0.contains("robot"));
    let nameless = client(&w.cluster, "", &["dev"]);
    assert!(w.ask(&[], Some(&nameless)).0.starts_with("401 "));
}

#[test]
fn anonymous_is_for_those_who_show_nothing() {
    let anonymous = r#"{"groups":["system:unauthenticated"],"username":"system:anonymous"}"#;
    let w = world(Anonymous::Everywhere);
    w.check(&[], None, anonymous);
    w.check(&[("authorization", "Basic YTpi")], None, anonymous);
    w.check(&[("authorization", "Bearer ")], None, anonymous);
    w.check(&[("authorization", "Bearer nope")], None, "401 invalid bearer token");
    w.check(&[("authorization", "bEARER nope more")], None, "401 invalid bearer token");
    w.check(&[("authorization", "Bearer \u{e9}")], None, "401 invalid bearer token");
    world(Anonymous::Nowhere).check(&[], None, "401 no credentials");
    world(Anonymous::Paths(vec!["/healthz".into()])).check(&[], None, "401 no credentials");
    world(Anonymous::Paths(vec!["/api".into()])).check(&[], None, anonymous);
}

#[test]
fn front_proxies_name_users() {
    let w = world(Anonymous::Everywhere);
    let headers = [
        ("X-Remote-User", "zoe"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-Some%2fKey", "1"),
        ("X-Remote-Extra-bad%zz", "2"),
        ("Other", "stays"),
    ];
    let zoe = r#"{"extra":{"bad%zz":["2"],"some/key":["1"]},"groups":["a","b","system:authenticated"],"uid":"7","username":"zoe"}"#;
    let proxy = client(&w.proxy, "front-proxy-client", &[]);
    let (text, left) = w.ask(&headers, Some(&proxy));
    assert_eq!(text, zoe);
    assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["other"]);
    // Nobody else's word counts.
    let jane = client(&w.cluster, "jane", &[]);
    let (text, left) = w.ask(&headers, Some(&jane));
    assert!(text.contains(r#""username":"jane""#) && left.len() == 1);
    let other = client(&w.proxy, "other", &[]);
    assert!(
        w.ask(&headers, Some(&other)).0.contains("x509: subject with cn=other is not in the allowed list")
    );
    assert!(w.ask(&headers, None).0.contains("system:anonymous"));
    // A proxy without a user is a client with a foreign certificate.
    assert!(w.ask(&[], Some(&proxy)).0.starts_with("401 verifying"));
}

#[test]
fn service_account_tokens() {
    let w = world(Anonymous::Everywhere);
    let check = |claims: &str, want: &str| w.check(&[("authorization", &w.token(claims))], None, want);
    check(
        &claims(""),
        r#"{"extra":{"authentication.kubernetes.io/credential-id":["JTI"]},"groups":["system:serviceaccounts","system:serviceaccounts:a","system:authenticated"],"uid":"1","username":"system:serviceaccount:a:robot"}"#,
    );
    check(
        &claims(r#","pod":{"name":"p","uid":"2"},"node":{"name":"n","uid":"9"},"warnafter":5"#),
        r#"{"extra":{"authentication.kubernetes.io/credential-id":["JTI"],"authentication.kubernetes.io/node-name":["n"],"authentication.kubernetes.io/node-uid":["9"],"authentication.kubernetes.io/pod-name":["p"],"authentication.kubernetes.io/pod-uid":["2"]},"groups":["system:serviceaccounts","system:serviceaccounts:a","system:authenticated"],"uid":"1","username":"system:serviceaccount:a:robot"}"#,
    );
    let gone = "401 service account token has been invalidated";
    check(&claims(r#","pod":{"name":"q","uid":"2"}"#), gone);
    check(&claims(r#","pod":{"name":"dying","uid":"3"}"#), gone);
    check(&claims(r#","node":{"name":"n","uid":"2"}"#), gone);
    check(&claims(r#","secret":{"name":"s","uid":"2"}"#), gone);
    check(
        &claims(r#","pod":{"name":"p","uid":"4"}"#),
        "401 pod UID (2) does not match service account pod ref claim (4)",
    );
    let with = |from: &str, to: &str| claims("").replace(from, to);
    check(&with(r#""uid":"1""#, r#""uid":"5""#), "401 service account UID (1) does not match claim (5)");
    check(
        &with(&format!("\"exp\":{}", NOW + 600), &format!("\"exp\":{}", NOW - 61)),
        "401 service account token has expired",
    );
    check(
        &with(&format!("\"nbf\":{NOW}"), &format!("\"nbf\":{}", NOW + 61)),
        "401 service account token is not valid yet",
    );
    check(
        &with(&format!("\"iat\":{NOW}"), &format!("\"iat\":{}", NOW + 61)),
        "401 service account token is issued in the future",
    );
    check(
        &with(r#"["https://kubernetes.default.svc"]"#, r#""vault""#),
        r#"401 token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc"]"#,
    );
    check(&with(r#""iss":"https"#, r#""iss":"http"#), "401 invalid bearer token");
    check(&with(r#"{"name":"robot","uid":"1"}"#, "3"), "401 go-jose/go-jose/jwt: invalid claims");
    let other = ServiceAccountKeys::new(PrivateKey::generate().unwrap(), Vec::new());
    let forged = format!("Bearer {}", other.sign(claims("").as_bytes()).unwrap());
    w.check(&[("authorization", &forged)], None, "401 invalid signature, no keys found");
    // The token goes no further.
    assert!(w.ask(&[("authorization", &w.token(&claims("")))], None).1.is_empty());
}

#[test]
fn tokens_in_websocket_protocols() {
    use base64::Engine;
    let w = world(Anonymous::Everywhere);
    let token = w.keys.sign(claims("").as_bytes()).unwrap();
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token);
    let protocol = format!("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}");
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let ask = |protocol: &str| {
        let mut headers = upgrade.to_vec();
        headers.push(("sec-websocket-protocol", protocol));
        w.ask(&headers, None)
    };
    let (text, left) = ask(&protocol);
    assert!(text.contains("robot"), "{text}");
    assert_eq!(left["sec-websocket-protocol"], "v4.channel.k8s.io");
    let alone = protocol.split(' ').next_back().unwrap();
    assert_eq!(ask(alone).0, "401 missing additional subprotocol");
    assert_eq!(
        ask(&format!("{alone},{alone}")).0,
        "401 multiple base64.bearer.authorization tokens specified"
    );
    assert_eq!(
        ask("x,base64url.bearer.authorization.k8s.io.%").0,
        "401 invalid base64.bearer.authorization token encoding"
    );
    assert!(w.ask(&[("sec-websocket-protocol", &protocol)], None).0.contains("anonymous"));
}

#[test]
fn bootstrap_tokens() {
    use base64::Engine;
    let mut w = world(Anonymous::Everywhere);
    let secret = |edit: &[(&str, &str)]| {
        let mut data = vec![
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:kubeadm:z,system:bootstrappers:a"),
        ];
        for (key, value) in edit {
            data.retain(|(k, _)| k != key);
            data.push((key, value));
        }
        let mut tree = value::json::parse(br#"{"metadata":{"namespace":"kube-system","name":"bootstrap-token-abcdef"},"type":"bootstrap.kubernetes.io/token","data":{}}"#).unwrap();
        for (key, value) in data {
            let encoded = base64::engine::general_purpose::STANDARD.encode(value);
            tree.get_mut("data").unwrap().set(key, encoded);
        }
        tree
    };
    let good = r#"{"groups":["system:bootstrappers","system:bootstrappers:a","system:bootstrappers:kubeadm:z","system:authenticated"],"username":"system:bootstrap:abcdef"}"#;
    let bad = "401 invalid bearer token";
    for (token, edit, want) in [
        ("abcdef.0123456789abcdee", &[][..], bad),
        ("abcdef.0123456789abcdef", &[("expiration", "2000-01-01T00:00:00Z")], bad),
        ("abcdef.0123456789abcdef", &[("expiration", "soon")], bad),
        ("abcdef.0123456789abcdef", &[("usage-bootstrap-authentication", "false")], bad),
        ("abcdef.0123456789abcdef", &[("auth-extra-groups", "system:masters")], bad),
        ("abcdef.0123456789abcdef", &[("token-id", "abcdeg")], bad),
        ("Abcdef.0123456789abcdef", &[], bad),
        ("abcdef.0123456789abcdef", &[("expiration", "2100-01-01T00:00:00Z")], good),
    ] {
        w.objects.put_tree("secrets", secret(edit));
        w.check(&[("authorization", &format!("Bearer {token}"))], None, want);
    }
}

#[test]
fn verdicts_are_renewed_when_trust_changes() {
    let w = world(Anonymous::Nowhere);
    let jane = client(&w.cluster, "jane", &[]);
    let peer = Peer::new(&[jane.certificate.der().clone()]).unwrap();
    let ask = |now| w.authenticator.authenticate(&mut HeaderMap::new(), "/", Some(&peer), &(), now).is_ok();
    assert!(ask(NOW) && ask(NOW + 999) && !ask(NOW + 1011));
    assert!(ask(NOW));
    let config = Config {
        client_authorities: ClientAuthorities::default(),
        front_proxy: None,
        service_account_keys: w.keys.clone(),
        issuers: Vec::new(),
        audiences: Vec::new(),
        bootstrap_tokens: false,
        anonymous: Anonymous::Nowhere,
    };
    w.authenticator.replace(config);
    assert!(!ask(NOW));
}

/// Bytes that mean nothing, in all places that take bytes from outside.
#[test]
fn noise_is_no_user() {
    let w = world(Anonymous::Nowhere);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as u8
        };
        (0..len).map(|_| next()).collect()
    };
    for len in 0..300 {
        let bytes = noise(len);
        crate::fuzz::token(&bytes);
        crate::fuzz::headers(&bytes);
        let peer = Peer::new(&[rustls_pki_types::CertificateDer::from(bytes)]).unwrap();
        assert!(w.authenticator.authenticate(&mut HeaderMap::new(), "/", Some(&peer), &(), NOW).is_err());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(ServiceAccountToken::from_payload(deep.as_bytes()), None);
}
