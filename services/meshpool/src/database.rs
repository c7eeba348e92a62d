//! The database, as one command opens it.
use std::process::ExitCode;

use secrecy::ExposeSecret;
use settings::Settings;
use store::{Store, StoreError};

use crate::output::fail;

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
