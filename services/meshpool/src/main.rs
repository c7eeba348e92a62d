//! `meshpool`: all actors in one process, and the operator's commands.
mod announce;
mod audit;
mod checks;
mod cli;
mod daemons;
mod devnet;
mod figures;
mod high_mark;
mod hosts;
mod lease;
mod membership;
mod payouts;
mod place;
mod roster;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
