//! The health of controllers or scheduler that run without an API server in their process, where upstream's programs
//! tell theirs: probes and `kubectl get componentstatuses` ask there.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/healthz`, the secure serving of `cmd/kube-controller-manager` and
//! `cmd/kube-scheduler`. Only this machine is answered: nobody needs to be known for it.

use crate::cli::{Part, ServerArgs};
use crate::up::port;
use anyhow::{Context, Result, bail};
use apiserver::body::RequestBody;
use apiserver::listen::{Answer, Connection, Handler, Lanes, serve};
use apiserver::reply::Reply;
use http::{Method, Request};
use lifecycle::doctor::taken_port;
use pki::{AnyClientCertificate, Authority, HotCertificate, Name, Names, PrivateKey, Usage};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long the certificate is good, which is made anew with each start and believed by nobody: as upstream's.
const LIFETIME_SECONDS: i64 = 365 * 24 * 3_600;

/// Where the part listens; `None` for one that does not.
///
/// # Errors
/// A port is given for a process that has the API server, which tells their health itself.
fn address(args: &ServerArgs) -> Result<Option<SocketAddr>> {
    let usual = match (args.only, args.secure_port) {
        (Some(Part::Controllers), _) => 10_257,
        (Some(Part::Scheduler), _) => 10_259,
        (_, None) => return Ok(None),
        (_, Some(_)) => bail!("--secure-port is for --only controllers and --only scheduler"),
    };
    let port = args.secure_port.unwrap_or(usual);
    Ok((port != 0).then_some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

/// Tells that the process runs, until `stop` is true.
///
/// # Errors
/// It cannot listen.
pub(super) async fn start(args: &ServerArgs, lanes: Lanes, stop: watch::Receiver<bool>) -> Result<()> {
    let Some(address) = address(args)? else { return Ok(()) };
    let listener = TcpListener::bind(address).await.with_context(|| {
        let taken = taken_port(&port(address.ip(), address.port(), "health", "--secure-port"));
        let why = taken.map(|taken| format!(": {taken}")).unwrap_or_default();
        format!("cannot listen on {address}{why}")
    })?;
    let tls = pki::server_config(certificate()?, AnyClientCertificate::new(&[]))?;
    tokio::spawn(serve(listener, Arc::new(tls), Arc::new(Health), lanes, stop));
    Ok(())
}

fn certificate() -> Result<Arc<HotCertificate>> {
    let now = jiff::Timestamp::now().as_second();
    let authority = Authority::create("localhost-ca", PrivateKey::generate()?, now, LIFETIME_SECONDS)?;
    let names = Names {
        dns: vec!["localhost".into()],
        ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ..Names::default()
    };
    let own = authority.issue(&Name::new("localhost", &[]), &names, Usage::Server, now, LIFETIME_SECONDS)?;
    Ok(HotCertificate::new(&own)?)
}

struct Health;

impl Handler for Health {
    fn handle(self: Arc<Self>, _: Arc<Connection>, request: Request<RequestBody>) -> Answer {
        let reply = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz" | "/livez" | "/readyz") => Reply::text_only(200, "ok"),
            _ => Reply::no_such_path(),
        };
        Box::pin(async move { reply.into_response(&[]) })
    }
}
