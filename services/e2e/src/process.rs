//! A child process that never outlives its test, and what it wrote.
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::unread::UnreadPipe;
use crate::wait::wait_for;

/// Lines of its log that a failed test shows.
const LINES_SHOWN: usize = 60;

/// A running or ended program.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    log: PathBuf,
    /// Where in `log` this process began to write: files are shared by all processes of one name in one directory.
    log_start: u64,
    out_start: u64,
}

impl Process {
    /// Starts `program` in `dir`, with nothing in its environment but `PATH`, `RUST_LOG` and `env`. What it prints goes to
    /// `NAME.out` and `NAME.log` there. It is killed with the thread that started it, whatever happens to that.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: &[(String, String)],
        dir: &Path,
    ) -> Process {
        Process::spawn_from(Stdio::piped(), name, program, args, env, dir)
    }

    /// The same with a standard input of the caller's.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_from<A: AsRef<OsStr>>(
        stdin: Stdio,
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: &[(String, String)],
        dir: &Path,
    ) -> Process {
        let (out, log) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.log")));
        let ((out_file, out_start), (log_file, log_start)) = (append(&out), append(&log));
        let child = launch(program, args, env, dir, [stdin, out_file.into(), log_file.into()]);
        Process { name: name.to_owned(), child, out, log, log_start, out_start }
    }

    /// The same with standard output and standard error into one pipe that is full and that nobody reads.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_unread<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: &[(String, String)],
        dir: &Path,
    ) -> (Process, UnreadPipe) {
        let log = dir.join(format!("{name}.log"));
        let (log_file, log_start) = append(&log);
        let (pipe, [out, err]) = UnreadPipe::new(log_file);
        let child = launch(program, args, env, dir, [Stdio::piped(), out, err]);
        (Process { name: name.to_owned(), child, out: log.clone(), log, log_start, out_start: log_start }, pipe)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, like `TERM`.
    ///
    /// # Panics
    /// When there is no such process any more.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} cannot be sent {name}", self.name);
    }

    /// Lets no file of it grow beyond so many bytes, as if the disk were full; `None` gives the room back.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let set =
            Command::new("prlimit").args(["--pid", &self.id().to_string(), &format!("--fsize={limit}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit (package util-linux) for {}", self.name);
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Panics
    /// When the system does not know it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after that time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, within, || self.ended())
    }

    /// Waits for its end and returns the exit code.
    ///
    /// # Panics
    /// When it still runs after that time, or died of a signal.
    pub fn code(&mut self, within: Duration) -> i32 {
        let status = self.wait(within);
        status.code().unwrap_or_else(|| panic!("{} ended by {status}", self.name))
    }

    /// What it has written to standard error so far, without colours.
    #[must_use]
    pub fn log(&self) -> String {
        read_from(&self.log, self.log_start)
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn out(&self) -> String {
        read_from(&self.out, self.out_start)
    }

    /// Waits until its log holds this text.
    ///
    /// # Panics
    /// When it does not within that time.
    pub fn wait_log(&self, text: &str, within: Duration) {
        let what = format!("`{text}` in the log of {}", self.name);
        wait_for(&what, within, || self.log().contains(text).then_some(()));
    }
}

/// The file to append to, and how long it is now.
fn append(path: &Path) -> (File, u64) {
    let opened = OpenOptions::new().create(true).append(true).open(path).and_then(|file| {
        let length = file.metadata()?.len();
        Ok((file, length))
    });
    opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn launch<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    env: &[(String, String)],
    dir: &Path,
    [stdin, stdout, stderr]: [Stdio; 3],
) -> Child {
    let inherited = ["PATH", "RUST_LOG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        // A limit on the size of files is an error like a full disk, not a signal.
        .args(["env", "--ignore-signal=XFSZ"])
        .arg(program)
        .args(args)
        .env_clear()
        .envs(inherited)
        .envs(env.iter().cloned())
        .current_dir(dir)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap_or_else(|error| panic!("setpriv (package util-linux) for {}: {error}", program.display()))
}

fn read_from(path: &Path, start: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the process said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("=== {} (pid {}), last lines:\n{}\n===", self.name, self.id(), tail.join("\n"));
        }
        // It may have ended by itself, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
