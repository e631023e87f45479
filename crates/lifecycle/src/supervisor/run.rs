//! The supervisor's loop: waits, lets [`Machine`] decide, acts.

use super::children::{self, Running, RuntimeUp};
use super::machine::{Action, Event, Goal, Machine, State as UnitState, Unit};
use super::report::Report;
use super::state::{Process, Stage, State};
use super::{Config, DRAIN, PATIENCE, RUNTIME, Runtime, lock, logs};
use crate::Layout;
use crate::doctor;
use crate::notify::{self, Message};
use crate::processes::{self, Identity};
use crate::root;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How often logs are looked at. Between two looks a log may grow beyond its size; a process that writes
/// megabytes a second has other troubles.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// For the children of a supervisor that was killed: they got SIGTERM from the kernel.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(20);
/// How long that is waited for without a word.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// For a supervisor that is replaced: it ends its children in turn.
const REPLACED_PATIENCE: Duration = Duration::from_secs(60);

/// Makes what the children need in the root, and reports what people should know of that.
pub type Make<'a> = dyn FnMut(&mut dyn FnMut(&Report)) -> Result<()> + 'a;

/// Runs the supervisor until it is told to end. Returns an error if something does not come up. `make` makes what the
/// children need in the root, once the machine was found fit and nobody else runs there.
///
/// To be called by a thread that lives as long as the process: the children end with the thread that started
/// them.
pub fn run(config: Config, make: &mut Make<'_>, report: &mut dyn FnMut(&Report)) -> Result<()> {
    let started = Instant::now();
    let result = prepare_and_supervise(config, started, make, report);
    if let Err(error) = &result {
        report(&Report::Failed(crate::error::text(error)));
    }
    result
}

fn prepare_and_supervise(
    config: Config,
    started: Instant,
    make: &mut Make<'_>,
    report: &mut dyn FnMut(&Report),
) -> Result<()> {
    root::prepare_checked(&config.needs)?;
    let fingerprint = fingerprint(&config)?;
    // What would be refused afterwards is not to end what runs.
    if lock::holder(&config.needs.layout).is_some() {
        doctor::refuse(&config.needs)?;
    }
    let Some(_lock) = lock_or_replace(&config, &fingerprint, make, report)? else { return Ok(()) };
    end_orphans(&config, report);
    for warning in doctor::refuse(&config.needs)? {
        report(&Report::Warning(format!("{}: {}; {}", warning.name, warning.found, warning.advice)));
    }
    make(report)?;
    let mut supervisor = Supervisor::new(config, started, fingerprint)?;
    // With the wait for an earlier supervisor and its children, if there were any.
    let seconds = started.elapsed().as_secs_f64();
    supervisor.stage(Stage { name: "checks".into(), seconds, detail: String::new() }, report);
    supervisor.supervise(report)
}

/// Takes the lock, from another supervisor if need be; nothing if that is the same as this one would be.
fn lock_or_replace(
    config: &Config,
    fingerprint: &str,
    make: &mut Make<'_>,
    report: &mut dyn FnMut(&Report),
) -> Result<Option<lock::Lock>> {
    let layout = &config.needs.layout;
    let holder = match lock::take(layout)? {
        Ok(lock) => return Ok(Some(lock)),
        Err(holder) => holder.with_context(|| lock::told(layout, None))?,
    };
    let state = State::read(layout).filter(|state| state.supervisor == holder);
    if state.as_ref().is_some_and(|state| state.ending) {
        bail!(
            "what runs on {} is being ended (process {}): wait until that is done, then run this again",
            layout.root.display(),
            holder.pid
        );
    }
    let is_up = state.as_ref().is_some_and(|state| state.ready_after_seconds.is_some());
    let age = holder.process().map(|process| process.age()).unwrap_or_default();
    // One that is not up after that time may never be: other options may help.
    if state.is_none() || (!is_up && age < PATIENCE) {
        bail!(lock::told(layout, Some(holder)));
    }
    if state.is_some_and(|state| state.fingerprint == fingerprint) {
        if !is_up {
            bail!(
                "the supervisor {} runs for {} s, and not everything that it runs is ready: `corten status --root {}` \
                 tells what, the files in {} why",
                holder.pid,
                age.as_secs(),
                layout.root.display(),
                layout.log_dir.display()
            );
        }
        if !layout.admin_kubeconfig.exists() {
            refuse_lost_keys(layout)?;
            make(report)?;
        }
        report(&Report::AlreadyUp { pid: holder.pid, kubeconfig: layout.admin_kubeconfig.clone() });
        return Ok(None);
    }
    let unit = crate::install::unit_name(layout);
    let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", holder.pid)).unwrap_or_default();
    if cgroup.contains(&unit) {
        bail!("systemd runs Corten on {}: systemctl restart {unit}", layout.root.display());
    }
    report(&Report::Warning(format!("replacing the supervisor {}; containers run on", holder.pid)));
    holder.signal(Signal::TERM)?;
    if !holder.wait(REPLACED_PATIENCE) {
        bail!("the supervisor {} does not end; kill -9 {} leaves containers running", holder.pid, holder.pid);
    }
    match lock::take(layout)? {
        Ok(lock) => Ok(Some(lock)),
        Err(holder) => bail!(lock::told(layout, holder)),
    }
}

