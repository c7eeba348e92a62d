//! Verdicts on their way to the share log. A verdict must reach it: it is offered until it does, and written twice
//! it changes nothing.
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use messages::share_ledger::{AppendEvents, Event};
use runtime::{Recipient, Task};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How long the log may take before the events are offered again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before they are.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a quiet stop waits for the last ones.
const GRACE: Duration = Duration::from_secs(5);

/// Events that wait, in order. As many as there were hashes since the log answered last; its owner begins no more of
/// them beyond [`crate::VERDICTS_MAX`].
#[derive(Clone, Default)]
pub(crate) struct Outbox(Rc<State>);

#[derive(Default)]
struct State {
    waiting: RefCell<Vec<Event>>,
    sending: Cell<bool>,
    filled: Notify,
    emptied: Notify,
}

impl State {
    /// Before whatever came meanwhile.
    fn put_back(&self, batch: Vec<Event>) {
        let mut waiting = self.waiting.borrow_mut();
        let later = std::mem::replace(&mut *waiting, batch);
        waiting.extend(later);
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.0.waiting.borrow().len()
    }

    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<Event> {
        self.0.waiting.take()
    }

    pub(crate) fn put(&self, event: Event) {
        self.0.waiting.borrow_mut().push(event);
        self.0.filled.notify_one();
    }

    /// The task that sends; it ends with its owner.
    pub(crate) fn start(&self, ledger: Recipient<AppendEvents>) -> Task {
        let state = Rc::clone(&self.0);
        runtime::spawn(async move {
            loop {
                let batch = state.waiting.take();
                if batch.is_empty() {
                    state.emptied.notify_one();
                    state.filled.notified().await;
                    continue;
                }
                state.sending.set(true);
                let answer = ledger.ask(AppendEvents(batch.clone()), PATIENCE).await;
                if !matches!(answer, Ok(Ok(_))) {
                    state.put_back(batch);
                    sleep(PAUSE).await;
                }
                state.sending.set(false);
            }
        })
    }

    /// Waits until everything is logged, but not for ever.
    pub(crate) async fn drain(&self) {
        let empty = async {
            while self.0.sending.get() || !self.0.waiting.borrow().is_empty() {
                self.0.emptied.notified().await;
            }
        };
        if timeout(GRACE, empty).await.is_err() {
            warn!(verdicts = self.0.waiting.borrow().len(), "verdicts could not be logged before the stop");
        }
    }
}
