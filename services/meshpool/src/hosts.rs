//! `meshpool hosts`: who has written a share log, and what waits for it.
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use settings::Settings;
use store::hosts::HostRow;
use units::Timestamp;

use crate::cli::{fail, say, with_store};

/// Who was heard of within this time is alive.
const ALIVE: Duration = Duration::from_secs(120);

/// Prints all hosts.
pub(crate) fn list(settings: &Settings) -> ExitCode {
    with_store(settings, async |store| {
        let now = Timestamp::from_system(SystemTime::now());
        for host in store.host_overview().await? {
            say(&line(&host, now));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Gives up a host that never comes back.
pub(crate) fn retire(settings: &Settings, name: &str) -> ExitCode {
    with_store(settings, async |store| {
        let now = Timestamp::from_system(SystemTime::now());
        let Some(host) = store.host_overview().await?.into_iter().find(|host| host.name == name) else {
            return Ok(fail(boot::CONFIG, &format!("there is no host {name}; `meshpool hosts` lists them")));
        };
        if now.since(host.heard_of()) < ALIVE {
            let text = format!("host {name} was heard of less than two minutes ago: it is alive, so stop it first");
            return Ok(fail(boot::CONFIG, &text));
        }
        store.host_retire(name, now).await?;
        say(&format!(
            "Host {name} is given up. Blocks do not wait for it any more.\n\
             All that its log had handed over to the database counts as before (up to position {}).\n\
             What its log holds beyond that is not counted in blocks found until now; miners get no credit for it there.\n\
             If it starts again with its old data directory, it counts again from then on.",
            host.folded
        ));
        Ok(ExitCode::SUCCESS)
    })
}

fn line(host: &HostRow, now: Timestamp) -> String {
    let state = match host.retired_at {
        Some(since) => format!("retired since {since}"),
        None if host.waiting_blocks > 0 => format!("{} blocks wait for it", host.waiting_blocks),
        None => "no block waits for it".to_owned(),
    };
    let heard = match now.since(host.heard_of()) {
        _ if host.heard_of() == Timestamp::from_ms(0) => "never".to_owned(),
        age if age < ALIVE => "just now".to_owned(),
        _ => host.heard_of().to_string(),
    };
    let HostRow { name, folded, registered_at, .. } = host;
    format!("{name}  folded to position {folded}, heard of {heard}, registered {registered_at}; {state}")
}
