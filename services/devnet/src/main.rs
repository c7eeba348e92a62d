//! `meshpool-devnet`: the simulated daemon and its miners as a program. Never for production.
//!
//! When all is up it prints one line of JSON on standard output that says where everything is.
mod args;
mod end;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use cpu_miner::{Miner, MinerError, MinerParams};
use daemon_sim::{SimulatedDaemon, StartError};
use devnet_accounts::Keys;
use loadgen::{LoadArgs, LoadError};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, DaemonArgs, FleetArgs, LifeArgs, MinerArgs};
use end::End;

/// Exit code for bad flags.
const EXIT_USAGE: u8 = 64;

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

fn run_network(daemon: DaemonArgs, fleet: Option<&FleetArgs>, life: &LifeArgs) -> Result<(), Failure> {
    let end = End::watch(life).map_err(Failure::Signals)?;
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
    let end = End::watch(&args.life).map_err(Failure::Signals)?;
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
    let report = loadgen::run(args)?;
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
