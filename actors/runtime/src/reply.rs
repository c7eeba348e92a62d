//! The right to answer a message, and the ways to use it.
use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use crate::Message;
use crate::core::MailboxPermit;
use crate::exit::panic_text;

/// The right to answer one message. It holds the message's place in the bound and its span, and may go to another
/// task, thread or lane. Dropping it answers `Lost`.
#[must_use = "a reply that is dropped tells the sender that its message was lost"]
pub struct Reply<M: Message> {
    /// None when the message was told, not asked.
    tx: Option<oneshot::Sender<M::Reply>>,
    /// None when it was answered, or made for a test.
    ticket: Option<MailboxPermit>,
    span: Span,
}

impl<M: Message> Reply<M> {
    pub(crate) fn new(tx: Option<oneshot::Sender<M::Reply>>, ticket: Option<MailboxPermit>) -> Self {
        Reply { tx, ticket, span: Span::current() }
    }

    /// A reply without an actor, and where its answer will arrive: for tests that call a handler directly.
    pub fn test() -> (Self, oneshot::Receiver<M::Reply>) {
        let (tx, rx) = oneshot::channel();
        (Reply::new(Some(tx), None), rx)
    }

    /// Answers, and gives the place back. A sender that has left or only told is not an error.
    pub fn send(self, answer: M::Reply) {
        self.deliver(answer); // The asker may have lost its patience; that is its right.
    }

    /// As [`send`](Self::send), for those who must know whether somebody still waited.
    pub fn deliver(mut self, answer: M::Reply) -> bool {
        drop(self.ticket.take()); // First, so that whoever has the answer also sees the place free.
        self.tx.take().is_some_and(|tx| tx.send(answer).is_ok())
    }

    /// Whether the asker still waits. One that only told never did.
    pub fn is_awaited(&self) -> bool {
        self.tx.as_ref().is_some_and(|tx| !tx.is_closed())
    }

    /// The span of the handling, for work that goes on elsewhere.
    pub fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.tx.is_some()
    }

    pub(crate) fn set_span(&mut self, span: &Span) {
        self.span = span.clone();
    }

    /// For a message that goes back to its sender instead of being accepted: nothing is lost.
    pub(crate) fn withdraw(mut self) {
        self.ticket = None;
    }
}

impl<M: Message> Drop for Reply<M> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.core.lost.fetch_add(1, Ordering::Relaxed);
        } // And after the place is free, `tx` is dropped and the asker hears of it.
    }
}

impl<M: Message> fmt::Debug for Reply<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("msg", &M::NAME).field("asked", &self.is_asked()).finish_non_exhaustive()
    }
}

/// Lets the work of a message go on while the actor takes the next one. The reply goes with it, so the bound still
/// covers it and a drain waits for it. A panic in it is a failure of the actor, like one in its handler.
///
/// # Panics
/// Not called on an arbiter.
pub fn continue_with<M, F>(reply: Reply<M>, journey: F)
where
    M: Message,
    F: Future<Output = M::Reply> + 'static,
{
    let span = reply.span.clone();
    let sender = reply.ticket.as_ref().map(|ticket| (ticket.core.clone(), ticket.core.status().generation));
    let whole = async move {
        // Caught only to be handed to the supervisor: nobody waits for this task's join handle.
        match AssertUnwindSafe(journey).catch_unwind().await {
            Ok(answer) => reply.send(answer),
            Err(panic) => match sender {
                Some((core, generation)) => core.crash(generation, panic_text(&*panic)),
                None => resume_unwind(panic),
            },
        }
    };
    drop(actix_rt::spawn(whole.instrument(span)));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::Core;
    use crate::{Limits, block_on};

    struct Add(u32);
    impl Message for Add {
        type Reply = u32;
        const NAME: &'static str = "add";
    }

    #[test]
    fn a_reply_for_a_test_needs_no_actor() {
        let (reply, mut answer) = Reply::<Add>::test();
        reply.send(Add(3).0);
        assert_eq!(answer.try_recv(), Ok(3));
        let (reply, mut answer) = Reply::<Add>::test();
        drop(reply);
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn a_reply_knows_whether_somebody_waits_for_it() {
        let (reply, answer) = Reply::<Add>::test();
        assert!(reply.is_awaited());
        drop(answer);
        assert!(!reply.is_awaited());
        assert!(!reply.deliver(1));
        assert!(!Reply::<Add>::new(None, None).is_awaited());
    }

    #[test]
    fn a_message_that_goes_back_is_not_lost_and_one_that_is_dropped_is() {
        let core = Arc::new(Core::new("actor", Limits { messages: 2, urgent: 0 }));
        let accepted = || Reply::<Add>::new(None, Some(MailboxPermit::take(&core, false).unwrap()));
        let (back, gone) = (accepted(), accepted());
        assert!(MailboxPermit::take(&core, false).is_none());
        back.withdraw();
        assert_eq!((core.depth(), core.lost.load(Ordering::Relaxed)), (1, 0));
        drop(gone);
        assert_eq!((core.depth(), core.lost.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn carried_work_answers_when_it_is_done() {
        block_on(async {
            let (reply, answer) = Reply::<Add>::test();
            let (go, gone) = oneshot::channel();
            continue_with(reply, async move { gone.await.unwrap() });
            go.send(7).unwrap();
            assert_eq!(answer.await, Ok(7));
        });
    }
}
