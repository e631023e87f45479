//! Futures that are hardly ever ready, beside one that is polled often.

use futures_util::task::AtomicWaker;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled only when it was woken: to be told of the end of the server or of the hour should
/// not cost anything with every event.
#[derive(Debug)]
pub(crate) struct Seldom<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
    /// Who is told when it rings, if it has not since.
    told: Option<Waker>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { future: Box::pin(future), waker: Waker::from(bell.clone()), bell, told: None }
    }

    /// The future itself, to be changed: it is polled then.
    pub(crate) fn change(&mut self) -> Pin<&mut F> {
        self.bell.rung.store(true, Ordering::Release);
        self.future.as_mut()
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let is_told = this.told.as_ref().is_some_and(|told| told.will_wake(cx.waker()));
        if is_told && !this.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // First register, then look: what rings in between wakes.
        this.bell.task.register(cx.waker());
        this.told = Some(cx.waker().clone());
        if !this.bell.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        // It may have rung since, and told: then the next time is to register again.
        this.told = None;
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::oneshot;

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_woken_and_not_else() {
        let polls = AtomicUsize::new(0);
        let (sender, mut receiver) = oneshot::channel();
        let mut seldom = std::pin::pin!(Seldom::new(std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut receiver).poll(cx)
        })));
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(seldom.as_mut().poll(cx).is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        // Another task asks, and is told.
        let task = Arc::<Task>::default();
        let waker = Waker::from(task.clone());
        let cx = &mut Context::from_waker(&waker);
        assert!(seldom.as_mut().poll(cx).is_pending());
        sender.send(7).expect("it waits");
        assert!(task.0.load(Ordering::Relaxed));
        assert_eq!(seldom.as_mut().poll(cx), Poll::Ready(Ok(7)));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
