//! Tokens that are issued are accepted, until what they are bound to is gone.

use super::*;
use crate::authenticate::{Anonymous, Config};
use crate::lookup::Objects;
use pki::{ClientAuthorities, PrivateKey};
use std::sync::Arc;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://kubernetes.default.svc";

fn objects() -> Objects {
    let mut objects = Objects::default();
    objects.put("serviceaccounts", r#"{"metadata":{"namespace":"a","name":"robot","uid":"1"}}"#);
    objects.put("pods", r#"{"metadata":{"namespace":"a","name":"p","uid":"2"},"spec":{"serviceAccountName":"robot","nodeName":"n"}}"#);
    objects.put(
        "pods",
        r#"{"metadata":{"namespace":"a","name":"other","uid":"3"},"spec":{"serviceAccountName":"default"}}"#,
    );
    objects.put("nodes", r#"{"metadata":{"name":"n","uid":"9"}}"#);
    objects.put("secrets", r#"{"metadata":{"namespace":"a","name":"s","uid":"4"}}"#);
    objects
}

fn issue(keys: &ServiceAccountKeys, request: &str) -> Result<Issued, Status> {
    let audiences = [ISSUER.to_owned()];
    let issuer = Issuer {
        keys,
        name: ISSUER,
        audiences: &audiences,
        max_expiration_seconds: Some(100_000),
        extend_expiration: true,
    };
    let request = value::json::parse(request.as_bytes()).unwrap();
    issuer.issue("a", "robot", request, &objects(), NOW, &mut |_| Ok(()))
}

/// The claims of the token that a request gets, without the random id; or the refusal.
fn check(request: &str, want: &str) {
    let keys = ServiceAccountKeys::new(PrivateKey::generate().unwrap(), Vec::new());
    let got = match issue(&keys, request) {
        Ok(issued) => {
            let token = issued.object.path(&["status", "token"]).str().to_owned();
            let payload = keys.verify(&token).unwrap();
            let mut claims = value::json::parse(&payload).unwrap();
            assert_eq!(issued.credential_id, format!("JTI={}", claims.remove("jti").unwrap().str()));
            let until = issued.object.path(&["status", "expirationTimestamp"]).str().to_owned();
            format!("{} {until} {}", value::json::to_string(&claims), issued.warnings.join(";"))
        }
        Err(status) => format!("{} {}", status.code, status.message),
    };
    assert_eq!(got.trim_end(), want);
}

#[test]
fn requests() {
    check(
        r#"{"spec":{"expirationSeconds":3600}}"#,
        r#"{"aud":["https://kubernetes.default.svc"],"exp":1800003600,"iat":1800000000,"iss":"https://kubernetes.default.svc","kubernetes.io":{"namespace":"a","serviceaccount":{"name":"robot","uid":"1"}},"nbf":1800000000,"sub":"system:serviceaccount:a:robot"} 2027-01-15T09:00:00Z"#,
    );
    check(
        r#"{"spec":{"expirationSeconds":3607,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p","uid":"2"}}}"#,
        r#"{"aud":["https://kubernetes.default.svc"],"exp":1831536000,"iat":1800000000,"iss":"https://kubernetes.default.svc","kubernetes.io":{"namespace":"a","node":{"name":"n","uid":"9"},"pod":{"name":"p","uid":"2"},"serviceaccount":{"name":"robot","uid":"1"},"warnafter":1800003607},"nbf":1800000000,"sub":"system:serviceaccount:a:robot"} 2027-01-15T09:00:07Z"#,
    );
    check(
        r#"{"spec":{"expirationSeconds":200000,"audiences":["vault"],"boundObjectRef":{"kind":"Secret","apiVersion":"v1","name":"s"}}}"#,
        r#"{"aud":["vault"],"exp":1800100000,"iat":1800000000,"iss":"https://kubernetes.default.svc","kubernetes.io":{"namespace":"a","secret":{"name":"s","uid":"4"},"serviceaccount":{"name":"robot","uid":"1"}},"nbf":1800000000,"sub":"system:serviceaccount:a:robot"} 2027-01-16T11:46:40Z requested expiration of 200000 seconds shortened to 100000 seconds"#,
    );
    for (spec, want) in [
        (
            r#""expirationSeconds":599"#,
            r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"#,
        ),
        (
            r#""expirationSeconds":4294967297"#,
            r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"#,
        ),
        (
            r#""expirationSeconds":3600,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"q"}"#,
            r#"404 pods "q" not found"#,
        ),
        (
            r#""expirationSeconds":3600,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"other"}"#,
            r#"400 cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name."#,
        ),
        (
            r#""expirationSeconds":3600,"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"p","uid":"8"}"#,
            r#"409 Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (8) does not match the UID in record. The object might have been deleted and then recreated"#,
        ),
        (
            r#""expirationSeconds":3600,"boundObjectRef":{"kind":"Job","apiVersion":"batch/v1","name":"p"}"#,
            "400 cannot bind token to object of type batch/v1, Kind=Job",
        ),
    ] {
        check(&format!(r#"{{"spec":{{{spec}}}}}"#), want);
    }
    check(
        r#"{"metadata":{"name":"x"},"spec":{"expirationSeconds":3600}}"#,
        r#"422 TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified"#,
    );
    check(
        r#"{"metadata":{"uid":"x"},"spec":{"expirationSeconds":3600}}"#,
        r#"409 Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request (x) does not match the UID of the service account (1)"#,
    );
}

#[test]
fn reviews() {
    let keys = Arc::new(ServiceAccountKeys::new(PrivateKey::generate().unwrap(), Vec::new()));
    let authenticator = Authenticator::new(Config {
        client_authorities: ClientAuthorities::default(),
        front_proxy: None,
        service_account_keys: keys.clone(),
        issuers: vec![ISSUER.into()],
        audiences: vec![ISSUER.into()],
        bootstrap_tokens: true,
        anonymous: Anonymous::Everywhere,
    })
    .unwrap();
    let issued = issue(&keys, r#"{"spec":{"expirationSeconds":3600,"audiences":["vault","x"]}}"#).unwrap();
    let token = issued.object.path(&["status", "token"]).str();
    let check = |token: &str, audiences: &[&str], want: &str| {
        let mut spec = Value::object();
        spec.set("token", token);
        spec.set("audiences", audiences.to_vec());
        let mut status = review(&authenticator, &spec, &objects(), NOW).unwrap();
        if let Some(user) = status.get_mut("user") {
            user.remove("extra");
        }
        assert_eq!(value::json::to_string(&status), want);
    };
    check(
        token,
        &["y", "vault"],
        r#"{"audiences":["vault"],"authenticated":true,"user":{"groups":["system:serviceaccounts","system:serviceaccounts:a","system:authenticated"],"uid":"1","username":"system:serviceaccount:a:robot"}}"#,
    );
    check(
        token,
        &[],
        r#"{"error":"[invalid bearer token, token audiences [\"vault\" \"x\"] is invalid for the target audiences [\"https://kubernetes.default.svc\"]]","user":{}}"#,
    );
    check("nope", &[], r#"{"error":"invalid bearer token","user":{}}"#);
    assert_eq!(review(&authenticator, &Value::object(), &(), NOW).unwrap_err().code, 400);
}
