//! `meshpool hosts`: who has written a share log, whether blocks wait for it, and what an operator may give up.
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use settings::Settings;
use share_log::LogDirectory;
use store::hosts::HostRow;
use store::{Store, StoreError};
use units::{Minute, Seq, Timestamp};

use crate::database::with_store;
use crate::output::{confirmed, fail, say};

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

/// Gives up what the share log in this data directory lacks of what the database needs next.
pub(crate) fn accept_gap(settings: &Settings, name: &str, is_sure: bool) -> ExitCode {
    let path = settings.data.dir.join("log");
    let opened = match path.is_dir() {
        true => LogDirectory::open(&path).and_then(|log| Ok((log.stored_host_name()?, log.oldest()?))),
        false => Ok((None, None)),
    };
    let (stored, oldest) = match opened {
        Ok(opened) => opened,
        Err(error) => return fail(boot::CONFIG, &error.to_string()),
    };
    let (Some(oldest), true) = (oldest, stored.as_deref() == Some(name)) else {
        let text = format!("{} is not the share log of host {name}; run this where that is", path.display());
        return fail(boot::CONFIG, &text);
    };
    with_store(settings, async |store| {
        let Some(host) = store.host_find(name).await? else {
            return Ok(fail(boot::CONFIG, &format!("there is no host {name}; `meshpool hosts` lists them")));
        };
        if oldest.seq <= host.folded.plus(1) {
            return Ok(fail(
                boot::CONFIG,
                &format!("the share log of host {name} lacks nothing that the database needs"),
            ));
        }
        say(&meaning(&host, oldest.seq, oldest.minute));
        if let Err(code) = confirmed("Give them up?", is_sure) {
            return Ok(code);
        }
        give_up(store, &host, oldest.seq).await
    })
}

async fn give_up(store: &Store, host: &HostRow, oldest: Seq) -> Result<ExitCode, StoreError> {
    let now = Timestamp::from_system(SystemTime::now());
    match store.gap_accept(host.id, host.folded, oldest, now).await {
        Ok(()) => {
            say("They are given up. A running pool goes on behind them by itself.");
            Ok(ExitCode::SUCCESS)
        }
        Err(StoreError::Conflict { .. }) => {
            Ok(fail(boot::CONFIG, "the database is somewhere else by now; nothing was changed, look again"))
        }
        Err(error) => Err(error),
    }
}

fn meaning(host: &HostRow, oldest: Seq, minute: Minute) -> String {
    let (first, last) = (host.folded.plus(1), Seq(oldest.0.saturating_sub(1)));
    let until = match minute {
        Minute(0) => String::new(),
        minute => format!(" and before {}", minute.start()),
    };
    format!(
        "The database has the share log of host {} up to position {}, the oldest file that is left begins with {oldest}.\n\
         Positions {first} to {last} are in neither: {} shares, verdicts and finds, logged after {}{until}.\n\
         If the log's files or a later copy of the database still exist, put those back instead.\n\
         Giving them up means: nobody gets credit for these shares; blocks whose window reaches into that time are split \
         by the shares that are there; blocks that were found then are booked without a finder, or not at all if no \
         template of them is left.",
        host.name,
        host.folded,
        last.0.saturating_sub(host.folded.0),
        host.folded_at,
    )
}

fn line(host: &HostRow, now: Timestamp) -> String {
    let state = match (host.retired_at, host.closed_at) {
        (Some(since), _) => format!("retired since {since}"),
        (None, Some(since)) => format!("closed since {since}, all of its log is folded"),
        (None, None) => "open".to_owned(),
    };
    let waiting = match host.waiting_blocks {
        0 => "no block waits for it".to_owned(),
        1 => "1 block waits for it".to_owned(),
        blocks => format!("{blocks} blocks wait for it"),
    };
    let heard = match now.since(host.heard_of()) {
        _ if host.heard_of() == Timestamp::from_ms(0) => "never".to_owned(),
        age if age < ALIVE => "just now".to_owned(),
        _ => host.heard_of().to_string(),
    };
    let goes_on = match &host.replaces {
        Some((old, after)) => format!(", goes on with the log of {old} after position {after}"),
        None => String::new(),
    };
    let HostRow { name, folded, registered_at, .. } = host;
    format!(
        "{name}  {state}; folded to position {folded}, heard of {heard}, registered {registered_at}{goes_on}; {waiting}"
    )
}
