//! One HTTPS request to a conversion webhook, on a connection of its own.

use crate::api::Api;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use meta::gvk::GroupResource;
use meta::status::Status;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use value::Value;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

struct Place {
    /// Where to connect.
    address: String,
    /// Whose certificate is expected.
    host: String,
    authority: String,
    path: String,
}

fn place(api: &Api, config: &Value) -> Result<Place, String> {
    let service = config.at("service");
    if service.is_null() {
        let uri: Uri = config.at("url").str().parse().map_err(|e| format!("Unparsable URL: {e}"))?;
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(443);
        return Ok(Place {
            address: format!("{host}:{port}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: uri.path().to_owned(),
        });
    }
    let (namespace, name) = (service.at("namespace").str(), service.at("name").str());
    let port = service.at("port").as_i64().unwrap_or(443);
    let hub = api.hub("", "services").ok_or("services are not served")?;
    let entry = hub.cache.get(&hub.cache_key(namespace, name));
    let found = entry.map(|e| hub.tree(&e)).ok_or_else(|| format!("service \"{name}\" not found"))?;
    let spec = found.at("spec");
    let address = match spec.at("type").str() {
        "ExternalName" => spec.at("externalName").str(),
        _ => spec.at("clusterIP").str(),
    };
    if matches!(address, "" | "None") {
        return Err(format!("no service address found for service \"{name}\""));
    }
    let address =
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let host = format!("{name}.{namespace}.svc");
    let path = match service.at("path").str() {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    Ok(Place { address, authority: format!("{host}:{port}"), host, path })
}

/// Sends a body and reads the answer's.
///
/// # Errors
/// Why there is none.
pub(super) async fn post(api: &Api, config: &Value, body: &[u8]) -> Result<Vec<u8>, String> {
    let place = place(api, config)?;
    let url = format!("https://{}{}", place.authority, place.path);
    let failed = |why: String| format!("Post \"{url}?timeout=30s\": {why}");
    let pem = BASE64_STANDARD.decode(config.at("caBundle").str()).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerName::try_from(place.host.clone()).map_err(|e| failed(e.to_string()))?;
    let tcp = TcpStream::connect(&place.address).await;
    let tcp = tcp.map_err(|e| failed(format!("dial tcp {}: {e}", place.address)))?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(server, tcp).await;
    let mut stream = stream.map_err(|e| failed(format!("tls: failed to verify certificate: {e}")))?;
    let head = format!(
        "POST {}?timeout=30s HTTP/1.1\r\nHost: {}\r\nUser-Agent: kube-apiserver\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        place.path,
        place.authority,
        body.len()
    );
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        stream.flush().await
    };
    sent.await.map_err(|e| failed(e.to_string()))?;
    let mut answer = Vec::new();
    let read = (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    // Many servers end the connection without saying so first; the length tells whether all has come.
    if let Err(error) = read
        && answer.is_empty()
    {
        return Err(failed(error.to_string()));
    }
    let (code, body) = parse(&answer).map_err(failed)?;
    if (200..300).contains(&code) {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body);
    let nothing = GroupResource::new("", "");
    Err(Status::generic_server_response(code.into(), "POST", &nothing, "", text.trim(), 0).message)
}

/// The code and the body of an HTTP/1 answer.
pub(super) fn parse(answer: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("malformed HTTP response")?;
    let (head, rest) = answer.split_at(end);
    let body = rest.get(4..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let code: u16 =
        lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|c| c.parse().ok()).unwrap_or_default();
    let mut length = None;
    let mut chunked = false;
    for line in lines {
        let (name, text) = line.split_once(':').unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = text.trim().parse::<usize>().ok(),
            "transfer-encoding" => chunked = text.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let body = match length {
        _ if chunked => join(body).ok_or("unexpected EOF")?,
        Some(length) => body.get(..length).ok_or("unexpected EOF")?.to_vec(),
        None => body.to_vec(),
    };
    Ok((code, body))
}

/// Chunks put together.
fn join(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(body.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let rest = body.get(end + 2..)?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(rest.get(..size)?);
        body = rest.get(size.checked_add(2)?..)?;
    }
}
