//! Follow a collection.

mod messages;

use crate::body::{ByteStream, ResponseBody, apart};
use crate::cache::{Entry, EventKind, Form, Item, Page, Published, Query, Selection, TooOld, Watcher};
use crate::call::Call;
use crate::door::Origin;
use crate::listen::Outflow;
use crate::negotiate::{Accepted, Encoding, negotiate, not_acceptable};
use crate::render::Render;
use crate::reply::Reply;
use crate::resource::{Hub, Served};
use crate::seldom::Seldom;
use crate::special::connect::upgrade_reply;
use bytes::Bytes;
use messages::Messages;
use meta::status::Status;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use streaming::websocket;
use tokio::time::{Instant, Sleep};
use value::Str;

/// How long a watch lasts when the client names no time: upstream's 30 minutes, and up to as much again,
/// so that clients do not come back all at once.
const WATCH_SECONDS_MIN: u64 = 1_800;
/// How often a follower that wants bookmarks gets one, as upstream.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How many bytes are gathered before they are handed to the connection: with what they are framed in, as a rule,
/// what it sends at once.
const CHUNK_BYTES: usize = 12 << 10;
/// How many objects of the beginning are held while they are sent.
const PAGE_ENTRIES: usize = 250;

/// Answers a watch.
pub(crate) async fn watch(call: &Call, served: &Arc<Served>, hub: &Arc<Hub>) -> Result<Reply, Status> {
    let mut options = super::list::options(call, served, true)?;
    let accepted = negotiate(call.accept(), served.allows(), &Encoding::ALL)
        .filter(|a| a.encoding.streams())
        .ok_or_else(|| match negotiate(call.accept(), served.allows(), &Encoding::ALL) {
            Some(_) => not_acceptable(&Encoding::ALL, true),
            None => call.not_acceptable(),
        })?;
    super::get::check_namespace(&served.row, &call.info.namespace, &options.selection.name)?;
    // What is selected by what only a webhook knows is judged where waiting is allowed: in the body.
    let inside = (served.asks_webhook() && options.selection.looks_inside()).then(|| {
        let by_key = options.selection.by_key();
        std::mem::replace(&mut options.selection, by_key)
    });
    let scope = hub.cache.scope(served.row.namespaced, &options.selection);
    // Upstream's watch does not wrap this error, so that it becomes a bare 500.
    let wanted = super::list::parse_revision(&options.resource_version).map_err(|status| {
        Status::plain_error(status.message.trim_start_matches("invalid resource version: "))
    })?;
    let fresh = || call.fresh(None);
    let initial = match (options.send_initial_events, wanted) {
        (Some(true), _) => true,
        (Some(false), _) => false,
        (None, wanted) => wanted.is_none(),
    };
    let (start, watcher) = if initial {
        // An empty version asks for the newest state, "0" for whatever is known, a number for no older.
        if options.resource_version != "0" {
            match wanted {
                Some(revision) => {
                    if let Err(status) = call.fresh(Some(revision)).await {
                        let render = Render::new(call, served.clone(), hub.clone(), accepted);
                        return answer(call, accepted, failed(&render, &status));
                    }
                }
                None => fresh().await?,
            }
        }
        let namespace = options.selection.namespace.clone();
        let (page, watcher) = hub.cache.list_and_watch(options.selection, scope, &namespace, PAGE_ENTRIES);
        let bookmark = options.send_initial_events == Some(true) && options.bookmarks;
        (Start::Initial(Initial::new(namespace, page, bookmark)), Ok(watcher))
    } else {
        (Start::Done, hub.cache.watch(options.selection, scope, wanted))
    };
    let seconds = match options.timeout_seconds {
        Some(s) if s != 0 => u64::try_from(s).unwrap_or(0),
        _ => WATCH_SECONDS_MIN + call.api.dice(WATCH_SECONDS_MIN),
    };
    let render = Render::new(call, served.clone(), hub.clone(), accepted);
    render.check_table()?;
    let now = Instant::now();
    let watcher = match watcher {
        Ok(watcher) => watcher,
        Err(too_old) => {
            let status = expired(wanted.unwrap_or_default(), too_old);
            return answer(call, accepted, failed(&render, &status));
        }
    };
    let form = render.form();
    let body = Box::new(WatchBody {
        start,
        watcher,
        inside,
        served: served.clone(),
        hub: hub.clone(),
        render,
        form,
        published: call.api.published.clone(),
        ends: now + Duration::from_secs(seconds),
        bookmark_at: options.bookmarks.then(|| now + BOOKMARK_INTERVAL),
        alarm: Seldom::new(Alarm {
            shutdown: call.api.shutdown_signal(),
            sleep: Box::pin(tokio::time::sleep(Duration::from_secs(seconds).min(BOOKMARK_INTERVAL))),
        }),
        items: Vec::new(),
        // Less than no time is over before it begins.
        finished: seconds == 0,
        is_waiting: false,
        lasting: crate::metrics::Lasting::begin(call),
        outflow: match &call.origin {
            // What is sent otherwise is not counted there.
            Origin::Wire(_) if websocket::is_request(&call.headers) => None,
            Origin::Wire(connection) => Some(connection.outflow.clone()),
            Origin::Process(_) => None,
        },
        sent_before: None,
    });
    // A webhook may be asked for any event.
    let body = if served.asks_webhook() { apart(body, &call.api.work) } else { body };
    answer(call, accepted, ResponseBody::Stream(body))
}