/// What runs goes by its keys, and would know nothing of others that were made in their place.
fn refuse_lost_keys(layout: &Layout) -> Result<()> {
    if layout.pki_dir.join("ca.key").exists() {
        return Ok(());
    }
    let (keys, root) = (layout.pki_dir.display(), layout.root.display());
    bail!(
        "the keys in {keys} are gone, and what runs still goes by them: put them back and run this again; or have new \
         ones made by `corten down --root {root}` and then this, after which kubeconfigs and tokens of the old ones \
         are refused"
    )
}

/// Ends what a killed supervisor left of its children; containerd is not one of them.
fn end_orphans(config: &Config, report: &mut dyn FnMut(&Report)) {
    let left = State::read(&config.needs.layout).map(|s| s.processes).unwrap_or_default();
    let orphans: Vec<(Identity, String)> = left
        .into_iter()
        .filter(|p| !p.outlives)
        .filter_map(|p| Some((p.identity?.process()?.identity, p.name)))
        .collect();
    let identities: Vec<Identity> = orphans.iter().map(|(identity, _)| *identity).collect();
    let slow = processes::end_within(&identities, SILENCE_MAX);
    if slow.is_empty() {
        return;
    }
    let is_slow = |(identity, _): &&(Identity, String)| slow.contains(identity);
    let name = |(identity, name): &(Identity, String)| format!("{name} (process {})", identity.pid);
    let names: Vec<String> = orphans.iter().filter(is_slow).map(name).collect();
    report(&Report::Warning(format!(
        "waiting up to {} s for what a supervisor that was killed left: {}",
        ORPHAN_PATIENCE.as_secs(),
        names.join(", ")
    )));
    processes::end_all(&slow, ORPHAN_PATIENCE);
}

fn fingerprint(config: &Config) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(&config.executable)
        .with_context(|| format!("cannot look up {}", config.executable.display()))?;
    let text = format!(
        "{:?} {:?} {:?}",
        (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()),
        config.needs.runtime,
        config.children
    );
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    Ok(digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Debug)]
struct Slot {
    name: String,
    title: String,
    /// Place in [`Config::children`]; none for the runtime.
    child: Option<usize>,
    running: Option<Running>,
    notifications: Option<notify::Listener>,
    said: String,
    ended: String,
    /// How long the import of the sandbox image took, until that is told.
    image: Option<Duration>,
}

struct Signals {
    stop: UnixStream,
    down: UnixStream,
}

impl Signals {
    fn register() -> Result<Self> {
        let receive = |signals: &[i32]| -> std::io::Result<UnixStream> {
            let (reader, writer) = UnixStream::pair()?;
            for signal in signals {
                signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
            }
            reader.set_nonblocking(true)?;
            Ok(reader)
        };
        let both = || Ok(Self { stop: receive(&[SIGTERM, SIGINT, SIGHUP])?, down: receive(&[SIGUSR1])? });
        both().map_err(|e: std::io::Error| e).context("cannot wait for signals")
    }
}

struct Supervisor {
    config: Arc<Config>,
    machine: Machine,
    started: Instant,
    slots: Vec<Slot>,
    signals: Signals,
    runtime_results: (Sender<Result<RuntimeUp>>, Receiver<Result<RuntimeUp>>),
    wake: (UnixStream, UnixStream),
    state: State,
    failure: Option<String>,
    logs_due: Instant,
}

