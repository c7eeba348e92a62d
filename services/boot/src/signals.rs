//! When to stop, and which signals are no reason to.
//!
//! | Signal | What happens |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT, SIGPWR, SIGXCPU | The process drains and ends. |
//! | SIGHUP | Certificates are read again, by whoever has some. |
//! | SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ | Nothing, but for a line of the log. |
//!
//! Each of them would end the process at once by default.
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// Orders to end: of the service manager, of a terminal, of an init system whose power or container goes, and of a limit
/// on CPU time that kills next.
const STOPS: [(&str, Number); 5] = [
    ("SIGTERM", Number::TERM),
    ("SIGINT", Number::INT),
    ("SIGQUIT", Number::QUIT),
    ("SIGPWR", Number::POWER),
    ("SIGXCPU", Number::XCPU),
];
/// What tools send for reasons of theirs, to rotate logs, to profile, to wake; and a file at its limit, which the write
/// itself reports too.
const IGNORED: [(&str, Number); 7] = [
    ("SIGUSR1", Number::USR1),
    ("SIGUSR2", Number::USR2),
    ("SIGALRM", Number::ALARM),
    ("SIGVTALRM", Number::VTALARM),
    ("SIGPROF", Number::PROF),
    ("SIGIO", Number::IO),
    ("SIGXFSZ", Number::XFSZ),
];
/// A signal that comes all the time is told this often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The process's signals. Made before anything is started, so that an early one is not lost.
pub struct Shutdown {
    stops: Vec<Heard>,
    ignored: Vec<Heard>,
    _hangup: Signal,
}

struct Heard {
    name: &'static str,
    signal: Signal,
    told_at: Option<Instant>,
}

impl Shutdown {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process cannot install a handler.
    pub fn listen() -> std::io::Result<Shutdown> {
        let listen = |(name, number): &(&'static str, Number)| {
            let signal = signal(SignalKind::from_raw(number.as_raw()))?;
            Ok(Heard { name, signal, told_at: None })
        };
        let listen_all = |signals: &[_]| signals.iter().map(listen).collect::<std::io::Result<Vec<_>>>();
        let (stops, ignored) = (listen_all(&STOPS)?, listen_all(&IGNORED)?);
        Ok(Shutdown { stops, ignored, _hangup: signal(SignalKind::hangup())? })
    }

    /// Resolves at the first that says so; tells which.
    pub async fn wait(&mut self) -> &'static str {
        poll_fn(|context| {
            self.ignored.iter_mut().for_each(|heard| heard.ignore(context));
            // All of them: each that has not come wakes this task when it does.
            let came = self.stops.iter_mut().filter_map(|heard| heard.came(context).then_some(heard.name));
            came.last().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

impl Heard {
    fn came(&mut self, context: &mut Context<'_>) -> bool {
        self.signal.poll_recv(context).is_ready()
    }

    fn ignore(&mut self, context: &mut Context<'_>) {
        while self.came(context) {
            if self.told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
                self.told_at = Some(Instant::now());
                warn!(signal = self.name, "signal ignored; SIGTERM ends the pool");
            }
        }
    }
}
