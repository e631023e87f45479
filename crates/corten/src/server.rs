//! `corten server`: the control plane in this process.

use crate::cli::ServerArgs;
use anyhow::{Context, Result};
use apiserver::access::Access;
use apiserver::api::{Api, Config};
use auth::{Anonymous, Authenticator, FrontProxy};
use pki::{AnyClientCertificate, ClientAuthorities, HotCertificate, Leaf, Pki, ServiceAccountKeys};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use store::EmbeddedStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Runs until a signal.
pub(crate) async fn run(args: &ServerArgs) -> Result<()> {
    let now = jiff::Timestamp::now().as_second();
    let advertise = match args.bind.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let config = pki::Config { addresses: vec![advertise], ..pki::Config::default() };
    let pki = Pki::open(&args.root, config, now)
        .with_context(|| format!("cannot open the keys in {}", args.root.join("pki").display()))?;
    let server = format!("https://{}", std::net::SocketAddr::new(advertise, args.bind.port()));
    pki.kubeconfig(&pki::Client::SuperAdmin, &server, now).context("cannot write the admin's kubeconfig")?;
    let tls = pki::server_config(
        HotCertificate::new(pki.leaf(Leaf::ApiServer)).context("the API server's certificate")?,
        AnyClientCertificate::new(&[
            pki.authority().certificate(),
            pki.front_proxy_authority().certificate(),
        ]),
    )
    .context("cannot set up TLS")?;
    let keys = Arc::new(pki.service_account_keys().clone());
    let access = Access::new(authenticator(&pki, keys.clone()).context("cannot set up authentication")?, keys);
    let directory = args.root.join("store");
    let store = EmbeddedStore::open(&directory)
        .with_context(|| format!("cannot open the store in {}", directory.display()))?;
    let listener = TcpListener::bind(args.bind)
        .await
        .with_context(|| format!("cannot listen on {}; does something else use the port?", args.bind))?;
    let config = Config {
        advertise_address: advertise,
        port: args.bind.port(),
        service_ranges: args.service_cluster_ip_range.clone(),
        issuer: ISSUER.into(),
    };
    let api = Api::start(config, Arc::new(store), access).await.context("cannot start the API server")?;
    apiserver::bootstrap::run(&api).await;
    let stop = api.stopping.subscribe();
    let serving = tokio::spawn(apiserver::listen::serve(listener, Arc::new(tls), api.clone(), stop));
    tracing::info!(address = %args.bind, "the API is served");
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut stopping = api.stopping.subscribe();
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("cannot wait for signals")?,
        _ = stopping.wait_for(|s| *s) => {}
    }
    api.stopping.send_replace(true);
    serving.await.context("the listener ended badly")
}

fn authenticator(pki: &Pki, keys: Arc<ServiceAccountKeys>) -> Result<Authenticator, pki::Error> {
    let client_authorities = ClientAuthorities::new(&[pki.authority().certificate()])?;
    let lower = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let front_proxy = FrontProxy {
        authorities: ClientAuthorities::new(&[pki.front_proxy_authority().certificate()])?,
        allowed_names: lower(&["front-proxy-client"]),
        username_headers: lower(&["x-remote-user"]),
        uid_headers: lower(&["x-remote-uid"]),
        group_headers: lower(&["x-remote-group"]),
        extra_prefixes: lower(&["x-remote-extra-"]),
    };
    Authenticator::new(auth::Config {
        client_authorities,
        front_proxy: Some(front_proxy),
        service_account_keys: keys,
        issuers: vec![ISSUER.into()],
        audiences: vec![ISSUER.into()],
        bootstrap_tokens: true,
        anonymous: Anonymous::Everywhere,
    })
}