impl Supervisor {
    fn new(config: Config, started: Instant, fingerprint: String) -> Result<Self> {
        let layout = &config.needs.layout;
        let mut slots = Vec::new();
        let mut units = Vec::new();
        let slot = |name: &str, title: &str, child| Slot {
            name: name.into(),
            title: title.into(),
            child,
            running: None,
            notifications: None,
            said: String::new(),
            ended: String::new(),
            image: None,
        };
        match config.needs.runtime {
            Runtime::Own(_) => slots.push(slot(RUNTIME, "containerd", None)),
            Runtime::Endpoint(_) => slots.push(slot(RUNTIME, "runtime", None)),
            Runtime::None => {}
        }
        units.resize(slots.len(), Unit { outlives: true, ..Unit::default() });
        for (place, child) in config.children.iter().enumerate() {
            let mut after = Vec::new();
            for need in &child.needs {
                let found = slots.iter().position(|s| &s.name == need);
                after.push(
                    found.with_context(|| format!("{} needs {need}, which is not before it", child.name))?,
                );
            }
            let drain = child.drains.then_some(config.drain_patience);
            units.push(Unit { after, outlives: false, drain });
            let mut slot = slot(&child.name, &child.title, Some(place));
            slot.notifications = Some(notify::Listener::bind(&layout.notify_socket(&child.name))?);
            slots.push(slot);
        }
        let wake = UnixStream::pair().context("cannot make a socket pair")?;
        wake.0.set_nonblocking(true).context("cannot make a socket non-blocking")?;
        let state = State {
            supervisor: Identity::own(),
            version: config.version.clone(),
            fingerprint,
            stages: Vec::new(),
            ready_after_seconds: None,
            ending: false,
            processes: Vec::new(),
        };
        Ok(Self {
            config: Arc::new(config),
            machine: Machine::new(units),
            started,
            slots,
            signals: Signals::register()?,
            runtime_results: channel(),
            wake,
            state,
            failure: None,
            logs_due: started + LOG_INTERVAL,
        })
    }

    fn supervise(&mut self, report: &mut dyn FnMut(&Report)) -> Result<()> {
        let mut events = vec![Event::Tick];
        loop {
            for event in std::mem::take(&mut events) {
                let mut actions: std::collections::VecDeque<Action> =
                    self.machine.step(self.started.elapsed(), event).into();
                while let Some(action) = actions.pop_front() {
                    if action == Action::Leave {
                        return self.leave();
                    }
                    if let Some(event) = self.act(action, report) {
                        actions.extend(self.machine.step(self.started.elapsed(), event));
                    }
                }
            }
            self.save();
            events = self.wait(report)?;
        }
    }

    /// Acts; what that leads to at once is an event again.
    fn act(&mut self, action: Action, report: &mut dyn FnMut(&Report)) -> Option<Event> {
        match action {
            Action::Start(unit) => return self.start(unit),
            Action::Terminate(unit) => self.signal(unit, Signal::TERM),
            Action::Drain(unit) => self.signal(unit, DRAIN),
            Action::Kill(unit) => {
                tracing::warn!(name = self.slots[unit].name, "does not end; killing it");
                self.signal(unit, Signal::KILL);
            }
            Action::Up(unit, took) => self.came_up(unit, took, report),
            Action::AllUp => {
                let seconds = self.started.elapsed().as_secs_f64();
                self.state.ready_after_seconds = Some(seconds);
                self.config.systemd.ready();
                self.tell_where_recovery_key_is(report);
                report(&Report::Ready {
                    seconds,
                    kubeconfig: self.config.needs.layout.admin_kubeconfig.clone(),
                });
            }
            Action::GiveUp(unit) => {
                let slot = &self.slots[unit];
                let times = self.machine.starts(unit);
                let log = slot.child.map(|_| logs::tail(&self.config.needs.layout.log_file(&slot.name)));
                let message =
                    format!("{} ended {times} times before it was ready: {}", slot.title, slot.ended);
                self.failure = Some(log.map_or(message.clone(), |log| format!("{message}\n{log}")));
            }
            Action::Leave => {}
        }
        None
    }

    fn start(&mut self, unit: usize) -> Option<Event> {
        let Some(place) = self.slots[unit].child else {
            let (config, results) = (self.config.clone(), self.runtime_results.0.clone());
            let wake = self.wake.1.try_clone();
            // Not a child's start: nothing that is started there is tied to the thread.
            std::thread::spawn(move || {
                let _gone = results.send(children::start_runtime(&config));
                let _gone = wake.and_then(|mut wake| wake.write_all(b"."));
            });
            return None;
        };
        match children::start(&self.config, &self.config.children[place]) {
            Ok(running) => {
                self.slots[unit].running = Some(running);
                None
            }
            Err(error) => {
                self.slots[unit].ended = crate::error::text(&error);
                Some(Event::Ended(unit))
            }
        }
    }

    fn signal(&self, unit: usize, signal: Signal) {
        if let Some(running) = &self.slots[unit].running
            && let Err(error) = running.identity.signal(signal)
        {
            tracing::error!(name = self.slots[unit].name, %error, "cannot be signalled");
        }
    }

