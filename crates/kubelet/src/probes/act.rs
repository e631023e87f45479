//! One probe of one container.
//!
//! Upstream counterparts: `pkg/kubelet/prober/prober.go`, `pkg/probe`.

use std::time::Duration;

use api::core::v1::{Container, EnvVar, Probe};
use bytes::Bytes;
use jiff::SignedDuration;
use prost::Message;
use tokio::time::Instant;
use tonic::Code;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::context::Context;
use crate::env::{self, Variables};
use crate::http;
use crate::text::{go_duration, host_port};

/// Between tries to connect for gRPC: its clients' first pause.
const GRPC_RETRY: Duration = Duration::from_secs(1);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// Good, but there is something to tell.
    Warning(String),
    Failure(String),
    /// It could not be done.
    Error(String),
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SERVING` of the gRPC health protocol.
const SERVING: i32 = 1;

/// Probes once.
pub(super) async fn act(
    context: &Context,
    probe: &Probe,
    container: &Container,
    id: &str,
    pod_ip: &str,
) -> Outcome {
    let limit = Duration::from_secs(u64::try_from(probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1));
    if let Some(exec) = &probe.exec {
        // Only what stands in the specification is known here, as upstream.
        let own = |var: &EnvVar| (var.name.clone(), Bytes::from(var.value.clone().unwrap_or_default()));
        let variables: Variables = container.env.iter().flatten().map(own).collect();
        let words = exec.command.iter().flatten().map(|word| env::expand_text(word, &variables));
        return run(context, id, words.collect(), limit).await;
    }
    if let Some(action) = &probe.http_get {
        return match http::get(action, container, pod_ip, "probe", limit).await {
            Ok(answer) if answer.status.is_success() => Outcome::Success,
            Ok(answer) if answer.status.is_redirection() => {
                let body = String::from_utf8_lossy(&answer.body);
                Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
            }
            Ok(answer) => {
                Outcome::Failure(format!("HTTP probe failed with statuscode: {}", answer.status.as_u16()))
            }
            Err(error) => Outcome::Failure(error),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let port = match http::port(&action.port, container) {
            Ok(port) => port,
            Err(error) => return Outcome::Error(error),
        };
        let place = host_port(host, port);
        return match tokio::time::timeout(limit, http::dial(host, port)).await {
            Ok(Ok(_)) => Outcome::Success,
            Ok(Err(error)) => Outcome::Failure(error),
            Err(_) => Outcome::Failure(format!("dial tcp {place}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).unwrap_or(0);
        let service = action.service.clone().unwrap_or_default();
        let place = host_port(pod_ip, port);
        return health(&place, service, limit).await;
    }
    Outcome::Error("missing probe handler".into())
}

async fn run(context: &Context, id: &str, command: Vec<String>, limit: Duration) -> Outcome {
    // The runtime ends the command at the limit; ours is only for a runtime that does not answer.
    let shown = command.join(" ");
    match context.runtime.exec_sync(id, command, limit).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Success,
        Ok(answer) => {
            let output = [answer.stdout, answer.stderr].concat();
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.code == Code::DeadlineExceeded => {
            let limit = go_duration(SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX));
            Outcome::Failure(format!("command timed out: {shown:?} timed out after {limit}"))
        }
        Err(error) => Outcome::Error(error.to_string()),
    }
}

async fn health(place: &str, service: String, limit: Duration) -> Outcome {
    let end = Instant::now() + limit;
    let shown = go_duration(SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX));
    let endpoint = Endpoint::from_shared(format!("http://{place}"))
        .and_then(|endpoint| endpoint.user_agent("kube-probe/1.36"));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => return Outcome::Error(error.to_string()),
    };
    // Upstream's client tries until the limit, whatever the error.
    let connected = async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(_) => tokio::time::sleep(GRPC_RETRY).await,
            }
        }
    };
    let Ok(channel) = tokio::time::timeout_at(end, connected).await else {
        let text = format!("timeout: failed to connect service \"{place}\" within {shown}");
        return Outcome::Failure(format!("{text}: context deadline exceeded"));
    };
    let answer = async {
        let mut grpc = Grpc::new(channel);
        let not_ready = |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
        grpc.ready().await.map_err(not_ready)?;
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        grpc.unary(tonic::Request::new(HealthCheckRequest { service }), path, codec).await
    };
    let late = || Outcome::Failure(format!("timeout: health rpc did not complete within {shown}"));
    let Ok(answer) = tokio::time::timeout_at(end, answer).await else { return late() };
    match answer.map(|answer| answer.into_inner().status) {
        Ok(SERVING) => Outcome::Success,
        Ok(other) => {
            let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
            let name = usize::try_from(other).ok().and_then(|place| names.get(place));
            let name = name.map_or_else(|| other.to_string(), |name| (*name).to_owned());
            Outcome::Failure(format!("service unhealthy (responded with \"{name}\")"))
        }
        Err(status) => match status.code() {
            Code::DeadlineExceeded => late(),
            Code::Unimplemented => {
                let lacks = "this server does not implement the grpc health protocol (grpc.health.v1.Health)";
                Outcome::Failure(format!("error: {lacks}: {}", status.message()))
            }
            code => {
                let text = format!("rpc error: code = {code:?} desc = {}", status.message());
                Outcome::Failure(format!("error: health rpc probe failed: {text}"))
            }
        },
    }
}
