//! Commands and exit codes.
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use secrecy::ExposeSecret;
use settings::{Load, Settings};
use store::payouts::OperatorWord;
use store::{Store, StoreError};
use units::Timestamp;

use crate::{audit, hosts, migrate, payouts, up};

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
    /// Takes the daemon's chain as good although one with more work was seen: after a chain was started anew.
    AcceptChain(Common),
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
    /// Lists open payouts: state, amounts, transaction, and why an operator must look.
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
}

#[derive(Subcommand)]
enum HostAction {
    /// Gives up a host whose log never comes back, so that blocks need not wait for it any more.
    Retire {
        /// As `meshpool hosts` lists it.
        name: String,
    },
}

/// What every command takes.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// Settings file; without it `./pool.toml` if there is one.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Directory of the share log and the embedded database.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Simulated daemon and miners instead of a real network.
    #[arg(long, global = true)]
    pub(crate) devnet: bool,
}

/// Runs the command line.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { boot::CONFIG } else { 0 };
            // Nowhere to say so if the terminal is gone.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let (Command::Up { common, .. }
    | Command::CheckConfig(common)
    | Command::Migrate(common)
    | Command::AcceptChain(common)
    | Command::Audit { common, .. }
    | Command::Hosts { common, .. }
    | Command::Payouts { common, .. }) = &cli.command;
    let settings = match load(common) {
        Ok(settings) => settings,
        Err(text) => return fail(boot::CONFIG, &text),
    };
    match &cli.command {
        Command::Up { common, migrate } => up::run(settings, common.devnet, *migrate),
        Command::CheckConfig(_) => check(&settings),
        Command::Migrate(_) => migrate_database(&settings),
        Command::AcceptChain(_) => accept_chain(&settings),
        Command::Audit { accepted, .. } => audit::run(&settings, accepted),
        Command::Payouts { action, .. } => payouts(&settings, action.as_ref()),
        Command::Hosts { action: None, .. } => hosts::list(&settings),
        Command::Hosts { action: Some(HostAction::Retire { name }), .. } => hosts::retire(&settings, name),
    }
}

fn payouts(settings: &Settings, action: Option<&PayoutAction>) -> ExitCode {
    match action {
        None => payouts::list(settings),
        Some(PayoutAction::Show { id }) => payouts::show(settings, id),
        Some(PayoutAction::Sent { id, txid }) => {
            payouts::tell(settings, id, &OperatorWord::Sent { txid: txid.to_ascii_lowercase() })
        }
        Some(PayoutAction::Release { id, because }) => {
            payouts::tell(settings, id, &OperatorWord::Release { because: because.clone() })
        }
    }
}

fn load(common: &Common) -> Result<Settings, String> {
    let mut load = Load::from_process(common.config.clone(), common.devnet);
    if let Some(dir) = &common.data_dir {
        load = load.flag("--data-dir", "data.dir", dir.to_string_lossy());
    }
    settings::load(&load).map_err(|error| error.to_string())
}

fn check(settings: &Settings) -> ExitCode {
    for warning in settings.warnings() {
        say(&format!("warning: {warning}"));
    }
    say("settings are good");
    ExitCode::SUCCESS
}

fn migrate_database(settings: &Settings) -> ExitCode {
    match migrate::apply(settings) {
        Ok(applied) if applied.is_empty() => say(&format!("{} is up to date", settings.database_shown())),
        Ok(applied) => say(&format!("{}: applied {}", settings.database_shown(), applied.join(", "))),
        Err(error) => return fail(boot::DATABASE, &error.to_string()),
    }
    ExitCode::SUCCESS
}

/// A running pool takes note of it while it waits.
fn accept_chain(settings: &Settings) -> ExitCode {
    with_store(settings, async |store| {
        let before = store.best_chain_get().await?;
        store.best_chain_give_up(Timestamp::from_system(SystemTime::now())).await?;
        match before.filter(|best| best.work > 0) {
            Some(best) => say(&format!("given up: a chain of height {} and work {}", best.height, best.work)),
            None => say("no chain was waited for"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Opens the database for one command.
pub(crate) fn with_store(
    settings: &Settings,
    work: impl AsyncFnOnce(&Store) -> Result<ExitCode, StoreError>,
) -> ExitCode {
    let store = match Store::open(settings.database_url().expose_secret(), 2) {
        Ok(store) => store,
        Err(error) => return fail(boot::DATABASE, &error.to_string()),
    };
    runtime::block_on(work(&store)).unwrap_or_else(|error| fail(boot::DATABASE, &error.to_string()))
}

/// A line for the operator on standard output.
pub(crate) fn say(text: &str) {
    // A reader that has gone away is not this program's trouble.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// A line on standard error, and the exit code.
pub(crate) fn fail(code: u8, text: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "meshpool: {text}"));
    ExitCode::from(code)
}
