#![allow(clippy::unwrap_used)]

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const KEY: &str = "/registry/secrets/default/s";

fn file(resources: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n{resources}")
}

fn rule(names: &str, providers: &[&str]) -> String {
    let mut text = format!("- resources: [{names}]\n  providers:\n");
    for provider in providers {
        text.push_str(&format!("  - {provider}\n"));
    }
    text
}

fn keys(provider: &str, keys: &[(&str, u8, usize)]) -> String {
    let keys = keys
        .iter()
        .map(|(name, byte, n)| format!("{{name: {name}, secret: {}}}", STANDARD.encode(vec![*byte; *n])));
    format!("{provider}: {{keys: [{}]}}", keys.collect::<Vec<_>>().join(", "))
}

fn chain(providers: &[&str]) -> Arc<Chain> {
    config::parse(file(&rule("secrets", providers)).as_bytes()).unwrap().chain("", "secrets")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_provider_reads_what_it_writes() {
    let plain = Bytes::from_static(b"k8s\0 an object of some length, and then some");
    let table = [
        (keys("secretbox", &[("a", 1, 32)]), "k8s:enc:secretbox:v1:a:"),
        (keys("aesgcm", &[("b", 2, 16)]), "k8s:enc:aesgcm:v1:b:"),
        (keys("aesgcm", &[("b", 2, 24)]), "k8s:enc:aesgcm:v1:b:"),
        (keys("aesgcm", &[("b", 2, 32)]), "k8s:enc:aesgcm:v1:b:"),
        (keys("aescbc", &[("c", 3, 16)]), "k8s:enc:aescbc:v1:c:"),
        (keys("aescbc", &[("c", 3, 24)]), "k8s:enc:aescbc:v1:c:"),
        (keys("aescbc", &[("c", 3, 32)]), "k8s:enc:aescbc:v1:c:"),
    ];
    for (provider, prefix) in table {
        let chain = chain(&[&provider]);
        for plain in [plain.clone(), Bytes::new(), Bytes::from_static(&[7; 16])] {
            let sealed = chain.seal(KEY, plain.clone()).unwrap();
            assert!(sealed.starts_with(prefix.as_bytes()), "{provider}");
            assert_ne!(sealed, chain.seal(KEY, plain.clone()).unwrap(), "a nonce is used once");
            assert_eq!(chain.open(KEY, &sealed), Ok(Opened::plain(plain.clone())), "{provider}");
            let moved = chain.open("/registry/secrets/default/other", &sealed);
            assert_eq!(moved.is_err(), provider.starts_with("aesgcm"), "{provider}");
            for cut in 0..sealed.len() {
                let _ = chain.open(KEY, &sealed.slice(..cut));
            }
            let mut bent = sealed.to_vec();
            *bent.last_mut().unwrap() ^= 1;
            assert!(chain.open(KEY, &bent.into()).is_err() || provider.starts_with("aescbc"), "{provider}");
        }
    }
}

/// The vector of NaCl's own test (`tests/secretbox.c`), which Go's `secretbox` is built to.
#[test]
fn secretbox_is_nacl() {
    let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
    let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
    let sealed = hex(concat!(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a",
        "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae",
        "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74",
        "e355a5"
    ));
    let provider = format!("secretbox: {{keys: [{{name: k, secret: {}}}]}}", STANDARD.encode(key));
    let mut stored = b"k8s:enc:secretbox:v1:k:".to_vec();
    stored.extend(nonce);
    stored.extend(sealed);
    let opened = chain(&[&provider]).open(KEY, &stored.into()).unwrap();
    assert_eq!(opened.plain.len(), 131);
    assert_eq!(opened.plain[..8], hex("be075fc53c81f2d5"));
}

#[test]
fn the_first_key_writes_and_others_are_stale() {
    let plain = Bytes::from_static(b"{}");
    let a = keys("secretbox", &[("a", 1, 32)]);
    let ba = keys("secretbox", &[("b", 2, 32), ("a", 1, 32)]);
    let of_a = chain(&[&a]).seal(KEY, plain.clone()).unwrap();
    let check = |providers: &[&str], stored: &Bytes, want: Result<bool, &str>| {
        let got = chain(providers).open(KEY, stored).map(|o| o.stale);
        assert_eq!(got.as_ref().map_err(String::as_str), want.as_ref().map_err(|e| *e), "{providers:?}");
    };
    let lost = "no matching key was found for the provided Secretbox transformer: the value was written with secretbox key \"a\"";
    let b = keys("secretbox", &[("b", 2, 32)]);
    let false_a = keys("secretbox", &[("a", 9, 32)]);
    check(&[&a], &of_a, Ok(false));
    check(&[&ba], &of_a, Ok(true));
    check(&[&b, &a], &of_a, Ok(true));
    check(&["identity: {}", &a], &of_a, Ok(true));
    check(&[&false_a, &a], &of_a, Ok(true));
    check(&[&b], &of_a, Err(lost));
    check(
        &[&false_a],
        &of_a,
        Err("the value does not belong to this key: the value was written with secretbox key \"a\""),
    );
    check(
        &[&keys("aescbc", &[("a", 1, 32)])],
        &of_a,
        Err("no matching prefix found: the value was written with secretbox key \"a\""),
    );
    check(&[&a, "identity: {}"], &plain, Ok(true));
    check(&["identity: {}"], &plain, Ok(false));
    check(
        &[&a],
        &plain,
        Err(
            "no matching prefix found: the value is not encrypted, and the providers do not include identity",
        ),
    );
    let none = Chain::default().open(KEY, &of_a).unwrap_err();
    assert!(none.starts_with("identity transformer tried to read encrypted data"), "{none}");
}

#[test]
fn resources_find_their_rule() {
    let (a, b, c) = (
        keys("secretbox", &[("a", 1, 32)]),
        keys("secretbox", &[("b", 1, 32)]),
        keys("aescbc", &[("c", 1, 32)]),
    );
    let text =
        file(&[rule("secrets, configmaps", &[&a]), rule("'*.apps'", &[&b]), rule("'*.*'", &[&c])].concat());
    let rules = config::parse(text.as_bytes()).unwrap();
    let table = [
        (("", "secrets"), "k8s:enc:secretbox:v1:a:"),
        (("", "configmaps"), "k8s:enc:secretbox:v1:a:"),
        (("apps", "deployments"), "k8s:enc:secretbox:v1:b:"),
        (("apps", "secrets"), "k8s:enc:secretbox:v1:b:"),
        (("", "pods"), "k8s:enc:aescbc:v1:c:"),
        (("example.org", "things"), "k8s:enc:aescbc:v1:c:"),
    ];
    for ((group, resource), prefix) in table {
        let sealed = rules.chain(group, resource).seal(KEY, Bytes::from_static(b"{}")).unwrap();
        assert!(sealed.starts_with(prefix.as_bytes()), "{resource}.{group}");
    }
}

#[test]
fn bad_files_are_refused() {
    let good = keys("secretbox", &[("a", 1, 32)]);
    let one = |names: &str, provider: &str| file(&rule(names, &[provider]));
    let table = [
        ("kind: Pod\napiVersion: v1\n".to_owned(), "no kind \"Pod\" is registered for version \"v1\""),
        (file("  []\n"), "resources: Required value: at least one resources is required"),
        (file("- resources: [secrets]\n  provider: []\n"), "unknown field \"resources[0].provider\""),
        (one("secrets", "secretbx: {}"), "unknown field \"resources[0].providers[0].secretbx\""),
        (one("secrets", "{}"), "provider does not contain any of the expected providers"),
        (one("secrets", &format!("{{identity: {{}}, {good}}}")), "more than one provider specified"),
        (one("secrets", "secretbox: {keys: []}"), "at least one keys is required"),
        (
            one("secrets", "secretbox: {keys: [{secret: aaaa}]}"),
            "resources[0].providers[0].secretbox.keys[0].name: Required value: name is a mandatory field for a key",
        ),
        (one("secrets", "aescbc: {keys: [{name: a, secret: '?'}]}"), "secrets must be base64 encoded"),
        (
            one("secrets", &keys("aesgcm", &[("a", 1, 17)])),
            "secret is not of the expected length, got 17, expected one of [16 24 32]",
        ),
        (one("Secrets", &good), "resource name should not contain capital letters"),
        (one("'*'", &good), "use '*.' to encrypt all the resources from core API group"),
        (one("events.events.k8s.io", &good), "Use 'events' instead in the config file"),
        (one("'*.apps', deployments.apps", &good), "overlapping resources"),
        (one("secrets, secrets", &good), "cannot be specified multiple times"),
        (
            file(&[rule("'*.'", &[&good]), rule("secrets", &[&good])].concat()),
            "resource \"secrets\" is masked by earlier rule \"*.\"",
        ),
        (one("secrets", "kms: {name: x}"), "KMS plugins are not supported"),
    ];
    for (text, want) in table {
        let error = config::parse(text.as_bytes()).unwrap_err();
        assert!(error.contains(want), "{error}\nfor\n{text}");
        assert!(!error.contains(&STANDARD.encode([1; 17])), "a key stands in {error}");
    }
}

#[test]
fn own_keys_come_back_from_paper() {
    let dir = tempfile::tempdir().unwrap();
    let (first, shown) = Encryption::own(dir.path()).unwrap();
    let shown = shown.unwrap().to_string();
    assert_eq!(shown.len(), 8 * 7 + 7, "{shown}");
    let sealed = first.transform("", "secrets").seal(KEY, Bytes::from_static(b"{}")).unwrap();
    let (again, none) = Encryption::own(dir.path()).unwrap();
    assert!(none.is_none());
    assert_eq!(again.transform("", "secrets").open(KEY, &sealed).unwrap().plain, "{}");
    let plain = again.transform("", "configmaps").seal(KEY, Bytes::from_static(b"{}")).unwrap();
    assert_eq!(plain, "{}");

    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = Encryption::own(elsewhere.path()).unwrap();
    assert!(other.transform("", "secrets").open(KEY, &sealed).is_err());
    restore(elsewhere.path(), &shown.to_uppercase().replace('-', " ")).unwrap();
    assert!(other.reload().unwrap());
    let restored = Encryption::from_file(&own::path(elsewhere.path())).unwrap();
    assert_eq!(restored.transform("", "secrets").open(KEY, &sealed), Ok(Opened::plain("{}".into())));
    let slip = if shown.starts_with('a') { shown.replacen('a', "b", 1) } else { format!("a{}", &shown[1..]) };
    for bad in [slip.as_str(), "", "hello", "1111111", &shown[1..]] {
        assert!(matches!(restore(elsewhere.path(), bad), Err(Error::RecoveryKey(_))), "{bad}");
    }
}

#[test]
fn a_changed_file_counts_and_a_broken_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let (a, b) = (keys("secretbox", &[("a", 1, 32)]), keys("aesgcm", &[("b", 2, 32)]));
    std::fs::write(&path, file(&rule("secrets", &[&a]))).unwrap();
    let encryption = Encryption::from_file(&path).unwrap();
    let transform = encryption.transform("", "secrets");
    let of_a = transform.seal(KEY, Bytes::from_static(b"{}")).unwrap();
    assert!(!encryption.reload().unwrap());
    std::fs::write(&path, "resources: [").unwrap();
    assert!(encryption.reload().is_err());
    assert_eq!(transform.open(KEY, &of_a).map(|o| o.stale), Ok(false));
    std::fs::write(&path, file(&rule("secrets", &[&b, &a]))).unwrap();
    assert!(encryption.reload().unwrap());
    assert_eq!(transform.open(KEY, &of_a).map(|o| o.stale), Ok(true));
    let of_b = transform.seal(KEY, Bytes::from_static(b"{}")).unwrap();
    assert!(of_b.starts_with(b"k8s:enc:aesgcm:v1:b:"));
    let none = Encryption::none();
    assert!(!none.reload().unwrap());
    assert!(Encryption::from_file(&dir.path().join("absent")).is_err());
}
