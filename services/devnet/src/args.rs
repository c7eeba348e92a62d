//! The command line.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use daemon_sim::{Params, Routes};
use loadgen::LoadArgs;

#[derive(Parser)]
#[command(name = "meshpool-devnet", about = "A simulated Blocknet daemon and CPU miners, for development and tests")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The simulated daemon alone
    Daemon {
        #[command(flatten)]
        daemon: DaemonArgs,
        #[command(flatten)]
        life: LifeArgs,
    },
    /// One miner
    Miner(MinerArgs),
    /// The simulated daemon and its miners
    Run {
        #[command(flatten)]
        daemon: DaemonArgs,
        #[command(flatten)]
        fleet: FleetArgs,
        #[command(flatten)]
        life: LifeArgs,
    },
    /// Loads a pool's Stratum port and measures
    Load(LoadArgs),
}

#[derive(Clone, Copy, ValueEnum)]
enum RoutesArg {
    Full,
    Basic,
}

#[derive(Args)]
pub(crate) struct DaemonArgs {
    /// Start from the development preset: 3 s blocks at 20 H/s, 1 MiB of proof of work, coins mature in seconds
    #[arg(long)]
    devnet: bool,
    /// Directory for chain, wallet, idempotency records and cookie
    #[arg(long)]
    data: PathBuf,
    /// Address of the HTTP API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:18332")]
    listen: SocketAddr,
    /// Address of the control endpoint (loopback only); none by default
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Which routes exist: all, or those that every daemon in use has
    #[arg(long, value_enum, default_value = "full")]
    routes: RoutesArg,
    /// Memory of one proof-of-work hash [default: 2097152]
    #[arg(long, value_name = "KIB")]
    pow_memory_kib: Option<u32>,
    /// Wanted seconds between blocks [default: 300]
    #[arg(long, value_name = "SECS")]
    target_secs: Option<u64>,
    /// Lowest difficulty [default: 4]
    #[arg(long, value_name = "HASHES")]
    difficulty_floor: Option<u64>,
    /// Depth at which coinbases are spendable [default: 60]
    #[arg(long, value_name = "BLOCKS")]
    coinbase_maturity: Option<u64>,
    /// Depth at which other outputs are spendable [default: 10]
    #[arg(long, value_name = "BLOCKS")]
    output_maturity: Option<u64>,
    /// Blocks on the chain at the first start [default: 0]
    #[arg(long, value_name = "BLOCKS")]
    premined: Option<u64>,
    /// Make a wallet with this password at the first start
    #[arg(long, value_name = "PASSWORD")]
    wallet_password: Option<String>,
    /// Repeat a run: all keys and ids follow from this number
    #[arg(long)]
    seed: Option<u64>,
    /// Address of the endpoint for peers (loopback only); none by default
    #[arg(long)]
    peer_listen: Option<SocketAddr>,
    /// Endpoint of a daemon that shares its chain; may be given again
    #[arg(long = "peer", value_name = "URL")]
    peers: Vec<String>,
    /// Time from the start until peers are reached [default: 2000]
    #[arg(long, value_name = "MS")]
    peer_dial_ms: Option<u64>,
    /// Time that building a send takes
    #[arg(long, value_name = "MS")]
    send_build_ms: Option<u64>,
    /// Time that saving the wallet takes
    #[arg(long, value_name = "MS")]
    wallet_save_ms: Option<u64>,
    /// Time that validating a block takes beside its hash
    #[arg(long, value_name = "MS")]
    block_validation_ms: Option<u64>,
}

#[derive(Args)]
pub(crate) struct FleetArgs {
    /// Stratum address of the pool that the miners mine for
    #[arg(long, default_value = "127.0.0.1:3333")]
    pub(crate) pool: String,
    /// How many miners
    #[arg(long, default_value_t = 2)]
    pub(crate) miners: u32,
    /// Hashes per second of each miner at most
    #[arg(long, default_value_t = 10)]
    pub(crate) hashrate: u32,
}

#[derive(Args)]
pub(crate) struct LifeArgs {
    /// End when standard input does, and so with the process that holds its other end
    #[arg(long)]
    pub(crate) stdin_lease: bool,
}

#[derive(Args)]
pub(crate) struct MinerArgs {
    /// Stratum address of the pool
    #[arg(long)]
    pub(crate) pool: String,
    /// Payout address
    #[arg(long)]
    pub(crate) address: String,
    /// Name of the rig
    #[arg(long, default_value = "devnet")]
    pub(crate) worker: String,
    /// Hashes per second at most; 0 for no limit
    #[arg(long, default_value_t = 10)]
    pub(crate) hashrate: u32,
    /// Memory of one proof-of-work hash
    #[arg(long, value_name = "KIB", default_value_t = 1024)]
    pub(crate) pow_memory_kib: u32,
    /// Note each accepted share in this file, one JSON object a line
    #[arg(long)]
    pub(crate) accepted_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) life: LifeArgs,
}

impl DaemonArgs {
    pub(crate) fn into_params(self) -> Params {
        let mut params = if self.devnet { Params::devnet(self.data) } else { Params::new(self.data) };
        params.listen = self.listen;
        params.control_listen = self.control;
        params.peer_listen = self.peer_listen;
        params.peers = self.peers;
        params.routes = match self.routes {
            RoutesArg::Full => Routes::Full,
            RoutesArg::Basic => Routes::Basic,
        };
        let take = |place: &mut u64, given: Option<u64>| *place = given.unwrap_or(*place);
        take(&mut params.target_secs, self.target_secs);
        take(&mut params.difficulty_floor, self.difficulty_floor);
        take(&mut params.coinbase_maturity, self.coinbase_maturity);
        take(&mut params.output_maturity, self.output_maturity);
        take(&mut params.premined, self.premined);
        let take = |place: &mut Duration, given: Option<u64>| *place = given.map_or(*place, Duration::from_millis);
        take(&mut params.peer_dial, self.peer_dial_ms);
        take(&mut params.send_build, self.send_build_ms);
        take(&mut params.wallet_save, self.wallet_save_ms);
        take(&mut params.block_validation, self.block_validation_ms);
        params.pow_memory_kib = self.pow_memory_kib.unwrap_or(params.pow_memory_kib);
        params.auto_wallet_password = self.wallet_password.or(params.auto_wallet_password);
        params.seed = self.seed;
        params
    }
}
