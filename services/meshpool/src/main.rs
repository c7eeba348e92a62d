//! `meshpool`: all actors in one process, and the operator's commands.
mod adopt;
mod announce;
mod audit;
mod check_config;
mod checks;
mod cli;
mod daemons;
mod devnet;
mod doubts;
mod figures;
mod high_mark;
mod hosts;
mod lease;
mod membership;
mod migrate;
mod payouts;
mod place;
mod roster;
mod set_aside;
mod up;
mod writes;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