/// Answers with these events, in the way that the client asks for.
fn answer(call: &Call, accepted: Accepted, body: ResponseBody) -> Result<Reply, Status> {
    if !websocket::is_request(&call.headers) {
        return Ok(Reply { code: 200, content_type: stream_type(accepted), body, headers: Vec::new() });
    }
    let is_text = accepted.encoding != Encoding::Protobuf;
    let events = Messages::new(body, is_text);
    let sent = streaming::messages::send_events(
        &call.api.streams,
        call.upgrade.clone(),
        &call.headers,
        events,
        is_text,
    );
    upgrade_reply(call, sent)
}

const fn stream_type(accepted: Accepted) -> &'static str {
    match accepted.encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    }
}

enum Start {
    /// The state of the beginning is being shown.
    Initial(Initial),
    /// Only changes.
    Done,
}

/// The state of the beginning, page by page: who does not read holds no list of all there is.
struct Initial {
    namespace: Str,
    revision: u64,
    entries: std::vec::IntoIter<Arc<Entry>>,
    /// Behind which key there is more.
    rest: Option<Str>,
    /// At the end a bookmark says that it was all.
    bookmark: bool,
}

impl Initial {
    fn new(namespace: Str, page: Page, bookmark: bool) -> Self {
        let rest = page.entries.last().filter(|_| page.more).map(|last| last.key.clone());
        Self { namespace, revision: page.revision, entries: page.entries.into_iter(), rest, bookmark }
    }

    /// The next object, as it was in the beginning.
    fn next(&mut self, hub: &Hub, selection: &Selection) -> Result<Option<Arc<Entry>>, Status> {
        if self.entries.len() == 0
            && let Some(after) = self.rest.take()
        {
            let (namespace, after) = (self.namespace.as_str(), Some(after.as_str()));
            let selection = Some(selection);
            let query = Query { namespace, after, limit: PAGE_ENTRIES, selection, uncounted: true };
            let page = hub.cache.list_at(self.revision, query).map_err(|old| expired(self.revision, old))?;
            *self = Self::new(std::mem::take(&mut self.namespace), page, self.bookmark);
        }
        Ok(self.entries.next())
    }
}

/// A watch that only tells why there is none.
fn failed(render: &Render, status: &Status) -> ResponseBody {
    let mut out = Vec::new();
    render.error(status, &mut out);
    ResponseBody::Full(out.into())
}

