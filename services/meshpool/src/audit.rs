//! `meshpool audit`: recomputes everything that is stored, and compares. Only reads; works beside a running pool.
use std::collections::HashMap;
use std::process::ExitCode;

use secrecy::ExposeSecret;
use serde_json::json;
use settings::Settings;
use store::audit::Difference;
use store::{Store, StoreError};

use crate::cli::{fail, say};

/// Prints the report; success only for no difference at all.
pub(crate) fn run(settings: &Settings) -> ExitCode {
    let url = settings.database_url();
    let store = match Store::open(url.expose_secret(), 2) {
        Ok(store) => store,
        Err(error) => return fail(boot::DATABASE, &error.to_string()),
    };
    let report = runtime::block_on(compare(&store));
    match report {
        Ok(found) => {
            let mut checks: HashMap<&str, usize> = HashMap::new();
            for difference in &found {
                *checks.entry(difference.check).or_default() += 1;
            }
            say(&json!({ "differences": found.len(), "by_check": checks, "found": found }).to_string());
            if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(boot::DATABASE, &format!("audit was broken off: {error}")),
    }
}

async fn compare(store: &Store) -> Result<Vec<Difference>, StoreError> {
    let mut found = store.audit_entries().await?;
    found.extend(store.audit_shares().await?);
    found.extend(store.audit_blocks().await?);
    found.extend(store.audit_payouts().await?);
    Ok(found)
}
