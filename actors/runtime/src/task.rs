//! Tasks on the current thread, and the event loop that `main` and tests run in.
use tokio::task::JoinHandle;
use tracing::Instrument;

/// A task on the current arbiter that ends with its owner: an actor that keeps it in a field takes it along when it
/// dies. It carries no message, so no bound covers it and no drain waits for it: for work that has a message use
/// [`continue_with`](crate::continue_with).
#[derive(Debug)]
#[must_use = "a task that is dropped is aborted"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Whether it has ended, by itself or by a panic. An actor that cannot do without it looks at each tick.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task on the current arbiter; it need not be `Send`.
///
/// # Panics
/// Not called on an arbiter or inside [`block_on`].
pub fn spawn(work: impl Future<Output = ()> + 'static) -> Task {
    Task(actix_rt::spawn(work.in_current_span()))
}

/// Starts a task on the current arbiter that nobody owns: it runs to its end, or until the arbiter ends. For what the
/// peer of a connection decides the length of, and for work that must not end with the one who began it.
///
/// # Panics
/// Not called on an arbiter or inside [`block_on`].
pub fn spawn_detached(work: impl Future<Output = ()> + 'static) {
    drop(actix_rt::spawn(work.in_current_span()));
}

/// Makes an actor system on this thread and runs `work` in it: for `main`, and for tests.
///
/// # Panics
/// The operating system gives no event loop.
pub fn block_on<F: Future>(work: F) -> F::Output {
    actix_rt::System::new().block_on(work)
}