/// What upstream says of a revision that the history has forgotten.
fn expired(revision: u64, old: TooOld) -> Status {
    Status::expired(format!("too old resource version: {revision} ({})", old.oldest))
}

/// What a watch waits for besides events.
struct Alarm {
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    sleep: Pin<Box<Sleep>>,
}

/// Why an alarm rings.
enum Ring {
    /// The server is to stop.
    Shutdown,
    /// It is time for a bookmark, or for the end.
    Time,
}

impl Future for Alarm {
    type Output = Ring;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ring> {
        if self.shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ring::Shutdown);
        }
        self.sleep.as_mut().poll(cx).map(|()| Ring::Time)
    }
}

/// The body of a watch: gathers what is there into one chunk, waits for more.
struct WatchBody {
    start: Start,
    watcher: Arc<Watcher>,
    /// What the watcher does not judge.
    inside: Option<Selection>,
    served: Arc<Served>,
    hub: Arc<Hub>,
    render: Render,
    form: Option<Form>,
    published: Arc<Published>,
    ends: Instant,
    bookmark_at: Option<Instant>,
    alarm: Seldom<Alarm>,
    items: Vec<Item>,
    finished: bool,
    /// Everything has been shown, and the task is woken when there is more.
    is_waiting: bool,
    lasting: crate::metrics::Lasting,
    /// `None` for a watch of this process.
    outflow: Option<Arc<Outflow>>,
    /// How often all had been sent when the last piece was made: the next is made once that has been sent as well.
    sent_before: Option<u64>,
}

/// What is to be sent next: a single event as it is, several in one piece.
#[derive(Default)]
struct Piece {
    one: Bytes,
    many: Vec<u8>,
}

impl Piece {
    fn len(&self) -> usize {
        self.one.len() + self.many.len()
    }

    fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.one = bytes;
        } else {
            self.buffer().extend_from_slice(&bytes);
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        if !self.one.is_empty() {
            self.many.extend_from_slice(&std::mem::take(&mut self.one));
        }
        &mut self.many
    }

    fn take(self) -> Option<Bytes> {
        match (self.one.is_empty(), self.many.is_empty()) {
            (false, _) => Some(self.one),
            (true, false) => Some(self.many.into()),
            (true, true) => None,
        }
    }
}

impl WatchBody {
    fn initial(&mut self, out: &mut Piece) -> Result<(), Status> {
        let Start::Initial(initial) = &mut self.start else { return Ok(()) };
        let out = out.buffer();
        while let Some(entry) = initial.next(&self.hub, self.watcher.selection())? {
            if let Some(selection) = &self.inside
                && !self.served.selects(selection, &entry)?
            {
                continue;
            }
            if !self.render.shows_events() {
                self.finished = true;
                return Ok(());
            }
            if self.served.takes_webhook(&entry) {
                self.served.view(&entry)?;
            }
            let before = out.len();
            self.render.event(EventKind::Added, &entry, out);
            self.lasting.sent(1, out.len() - before);
            if out.len() >= CHUNK_BYTES {
                return Ok(());
            }
        }
        if initial.bookmark {
            self.render.bookmark(initial.revision, true, out);
        }
        self.start = Start::Done;
        Ok(())
    }

    /// Shows what has been taken from the queue.
    fn changes(&mut self, out: &mut Piece) -> Result<(), Status> {
        let before = out.len();
        let mut shown = 0;
        for item in &self.items {
            let (mut kind, event) = (item.kind, item.event());
            if let Some(selection) = &self.inside {
                match event.seen(|entry| self.served.selects(selection, entry))? {
                    Some(seen) => kind = seen,
                    None => continue,
                }
            }
            if !self.render.shows_events() {
                self.finished = true;
                break;
            }
            let entry = event.shown(kind);
            if self.served.takes_webhook(entry) {
                self.served.view(entry)?;
            }
            match &self.form {
                Some(form) => {
                    let render = &mut self.render;
                    out.push(item.frame(kind, form, || {
                        let mut bytes = Vec::new();
                        render.event(kind, entry, &mut bytes);
                        bytes
                    }));
                }
                None => self.render.event(kind, entry, out.buffer()),
            }
            shown += 1;
        }
        self.lasting.sent(shown, out.len() - before);
        Ok(())
    }

