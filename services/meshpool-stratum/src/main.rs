//! `meshpool-stratum`: the part of a pool that serves miners: the chain's tip and jobs, the Stratum front, the share log,
//! and checks of shares on this machine.
//!
//! The other roles are in other processes on the same PostgreSQL. It does not reach them yet: what it misses is named in
//! its log and by `/readyz`.
use std::process::ExitCode;

use clap::Parser;
use hosts::{HostArgs, Role};

const NAME: &str = "meshpool-stratum";
/// The API for `/readyz` and `/metrics`.
const ROLES: &[Role] = &[Role::Stratum, Role::Validator, Role::Api, Role::Monitor];

#[derive(Parser)]
#[command(name = NAME, version, about = "Serves miners, checks their shares and makes them durable: one host of a Blocknet mining pool")]
struct Cli {
    #[command(flatten)]
    host: HostArgs,
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => hosts::serve(NAME, ROLES, &cli.host),
        Err(error) => hosts::misused(&error),
    }
}
