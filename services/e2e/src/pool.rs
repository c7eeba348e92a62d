//! A pool process, seen from outside: its settings file, its HTTP API, its metrics, its audit.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::program;
use crate::books::Books;
use crate::http::{self, Answer};
use crate::network::Network;
use crate::process::Process;
use crate::unread::UnreadPipe;
use crate::wait::{free_port, wait_for};

/// How long a loaded machine may take to start a pool.
const START: Duration = Duration::from_secs(60);
const AUDIT: Duration = Duration::from_secs(60);
/// Opens the protected routes of every pool that a test starts.
const KEY: &str = "e2e-key";

/// How to start a pool.
#[derive(Clone, Debug)]
pub struct Config {
    dir: PathBuf,
    keys: BTreeMap<String, Value>,
    env: Vec<(String, String)>,
    devnet: bool,
    daemon_port: u16,
    stratum_port: u16,
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
        let code = process.code(AUDIT);
        (code, process.out(), process.log())
    }

    fn spawn(&self, name: &str, command: &str, more: &[&str]) -> Process {
        let (args, env) = self.prepare(command, more);
        Process::spawn(name, &program("meshpool"), args, &env, &self.dir)
    }

    /// Its arguments and its environment.
    fn prepare(&self, command: &str, more: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
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

    /// Starts the pool and waits for nothing.
    #[must_use]
    pub fn start(&self) -> Pool {
        let process = self.spawn("pool", "up", &[]);
        Pool { process, config: self.clone(), url: format!("http://127.0.0.1:{}", self.api_port) }
    }

    /// Starts the pool with its output into a full pipe that nobody reads, and waits for nothing.
    #[must_use]
    pub fn start_unread(&self) -> (Pool, UnreadPipe) {
        let (args, env) = self.prepare("up", &[]);
        let (process, pipe) = Process::spawn_unread("pool", &program("meshpool"), args, &env, &self.dir);
        (Pool { process, config: self.clone(), url: format!("http://127.0.0.1:{}", self.api_port) }, pipe)
    }

    /// Starts it by another program that ends as `meshpool up --devnet`, with these variables beside the settings.
    #[must_use]
    pub fn start_by(&self, program: &Path, env: Vec<(String, String)>) -> Pool {
        let env: Vec<_> = env.into_iter().chain(self.variables()).collect();
        let args = ["--data-dir".to_owned(), self.data_dir().display().to_string()];
        let process = Process::spawn("pool", program, args, &env, &self.dir);
        Pool { process, config: self.clone(), url: format!("http://127.0.0.1:{}", self.api_port) }
    }

    /// Starts it as `pool.toml` in its directory says, by another program that becomes the pool, and waits for nothing.
    #[must_use]
    pub(crate) fn start_through(&self, program: &Path, args: Vec<String>, stdin: Stdio) -> Pool {
        self.make_dir();
        self.write_file();
        let process = Process::spawn_from(stdin, "pool", program, args, &self.env, &self.dir);
        Pool { process, config: self.clone(), url: format!("http://127.0.0.1:{}", self.api_port) }
    }

    /// Starts another host than the whole pool, `meshpool-stratum` or `meshpool-treasury`, and waits for nothing.
    #[must_use]
    pub fn start_host(&self, binary: &str) -> Pool {
        self.start_through(&program(binary), Vec::new(), Stdio::null())
    }

    fn make_dir(&self) {
        std::fs::create_dir_all(&self.dir).unwrap_or_else(|error| panic!("{}: {error}", self.dir.display()));
    }

    fn write_file(&self) {
        let file = self.dir.join("pool.toml");
        std::fs::write(&file, self.text()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.keys.iter().map(|(key, value)| (variable(key), plain(value)))
    }

    /// Starts the pool and waits until it is ready to serve miners.
    ///
    /// # Panics
    /// When it does not get there.
    #[must_use]
    pub fn start_ready(&self) -> Pool {
        let mut pool = self.start();
        pool.wait_ready();
        pool
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

/// A pool process.
pub struct Pool {
    /// The process itself.
    pub process: Process,
    /// How it was started.
    pub config: Config,
    url: String,
}

impl Pool {
    /// Address of its Stratum port.
    #[must_use]
    pub fn stratum(&self) -> String {
        format!("127.0.0.1:{}", self.config.stratum_port)
    }

    /// A GET of the API; `None` when nobody answers.
    #[must_use]
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        http::get(&format!("{}{path}", self.url)).ok()
    }

    /// A GET of the API that must work.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.try_get(path).unwrap_or_else(|| panic!("the pool does not answer {path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Why it is not ready; empty when it is, `None` when it does not answer.
    #[must_use]
    pub fn reasons(&self) -> Option<Vec<String>> {
        let body = self.try_get("/readyz")?.json();
        let reasons = body["reasons"].as_array()?;
        Some(reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it does not get there, or ends.
    pub fn wait_ready(&mut self) {
        let mut last = None;
        wait_for("a ready pool", START, || {
            assert!(self.process.ended().is_none(), "the pool ended at its start");
            last = self.reasons();
            last.as_ref().is_some_and(Vec::is_empty).then_some(())
        });
    }

    /// Waits until `/readyz` names a reason that holds this text.
    ///
    /// # Panics
    /// When it does not within that time, or the process ends.
    pub fn wait_reason(&mut self, text: &str, within: Duration) {
        wait_for(&format!("`{text}` in /readyz"), within, || {
            assert!(self.process.ended().is_none(), "the pool ended");
            self.reasons()?.iter().any(|reason| reason.contains(text)).then_some(())
        });
    }

    /// What is broken but has a replacement.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let body = self.try_get("/readyz").map(|answer| answer.json()).unwrap_or_default();
        let texts = body["degraded"].as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Sum of a metric over all its labels that hold `label`; 0 when there is none.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.try_get("/metrics").map(|answer| answer.body).unwrap_or_default();
        samples(&text, name).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value).sum()
    }

    /// Names of all actors.
    #[must_use]
    pub fn actors(&self) -> Vec<String> {
        let text = self.try_get("/metrics").map(|answer| answer.body).unwrap_or_default();
        let name = |labels: &str| Some(labels.split_once("actor=\"")?.1.split_once('"')?.0.to_owned());
        samples(&text, "meshpool_actor_generation").filter_map(|(labels, _)| name(&labels)).collect()
    }

    /// Orders a fault drill.
    ///
    /// # Panics
    /// When the pool does not do it.
    pub fn drill(&self, order: &Value) {
        let url = format!("{}/api/devnet/drill", self.url);
        let answer = http::request("POST", &url, &[("x-api-key", KEY)], Some(order));
        let answer = answer.unwrap_or_else(|error| panic!("drill {order}: {error}"));
        assert_eq!((answer.status, answer.json()), (200, json!({ "done": true })), "drill {order}");
    }

    /// Ends it with SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(mut self) -> i32 {
        self.process.signal("TERM");
        self.process.code(Duration::from_secs(60))
    }
}

/// Labels and value of each sample of a metric in Prometheus text.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (String, u64)> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        if !(labels.is_empty() || labels.starts_with('{')) {
            return None;
        }
        let value: f64 = value.parse().ok()?;
        Some((labels.to_owned(), value as u64))
    })
}

/// What `meshpool audit` found.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The exit code: 0 exactly for no difference.
    pub code: i32,
    /// The report.
    pub report: Value,
}

impl Audit {
    /// Differences found.
    ///
    /// # Panics
    /// When the report names none.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.report["differences"].as_u64().unwrap_or_else(|| panic!("no count in {}", self.report))
    }

    /// # Panics
    /// When there is a difference.
    pub fn assert_clean(&self) {
        assert_eq!((self.code, self.differences()), (0, 0), "audit: {:#}", self.report);
    }
}

/// Runs `meshpool audit`.
///
/// # Panics
/// When it is broken off.
#[must_use]
pub fn audit(config: &Config) -> Audit {
    let (code, out, log) = config.command("audit");
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("audit: {error}, code {code}\n{out}\n{log}"));
    Audit { code, report }
}
