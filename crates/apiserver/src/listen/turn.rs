//! The task of a connection: its protocol and the answers to its requests.
//!
//! An answer that is at hand (most are: reads come from memory) costs less in the connection's own task than in one
//! of its own, and so does an event that goes to many watches of the connection: it wakes one task, and all of it is
//! written at once. What takes long leaves by [`apart`], to threads that connections do not share: a server of few
//! processors has one for all its connections, since each thread that is woken for a few requests costs more than
//! they do.

use super::wire::Wire;
use crate::api::Api;
use crate::body::ResponseBody;
use futures_util::task::AtomicWaker;
use http::Response;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// For how long a turn goes round while there is more to do, before other connections have theirs.
const ROUNDS_TIME: Duration = Duration::from_millis(1);

/// Why a connection ended.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The waker of a connection's parts. What is woken within a turn is done in that turn.
#[derive(Default)]
pub(super) struct Signal {
    raised: AtomicBool,
    in_turn: AtomicBool,
    task: AtomicWaker,
}

impl Signal {
    /// Whoever calls this is about to look after all that was woken before.
    pub(super) fn lower(&self) {
        self.raised.store(false, Ordering::SeqCst);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Both orders are total, so that a turn that ends either sees this or is seen to have ended.
        if !self.raised.swap(true, Ordering::SeqCst) && !self.in_turn.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

/// A connection in turns.
pub(super) struct Turns<C> {
    serving: Pin<Box<C>>,
    wire: Wire,
    signal: Arc<Signal>,
    waker: Waker,
}

impl<C> Turns<C> {
    /// Of what `serving` does, which speaks on `wire` and may lower the `signal`.
    pub(super) fn new(serving: C, wire: Wire, signal: Arc<Signal>) -> Self {
        let waker = Waker::from(signal.clone());
        Self { serving: Box::pin(serving), wire, signal, waker }
    }

    /// What is done in the turns.
    pub(super) fn serving(&mut self) -> Pin<&mut C> {
        self.serving.as_mut()
    }
}

impl<C, E> Future for Turns<C>
where
    C: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (signal, waker) = (this.signal.clone(), this.waker.clone());
        let cx = &mut Context::from_waker(&waker);
        signal.task.register(task.waker());
        signal.in_turn.store(true, Ordering::SeqCst);
        this.wire.begin_turn();
        let mut result;
        let mut end = None;
        loop {
            signal.lower();
            result = this.serving.as_mut().poll(cx);
            if result.is_ready() || !signal.raised.load(Ordering::SeqCst) {
                break;
            }
            // Most turns have one round, and do not ask for the time.
            let now = Instant::now();
            if now >= *end.get_or_insert(now + ROUNDS_TIME) {
                break;
            }
        }
        let sent = this.wire.end_turn(cx);
        signal.in_turn.store(false, Ordering::SeqCst);
        if signal.raised.load(Ordering::SeqCst) {
            task.waker().wake_by_ref();
        }
        match (result, sent) {
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
            (result, _) => result.map_err(Into::into),
        }
    }
}

thread_local! {
    /// Where the answer that is being worked at wants to go from its connection's task.
    static APART: Cell<Option<Handle>> = const { Cell::new(None) };
}

/// Whatever follows in a request's handling does not hold up other requests: for what computes long, or blocks.
pub(crate) async fn apart(api: &Api) {
    let mut asked = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        APART.set(Some(api.work.clone()));
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// An answer in the making: in the connection's task, or in one of its own once it has asked for that.
pub(super) enum Answering {
    Here(super::Answer),
    Apart(JoinHandle<Response<ResponseBody>>),
}

impl Future for Answering {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::Here(answer) => {
                    APART.set(None);
                    if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                        return Poll::Ready(response);
                    }
                    let Some(work) = APART.take() else { return Poll::Pending };
                    let nothing: super::Answer = Box::pin(std::future::pending());
                    let answer = std::mem::replace(answer, nothing);
                    *self = Self::Apart(work.spawn(answer));
                }
                // The handler catches its panics: this is a runtime that ends.
                Self::Apart(answer) => {
                    let answer = ready!(Pin::new(answer).poll(cx));
                    return Poll::Ready(answer.unwrap_or_else(|_| unavailable()));
                }
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        if let Self::Apart(answer) = self {
            answer.abort();
        }
    }
}

fn unavailable() -> Response<ResponseBody> {
    let status = meta::status::Status::service_unavailable("the server is stopping");
    crate::reply::Reply::error(&status, None, false).into_response(&[])
}