    /// There is more to show, but what was made before is not sent yet. Time passes all the same.
    fn wait_until_sent(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let (Some(outflow), Some(before)) = (&self.outflow, self.sent_before)
            && outflow.poll_sent(before, cx).is_ready()
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while let Some(now) = ready!(self.alarm(cx)) {
            self.postpone(now);
        }
        self.finished = true;
        Poll::Ready(None)
    }

    /// Ready when it is time for something: with the time, or with `None` for the end.
    fn alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        match ready!(Pin::new(&mut self.alarm).poll(cx)) {
            Ring::Shutdown => Poll::Ready(None),
            Ring::Time => {
                let now = Instant::now();
                Poll::Ready((now < self.ends).then_some(now))
            }
        }
    }

    /// Sets the alarm anew; whether it was one for a bookmark.
    fn postpone(&mut self, now: Instant) -> bool {
        let due = self.bookmark_at.as_mut().filter(|at| now >= **at);
        let is_due = due.map(|at| *at = now + BOOKMARK_INTERVAL).is_some();
        let next = self.bookmark_at.map_or(self.ends, |at| at.min(self.ends));
        self.alarm.change().sleep.as_mut().reset(next);
        is_due
    }

    /// Ends the watch with an error.
    fn fail(&mut self, status: &Status, out: &mut Piece) {
        self.render.error(status, out.buffer());
        self.finished = true;
    }
}

impl ByteStream for WatchBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.finished {
            return Poll::Ready(None);
        }
        self.is_waiting = false;
        let is_free = self.outflow.as_ref().is_none_or(|outflow| self.sent_before < Some(outflow.sent()));
        if !is_free && !matches!(self.start, Start::Done) {
            return self.wait_until_sent(cx);
        }
        let mut out = Piece::default();
        if let Err(status) = self.initial(&mut out) {
            self.fail(&status, &mut out);
        }
        while out.len() < CHUNK_BYTES && matches!(self.start, Start::Done) && !self.finished {
            // Read before the queue: when the queue is empty, everything up to here has been shown.
            let published = self.published.get();
            self.items.clear();
            let room = if is_free { CHUNK_BYTES - out.len() } else { 0 };
            match self.watcher.poll(cx, room, !is_free || out.len() > 0, &mut self.items) {
                Poll::Ready(None) if !is_free => return self.wait_until_sent(cx),
                // A large one is next, which goes by itself, or there is more to look at.
                Poll::Ready(None) if self.items.is_empty() => break,
                Poll::Ready(None) => {
                    if let Err(status) = self.changes(&mut out) {
                        self.fail(&status, &mut out);
                    }
                    continue;
                }
                Poll::Ready(Some(_)) => {
                    self.finished = true;
                    break;
                }
                Poll::Pending => {}
            }
            match self.alarm(cx) {
                Poll::Pending => {
                    self.is_waiting = true;
                    break;
                }
                Poll::Ready(None) => self.finished = true,
                Poll::Ready(Some(now)) => {
                    if self.postpone(now) {
                        self.render.bookmark(published, false, out.buffer());
                    }
                }
            }
        }
        match out.take() {
            Some(bytes) => {
                self.sent_before = self.outflow.as_ref().map(|outflow| outflow.sent());
                Poll::Ready(Some(bytes))
            }
            None if self.finished => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_waiting(&self) -> bool {
        self.is_waiting
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.watcher.stop();
    }
}
