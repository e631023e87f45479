//! The whole of it, with OpenSSL-independent checks: what is issued must verify.

use super::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const NOW: i64 = 1_800_000_000;

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corten-pki-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn first_start_makes_all_and_the_second_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let first = Pki::open(&folder.0, Config::default(), NOW).unwrap();
    let conf = first.kubeconfig(&Client::Admin, "https://127.0.0.1:6443", NOW).unwrap();
    let text = std::fs::read_to_string(&conf).unwrap();
    for file in ["ca", "front-proxy-ca", "etcd/ca"].into_iter().chain(Leaf::ALL.map(Leaf::file)) {
        for suffix in ["crt", "key"] {
            let mode =
                std::fs::metadata(first.path(&format!("{file}.{suffix}"))).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}.{suffix}");
        }
    }
    let second = Pki::open(&folder.0, Config::default(), NOW + 1000).unwrap();
    for leaf in Leaf::ALL {
        assert_eq!(first.leaf(leaf).certificate, second.leaf(leaf).certificate);
    }
    assert_eq!(first.authority().certificate(), second.authority().certificate());
    assert_eq!(first.service_account_keys().jwks(), second.service_account_keys().jwks());
    second.kubeconfig(&Client::Admin, "https://127.0.0.1:6443", NOW + 1000).unwrap();
    assert_eq!(std::fs::read_to_string(&conf).unwrap(), text);
    // A new address and old age lead to new leaves of the same authority.
    let config = Config { addresses: vec!["192.0.2.7".parse().unwrap()], ..Config::default() };
    let third = Pki::open(&folder.0, config, NOW + 2000).unwrap();
    assert_ne!(first.leaf(Leaf::ApiServer).certificate, third.leaf(Leaf::ApiServer).certificate);
    assert_eq!(
        first.leaf(Leaf::ApiServerKubeletClient).certificate,
        third.leaf(Leaf::ApiServerKubeletClient).certificate
    );
}

