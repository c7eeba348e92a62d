//! `meshpool`: all actors in one process, and the operator's commands.
mod adopt;
mod audit;
mod check_config;
mod checks;
mod cli;
mod daemons;
mod data_dir;
mod devnet;
mod doubts;
mod high_mark;
mod hosts;
mod lease;
mod membership;
mod metrics;
mod migrate;
mod payouts;
mod policies;
mod set_aside;
mod startup_banner;
mod up;
mod writes;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
