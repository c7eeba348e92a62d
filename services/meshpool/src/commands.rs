//! The command line, and which command it asks for.
use std::path::PathBuf;
use std::process::ExitCode;

use ::hosts::{HostArgs, refuse};
use clap::{Args, Parser, Subcommand};
use settings::Settings;
use store::payouts::OperatorDecision;

use self::adopt::Adopt;
use crate::output::fail;

mod accept_chain;
mod adopt;
mod audit;
mod check_config;
mod hosts;
mod log;
mod migrate;
mod payouts;

#[derive(Parser)]
#[command(name = "meshpool", version, about = "A Blocknet mining pool")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the pool.
    Up {
        #[command(flatten)]
        common: Common,
        /// Apply missing migrations first, on PostgreSQL too.
        #[arg(long)]
        migrate: bool,
    },
    /// Reads the settings, says what is wrong or doubtful, and starts nothing.
    CheckConfig(Common),
    /// Applies missing migrations to the database.
    Migrate(Common),
    /// Takes the daemon's chain as good although one with more work was seen: after a chain was started anew. Asks first.
    AcceptChain {
        #[command(flatten)]
        common: Common,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Recomputes every balance, entry and block from what is stored; prints JSON, exits 0 only without differences.
    Audit {
        #[command(flatten)]
        common: Common,
        /// Shares that miners were told are accepted, one JSON object with a `nonce` a line: each must be stored once.
        #[arg(long, value_name = "FILE")]
        accepted: Vec<PathBuf>,
    },
    /// Lists the hosts that have written a share log, how far each is folded, and how many blocks wait for it.
    Hosts {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        action: Option<HostAction>,
    },
    /// Lists records of the share log that the database refuses: whose, how many, and what it said.
    Log {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        action: Option<LogAction>,
    },
    /// Says whether payouts are sent and why not, and lists sends that the books do not know and open payouts: state,
    /// amounts, transaction, and why an operator must look.
    Payouts {
        #[command(flatten)]
        common: Common,
        #[command(subcommand)]
        action: Option<PayoutAction>,
    },
}

#[derive(Subcommand)]
enum PayoutAction {
    /// Shows all that is known of one payout, what to look at, and what may be done.
    Show {
        /// As `meshpool payouts` lists it; the beginning of an open one is enough.
        id: String,
    },
    /// Says that a transaction has paid it; it is settled when a block holds that one.
    Sent {
        /// See `show`.
        id: String,
        /// The transaction.
        #[arg(long)]
        txid: String,
    },
    /// Says that it was never sent; its money becomes payable again when nothing that was asked for can be mined any more.
    Release {
        /// See `show`.
        id: String,
        /// How you know; kept with the payout.
        #[arg(long, value_name = "TEXT")]
        because: String,
    },
    /// Takes payouts into the books that the wallet has sent and the books do not know: after a database was put back from
    /// a copy. Lists them and asks; the running pool books them.
    Adopt(Adopt),
    /// Lets payouts go on with books that are older than the data directory's count of payouts, where the daemon cannot
    /// list its sends. Says what that gives up, and asks.
    AcceptBooks {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum LogAction {
    /// Appends them to the share log again, when what they were refused for is mended.
    Retry {
        /// As `meshpool log` lists it; all of them without it.
        id: Option<i64>,
    },
}

#[derive(Subcommand)]
enum HostAction {
    /// Gives up a host whose log never comes back, so that blocks need not wait for it any more.
    Retire {
        /// As `meshpool hosts` lists it.
        name: String,
    },
    /// Gives up positions that neither the database, put back from an older copy, nor the share log has. Run it with the
    /// data directory of that host.
    AcceptGap {
        /// As `meshpool hosts` lists it.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// What every command takes.
#[derive(Args, Clone)]
struct Common {
    #[command(flatten)]
    host: HostArgs,
    /// Simulated daemon and miners instead of a real network.
    #[arg(long, global = true)]
    devnet: bool,
}

/// How the pool is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Up {
    /// With its own network.
    pub(crate) devnet: bool,
    /// Missing migrations first, on PostgreSQL too.
    pub(crate) migrate: bool,
}

/// Runs the command line; `up` runs the pool.
pub(crate) fn run(up: impl FnOnce(Settings, Up) -> ExitCode) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ::hosts::misused(&error),
    };
    let (Command::Up { common, .. }
    | Command::CheckConfig(common)
    | Command::Migrate(common)
    | Command::AcceptChain { common, .. }
    | Command::Audit { common, .. }
    | Command::Hosts { common, .. }
    | Command::Log { common, .. }
    | Command::Payouts { common, .. }) = &cli.command;
    let load = common.host.load(common.devnet);
    let settings = match settings::load(&load) {
        Ok(settings) => settings,
        Err(error) if matches!(cli.command, Command::Up { .. }) => return refuse("meshpool", &load, &error),
        Err(error) => return fail(boot::CONFIG, &error.to_string()),
    };
    match &cli.command {
        Command::Up { common, migrate } => up(settings, Up { devnet: common.devnet, migrate: *migrate }),
        Command::CheckConfig(common) => check_config::run(&settings, common.devnet),
        Command::Migrate(_) => migrate::run(&settings),
        Command::AcceptChain { yes, .. } => accept_chain::run(&settings, *yes),
        Command::Audit { accepted, .. } => audit::run(&settings, accepted),
        Command::Payouts { action, .. } => payouts(&settings, action.as_ref()),
        Command::Log { action: None, .. } => log::list(&settings),
        Command::Log { action: Some(LogAction::Retry { id }), .. } => log::retry(&settings, *id),
        Command::Hosts { action: None, .. } => hosts::list(&settings),
        Command::Hosts { action: Some(HostAction::Retire { name }), .. } => hosts::retire(&settings, name),
        Command::Hosts { action: Some(HostAction::AcceptGap { name, yes }), .. } => {
            hosts::accept_gap(&settings, name, *yes)
        }
    }
}

fn payouts(settings: &Settings, action: Option<&PayoutAction>) -> ExitCode {
    match action {
        None => payouts::list(settings),
        Some(PayoutAction::Show { id }) => payouts::show(settings, id),
        Some(PayoutAction::Sent { id, txid }) => {
            let Ok(txid) = txid.parse() else { return fail(boot::CONFIG, "--txid: must be 64 hex digits") };
            payouts::tell(settings, id, &OperatorDecision::Sent { txid })
        }
        Some(PayoutAction::Release { id, because }) => {
            payouts::tell(settings, id, &OperatorDecision::Release { because: because.clone() })
        }
        Some(PayoutAction::Adopt(order)) => adopt::adopt(settings, order),
        Some(PayoutAction::AcceptBooks { yes }) => adopt::accept_books(settings, *yes),
    }
}
