//! The simulated network as a process of its own, which lives on beside a pool that is killed.
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpu_miner::AcceptedShare;
use daemon_sim::{Fault, Income, MineOrder, Sent, Tip};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::binaries::program;
use crate::http::{self, Answer};
use crate::process::Process;
use crate::wait::{free_port, wait_for, wait_until};

const START: Duration = Duration::from_secs(30);

/// Who mines on a network.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How many miners.
    pub miners: u32,
    /// Hashes per second of each at most.
    pub hashrate: u32,
}

impl Fleet {
    /// The development preset: two miners of 10 H/s.
    pub const PRESET: Fleet = Fleet { miners: 2, hashrate: 10 };
    /// Nobody: the test mines by itself.
    pub const NONE: Fleet = Fleet { miners: 0, hashrate: 10 };
}

/// A miner of the network.
#[derive(Clone, Debug)]
pub struct Miner {
    /// Whom the pool pays.
    pub address: String,
    /// The rig's name.
    pub worker: String,
    /// Where it notes each acknowledged share.
    pub accepted_file: PathBuf,
}

impl Miner {
    /// Every share that the pool acknowledged to it.
    ///
    /// # Panics
    /// When its file cannot be read.
    #[must_use]
    pub fn accepted(&self) -> Vec<AcceptedShare> {
        AcceptedShare::read_all(&self.accepted_file)
            .unwrap_or_else(|error| panic!("{}: {error}", self.accepted_file.display()))
    }
}

/// A simulated daemon and its miners. The ports stay the same over all its processes.
pub struct Network {
    dir: PathBuf,
    args: Vec<String>,
    /// Where its daemon listens.
    pub daemon_port: u16,
    control_port: u16,
    /// Where its miners look for the pool.
    pub stratum_port: u16,
    /// Its miners, once it was started.
    pub miners: Vec<Miner>,
    process: Option<Process>,
}

impl Network {
    /// A network that is not started yet. `args` are added to the command line of `meshpool-devnet run --devnet`.
    ///
    /// # Panics
    /// When its directory cannot be made.
    #[must_use]
    pub fn planned(dir: &Path, fleet: Fleet, args: &[&str]) -> Network {
        std::fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let own =
            ["--miners".to_owned(), fleet.miners.to_string(), "--hashrate".to_owned(), fleet.hashrate.to_string()];
        Network {
            dir: dir.to_owned(),
            args: own.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect(),
            daemon_port: free_port(),
            control_port: free_port(),
            stratum_port: free_port(),
            miners: Vec::new(),
            process: None,
        }
    }

