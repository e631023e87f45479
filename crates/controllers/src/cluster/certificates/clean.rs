//! Deletes requests that have been dealt with, or never will be.

use super::{Requests, conditions, has_certificate};
use crate::context::{Context, Tasks};
use api::Object;
use api::certificates::v1::CertificateSigningRequest;
use api::meta::v1::{DeleteOptions, Time};
use jiff::{SignedDuration, Timestamp};
use pki::Certificate;
use std::time::Duration;

/// How often requests are looked through, as upstream.
const INTERVAL: Duration = Duration::from_hours(1);
/// How long a request is kept after it was approved and signed, denied, or failed.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// How long it is kept while nobody decides, or signs.
const PENDING: SignedDuration = SignedDuration::from_hours(24);

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let client = context.client("certificate-controller");
    let requests: Requests = context.informers.get();
    let clock = context.clock.clone();
    let mut stop = context.stop.clone();
    tasks.spawn(async move {
        let cleaning = async {
            requests.synced().await;
            loop {
                for request in requests.list() {
                    if !is_over(&request, clock.now()) {
                        continue;
                    }
                    let options = DeleteOptions::default();
                    let name = request.name();
                    match client.delete::<CertificateSigningRequest>("", name, &options).await {
                        Err(error) if !error.is_not_found() => {
                            tracing::warn!(request = name, %error, "cannot delete an old certificate request");
                        }
                        _ => {}
                    }
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            () = cleaning => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
}

fn is_over(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let older =
        |time: Option<&Time>, than: SignedDuration| time.is_some_and(|t| now.duration_since(t.0) > than);
    let issued = has_certificate(request);
    let decided = conditions(request).iter().any(|condition| {
        let updated = condition.last_update_time.as_ref();
        match condition.type_.as_str() {
            "Approved" if issued => older(updated, DECIDED) || has_expired(request, now),
            "Approved" => older(updated, PENDING),
            "Denied" | "Failed" => older(updated, DECIDED),
            _ => false,
        }
    });
    let created = request.metadata.creation_timestamp.as_ref();
    decided || (conditions(request).is_empty() && older(created, PENDING))
}

fn has_expired(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    let text = certificate.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
    let all = text.and_then(|text| Certificate::all_from_pem(text).ok()).unwrap_or_default();
    all.first().is_some_and(|certificate| certificate.not_after < now.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;
    use serde_json::json;

    #[test]
    fn old_requests_go() {
        let hours = |h: i64| at(h * 3600 + 1);
        for (kind, certificate, hour, over) in [
            ("", "", 23, false),
            ("", "", 24, true),
            ("Approved", "", 2, false),
            ("Approved", "", 24, true),
            ("Approved", "eA==", 0, false),
            ("Approved", "eA==", 1, true),
            ("Denied", "", 1, true),
            ("Failed", "", 0, false),
            ("Failed", "", 1, true),
        ] {
            let conditions = if kind.is_empty() {
                json!([])
            } else {
                json!([{"type": kind, "status": "True", "lastUpdateTime": "1970-01-01T00:00:00Z"}])
            };
            let request: CertificateSigningRequest = serde_json::from_value(json!({
                "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
                "spec": {"request": "", "signerName": "x"},
                "status": {"conditions": conditions, "certificate": certificate},
            }))
            .expect("a request");
            assert_eq!(is_over(&request, hours(hour)), over, "{kind} {certificate} {hour}");
        }
    }
}
