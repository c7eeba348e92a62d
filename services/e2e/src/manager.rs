//! A service manager as a pool meets it: a listening socket that outlives pools, and ears for what they say.
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::binaries::{program, repository};
use crate::config::Config;
use crate::pool::Pool;
use crate::wait::wait_until;

/// Hands descriptor 0 on as the first inherited one, as `sd_listen_fds(3)` says, and becomes the program.
const HAND_OVER: &str = "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$@\"";

/// What was said, and when it was heard.
type Heard = Arc<Mutex<Vec<(Instant, String)>>>;

/// It listens on the Stratum port of one configuration, and hears every process that it starts.
pub struct Manager {
    listener: TcpListener,
    notify: PathBuf,
    patience: Duration,
    heard: Heard,
}

impl Manager {
    /// Binds the port. Pools must show that they live once in `patience`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn new(dir: &Path, stratum: impl ToSocketAddrs, patience: Duration) -> Manager {
        let listener = TcpListener::bind(stratum).unwrap_or_else(|error| panic!("the Stratum port: {error}"));
        let notify = dir.join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap_or_else(|error| panic!("{}: {error}", notify.display()));
        let heard = Heard::default();
        let shared = Arc::clone(&heard);
        // Ends with the test.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let now = Instant::now();
                let mut heard = shared.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend(text.lines().map(|line| (now, line.to_owned())));
            }
        });
        Manager { listener, notify, patience, heard }
    }

    /// Starts a pool with the socket, and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, config: &Config) -> Pool {
        let listener = self.listener.try_clone().expect("a socket can be shared");
        let config = config
            .clone()
            .env("NOTIFY_SOCKET", &self.notify.display().to_string())
            .env("WATCHDOG_USEC", &self.patience.as_micros().to_string());
        let pool = program("meshpool").display().to_string();
        let mut args = vec!["-c".to_owned(), HAND_OVER.to_owned(), pool];
        args.extend(arguments_of_the_unit());
        config.start_through(Path::new("/bin/sh"), args, Stdio::from(OwnedFd::from(listener)))
    }

    /// When this line was heard, in order.
    #[must_use]
    pub fn heard(&self, line: &str) -> Vec<Instant> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|(_, said)| said == line).map(|(at, _)| *at).collect()
    }

    /// The newest status line.
    #[must_use]
    pub fn status(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = heard.iter().rev().find_map(|(_, said)| said.strip_prefix("STATUS="));
        newest.unwrap_or_default().to_owned()
    }

    /// Waits until this line was heard so often.
    ///
    /// # Panics
    /// When it was not within that time.
    pub fn wait(&self, line: &str, times: usize, within: Duration) {
        wait_until(&format!("{times} times {line}"), within, || self.heard(line).len() >= times);
    }

    /// Whether it would end the pool now, because it has shown no life for so long.
    #[must_use]
    pub fn has_lost_patience(&self) -> bool {
        let last = self.heard("WATCHDOG=1").into_iter().chain(self.heard("READY=1")).max();
        last.is_some_and(|at| at.elapsed() > self.patience)
    }
}

/// What the service's unit gives the pool on its command line, with the settings of the test.
fn arguments_of_the_unit() -> Vec<String> {
    let path = repository().join("ops/systemd/meshpool.service");
    let unit = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a service starts something");
    let words = start.split(' ').skip(1);
    words.map(|word| if word == "/etc/meshpool/pool.toml" { "pool.toml" } else { word }.to_owned()).collect()
}
