//! `corten server`: the control plane, whole or a part of it, in this process.

mod api;
mod door;
mod health;
mod managers;

use crate::cli::{Part, ServerArgs};
use anyhow::{Context, Result, bail};
use apiserver::health::Component;
use apiserver::listen::Lanes;
use lifecycle::doctor::taken_port;
use lifecycle::notify::Notifier;
use managers::Managers;
use std::collections::BTreeMap;
use std::future::pending;
use std::io::ErrorKind;
use std::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Runs until a signal. Connections are served by the `lanes`, the rest is done where this runs. `flags` are the
/// options by name.
pub(crate) async fn run(
    args: &ServerArgs,
    flags: BTreeMap<String, String>,
    notifier: &Notifier,
    lanes: Lanes,
) -> Result<()> {
    let stop = watch::Sender::new(false);
    let api = match args.only {
        None | Some(Part::Api) => {
            prepare(args)?;
            Some(Box::pin(api::start(args, flags, lanes.clone())).await?)
        }
        Some(Part::Controllers | Part::Scheduler) => None,
    };
    let managers = match (&api, args.only) {
        (_, Some(Part::Api)) => None,
        (Some(api), _) => Some(Managers::in_process(args, api)?),
        (None, _) => Some(Managers::by_kubeconfig(args)?),
    };
    health::start(args, lanes, stop.subscribe()).await?;
    if let (Some(running), Some(_)) = (&api, &managers) {
        running.api.health.component_runs(Component::Scheduler);
        running.api.health.component_runs(Component::ControllerManager);
    }
    // From here on it is ended in order, and before anybody is told that it is ready.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut managing = managers.map(|managers| tokio::spawn(managers.run(args.only, stop.subscribe())));
    notifier.ready();
    let stopping = api.as_ref().map(|running| running.api.stopping.subscribe());
    let ended = async {
        match stopping {
            Some(mut stopping) => stopping.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default(),
            None => pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("cannot wait for signals")?,
        () = ended => {}
        ended = async { match &mut managing { Some(task) => task.await, None => pending().await } } => {
            // It has ended by itself; the supervisor begins anew.
            ended.context("controllers or scheduler ended badly")??;
            bail!("controllers and scheduler ended by themselves");
        }
    }
    notifier.stopping();
    // Controllers end what they have begun while there is still a server to end it with.
    stop.send_replace(true);
    if let Some(managing) = managing {
        managing.await.context("controllers or scheduler ended badly")??;
    }
    match api {
        Some(api) => api.stop().await,
        None => Ok(()),
    }
}

/// Before anything is opened: says who has the port, if somebody has, and makes the root.
fn prepare(args: &ServerArgs) -> Result<()> {
    let bind = args.options.bind;
    // Who it is takes a look at all processes: only where it must be told.
    if let Err(error) = TcpListener::bind(bind)
        && error.kind() == ErrorKind::AddrInUse
        && let Some(taken) = taken_port(&crate::up::api_port(bind))
    {
        bail!("cannot listen on {bind}: {taken}");
    }
    args.options.refuse_full_disk(&args.root)?;
    lifecycle::root::prepare_for_server(&args.root)
}
