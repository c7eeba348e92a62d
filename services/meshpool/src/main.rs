//! `meshpool`: all actors in one process, and the operator's commands.
mod checks;
mod commands;
mod daemons;
mod data_dir;
mod database;
mod devnet;
mod doubts;
mod high_mark;
mod lease;
mod membership;
mod metrics;
mod migrate;
mod output;
mod policies;
mod startup_banner;
mod up;
mod writes;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run(up::run)
}
