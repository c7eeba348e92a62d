//! `meshpool`: all actors in one process, and the operator's commands.
mod announce;
mod audit;
mod checks;
mod cli;
mod daemons;
mod devnet;
mod figures;
mod hosts;
mod lease;
mod migrate;
mod payouts;
mod place;
mod roster;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
