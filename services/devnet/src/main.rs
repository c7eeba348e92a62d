//! `meshpool-devnet`: the simulated daemon and its miners as a program. Never for production.
//!
//! When all is up it prints one line of JSON on standard output that says where everything is.
use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use meshpool_devnet::load::{self, LoadArgs, LoadError};
use meshpool_devnet::miner::{Miner, MinerError, MinerParams};
use meshpool_devnet::{Keys, Params, Routes, SimulatedDaemon, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit code for bad flags.
const EXIT_USAGE: u8 = 64;

#[derive(Parser)]
#[command(name = "meshpool-devnet", about = "A simulated Blocknet daemon and CPU miners, for development and tests")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
struct DaemonArgs {
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
struct FleetArgs {
    /// Stratum address of the pool that the miners mine for
    #[arg(long, default_value = "127.0.0.1:3333")]
    pool: String,
    /// How many miners
    #[arg(long, default_value_t = 2)]
    miners: u32,
    /// Hashes per second of each miner at most
    #[arg(long, default_value_t = 10)]
    hashrate: u32,
}

#[derive(Args)]
struct LifeArgs {
    /// End when standard input does, and so with the process that holds its other end
    #[arg(long)]
    stdin_lease: bool,
}

#[derive(Args)]
struct MinerArgs {
    /// Stratum address of the pool
    #[arg(long)]
    pool: String,
    /// Payout address
    #[arg(long)]
    address: String,
    /// Name of the rig
    #[arg(long, default_value = "devnet")]
    worker: String,
    /// Hashes per second at most; 0 for no limit
    #[arg(long, default_value_t = 10)]
    hashrate: u32,
    /// Memory of one proof-of-work hash
    #[arg(long, value_name = "KIB", default_value_t = 1024)]
    pow_memory_kib: u32,
    /// Note each accepted share in this file, one JSON object a line
    #[arg(long)]
    accepted_file: Option<PathBuf>,
    #[command(flatten)]
    life: LifeArgs,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot start the simulated daemon")]
    Daemon(#[from] StartError),
    #[error("cannot start a miner")]
    Miner(#[from] MinerError),
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    #[error("cannot load the pool")]
    Load(#[from] LoadError),
    #[error("{0}")]
    Missed(String),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            if error.print().is_err() {
                tracing::debug!("nobody reads the help");
            }
            return if is_help { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    let outcome = match cli.command {
        Command::Daemon { daemon, life } => run_network(daemon, None, &life),
        Command::Run { daemon, fleet, life } => run_network(daemon, Some(&fleet), &life),
        Command::Miner(miner) => run_miner(miner),
        Command::Load(args) => run_load(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(error = &failure as &dyn std::error::Error, "meshpool-devnet ends");
            ExitCode::FAILURE
        }
    }
}

impl DaemonArgs {
    fn into_params(self) -> Params {
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

fn run_network(daemon: DaemonArgs, fleet: Option<&FleetArgs>, life: &LifeArgs) -> Result<(), Failure> {
    let end = End::watch(life)?;
    let params = daemon.into_params();
    let (data_dir, pow_memory_kib, seed) = (params.data_dir.clone(), params.pow_memory_kib, params.seed.unwrap_or(0));
    let has_wallet_password = params.auto_wallet_password.is_some();
    let daemon = SimulatedDaemon::start(params)?;
    let mut miners = Vec::new();
    let mut shown = Vec::new();
    for number in 1..=fleet.map_or(0, |fleet| fleet.miners) {
        let Some(fleet) = fleet else { break };
        let worker = format!("rig{number}");
        // The same at every start, so that balances grow.
        let address = Keys::derive(seed, &worker).address();
        let accepted_file = data_dir.join(format!("accepted-{worker}.jsonl"));
        shown.push(serde_json::json!({"address": address, "worker": worker, "accepted_file": accepted_file}));
        miners.push(Miner::start(MinerParams {
            pool: fleet.pool.clone(),
            address,
            worker,
            hashrate_max: fleet.hashrate,
            pow_memory_kib,
            accepted_file: Some(accepted_file),
        })?);
    }
    announce(&serde_json::json!({
        "daemon": daemon.url(),
        "control": daemon.control_url(),
        "cookie_path": daemon.cookie_path(),
        "wallet_password_file": has_wallet_password.then(|| data_dir.join("wallet.password")),
        "miners": shown,
    }))?;
    end.wait();
    drop(miners);
    daemon.stop();
    Ok(())
}

fn run_miner(args: MinerArgs) -> Result<(), Failure> {
    let end = End::watch(&args.life)?;
    let shown = serde_json::json!({"pool": args.pool, "address": args.address, "worker": args.worker});
    let miner = Miner::start(MinerParams {
        pool: args.pool,
        address: args.address,
        worker: args.worker,
        hashrate_max: args.hashrate,
        pow_memory_kib: args.pow_memory_kib,
        accepted_file: args.accepted_file,
    })?;
    announce(&shown)?;
    end.wait();
    miner.stop();
    Ok(())
}

/// Prints what was measured; fails when it is less than what is demanded.
fn run_load(args: &LoadArgs) -> Result<(), Failure> {
    let report = load::run(args)?;
    let common = args.common();
    let shown = if common.json { format!("{}\n", report.to_json()) } else { report.to_string() };
    let mut out = std::io::stdout().lock();
    out.write_all(shown.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)?;
    let missed: Vec<String> = common.require.iter().filter_map(|requirement| requirement.misses(&report)).collect();
    if missed.is_empty() { Ok(()) } else { Err(Failure::Missed(missed.join("; "))) }
}

fn announce(line: &serde_json::Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// SIGINT, SIGTERM or, with a lease, the end of standard input. To be made before the program says that it is up, so
/// that whoever ends it at once ends it cleanly too.
struct End(Receiver<()>);

impl End {
    fn watch(life: &LifeArgs) -> Result<End, Failure> {
        let (ended, end) = sync_channel(1);
        if life.stdin_lease {
            let ended = ended.clone();
            std::thread::spawn(move || {
                let mut ignored = [0; 256];
                let mut input = std::io::stdin().lock();
                // Bytes mean nothing, only their end does; an error is an end too.
                while matches!(input.read(&mut ignored), Ok(length) if length > 0) {}
                tell(&ended);
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Signals)?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(Failure::Signals)
        };
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            tell(&ended);
        });
        Ok(End(end))
    }

    fn wait(&self) {
        // All senders gone is an end as well.
        if self.0.recv().is_err() {
            tracing::debug!("nothing is left to wait for");
        }
    }
}

fn tell(ended: &SyncSender<()>) {
    if ended.try_send(()).is_err() {
        tracing::debug!("the end is known already");
    }
}
