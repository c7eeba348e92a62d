//! `meshpool migrate`: missing migrations, with PostgreSQL the only way to apply them beside `up --migrate`.
use std::process::ExitCode;

use settings::Settings;

use crate::migrate;
use crate::output::{fail, say};

/// Applies what is missing, and says what it was.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    match migrate::apply(settings) {
        Ok(applied) if applied.is_empty() => say(&format!("{} is up to date", settings.database_shown())),
        Ok(applied) => say(&format!("{}: applied {}", settings.database_shown(), applied.join(", "))),
        Err(error) => return fail(boot::DATABASE, &error.to_string()),
    }
    ExitCode::SUCCESS
}