    fn came_up(&mut self, unit: usize, took: Duration, report: &mut dyn FnMut(&Report)) {
        let slot = &mut self.slots[unit];
        let image = slot.image.take();
        let seconds = took.saturating_sub(image.unwrap_or_default()).as_secs_f64();
        let stage = Stage { name: slot.title.clone(), seconds, detail: slot.said.clone() };
        self.stage(stage, report);
        if let Some(took) = image {
            let detail = crate::pause::IMAGE.to_owned();
            self.stage(Stage { name: "sandbox image".into(), seconds: took.as_secs_f64(), detail }, report);
        }
    }

    /// Whoever waits for the cluster shows the key. systemd would write it into its journal; `install` shows it then.
    fn tell_where_recovery_key_is(&self, report: &mut dyn FnMut(&Report)) {
        let layout = &self.config.needs.layout;
        if self.config.systemd.is_heard() && layout.recovery_key.exists() {
            let file = layout.recovery_key.display();
            report(&Report::Note(format!(
                "The recovery key for secrets is in {file}; keep it elsewhere, and remove it there"
            )));
        }
    }

    fn stage(&mut self, stage: Stage, report: &mut dyn FnMut(&Report)) {
        let Stage { name, seconds, detail } = stage.clone();
        self.state.stages.push(stage);
        report(&Report::Stage { name, seconds, detail });
    }

    /// Waits for something to happen.
    fn wait(&mut self, report: &mut dyn FnMut(&Report)) -> Result<Vec<Event>> {
        let due = self.machine.deadline().map(|d| self.started + d);
        let until = due.map_or(self.logs_due, |due| due.min(self.logs_due));
        let time = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let mut fds: Vec<PollFd<'_>> = vec![
            PollFd::new(&self.signals.stop, PollFlags::IN),
            PollFd::new(&self.signals.down, PollFlags::IN),
            PollFd::new(&self.wake.0, PollFlags::IN),
        ];
        for slot in &self.slots {
            fds.extend(slot.running.as_ref().map(|r| PollFd::new(&r.handle, PollFlags::IN)));
            fds.extend(slot.notifications.as_ref().map(|n| PollFd::new(&n.0, PollFlags::IN)));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        self.rotate_logs();
        Ok(self.happened(&readable, report))
    }

    /// What happened, by which of the handles of [`Self::wait`] are readable, in the same order.
    fn happened(&mut self, readable: &[bool], report: &mut dyn FnMut(&Report)) -> Vec<Event> {
        let mut events = vec![Event::Tick];
        let mut readable = readable.iter().copied();
        let mut next = || readable.next().unwrap_or(false);
        if next() {
            drain(&self.signals.stop);
            self.config.systemd.stopping();
            self.state.ending = true;
            events.push(Event::Goal(Goal::Stop));
        }
        if next() {
            drain(&self.signals.down);
            self.config.systemd.stopping();
            self.state.ending = true;
            events.push(Event::Goal(Goal::Down));
        }
        let woken = next();
        for (unit, slot) in self.slots.iter_mut().enumerate() {
            let ended = slot.running.is_some() && next();
            if slot.notifications.is_some() && next() {
                for message in slot.notifications.iter().flat_map(notify::Listener::receive) {
                    match message {
                        Message::Ready => events.push(Event::Ready(unit)),
                        Message::Status(text) => slot.said = text,
                    }
                }
            }
            if ended && let Some(running) = slot.running.take() {
                slot.ended = running.ending();
                tracing::warn!(name = slot.name, how = slot.ended, "ended");
                events.push(Event::Ended(unit));
            }
        }
        if woken {
            drain(&self.wake.0);
            while let Ok(result) = self.runtime_results.1.try_recv() {
                events.push(self.runtime_came_up(result, report));
            }
        }
        events
    }

    fn runtime_came_up(&mut self, result: Result<RuntimeUp>, report: &mut dyn FnMut(&Report)) -> Event {
        let unit = 0;
        match result {
            Ok(up) => {
                self.slots[unit].running = up.running;
                self.slots[unit].said = up.detail;
                if let Some(warning) = up.warning {
                    report(&Report::Warning(warning));
                }
                self.slots[unit].image = up.image;
                Event::Ready(unit)
            }
            Err(error) => {
                self.slots[unit].ended = crate::error::text(&error);
                tracing::error!(error = self.slots[unit].ended, "the container runtime does not start");
                Event::Ended(unit)
            }
        }
    }

