//! What a simulated daemon is made with. Every default is what the real daemon does.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Which HTTP routes the daemon has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// All routes of the current version.
    #[default]
    Full,
    /// Only those that every daemon in use has. Everything newer answers as an unknown path, and fields that came
    /// later are missing from the answers.
    Basic,
}

/// How to make a simulated daemon.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where chain, wallet, idempotency records and the cookie live.
    pub data_dir: PathBuf,
    /// Address of the HTTP API; port 0 takes a free one, and keeps it over restarts.
    pub listen: SocketAddr,
    /// Address of the control endpoint (loopback only); `None` for in-process control alone.
    pub control_listen: Option<SocketAddr>,
    /// Which routes exist.
    pub routes: Routes,
    /// Memory of one proof-of-work hash, in KiB.
    pub pow_memory_kib: u32,
    /// Wanted seconds between blocks.
    pub target_secs: u64,
    /// No block is easier than this.
    pub difficulty_floor: u64,
    /// Depth (tip height minus block height) at which the wallet spends a coinbase.
    pub coinbase_maturity: u64,
    /// Depth at which the wallet spends any other output.
    pub output_maturity: u64,
    /// Blocks put on the chain at the first start, mined to nobody's address and without proof of work.
    pub premined: u64,
    /// File name of the wallet in `data_dir`, for loads and creates that name none.
    pub wallet_file: String,
    /// When the first start finds no wallet: create one (not loaded) and put this password into `wallet.password`.
    pub auto_wallet_password: Option<String>,
    /// Source of every key and id, for runs that must repeat; `None` takes the system's randomness.
    pub seed: Option<u64>,
    /// Address of the endpoint for peers (loopback only); `None` where none are to be answered.
    pub peer_listen: Option<SocketAddr>,
    /// Endpoints of the peers whose chain is followed and that are told of blocks and transactions. None by default, as
    /// on an isolated test network.
    pub peers: Vec<String>,
    /// Time from the start until the first peer is reached (the real one dials its seeds one by one).
    pub peer_dial: Duration,
    /// Time that a transaction takes to the peers (the real one hides its origin, for up to 45 s).
    pub relay: Duration,
    /// Extra time that building and proving a send takes.
    pub send_build: Duration,
    /// Extra time that saving the wallet after a send takes (the real one needs 1 to 3 s).
    pub wallet_save: Duration,
    /// Silence on an event stream after which a comment is sent.
    pub events_keepalive: Duration,
    /// Extra time that validating a block takes, with the chain locked (the real one needs about 3 s).
    pub block_validation: Duration,
}

impl Params {
    /// The real daemon on an isolated test network, just started from genesis.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Params {
        Params {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control_listen: None,
            routes: Routes::Full,
            pow_memory_kib: 2_097_152,
            target_secs: 300,
            difficulty_floor: 4,
            coinbase_maturity: 60,
            output_maturity: 10,
            premined: 0,
            wallet_file: "blocknet-testnet.wallet.dat".to_owned(),
            auto_wallet_password: None,
            seed: None,
            peer_listen: None,
            peers: Vec::new(),
            peer_dial: Duration::from_secs(2),
            relay: Duration::from_secs(5),
            send_build: Duration::ZERO,
            wallet_save: Duration::ZERO,
            block_validation: Duration::ZERO,
            events_keepalive: Duration::from_secs(30),
        }
    }

    /// The development network: blocks every 3 s at 20 H/s, coins mature in seconds, and a wallet that waits to be
    /// loaded.
    #[must_use]
    pub fn devnet(data_dir: impl Into<PathBuf>) -> Params {
        Params {
            pow_memory_kib: 1024,
            target_secs: 3,
            difficulty_floor: 60,
            coinbase_maturity: 3,
            output_maturity: 1,
            premined: 40,
            auto_wallet_password: Some("devnet".to_owned()),
            relay: Duration::from_millis(200),
            send_build: Duration::from_millis(20),
            wallet_save: Duration::from_millis(20),
            ..Params::new(data_dir)
        }
    }
}