#[test]
fn kubeconfigs_are_renewed_before_they_lapse() {
    let folder = Folder::new();
    let pki = Pki::open(&folder.0, Config::default(), NOW).unwrap();
    let server = "https://192.0.2.7:6443";
    let files = [Client::Kubelet("n"), Client::KubeProxy].map(|c| pki.kubeconfig(&c, server, NOW).unwrap());
    let foreign = folder.0.join(Client::Admin.file());
    std::fs::write(&foreign, "server: https://elsewhere\nuser:\n  token: t\n").unwrap();
    assert_eq!(pki.renew_kubeconfigs(NOW + LEAF_SECONDS / 2).unwrap(), Vec::<std::path::PathBuf>::new());
    let later = NOW + LEAF_SECONDS / 100 * 85;
    let old = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(pki.renew_kubeconfigs(later).unwrap(), files);
    assert_ne!(std::fs::read_to_string(&files[0]).unwrap(), old);
    // What serves is not made anew: it is for the same name and server, and young.
    let new = std::fs::read_to_string(&files[0]).unwrap();
    pki.kubeconfig(&Client::Kubelet("n"), server, later + 1).unwrap();
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), new);
    assert_eq!(pki.renew_kubeconfigs(later + 1).unwrap(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_crash_between_key_and_certificate_is_healed() {
    let folder = Folder::new();
    let first = Pki::open(&folder.0, Config::default(), NOW).unwrap();
    write_private(&first.path("apiserver.key"), PrivateKey::generate().unwrap().to_pem().expose()).unwrap();
    std::fs::remove_file(first.path("ca.crt")).unwrap();
    let second = Pki::open(&folder.0, Config::default(), NOW).unwrap();
    assert_eq!(second.authority().certificate().spki(), first.authority().certificate().spki());
    let authorities = ClientAuthorities::new(&[second.authority().certificate()]).unwrap();
    let admin = second.issue_client(&Client::Admin, NOW).unwrap();
    authorities.verify(&[admin.certificate.der().clone()], NOW).unwrap();
}

#[test]
fn an_authority_without_key_is_enough_while_all_leaves_are_there() {
    let folder = Folder::new();
    let first = Pki::open(&folder.0, Config::default(), NOW).unwrap();
    std::fs::remove_file(first.path("ca.key")).unwrap();
    Pki::open(&folder.0, Config::default(), NOW + 10 * LEAF_SECONDS - 1000).map(|_| ()).unwrap();
    std::fs::remove_file(first.path("apiserver.crt")).unwrap();
    let error = Pki::open(&folder.0, Config::default(), NOW).unwrap_err().to_string();
    assert!(error.contains("ca.key is missing: cannot issue apiserver"), "{error}");
}

#[test]
fn client_chains_are_judged() {
    let authority = |name| Authority::create(name, PrivateKey::generate().unwrap(), NOW, 1000).unwrap();
    let (ours, theirs) = (authority("kubernetes"), authority("kubernetes"));
    let judge = ClientAuthorities::new(&[ours.certificate()]).unwrap();
    let name = Name::new("jane", &["dev", "ops", "käse"]);
    let issue =
        |by: &Authority, usage| by.issue(&name, &Names::default(), usage, NOW, 500).unwrap().certificate;
    let good = issue(&ours, Usage::Client);
    let read = judge.verify(&[good.der().clone()], NOW).unwrap();
    assert_eq!(read.subject.common_name, "jane");
    let mut groups = read.subject.organizations.clone();
    groups.sort();
    assert_eq!(groups, ["dev", "käse", "ops"]);
    assert!(judge.verify(&[good.der().clone()], NOW + 501).is_err());
    assert!(judge.verify(&[issue(&theirs, Usage::Client).der().clone()], NOW).is_err());
    assert!(judge.verify(&[issue(&ours, Usage::Server).der().clone()], NOW).is_err());
    assert!(judge.verify(&[], NOW).is_err());
    for cut in 0..good.der().len() {
        let bytes = rustls::pki_types::CertificateDer::from(good.der()[..cut].to_vec());
        assert!(judge.verify(&[bytes], NOW).is_err());
    }
}

#[test]
fn tokens_of_old_and_new_keys_verify() {
    let rsa = PrivateKey::generate_rsa().unwrap();
    let old = ServiceAccountKeys::from_pem(rsa.to_pem().expose_str(), &rsa.public().to_pem()).unwrap();
    let new = ServiceAccountKeys::new(PrivateKey::generate().unwrap(), vec![rsa.public().clone()]);
    let payload = br#"{"iss":"x"}"#;
    for token in [old.sign(payload).unwrap(), new.sign(payload).unwrap()] {
        assert_eq!(new.verify(&token).unwrap(), payload);
        let (head, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = signature.as_bytes().to_vec();
        bytes[3] = if bytes[3] == b'A' { b'B' } else { b'A' };
        let forged = format!("{head}.{}", String::from_utf8(bytes).unwrap());
        assert_eq!(new.verify(&forged), Err(JwtError::Signature));
    }
    assert_eq!(old.verify(&new.sign(payload).unwrap()), Err(JwtError::NoKey));
    for hostile in ["", ".", "..", "...", "a.b.c", "e30.e30.", &".".repeat(TOKEN_BYTES_MAX + 1), "🦀.e30.e30"]
    {
        assert!(new.verify(hostile).is_err());
    }
    // "none" and key confusion: the key decides on the algorithm.
    let none = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(new.verify(none), Err(JwtError::Signature));
    let deep = format!(
        "{}.e30.",
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, "[".repeat(20_000))
    );
    assert_eq!(new.verify(&deep), Err(JwtError::NotAJwt));
    let config = String::from_utf8(
        new.openid_configuration("https://kubernetes.default.svc", "https://h:6443/openid/v1/jwks"),
    )
    .unwrap();
    assert_eq!(
        config,
        r#"{"issuer":"https://kubernetes.default.svc","jwks_uri":"https://h:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","RS256"]}"#
    );
    let jwks: serde_json::Value = serde_json::from_slice(&new.jwks()).unwrap();
    let members: Vec<_> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(members, ["use kty kid crv alg x y", "use kty kid alg n e"]);
    assert_eq!(jwks["keys"][1]["e"], "AQAB");
}

/// `CN=system:node:n1, O=system:nodes` and the like, signed by its own key.
fn request(subject: &Name, names: &Names) -> CertificateRequest {
    let key = PrivateKey::generate().unwrap();
    CertificateRequest::from_der(&request_der(&key, subject, names)).unwrap()
}

fn request_der(key: &PrivateKey, subject: &Name, names: &Names) -> Vec<u8> {
    let extension = der::sequence(&[der::oid(oid::SUBJECT_ALT_NAME), der::octets(&names.to_der())]);
    let attribute = der::sequence(&[
        der::oid(&[1, 2, 840, 113_549, 1, 9, 14]),
        der::set_of(vec![der::sequence(&[extension])]),
    ]);
    let attributes = if names.is_empty() { Vec::new() } else { attribute };
    let info = der::sequence(&[
        der::integer(&[0]),
        subject.to_der(),
        key.public().spki().to_vec(),
        der::explicit(0, &attributes),
    ]);
    let signature = key.sign_x509(&info).unwrap();
    der::sequence(&[info, key.public().algorithm().identifier(), der::bits(&signature)])
}

#[test]
fn signers_keep_their_rules() {
    let node = Name::new("system:node:n1", &["system:nodes"]);
    let dns = Names { dns: vec!["n1".into()], ips: vec!["192.0.2.1".parse().unwrap()], ..Names::default() };
    let mail = Names { emails: vec!["a@b".into()], ..dns.clone() };
    let none = Names::default();
    let client = &["digital signature", "client auth"][..];
    let server = &["key encipherment", "digital signature", "server auth"][..];
    let (k, s, c) = (Signer::KubeApiserverClientKubelet, Signer::KubeletServing, Signer::KubeApiserverClient);
    let table: &[(Signer, &Name, &Names, &[&str], &str)] = &[
        (k, &node, &none, client, ""),
        (k, &node, &dns, client, "DNS subjectAltNames are not allowed"),
        (k, &node, &none, server, "usages did not match [client auth digital signature key encipherment]"),
        (k, &Name::new("system:node:n1", &[]), &none, client, "subject organization is not system:nodes"),
        (
            k,
            &Name::new("n1", &["system:nodes"]),
            &none,
            client,
            "subject common name does not begin with system:node:",
        ),
        (s, &node, &dns, server, ""),
        (s, &node, &none, server, "DNS or IP subjectAltName is required"),
        (s, &node, &mail, server, "Email subjectAltNames are not allowed"),
        (s, &node, &dns, client, "usages did not match [digital signature key encipherment server auth]"),
        (c, &Name::new("jane", &["a", "b"]), &none, client, ""),
        (
            c,
            &node,
            &none,
            &["digital signature"],
            "missing required usage for client certificate: client auth",
        ),
        (c, &node, &none, server, "invalid usage for client certificate: server auth"),
        (Signer::LegacyUnknown, &node, &mail, &["code signing"], ""),
    ];
    let authority =
        Authority::create("kubernetes", PrivateKey::generate().unwrap(), NOW, AUTHORITY_SECONDS).unwrap();
    for (signer, subject, names, usages, want) in table {
        let asked = request(subject, names);
        let got = signer.check(&asked, usages).err().unwrap_or_default();
        assert_eq!(&got, want);
        if got.is_empty() {
            let cert = signer.sign(&authority, &asked, usages, 3600, NOW).unwrap();
            assert_eq!((&cert.subject, &cert.names), (*subject, *names));
            assert_eq!((cert.not_before, cert.not_after), (NOW - 300, NOW + 3600));
        }
    }
    assert_eq!(
        [lifetime(None, 900), lifetime(Some(60), 900), lifetime(Some(700), 900), lifetime(Some(9000), 900)],
        [900, 600, 700, 900]
    );
}

#[test]
fn requests_must_be_signed_and_damage_is_an_error() {
    let key = PrivateKey::generate().unwrap();
    let good =
        request_der(&key, &Name::new("a", &["g"]), &Names { uris: vec!["x:y".into()], ..Names::default() });
    assert!(CertificateRequest::from_der(&good).unwrap().proves_possession());
    // The algorithm's own bytes (12, before at most 74 of signature) are not signed.
    for at in 0..good.len() - 86 {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        if let Ok(request) = CertificateRequest::from_der(&bad) {
            assert!(!request.proves_possession(), "byte {at}");
        }
        assert!(CertificateRequest::from_der(&good[..at]).is_err());
    }
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert!(!CertificateRequest::from_der(&bad).is_ok_and(|r| r.proves_possession()));
    assert!(
        CertificateRequest::from_pem(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
            .is_err()
    );
    assert!(CertificateRequest::from_pem(key::pem("CERTIFICATE REQUEST", &good).as_bytes()).is_ok());
}

#[test]
fn renewal_is_planned_at_four_fifths() {
    let held =
        |what, validity, names_match, issuer_matches| Held { what, validity, names_match, issuer_matches };
    let all = [
        held("none", None, true, true),
        held("fresh", Some((0, 1000)), true, true),
        held("old", Some((0, 500)), true, true),
        held("names", Some((0, 1000)), false, true),
        held("issuer", Some((0, 1000)), false, false),
    ];
    let (issue, next) = plan(400, &all);
    assert_eq!(
        issue,
        [
            ("none", Reason::Missing),
            ("old", Reason::Age),
            ("names", Reason::Names),
            ("issuer", Reason::Issuer)
        ]
    );
    assert_eq!(next, Some(800));
    assert_eq!(plan(i64::MAX, &all[1..2]).0, [("fresh", Reason::Age)]);
}

#[test]
fn secrets_do_not_print() {
    let key = PrivateKey::generate().unwrap();
    assert_eq!(format!("{:?}", Secret::new("abc")), "Secret(3 bytes)");
    assert!(format!("{key:?}").starts_with("PrivateKey(ES256, id "));
    assert!(Secret::new("abc").equals(b"abc") && !Secret::new("abc").equals(b"abd"));
}

#[test]
fn times_cross_2050() {
    assert_eq!(der::time(0)[2..], *b"700101000000Z");
    assert_eq!(der::time(2_524_608_000)[2..], *b"20500101000000Z");
}

/// A handshake in memory; gives back the server's connection, or what went wrong.
fn handshake(
    server: &std::sync::Arc<rustls::ServerConfig>,
    client: rustls::ClientConfig,
    name: &'static str,
) -> Result<rustls::ServerConnection, String> {
    let name = rustls::pki_types::ServerName::try_from(name).unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(server.clone()).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|e| e.to_string())?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|e| e.to_string())?;
    }
    Ok(server)
}