    fn rotate_logs(&mut self) {
        if Instant::now() < self.logs_due {
            return;
        }
        self.logs_due = Instant::now() + LOG_INTERVAL;
        let names = self.slots.iter().map(|s| s.name.as_str()).chain(["containerd", "supervisor"]);
        for name in names {
            if let Err(error) = logs::rotate(&self.config.needs.layout.log_file(name), logs::LOG_BYTES_MAX) {
                tracing::warn!(name, error = crate::error::text(&error), "the log grows on");
            }
        }
    }

    fn save(&mut self) {
        let process = |(unit, slot): (usize, &Slot)| Process {
            name: if slot.child.is_none() { "containerd".into() } else { slot.name.clone() },
            identity: slot.running.as_ref().map(|r| r.identity),
            ready: matches!(self.machine.state(unit), UnitState::Ready { .. }),
            restarts: self.machine.starts(unit).saturating_sub(1),
            outlives: slot.child.is_none(),
            said: slot.said.clone(),
        };
        let processes: Vec<Process> = self.slots.iter().enumerate().map(process).collect();
        // What was written last is the same: nothing changed.
        if processes == self.state.processes
            && !self.state.ending
            && self.machine.is_up() == self.state.ready_after_seconds.is_some()
        {
            return;
        }
        self.state.processes = processes;
        if let Err(error) = self.state.write(&self.config.needs.layout) {
            tracing::warn!(
                error = crate::error::text(&error),
                "status and the next supervisor see an older state"
            );
        }
    }

    fn leave(&mut self) -> Result<()> {
        let _was_never_written = std::fs::remove_file(&self.config.needs.layout.supervisor_state);
        match self.failure.take() {
            Some(failure) if self.config.needs.runtime.is_own() => {
                bail!("{failure}\ncontainers and their containerd go on; `corten down` ends them")
            }
            Some(failure) => bail!(failure),
            None => Ok(()),
        }
    }
}

/// Empties a socket whose bytes mean nothing but that something happened.
fn drain(mut socket: &UnixStream) {
    let mut buffer = [0; 64];
    while matches!(socket.read(&mut buffer), Ok(length) if length > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use crate::notify::Notifier;

    #[test]
    fn a_start_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let config = Config {
            needs: doctor::Needs::of(layout.clone(), Runtime::None),
            version: "1".into(),
            executable: "/proc/self/exe".into(),
            children: vec![],
            drain_patience: Duration::ZERO,
            systemd: Notifier::new(None).unwrap(),
        };
        let attempt = || {
            let mut told = Vec::new();
            let mut make = |_: &mut dyn FnMut(&Report)| Ok(std::fs::write(&layout.admin_kubeconfig, "")?);
            let result = lock_or_replace(&config, "same", &mut make, &mut |report| told.push(report.clone()));
            result.map(|lock| (lock.is_some(), told)).map_err(|error| error.to_string())
        };
        let own = Identity::own();
        let wait = format!("(process {}) is at work on {}: wait", own.pid, layout.root.display());
        let _lock = lock::take(&layout).unwrap().unwrap();
        let error = attempt().unwrap_err();
        assert!(error.contains(&wait), "nothing is known of it: {error}");

        std::fs::create_dir_all(layout.supervisor_state.parent().unwrap()).unwrap();
        let mut state = State {
            supervisor: own,
            version: "1".into(),
            fingerprint: "same".into(),
            stages: vec![],
            ready_after_seconds: None,
            ending: false,
            processes: vec![],
        };
        state.write(&layout).unwrap();
        let error = attempt().unwrap_err();
        assert!(error.contains(&wait), "it is coming up: {error}");
        state.ready_after_seconds = Some(1.0);
        state.write(&layout).unwrap();
        let kubeconfig = layout.admin_kubeconfig.clone();
        // A kubeconfig that somebody lost is written again, while there are the keys for it.
        let error = attempt().unwrap_err();
        assert!(error.contains("are gone, and what runs still goes by them: put them back"), "{error}");
        assert!(!kubeconfig.exists());
        std::fs::create_dir_all(&layout.pki_dir).unwrap();
        std::fs::write(layout.pki_dir.join("ca.key"), "").unwrap();
        let already = vec![Report::AlreadyUp { pid: own.pid, kubeconfig: kubeconfig.clone() }];
        assert_eq!(attempt(), Ok((false, already)));
        assert!(kubeconfig.exists());
        state.ending = true;
        state.write(&layout).unwrap();
        let error = attempt().unwrap_err();
        assert!(error.contains("is being ended (process"), "{error}");
    }
}
