//! `meshpool`: all roles in one process, and the operator's commands.
mod commands;
mod database;
mod devnet;
mod migrate;
mod output;

use std::process::ExitCode;

use boot::Telemetry;
use hosts::{DataDirLock, HostContext, HostError, Role};
use rand::Rng;
use secrecy::ExposeSecret;
use settings::Settings;
use tracing::{info, warn};

use crate::commands::Up;
use crate::devnet::Devnet;

fn main() -> ExitCode {
    commands::run(|settings, up| {
        let telemetry = settings.telemetry.clone();
        hosts::process("meshpool", &telemetry, |telemetry| run(settings, up, telemetry))
    })
}

/// Runs the pool until a signal, or until an actor gives up.
fn run(mut settings: Settings, up: Up, telemetry: &Telemetry) -> Result<(), HostError> {
    if up.devnet && settings.api.keys.is_empty() {
        let key = hex::encode(rand::rng().random::<[u8; 16]>());
        telemetry.log().say("api key", &key);
        settings.api.keys.push(key.into());
    }
    for warning in settings.warnings() {
        warn!("{warning}");
    }
    let place = DataDirLock::take(&settings.data.dir)?;
    // With SQLite it is one process and one file: nobody else could do it.
    if up.migrate || settings.database_url().expose_secret().starts_with("sqlite:") {
        for applied in migrate::apply(&settings).map_err(|error| HostError::Database(error.to_string()))? {
            info!(applied, "database migrated");
        }
    }
    let context = HostContext::open("meshpool", Role::ALL, settings, place, telemetry)?;
    // Before the actors: they read the cookie and the password that it makes.
    let mut child = match up.devnet {
        true => Some(Devnet::start(context.settings()).map_err(|error| HostError::Config(error.to_string()))?),
        false => None,
    };
    let outcome = hosts::run(&context);
    if child.as_mut().is_some_and(Devnet::has_ended) {
        warn!("simulated network ended before the pool");
    }
    // The child ends first: its files lie in the data directory, whose lock the context holds.
    drop(child);
    outcome
}