#[test]
fn connections_carry_any_certificate_and_see_a_new_one() {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let authority = |key| Authority::create("kubernetes", key, now, 100_000).unwrap();
    let (ours, theirs) =
        (authority(PrivateKey::generate().unwrap()), authority(PrivateKey::generate_rsa().unwrap()));
    let names = Names { dns: vec!["kubernetes".into()], ..Names::default() };
    let serve = |by: &Authority| by.issue(&Name::new("s", &[]), &names, Usage::Server, now, 5000).unwrap();
    let hot = HotCertificate::new(&serve(&ours)).unwrap();
    let server = std::sync::Arc::new(
        server_config(hot.clone(), AnyClientCertificate::new(&[ours.certificate()])).unwrap(),
    );
    let jane = |by: &Authority| {
        by.issue(&Name::new("jane", &[]), &Names::default(), Usage::Client, now, 5000).unwrap()
    };
    let trust = [ours.certificate()];
    let judge = ClientAuthorities::new(&trust).unwrap();
    for (identity, shown, trusted) in
        [(Some(jane(&ours)), true, true), (Some(jane(&theirs)), true, false), (None, false, false)]
    {
        let client = client_config(&trust, identity.as_ref()).unwrap();
        let connection = handshake(&server, client, "kubernetes").unwrap();
        let chain = connection.peer_certificates().unwrap_or_default();
        assert_eq!((!chain.is_empty(), judge.verify(chain, now).is_ok()), (shown, trusted));
        assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
    }
    assert!(handshake(&server, client_config(&trust, None).unwrap(), "other").is_err());
    hot.replace(&serve(&theirs)).unwrap();
    assert!(handshake(&server, client_config(&trust, None).unwrap(), "kubernetes").is_err());
    let both = [ours.certificate(), theirs.certificate()];
    assert!(handshake(&server, client_config(&both, None).unwrap(), "kubernetes").is_ok());
}

