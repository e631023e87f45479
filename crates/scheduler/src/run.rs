//! The engine in its surroundings: caches tell it what happens, a leader's lease whether it may act, and what it
//! decides is done by [`crate::act`].
//!
//! It has a thread of its own: a decision is computing, not waiting, and must not keep others from being served.
//! Who does not lead follows along, so that it can take over at once.

use crate::act::Executor;
use crate::action::Action;
use crate::engine::Engine;
use crate::{Config, Error};
use api::core::v1::Pod;
use api::{Key, Object};
use client::{Change, Client, Informers, Lister};
use jiff::Timestamp;
use reconcile::Clock;
use reconcile::lease::Elector;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Pods that are being bound at a time: beyond that nothing is decided until some are.
const BINDINGS_MAX: usize = 1024;
/// How long giving back the lease may take at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Changes that are taken in before the next pod is placed, so that a flood of them does not starve pods.
const CHANGES_PER_POD_MAX: usize = 4096;

/// What the engine is told of one thing.
pub(crate) type Told = Box<dyn FnOnce(&mut Engine, Timestamp) + Send>;

/// What its thread is told. The channel has no limit of its own: it holds references to what the caches hold, and
/// it is emptied faster than they can be filled.
enum Note {
    Change(Told),
    Synced,
    Leading(bool),
    Stop,
}

