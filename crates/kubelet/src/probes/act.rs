//! One probe of one container.
//!
//! Upstream counterparts: `pkg/kubelet/prober/prober.go`, `pkg/probe`.

use std::time::Duration;

use api::core::v1::{Container, Probe};
use prost::Message;
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::context::Context;
use crate::http;
use crate::text::host_port;

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
        return run(context, id, exec.command.clone().unwrap_or_default(), limit).await;
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
        return match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => Outcome::Success,
            Ok(Err(error)) => Outcome::Failure(format!("dial tcp {place}: {error}")),
            Err(_) => Outcome::Failure(format!("dial tcp {place}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).unwrap_or(0);
        let service = action.service.clone().unwrap_or_default();
        let place = host_port(pod_ip, port);
        return match tokio::time::timeout(limit, health(&place, service)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome::Failure(format!("timeout: failed to connect service \"{place}\" within {limit:?}"))
            }
        };
    }
    Outcome::Error("missing probe handler".into())
}

async fn run(context: &Context, id: &str, command: Vec<String>, limit: Duration) -> Outcome {
    // The runtime ends the command at the limit; ours is only for a runtime that does not answer.
    match context.runtime.exec_sync(id, command, limit).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Success,
        Ok(answer) => {
            let output = [answer.stdout, answer.stderr].concat();
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(error) if error.code == tonic::Code::DeadlineExceeded => {
            Outcome::Failure(format!("command timed out: {error}"))
        }
        Err(error) => Outcome::Error(error.to_string()),
    }
}

async fn health(place: &str, service: String) -> Outcome {
    let answer = async {
        let channel = Endpoint::from_shared(format!("http://{place}"))
            .map_err(|error| error.to_string())?
            .user_agent("kube-probe/1.36")
            .map_err(|error| error.to_string())?
            .connect()
            .await
            .map_err(|error| format!("failed to connect service \"{place}\": {error}"))?;
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| error.to_string())?;
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        let request = tonic::Request::new(HealthCheckRequest { service });
        let answer = grpc.unary(request, path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| match status.code() {
            tonic::Code::Unimplemented => {
                format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}", status.message())
            }
            _ => format!("error: health rpc probe failed: {status}"),
        })
    };
    match answer.await {
        Ok(answer) if answer.status == SERVING => Outcome::Success,
        Ok(answer) => {
            let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
            let name =
                usize::try_from(answer.status).ok().and_then(|status| name.get(status)).unwrap_or(&"UNKNOWN");
            Outcome::Failure(format!("service unhealthy (responded with \"{name}\")"))
        }
        Err(error) => Outcome::Failure(error),
    }
}