/// As `openssl x509 -req` makes it: of version 1.
fn plain(by: &Authority, of: &str, (from, until): (i64, i64)) -> Identity {
    let (key, issuer) = (PrivateKey::generate().unwrap(), by.key().unwrap());
    let algorithm = issuer.public().algorithm().identifier();
    let to_be_signed = der::sequence(&[
        der::integer(&[7]),
        algorithm.clone(),
        by.certificate().subject_der().to_vec(),
        der::sequence(&[der::time(from), der::time(until)]),
        Name::new(of, &[]).to_der(),
        key.public().spki().to_vec(),
    ]);
    let signature = issuer.sign_x509(&to_be_signed).unwrap();
    let certificate = der::sequence(&[to_be_signed, algorithm, der::bits(&signature)]);
    Identity { certificate: Certificate::from_der(&certificate).unwrap(), key }
}

#[test]
fn clients_may_show_certificates_of_version_1() {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let authority = |key| Authority::create("kubernetes", key, now, 100_000).unwrap();
    let (ours, theirs) =
        (authority(PrivateKey::generate_rsa().unwrap()), authority(PrivateKey::generate().unwrap()));
    let names = Names { dns: vec!["kubernetes".into()], ..Names::default() };
    let served = ours.issue(&Name::new("s", &[]), &names, Usage::Server, now, 5000).unwrap();
    let judge = ClientAuthorities::new(&[ours.certificate()]).unwrap();
    let jane = plain(&ours, "jane", (now, now + 10));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(AnyClientCertificate::new(&[]))
            .with_cert_resolver(HotCertificate::new(&served).unwrap());
        let server = std::sync::Arc::new(server);
        let show = |identity: &Identity| client_config(&[ours.certificate()], Some(identity)).unwrap();
        let connection = handshake(&server, show(&jane), "kubernetes").unwrap();
        let shown = connection.peer_certificates().unwrap();
        assert_eq!(judge.verify(shown, now).unwrap().subject.common_name, "jane");
        // Who has another key is not she.
        let thief = Identity { certificate: jane.certificate.clone(), key: PrivateKey::generate().unwrap() };
        assert!(handshake(&server, show(&thief), "kubernetes").is_err());
    }
    let verdict = |identity: &Identity| {
        judge.verify(&[identity.certificate.der().clone()], now).map_err(|error| error.to_string())
    };
    let refused = |why: &str| Err(format!("verifying certificate failed: {why}"));
    let other = |by: &Authority, times| verdict(&plain(by, "jane", times)).map(|_| ());
    assert_eq!(other(&theirs, (now, now + 10)), refused("UnknownIssuer"));
    assert_eq!(other(&ours, (now - 10, now - 1)), refused("CertExpired"));
    assert_eq!(other(&ours, (now + 5, now + 10)), refused("CertNotValidYet"));
}

