//! What is around the actors of every host: its settings, its log, and how it ends.
use std::io::Write;
use std::process::ExitCode;

use boot::{Log, Telemetry};
use secrecy::ExposeSecret;
use settings::{Load, Settings, SettingsError, TelemetrySettings};
use tracing::warn;

use crate::args::HostArgs;
use crate::context::HostContext;
use crate::data_dir::DataDirLock;
use crate::error::HostError;
use crate::role::Role;
use crate::run::run;

/// All that a binary does which is a choice of roles and nothing else. Others have the other roles, so they must reach
/// the database, and migrations are applied before (`meshpool migrate`).
#[must_use]
pub fn serve(name: &'static str, roles: &[Role], args: &HostArgs) -> ExitCode {
    let load = args.load(false);
    let settings = match settings::load(&load) {
        Ok(settings) => settings,
        Err(error) => return refuse(name, &load, &error),
    };
    let telemetry = settings.telemetry.clone();
    process(name, &telemetry, |telemetry| {
        for warning in settings.warnings() {
            warn!("{warning}");
        }
        refuse_sqlite(name, &settings)?;
        let place = DataDirLock::take(&settings.data.dir)?;
        let context = HostContext::open(name, roles, settings, place, telemetry)?;
        run(&context)
    })
}

/// Does `work` between the begin and the end of log and telemetry, and says in the log why it failed.
#[must_use]
pub fn process(
    name: &'static str,
    settings: &TelemetrySettings,
    work: impl FnOnce(&Telemetry) -> Result<(), HostError>,
) -> ExitCode {
    let log = match Log::start(settings.log_format) {
        Ok(log) => log,
        Err(error) => return told(name, boot::SUPERVISOR, &format!("log: {error}")),
    };
    let code = match observed(name, settings, &log, work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log.note_failure(failure.code(), &failure.to_string());
            ExitCode::from(failure.code())
        }
    };
    log.close();
    code
}

fn observed(
    name: &'static str,
    settings: &TelemetrySettings,
    log: &Log,
    work: impl FnOnce(&Telemetry) -> Result<(), HostError>,
) -> Result<(), HostError> {
    let telemetry = Telemetry::start(name, settings, log).map_err(HostError::config)?;
    let outcome = work(&telemetry);
    telemetry.close();
    outcome
}

/// Says in the host's own log what is wrong with its settings.
#[must_use]
pub fn refuse(name: &str, load: &Load, error: &SettingsError) -> ExitCode {
    let Ok(log) = Log::start(settings::log_format(load)) else { return told(name, boot::CONFIG, &error.to_string()) };
    error.0.iter().for_each(|problem| log.note_failure(boot::CONFIG, &problem.to_string()));
    log.close();
    ExitCode::from(boot::CONFIG)
}

/// An SQLite file belongs to one process.
fn refuse_sqlite(name: &str, settings: &Settings) -> Result<(), HostError> {
    if !settings.database_url().expose_secret().starts_with("sqlite:") {
        return Ok(());
    }
    Err(HostError::Config(format!(
        "database.url: {name} is a part of a pool and meets the others in the database, which an SQLite file does not allow: \
         set a PostgreSQL URL, or run the whole pool in one process (meshpool up)"
    )))
}

/// There is no log.
fn told(name: &str, code: u8, text: &str) -> ExitCode {
    // A reader that has gone away is not this program's trouble.
    drop(writeln!(std::io::stderr(), "{name}: {text}"));
    ExitCode::from(code)
}
