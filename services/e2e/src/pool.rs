//! A pool process, seen from outside: its HTTP API and its metrics.
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::program;
use crate::config::{Config, KEY};
use crate::http::{self, Answer};
use crate::process::Process;
use crate::unread::UnreadPipe;
use crate::wait::wait_for;

/// How long a loaded machine may take to start a pool.
const START: Duration = Duration::from_secs(60);

impl Config {
    fn pool(&self, process: Process) -> Pool {
        Pool { process, config: self.clone(), url: format!("http://127.0.0.1:{}", self.api_port()) }
    }

    /// Starts the pool and waits for nothing.
    #[must_use]
    pub fn start(&self) -> Pool {
        let process = self.spawn("pool", "up", &[]);
        self.pool(process)
    }

    /// Starts the pool with its output into a full pipe that nobody reads, and waits for nothing.
    #[must_use]
    pub fn start_unread(&self) -> (Pool, UnreadPipe) {
        let (args, env) = self.prepare("up", &[]);
        let (process, pipe) = Process::spawn_unread("pool", &program("meshpool"), args, &env, &self.dir);
        (self.pool(process), pipe)
    }

    /// Starts it by another program that ends as `meshpool up --devnet`, with these variables beside the settings.
    #[must_use]
    pub fn start_by(&self, program: &Path, env: Vec<(String, String)>) -> Pool {
        let env: Vec<_> = env.into_iter().chain(self.variables()).collect();
        let args = ["--data-dir".to_owned(), self.data_dir().display().to_string()];
        let process = Process::spawn("pool", program, args, &env, &self.dir);
        self.pool(process)
    }

    /// Starts it as `pool.toml` in its directory says, by another program that becomes the pool, and waits for nothing.
    #[must_use]
    pub(crate) fn start_through(&self, program: &Path, args: Vec<String>, stdin: Stdio) -> Pool {
        self.make_dir();
        self.write_file();
        let process = Process::spawn_from(stdin, "pool", program, args, &self.env, &self.dir);
        self.pool(process)
    }

    /// Starts another host than the whole pool, `meshpool-stratum` or `meshpool-treasury`, and waits for nothing.
    #[must_use]
    pub fn start_host(&self, binary: &str) -> Pool {
        self.start_through(&program(binary), Vec::new(), Stdio::null())
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