#[test]
fn usages_decide_who_may_be_a_client() {
    let authority = Authority::create("x", PrivateKey::generate().unwrap(), NOW, 1000).unwrap();
    let judge = ClientAuthorities::new(&[authority.certificate()]).unwrap();
    let key = PrivateKey::generate().unwrap();
    for (extended, good) in [
        (&[][..], true),
        (&[oid::CLIENT_AUTH], true),
        (&[oid::SERVER_AUTH, oid::CLIENT_AUTH], true),
        (&[oid::ANY_USAGE], true),
        (&[oid::SERVER_AUTH], false),
    ] {
        let leaf = LeafRequest {
            subject: &Name::new("jane", &[]),
            names: &Names::default(),
            extended,
            key_usage: 0,
            spki: key.public().spki(),
            not_before: NOW,
            not_after: NOW + 10,
        };
        let certificate = authority.sign(&leaf).unwrap();
        assert_eq!(judge.verify(&[certificate.der().clone()], NOW).is_ok(), good);
    }
}

/// Some clients tell the kind of a key by the first line of its PEM.
#[test]
fn the_pem_of_a_key_says_its_kind() {
    for (key, first) in [
        (PrivateKey::generate().unwrap(), "-----BEGIN EC PRIVATE KEY-----\n"),
        (PrivateKey::generate_rsa().unwrap(), "-----BEGIN PRIVATE KEY-----\n"),
    ] {
        let pem = key.to_pem();
        assert!(pem.expose_str().starts_with(first));
        assert_eq!(PrivateKey::from_pem(pem.expose_str()).unwrap().public(), key.public());
        let pkcs8 = crate::key::pem("PRIVATE KEY", key.to_tls().secret_der());
        assert_eq!(PrivateKey::from_pem(&pkcs8).unwrap().public(), key.public());
    }
}
