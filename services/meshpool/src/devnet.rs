//! The simulated daemon and its miners, as a child process.
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use settings::Settings;
use tracing::{Level, debug, error, info, warn};

/// What of a line of the child goes into the log.
const LINE_MAX_BYTES: u64 = 8 * 1024;
/// How long the child may take to end. Then it is killed.
const END_MAX: Duration = Duration::from_secs(5);

/// A running child. Its standard input is its lease: it ends when that is closed, even if this process is killed.
pub(crate) struct Devnet {
    child: Child,
    /// Ends when the child has closed its log, which it does by ending.
    silent: Receiver<()>,
}

impl Devnet {
    /// Starts `meshpool-devnet` from beside this binary.
    pub(crate) fn start(settings: &Settings) -> io::Result<Devnet> {
        let program = beside("meshpool-devnet")?;
        let (data_dir, daemon_url) = (settings.data.dir.join("daemon"), &settings.daemon.url);
        let pool =
            settings.stratum.listen.addresses().first().ok_or_else(|| io::Error::other("stratum.listen: is empty"))?;
        let listen = daemon_url.trim_start_matches("http://").trim_end_matches('/');
        let mut child = Command::new(&program)
            .args(["run", "--devnet", "--stdin-lease", "--listen", listen, "--pool", &pool.to_string()])
            .args(["--control", "127.0.0.1:0"])
            .arg("--data")
            .arg(data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A log that nobody reads is this process's trouble and not the child's.
            .stderr(Stdio::piped())
            // Ctrl-C is for the pool, which drains; the network ends after it.
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let (open, silent) = channel();
        let log = child.stderr.take().ok_or_else(|| io::Error::other("the simulated network has no log"))?;
        let mut devnet = Devnet { child, silent };
        thread("devnet-log", move || relay(log, open))?;
        devnet.wait_ready()?;
        Ok(devnet)
    }

    /// Its first line says that the daemon answers.
    fn wait_ready(&mut self) -> io::Result<()> {
        let output = self.child.stdout.take().ok_or_else(|| io::Error::other("the simulated network has no output"))?;
        let mut lines = BufReader::new(output).lines();
        match lines.next() {
            Some(Ok(_ready)) => {}
            _ => {
                self.is_silent();
                return Err(io::Error::other("the simulated network ended at its start; see above"));
            }
        }
        // Whatever it says later goes nowhere, but must not fill the pipe.
        thread("devnet-output", move || lines.for_each(drop))
    }

    /// Waits until all that it said is in the log, and it has ended, or for [`END_MAX`].
    fn is_silent(&self) -> bool {
        self.silent.recv_timeout(END_MAX) == Err(RecvTimeoutError::Disconnected)
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let killed = if self.is_silent() { Ok(()) } else { self.child.kill() };
        if let Err(error) = killed.and_then(|()| self.child.wait().map(drop)) {
            warn!(%error, "the simulated network did not end");
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| io::Error::new(error.kind(), format!("thread: {error}")))
}

/// Makes each line of the child's log one of this process's, until it ends.
fn relay(log: ChildStderr, _open: Sender<()>) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        match log.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => note(String::from_utf8_lossy(&line).trim_end()),
            Err(error) => return warn!(%error, "the simulated network's log cannot be read"),
        }
    }
}

fn note(line: &str) {
    match parse(line) {
        (Level::ERROR, text) => error!(target: "devnet", "{text}"),
        (Level::WARN, text) => warn!(target: "devnet", "{text}"),
        (Level::INFO, text) => info!(target: "devnet", "{text}"),
        (_, text) => debug!(target: "devnet", "{text}"),
    }
}

/// Lines begin with a time and a level; what does not is a panic.
fn parse(line: &str) -> (Level, &str) {
    let event = line.split_once("Z ").and_then(|(_time, rest)| rest.trim_start().split_once(' '));
    let level = event.and_then(|(level, text)| Some((level.parse().ok()?, text)));
    level.unwrap_or((Level::ERROR, line))
}

fn beside(name: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| io::Error::new(error.kind(), format!("own path: {error}")))?;
    let program = own.with_file_name(name);
    if program.is_file() {
        Ok(program)
    } else {
        let text = format!("{} is missing: build it with `cargo build --release`", program.display());
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_network_keeps_its_level_and_loses_its_time() {
        let line = "2026-01-02T03:04:05.678901Z  WARN daemon_sim::node: no peer peer=1";
        assert_eq!(parse(line), (Level::WARN, "daemon_sim::node: no peer peer=1"));
        for panic in ["thread 'main' panicked at src/main.rs:1:2:", "index out of bounds", ""] {
            assert_eq!(parse(panic), (Level::ERROR, panic));
        }
    }
}