/// Places pods until `stop` is true.
///
/// # Errors
/// If the engine's thread cannot be had or ends by itself.
pub async fn run(
    config: Config,
    client: Client,
    informers: Informers,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let clock = Clock::system();
    let (notes, inbox) = channel();
    let (actions, mut outbox) = mpsc::unbounded_channel();
    let engine = Engine::new(config.profiles.clone(), config.backoff, config.seed);
    let thread_clock = clock.clone();
    let (ended, mut has_ended) = watch::channel(());
    let thread = std::thread::Builder::new().name("scheduler".to_owned());
    let thread = thread
        .spawn(move || {
            work(engine, &inbox, &actions, &thread_clock);
            drop(ended);
        })
        .map_err(Error::Thread)?;

    let report = notes.clone();
    let report = move |told: Told| {
        // Once the engine has ended nobody need be told.
        let _ = report.send(Note::Change(told));
    };
    let schedulers: Vec<_> = config.profiles.iter().map(|profile| profile.name.clone()).collect();
    let executor = Executor::new(client.clone(), &informers, &clock, &schedulers, report);
    let leading = tokio::spawn(lead(config.leader_election, client, clock, notes.clone(), stop.clone()));
    let follow = follow(&informers, &notes);
    let act = async {
        while let Some(action) = outbox.recv().await {
            executor.start(action).await;
        }
    };
    tokio::select! {
        () = async { tokio::join!(follow, act); } => {}
        _ = has_ended.changed() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let _ = notes.send(Note::Stop);
    let stopped = *stop.borrow();
    if !stopped || tokio::time::timeout(RELEASE_TIMEOUT, leading).await.is_err() {
        tracing::warn!("the scheduler's lease was not given back");
    }
    match tokio::task::spawn_blocking(move || thread.join()).await {
        Ok(Ok(())) if stopped => Ok(()),
        _ => Err(Error::Ended),
    }
}

/// Says whether it leads, as long as it runs.
async fn lead(
    elector: Option<Elector>,
    client: Client,
    clock: Clock,
    notes: Sender<Note>,
    stop: watch::Receiver<bool>,
) {
    let Some(elector) = elector else {
        let _ = notes.send(Note::Leading(true));
        return;
    };
    let (leading, mut is_leading) = watch::channel(false);
    let tell = async {
        while is_leading.changed().await.is_ok() {
            let now = *is_leading.borrow_and_update();
            let _ = notes.send(Note::Leading(now));
        }
    };
    let elect = async {
        elector.run(&client, &clock, &leading, stop).await;
        drop(leading);
    };
    tokio::join!(elect, tell);
}

/// Makes caches tell the engine of what changes: what pods refer to first, so that pods find it there.
async fn follow(informers: &Informers, notes: &Sender<Note>) {
    tell(&informers.get(), notes, |engine, now, change| match change {
        Change::Added(node) | Change::Updated(_, node) => engine.set_node(now, node),
        Change::Deleted(node) => engine.remove_node(now, Object::name(&**node)),
    })
    .await;
    follow_kind(informers, notes, Engine::set_namespace).await;
    follow_kind(informers, notes, Engine::set_service).await;
    follow_kind(informers, notes, Engine::set_replication_controller).await;
    follow_kind(informers, notes, Engine::set_replica_set).await;
    follow_kind(informers, notes, Engine::set_stateful_set).await;
    follow_kind(informers, notes, Engine::set_budget).await;
    follow_kind(informers, notes, Engine::set_storage_class).await;
    follow_kind(informers, notes, Engine::set_csi_driver).await;
    follow_kind(informers, notes, Engine::set_csi_node).await;
    follow_kind(informers, notes, Engine::set_capacity).await;
    follow_kind(informers, notes, Engine::set_attachment).await;
    follow_kind(informers, notes, Engine::set_volume).await;
    follow_kind(informers, notes, Engine::set_claim).await;
    tell(&informers.get(), notes, |engine, now, change: &Change<Pod>| match change {
        Change::Added(pod) => engine.set_pod(now, pod),
        Change::Updated(old, pod) => {
            // One of the same name took its place while nobody looked.
            if old.uid() != pod.uid() {
                engine.remove_pod(now, old.uid());
            }
            engine.set_pod(now, pod);
        }
        Change::Deleted(pod) => engine.remove_pod(now, pod.uid()),
    })
    .await;
    let _ = notes.send(Note::Synced);
}

type Set<K> = fn(&mut Engine, Timestamp, &Key, Option<&K>);

async fn follow_kind<K: Object>(informers: &Informers, notes: &Sender<Note>, set: Set<K>) {
    tell(&informers.get(), notes, move |engine, now, change: &Change<K>| {
        let object = change.object();
        let present = (!matches!(change, Change::Deleted(_))).then_some(&**object);
        set(engine, now, &object.key(), present);
    })
    .await;
}

async fn tell<K: Object>(
    lister: &Lister<K>,
    notes: &Sender<Note>,
    told: impl Fn(&mut Engine, Timestamp, &Change<K>) + Clone + Send + Sync + 'static,
) {
    let notes = notes.clone();
    lister.subscribe(move |change| {
        let (told, change) = (told.clone(), change.clone());
        let _ = notes.send(Note::Change(Box::new(move |engine, now| told(engine, now, &change))));
    });
    lister.synced().await;
}

/// The engine's thread.
fn work(mut engine: Engine, inbox: &Receiver<Note>, actions: &mpsc::UnboundedSender<Action>, clock: &Clock) {
    let (mut synced, mut leading) = (false, false);
    let mut next: Option<Note> = None;
    loop {
        for _ in 0..CHANGES_PER_POD_MAX {
            let Some(note) = next.take().or_else(|| inbox.try_recv().ok()) else { break };
            match note {
                Note::Change(told) => told(&mut engine, clock.now()),
                Note::Synced => synced = true,
                Note::Leading(now) => leading = now,
                Note::Stop => return,
            }
        }
        let now = clock.now();
        engine.tick(now);
        let may_place = synced && leading && engine.binding_count() < BINDINGS_MAX;
        let placed = may_place && engine.step(now);
        for action in engine.take_actions() {
            if actions.send(action).is_err() {
                return;
            }
        }
        if placed {
            continue;
        }
        let wait = match engine.wake_at().filter(|_| may_place) {
            Some(wake) => wake.duration_since(now).try_into().unwrap_or(Duration::ZERO),
            None => Duration::MAX,
        };
        next = match inbox.recv_timeout(wait) {
            Ok(note) => Some(note),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}