    /// A running network.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(dir: &Path, fleet: Fleet, args: &[&str]) -> Network {
        let mut network = Network::planned(dir, fleet, args);
        network.run();
        network
    }

    /// The two miners of the preset on a chain with a block every second, so that money moves soon.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn brisk(dir: &Path, args: &[&str]) -> Network {
        let brisk = ["--target-secs", "1", "--difficulty-floor", "20"];
        Network::start(dir, Fleet::PRESET, &[&brisk[..], args].concat())
    }

    /// Two daemons that share a chain, running and linked: the first one without miners, the second one with the two of
    /// the preset. A block comes every second.
    ///
    /// # Panics
    /// When they do not start or do not find each other.
    #[must_use]
    pub fn pair(dir: &Path) -> [Network; 2] {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let ports = [free_port(), free_port()];
        let start = |name: &str, fleet, own: u16, other: u16, premined: &str| {
            let (own, other) = (local(own), format!("http://{}", local(other)));
            let peers = ["--peer-listen", &own, "--peer", &other, "--peer-dial-ms", "500"];
            // The second one gets the chain from the first.
            let chain = ["--target-secs", "1", "--difficulty-floor", "20", "--premined", premined];
            Network::start(&dir.join(name), fleet, &[&peers[..], &chain].concat())
        };
        let first = start("first", Fleet::NONE, ports[0], ports[1], "40");
        let second = start("second", Fleet::PRESET, ports[1], ports[0], "0");
        let pair = [first, second];
        wait_until("two daemons on one chain", START, || Network::agree(&pair));
        pair
    }

    /// Whether two daemons reach each other and have the same tip.
    #[must_use]
    pub fn agree(pair: &[Network; 2]) -> bool {
        pair[0].tip() == pair[1].tip() && pair.iter().all(|network| network.status()["peers"] == 1)
    }

    /// Cuts the daemon off from its peers, or joins it to them again.
    pub fn cut_off(&self, is_cut_off: bool) {
        self.order("/peers", &json!({ "cut": is_cut_off }));
    }

    /// What the daemon says of itself.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn status(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/api/status", self.daemon_port);
        http::get(&url).unwrap_or_else(|error| panic!("{url}: {error}")).json()
    }

    /// Id of the main-chain block of this height.
    #[must_use]
    pub fn block_at(&self, height: u64) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/api/block/{height}", self.daemon_port);
        let answer = http::get(&url).ok().filter(|answer| answer.status == 200)?;
        answer.json()["hash"].as_str().map(str::to_owned)
    }

    /// Starts the process, for the first time or again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self) {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut args: Vec<String> = ["run", "--devnet", "--stdin-lease", "--data", "."].map(str::to_owned).to_vec();
        args.extend(["--listen".to_owned(), local(self.daemon_port)]);
        args.extend(["--control".to_owned(), local(self.control_port)]);
        args.extend(["--pool".to_owned(), local(self.stratum_port)]);
        args.extend(self.args.iter().cloned());
        let mut process = Process::spawn("devnet", &program("meshpool-devnet"), args, &[], &self.dir);
        let line = wait_for("the simulated network's first line", START, || {
            assert!(process.ended().is_none(), "the simulated network ended at its start:\n{}", process.log());
            process.out().split_once('\n').map(|(line, _)| line.to_owned())
        });
        let shown: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text in {line}")).to_owned();
        let miners = shown["miners"].as_array().unwrap_or_else(|| panic!("no miners in {line}"));
        let read = |miner: &Value| Miner {
            address: text(&miner["address"]),
            worker: text(&miner["worker"]),
            accepted_file: self.dir.join(text(&miner["accepted_file"])),
        };
        self.miners = miners.iter().map(read).collect();
        self.process = Some(process);
    }

    /// Kills the process, miners included.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The file with its token.
    #[must_use]
    pub fn cookie_path(&self) -> PathBuf {
        self.dir.join("api.cookie")
    }

    /// The file with its wallet's password.
    #[must_use]
    pub fn wallet_password_file(&self) -> PathBuf {
        self.dir.join("wallet.password")
    }

    // === what an operator does by hand ===

    fn wallet(&self, action: &str) {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            text.trim().to_owned()
        };
        let bearer = format!("Bearer {}", read(&self.cookie_path()));
        let body = json!({ "password": read(&self.wallet_password_file()) });
        let url = format!("http://127.0.0.1:{}/api/wallet/{action}", self.daemon_port);
        let answer = http::request("POST", &url, &[("Authorization", &bearer)], Some(&body));
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(answer.status, 200, "{url}: {}", answer.body);
    }

    /// Loads the daemon's wallet, with its password.
    pub fn load_wallet(&self) {
        self.wallet("load");
    }

    /// Unlocks the daemon's wallet, with its password.
    pub fn unlock_wallet(&self) {
        self.wallet("unlock");
    }

    // === control ===

    fn control(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.control_port);
        let answer = http::request(method, &url, &[], body).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        assert_eq!(answer.status, 200, "{method} {url}: {}", answer.body);
        answer
    }

    fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.control("GET", path, None);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error} in {}", answer.body))
    }

    /// Posts an order to the control endpoint.
    pub fn order(&self, path: &str, body: &Value) {
        self.control("POST", path, Some(body));
    }

    /// Makes something go wrong.
    ///
    /// # Panics
    /// When the endpoint does not take it.
    pub fn fault(&self, fault: &Fault) {
        self.order("/faults", &serde_json::to_value(fault).expect("a fault is plain data"));
    }

    /// How many faults have not met their requests yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.read::<Vec<Fault>>("/faults").len()
    }

    /// Kills the daemon (not its miners) and starts it again after that time.
    pub fn restart_daemon(&self, down: Duration) {
        self.order("/restart", &json!({ "down_ms": u64::try_from(down.as_millis()).unwrap_or(u64::MAX) }));
    }

    /// Has the network find blocks.
    ///
    /// # Panics
    /// When it cannot.
    pub fn mine(&self, order: &MineOrder) {
        self.order("/mine", &serde_json::to_value(order).expect("an order is plain data"));
    }

    /// Where the chain is.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.read("/tip")
    }

    /// Everything that the wallet has sent.
    #[must_use]
    pub fn sends(&self) -> Vec<Sent> {
        self.read("/sends")
    }

    /// What an address has received on the main chain.
    #[must_use]
    pub fn income(&self, address: &str) -> Vec<Income> {
        self.read(&format!("/income?address={address}"))
    }
}
