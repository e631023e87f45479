//! What is looked at in requests, certificates and keys. Answers measured on kube-apiserver 1.36.2.

use crate::server::{Server, pki};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, header};
use pki::{CertificateRequest, Name, Names, PrivateKey};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

#[tokio::test]
async fn requests_and_certificates_are_read() {
    let server = Server::start(apiserver::api::Options::default()).await;
    let create = async |request: &str| {
        let body = format!(
            r#"{{"metadata":{{"generateName":"a"}},"spec":{{"request":"{}","signerName":"example.com/x","usages":["client auth"]}}}}"#,
            STANDARD.encode(request)
        );
        server.call(Method::POST, REQUESTS, &body).await
    };
    let key = PrivateKey::generate().unwrap();
    let good = CertificateRequest::create(&Name::new("a", &[]), &Names::default(), &key).unwrap();
    let (code, made) = create(&good).await;
    assert_eq!(code, 201, "{made:?}");
    let (code, refused) = create(&pem("CERTIFICATE REQUEST", b"\x30\x00")).await;
    assert_eq!(code, 422);
    let message = refused.at("message").str();
    assert!(message.ends_with(": asn1: syntax error: sequence truncated"), "{message}");

    let mut signed = made;
    signed.set("status", value::json::parse(br#"{"certificate":""}"#).unwrap());
    let path = format!("{REQUESTS}/{}/status", signed.at("metadata").at("name").str());
    for (certificate, code) in
        [(pem("CERTIFICATE", b"\x30\x00"), 422), (pki().authority().certificate().to_pem(), 200)]
    {
        signed.object_at("status").unwrap().set("certificate", STANDARD.encode(certificate));
        let body = value::json::to_string(&signed);
        let (answered, answer) = server.call(Method::PUT, &path, &body).await;
        assert_eq!(answered, code, "{answer:?}");
        if code == 422 {
            let message = answer.at("message").str();
            assert!(message.ends_with(": x509: malformed tbs certificate"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_warned_of() {
    let server = Server::start(apiserver::api::Options::default()).await;
    let namespace = r#"{"metadata":{"name":"default"}}"#;
    server.call(Method::POST, "/api/v1/namespaces", namespace).await;
    let certificate = STANDARD.encode(pki().authority().certificate().to_pem());
    let other = PrivateKey::generate().unwrap();
    let own = pki().authority().key().unwrap();
    for (key, warning) in
        [(own, None), (&other, Some("299 - \"tls: private key does not match public key\""))]
    {
        let body = format!(
            r#"{{"metadata":{{"generateName":"a"}},"type":"kubernetes.io/tls","data":{{"tls.crt":"{certificate}","tls.key":"{}"}}}}"#,
            STANDARD.encode(key.to_pem().expose())
        );
        let admin = ["admin", "system:masters"];
        let secrets = "/api/v1/namespaces/default/secrets";
        let (code, headers, body) = server.call_as(&admin, Method::POST, secrets, &body).await;
        assert_eq!(code, 201, "{body:?}");
        assert_eq!(headers.get(header::WARNING).map(|warning| warning.to_str().unwrap()), warning);
    }
}
