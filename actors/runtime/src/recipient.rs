//! An actor seen from the sender's side: knows the message, not the actor.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ask::answered;
use crate::{Actor, ActorRef, AskError, Handler, Message, Refused, Reply};

trait Deliver<M: Message>: Send + Sync {
    fn deliver(&self, msg: M, tx: Option<oneshot::Sender<M::Reply>>) -> Result<(), Refused<M>>;
    /// An asker has lost its patience.
    fn count_late(&self) {}
}

/// Something that takes `M`: an actor, or a fake one in a test. Cheap to clone; the bound stays exact.
pub struct Recipient<M: Message>(Arc<dyn Deliver<M>>);

struct Fake<F>(F);

// === impl Recipient ===

impl<A: Actor> ActorRef<A> {
    /// This actor, seen as something that takes `M`.
    #[must_use]
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        A: Handler<M>,
        M: Message,
    {
        Recipient(Arc::new(self.clone()))
    }
}

impl<M: Message> Recipient<M> {
    /// A recipient that is only a function, for tests. It may answer now or later, drop the reply (`Lost`), or give
    /// the message back (`Busy`, `Down`).
    pub fn from_fn(take: impl Fn(M, Reply<M>) -> Result<(), Refused<M>> + Send + Sync + 'static) -> Self {
        Recipient(Arc::new(Fake(take)))
    }

    /// See [`ActorRef::tell`].
    ///
    /// # Errors
    /// Gives the message back when it was not accepted.
    pub fn tell(&self, msg: M) -> Result<(), Refused<M>> {
        self.0.deliver(msg, None)
    }

    /// See [`ActorRef::ask`].
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, msg: M, patience: Duration) -> Result<M::Reply, AskError> {
        let (tx, rx) = oneshot::channel();
        self.0.deliver(msg, Some(tx))?;
        answered(rx, patience).await.inspect_err(|err| {
            if *err == AskError::Late {
                self.0.count_late();
            }
        })
    }
}

impl<M: Message> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Recipient(Arc::clone(&self.0))
    }
}

impl<M: Message> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", M::NAME)
    }
}

// === impl Deliver ===

impl<A: Handler<M>, M: Message> Deliver<M> for ActorRef<A> {
    fn deliver(&self, msg: M, tx: Option<oneshot::Sender<M::Reply>>) -> Result<(), Refused<M>> {
        self.0.post(msg, tx)
    }

    fn count_late(&self) {
        self.0.count_late();
    }
}

impl<F, M> Deliver<M> for Fake<F>
where
    F: Fn(M, Reply<M>) -> Result<(), Refused<M>> + Send + Sync,
    M: Message,
{
    fn deliver(&self, msg: M, tx: Option<oneshot::Sender<M::Reply>>) -> Result<(), Refused<M>> {
        (self.0)(msg, Reply::new(tx, None))
    }
}
