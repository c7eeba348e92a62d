//! `meshpool log`: records of the share log that the database refuses, and another try with them.
use std::process::ExitCode;
use std::time::SystemTime;

use settings::Settings;
use store::set_aside::AsideItem;
use units::Timestamp;

use crate::database::with_store;
use crate::output::{fail, say};

/// Prints what is set aside.
pub(crate) fn list(settings: &Settings) -> ExitCode {
    with_store(settings, async |store| {
        let items = store.set_aside_list().await?;
        if items.is_empty() {
            say("nothing is set aside");
        }
        for item in &items {
            say(&line(item));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks the owners of the logs to append it again.
pub(crate) fn retry(settings: &Settings, id: Option<i64>) -> ExitCode {
    with_store(settings, async |store| {
        let items = store.set_aside_list().await?;
        if let Some(id) = id.filter(|id| items.iter().all(|item| item.id != *id)) {
            return Ok(fail(boot::CONFIG, &format!("nothing is set aside under {id}; `meshpool log` lists it")));
        }
        let meant = || items.iter().filter(|item| id.is_none_or(|id| id == item.id));
        let asked = store.set_aside_retry(id, Timestamp::from_system(SystemTime::now())).await?;
        let records: u64 = meant().map(|item| item.records).sum();
        match meant().count() {
            0 => say("nothing is set aside"),
            count => say(&format!(
                "{records} records of {count} refused ones will be appended to the share log again ({} were asked for before).\n\
                 A pool that runs does it at once, a few hundred records a second; otherwise its next start does.\n\
                 They count in the payout windows that are open then. What is refused again is set aside again.",
                count.saturating_sub(asked),
            )),
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn line(item: &AsideItem) -> String {
    let AsideItem { id, host, kind, seq, records, why, set_aside_at, retry_at } = item;
    let retry = retry_at.map_or_else(String::new, |at| format!(", to be tried again since {at}"));
    format!(
        "{id}  {kind} of record {seq} in the log of host {host}: {records} records, since {set_aside_at}{retry}; {why}"
    )
}
