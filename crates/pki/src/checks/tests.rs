#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Authority, CertificateRequest, Name, Names, PrivateKey, der};
use rustls_pki_types::pem::{PemObject, SectionKind};

fn der_of(pem: &str) -> Vec<u8> {
    <(SectionKind, Vec<u8>) as PemObject>::from_pem_slice(pem.as_bytes()).unwrap().1
}

fn request_of(key: &PrivateKey) -> Vec<u8> {
    der_of(&CertificateRequest::create(&Name::new("a", &["b"]), &Names::default(), key).unwrap())
}

fn private(key: &PrivateKey) -> Vec<u8> {
    der_of(key.to_pem().expose_str())
}

fn certificate_of(key: &PrivateKey) -> Vec<u8> {
    let key = PrivateKey::from_pem(key.to_pem().expose_str()).unwrap();
    der_of(&Authority::create("a", key, 1_800_000_000, 86_400).unwrap().certificate().to_pem())
}

/// A request of an Ed25519 key.
fn ed25519_request() -> (Ed25519KeyPair, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let algorithm = der::sequence(&[der::oid(oid::ED25519)]);
    let spki = der::sequence(&[algorithm.clone(), der::bits(pair.public_key().as_ref())]);
    let info =
        der::sequence(&[der::integer(&[0]), Name::new("a", &[]).to_der(), spki, der::explicit(0, &[])]);
    let signature = der::bits(pair.sign(&info).as_ref());
    (pair, der::sequence(&[info, algorithm, signature]))
}

fn changed(mut der: Vec<u8>) -> Vec<u8> {
    let at = der.len() - 5;
    der[at] ^= 1;
    der
}

/// Answers of kube-apiserver 1.36.2 to such requests.
#[test]
fn requests() {
    let (ecdsa, rsa) = (PrivateKey::generate().unwrap(), PrivateKey::generate_rsa().unwrap());
    let (_, ed25519) = ed25519_request();
    let whole = request_of(&ecdsa);
    for good in [&whole, &request_of(&rsa), &ed25519] {
        assert_eq!(request(good), Ok(()));
    }
    let tags = |expected, header: &str, name| {
        format!(
            "asn1: structure error: tags don't match ({expected} vs {header}) {{optional:false explicit:false \
             application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false \
             omitEmpty:false}} {name} @2"
        )
    };
    let trailing = [&whole[..], b"xx"].concat();
    for (bad, told) in [
        (&b"garbage"[..], &*tags(16, "{class:1 tag:7 length:97 isCompound:true}", "certificateRequest")),
        (b"", "asn1: syntax error: sequence truncated"),
        (&whole[..whole.len() - 10], "asn1: syntax error: data truncated"),
        (&trailing, "asn1: syntax error: trailing data"),
        (&changed(whole.clone()), "x509: ECDSA verification failure"),
        (&changed(request_of(&rsa)), "crypto/rsa: verification error"),
        (&changed(ed25519), "x509: Ed25519 verification failure"),
        (&certificate_of(&ecdsa), &tags(2, "{class:2 tag:0 length:3 isCompound:true}", "int")),
        (b"\x02\x01\x00", &tags(16, "{class:0 tag:2 length:1 isCompound:false}", "certificateRequest")),
        (b"\x30\x00", "asn1: syntax error: sequence truncated"),
        (b"\x30\x03\x30\x01\x00", "asn1: syntax error: truncated tag or length"),
        (b"\x30\x80", "asn1: syntax error: indefinite length found (not DER)"),
        (b"\x30\x81\x01", "asn1: structure error: non-minimal length"),
        (b"\x30\x82\x00\x01", "asn1: structure error: superfluous leading zeros in length"),
        (b"\x30\x85\xff\xff\xff\xff\xff", "asn1: structure error: length too large"),
        (b"\x3f\x01\x00", "asn1: syntax error: non-minimal tag"),
    ] {
        assert_eq!(request(bad).unwrap_err(), told, "{bad:x?}");
    }
}

#[test]
fn certificates() {
    let key = PrivateKey::generate().unwrap();
    let whole = certificate_of(&key);
    assert_eq!(certificate(&whole), Ok(()));
    assert_eq!(certificate(&[&whole[..], &whole].concat()), Ok(()));
    for (bad, told) in [
        (&b"garbage"[..], "x509: malformed certificate"),
        (&whole[..whole.len() - 3], "x509: malformed certificate"),
        (&[&whole[..], b"x"].concat(), "x509: malformed certificate"),
        (b"\x30\x00", "x509: malformed tbs certificate"),
        (&request_of(&key), "x509: inner and outer signature algorithm identifiers don't match"),
    ] {
        assert_eq!(certificate(bad).unwrap_err(), told, "{bad:x?}");
    }
}

#[test]
fn certificates_and_keys() {
    let (ecdsa, rsa) = (PrivateKey::generate().unwrap(), PrivateKey::generate_rsa().unwrap());
    let (ed25519, _) = ed25519_request();
    let ed25519 = ed25519.to_pkcs8v1().unwrap().as_ref().to_vec();
    let (of_ecdsa, of_rsa) = (certificate_of(&ecdsa), certificate_of(&rsa));
    let other = "tls: private key does not match public key";
    let kind = "tls: private key type does not match public key type";
    let unread = "tls: failed to parse private key";
    for (certificate, key, told) in [
        (&of_ecdsa[..], &private(&ecdsa)[..], Ok(())),
        (&of_ecdsa, ecdsa.to_tls().secret_der(), Ok(())),
        (&of_rsa, &private(&rsa), Ok(())),
        // PKCS #1 is what is within PKCS #8.
        (&of_rsa, pkcs8(&private(&rsa)).unwrap().1, Ok(())),
        (&of_ecdsa, &private(&PrivateKey::generate().unwrap()), Err(other)),
        (&of_rsa, &private(&PrivateKey::generate_rsa().unwrap()), Err(other)),
        (&of_rsa, &private(&ecdsa), Err(kind)),
        (&of_ecdsa, &private(&rsa), Err(kind)),
        (&of_ecdsa, &ed25519, Err(kind)),
        (&of_ecdsa, b"garbage", Err(unread)),
        (&of_ecdsa, b"\x30\x00", Err(unread)),
        (b"garbage", &private(&rsa), Err("x509: malformed certificate")),
        (b"\x30\x00", &private(&rsa), Err("x509: malformed tbs certificate")),
        (&[&of_rsa[..], b"x"].concat(), &private(&rsa), Err("x509: trailing data")),
    ] {
        assert_eq!(key_pair(certificate, key), told.map_err(str::to_owned), "{certificate:x?} {key:x?}");
    }
}

/// No bytes are too odd.
#[test]
fn every_beginning_and_every_change() {
    let key = PrivateKey::generate().unwrap();
    let (request_der, certificate_der, key_der) = (request_of(&key), certificate_of(&key), private(&key));
    for whole in [request_der, certificate_der, key_der] {
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x81;
            for der in [&whole[..at], &changed] {
                let _ = (request(der), certificate(der), key_pair(der, &whole), key_pair(&whole, der));
            }
        }
    }
}
