//! How a test's pool is set: its settings file, its environment, and the commands that it runs with them.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::program;
use crate::books::Books;
use crate::network::Network;
use crate::process::Process;
use crate::wait::free_port;

/// How long a command may take on a loaded machine.
const COMMAND: Duration = Duration::from_secs(60);
/// Opens the protected routes of every pool that a test starts.
pub(crate) const KEY: &str = "e2e-key";

/// How to start a pool.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) dir: PathBuf,
    keys: BTreeMap<String, Value>,
    pub(crate) env: Vec<(String, String)>,
    devnet: bool,
    daemon_port: u16,
    pub(crate) stratum_port: u16,
    api_port: u16,
    url: Option<String>,
}

impl Config {
    /// The devnet preset's rules, as settings of a file in `dir`, against a network that runs by itself.
    #[must_use]
    pub fn new(dir: &Path, network: &Network) -> Config {
        let path = |path: PathBuf| path.display().to_string();
        Config::bare(dir, network.daemon_port, network.stratum_port)
            .set("pool.network", "devnet")
            .set("data.dir", path(dir.join("data")))
            .set("daemon.cookie_path", path(network.cookie_path()))
            .set("daemon.data_dir", "")
            .set("daemon.wallet_password_file", path(network.wallet_password_file()))
            .set("daemon.poll_interval", "500ms")
            .set("vardiff.initial", 5)
            .set("vardiff.window", "20s")
            .set("validation.lanes", 1)
            .set("validation.pow_memory_kib", 1024)
            .set("blocks.confirmations", 3)
            .set("payout.interval", "2s")
            .set("payout.min_amount", "0.1")
            .set("payout.pause_file", "")
    }

    /// The first of two daemons, the second one to fall back to, and the miners of the second one's process.
    #[must_use]
    pub fn pair(dir: &Path, [first, second]: &[Network; 2]) -> Config {
        let path = |path: PathBuf| path.display().to_string();
        let fallback = json!([{
            "url": format!("http://127.0.0.1:{}", second.daemon_port),
            "cookie_path": path(second.cookie_path()),
            "data_dir": "",
            "wallet_password_file": path(second.wallet_password_file()),
        }]);
        Config { stratum_port: second.stratum_port, ..Config::new(dir, first) }
            .set("stratum.listen", format!("127.0.0.1:{}", second.stratum_port))
            .set("daemon.fallback", fallback)
    }

    /// `up --devnet`, which brings its own network, with nothing changed but the ports.
    #[must_use]
    pub fn devnet(dir: &Path) -> Config {
        Config { devnet: true, ..Config::bare(dir, free_port(), free_port()) }
    }

    fn bare(dir: &Path, daemon_port: u16, stratum_port: u16) -> Config {
        let api_port = free_port();
        let config = Config {
            dir: dir.to_owned(),
            keys: BTreeMap::new(),
            env: Vec::new(),
            devnet: false,
            daemon_port,
            stratum_port,
            api_port,
            url: None,
        };
        config
            .set("daemon.url", format!("http://127.0.0.1:{daemon_port}"))
            .set("stratum.listen", format!("127.0.0.1:{stratum_port}"))
            .set("api.listen", format!("127.0.0.1:{api_port}"))
            .set("api.keys", vec![KEY])
    }

    /// Sets a key of the settings file.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Config {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Config {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the books in another database.
    #[must_use]
    pub fn database(mut self, url: &str) -> Config {
        self.url = Some(url.to_owned());
        self.set("database.url", url)
    }

    /// Checks no share: the test makes hashes up.
    #[must_use]
    pub fn trusting(self) -> Config {
        self.set("validation.sample_rate", 0).set("validation.warmup_shares", 0).set("validation.min_sample_every", 0)
    }

    /// Every share is worth one hash, whatever the miner's speed: as many shares as possible.
    #[must_use]
    pub fn easy(self) -> Config {
        self.set("vardiff.enabled", false).set("vardiff.initial", 1).set("stratum.submit_rate_max", 100_000)
    }

    /// URL of the simulated daemon.
    #[must_use]
    pub fn daemon_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.daemon_port)
    }

    /// Port of the API and the page.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.api_port
    }

    /// Where the pool keeps its log and its database.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where the share log is.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.data_dir().join("log")
    }

    /// URL of the database.
    #[must_use]
    pub fn database_url(&self) -> String {
        let default = || format!("sqlite:{}", self.data_dir().join("meshpool.sqlite").display());
        self.url.clone().unwrap_or_else(default)
    }

    /// The books as the database has them.
    #[must_use]
    pub fn books(&self) -> Books {
        Books::open(&self.database_url())
    }

    /// The settings file, as it will be written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.keys {
            writeln!(text, "{key} = {}", toml(value)).expect("a text takes text");
        }
        text
    }

    /// Runs a command of the operator to its end; exit code, standard output, standard error.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn command(&self, command: &str) -> (i32, String, String) {
        self.command_with(command, &[])
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn command_with(&self, command: &str, args: &[&str]) -> (i32, String, String) {
        let mut process = self.spawn(command, command, args);
        let code = process.code(COMMAND);
        (code, process.out(), process.log())
    }

    pub(crate) fn spawn(&self, name: &str, command: &str, more: &[&str]) -> Process {
        let (args, env) = self.prepare(command, more);
        Process::spawn(name, &program("meshpool"), args, &env, &self.dir)
    }

    /// Its arguments and its environment.
    pub(crate) fn prepare(&self, command: &str, more: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
        self.make_dir();
        let mut args: Vec<String> = [command].iter().chain(more).map(|arg| (*arg).to_owned()).collect();
        let mut env = self.env.clone();
        if self.devnet {
            args.extend(["--devnet".to_owned(), "--data-dir".to_owned(), self.data_dir().display().to_string()]);
            env.extend(self.variables());
        } else {
            self.write_file();
        }
        (args, env)
    }

    pub(crate) fn make_dir(&self) {
        std::fs::create_dir_all(&self.dir).unwrap_or_else(|error| panic!("{}: {error}", self.dir.display()));
    }

    pub(crate) fn write_file(&self) {
        let file = self.dir.join("pool.toml");
        std::fs::write(&file, self.text()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.keys.iter().map(|(key, value)| (variable(key), plain(value)))
    }
}

/// Texts, numbers and booleans are written alike in JSON and TOML, and dotted keys are keys.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(keys) => {
            let pairs: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// The variable of the environment that sets a key.
fn variable(key: &str) -> String {
    format!("POOL_{}", key.replace('.', "__").to_uppercase())
}

/// A value as the environment has it: texts without quotes, lists with commas.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
