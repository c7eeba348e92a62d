//! The simulated daemon and its miners, as a child process.
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use settings::Listen;

/// A running child. Its standard input is its lease: it ends when that is closed, even if this process is killed.
pub(crate) struct Devnet {
    child: Child,
}

impl Devnet {
    /// Starts `meshpool-devnet` from beside this binary.
    pub(crate) fn start(data_dir: &Path, daemon_url: &str, stratum: &Listen) -> Result<Devnet, String> {
        let program = beside("meshpool-devnet")?;
        let pool = stratum.addresses().first().ok_or("stratum.listen: is empty")?;
        let listen = daemon_url.trim_start_matches("http://").trim_end_matches('/');
        let child = Command::new(&program)
            .args(["run", "--devnet", "--stdin-lease", "--listen", listen, "--pool", &pool.to_string()])
            .args(["--control", "127.0.0.1:0"])
            .arg("--data")
            .arg(data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the pool, which drains; the network ends after it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut devnet = Devnet { child };
        devnet.wait_ready()?;
        Ok(devnet)
    }

    /// Its first line says that the daemon answers.
    fn wait_ready(&mut self) -> Result<(), String> {
        let output = self.child.stdout.take().ok_or("the simulated network has no output")?;
        let mut lines = BufReader::new(output).lines();
        match lines.next() {
            Some(Ok(_ready)) => {}
            _ => return Err("the simulated network ended at its start; see above".to_owned()),
        }
        // Whatever it says later goes nowhere, but must not fill the pipe.
        std::thread::Builder::new()
            .name("devnet-output".to_owned())
            .spawn(move || lines.for_each(drop))
            .map(drop)
            .map_err(|error| format!("thread: {error}"))
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "the simulated network did not end");
        }
    }
}

fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let program = own.with_file_name(name);
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("{} is missing: build it with `cargo build --release`", program.display()))
    }
}
