//! Which host of the books this process is.
//!
//! It is registered when nothing can fail any more that a start can fail of: the data directory is locked, the ports are
//! taken, the log's end is found. From then on blocks wait for it. It is closed when it has stopped with everything
//! folded; a process that dies, or stops while the database is away, stays open, and `meshpool hosts` says so.
//!
//! A log that is an older copy of what the database has folded goes on under another name: see [`Continuity`].
//!
//! A database that is put back from an older copy takes rows back with it. What becomes of each kind:
//!
//! | Rows | Then |
//! |---|---|
//! | shares, verdicts, finds | folded again from the share log; where that has no such file any more, `accept-gap` |
//! | hosts: names, positions | known again at their next start; blocks wait for them from their logs' beginning on |
//! | hosts: closed, given up | open again: the condition on held blocks names them; start them, or `retire` again |
//! | policies | the log's numbers are not given again; finds under one that is gone are priced by the present one |
//! | nonce counter (`stratum_era`) | goes on above the highest that this data directory has used (file `era`) |
//! | lease epochs | are given by the clock, so that none comes twice and a frozen process stays fenced |
//! | best chain seen | a lower one is believed until a daemon shows more work, within seconds; credits wait for depth |
//! | height swept | is swept again; a block is booked once |
//! | bans, penalties | the later ones are forgotten; false shares cost as much as before, and are found as often |
//! | vardiff hints | are measured again |
//! | retention marks | as old as the rows that they speak of, so both are cleaned up again |
//! | an operator's words on payouts, `accept-chain` | must be said again: the condition that asked for them is back |
use std::sync::Arc;
use std::time::Duration;

use messages::conditions::{ConditionKind, Conditions};
use messages::facts::Clock;
use rand::Rng;
use runtime::Task;
use share_ledger::{Continuity, LogOwner, continuity, host_name, set_host_name};
use share_log::{LogDirectory, LogError, OldestRecord};
use store::Store;
use store::hosts::{HostOpening, HostRow};
use tracing::{info, warn};
use units::{HostId, Minute, Seq, Timestamp};

use crate::error::HostError;

/// How often it is looked whether an operator has given up the host that this one replaces.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// As when the log's actor gives up: a disk that is full may have room at the next start.
fn share_log(error: LogError) -> HostError {
    HostError::GaveUp(error.to_string())
}

/// A registered host.
pub(crate) struct Membership {
    store: Store,
    directory: LogDirectory,
    clock: Clock,
    pub(crate) name: String,
    pub(crate) id: HostId,
    /// The share ledger's, which says when everything is folded.
    pub(crate) owner: Arc<LogOwner>,
    /// The host whose log it goes on with, if blocks still wait for that one.
    replaces: Option<String>,
}

impl Membership {
    /// Registers the process. Nothing of a start may fail after that.
    pub(crate) async fn open(
        store: &Store,
        directory: &LogDirectory,
        clock: &Clock,
        conditions: &Conditions,
    ) -> Result<Membership, HostError> {
        let end = directory.recover().map_err(share_log)?;
        if end.cut_bytes > 0 {
            warn!(bytes = end.cut_bytes, "torn tail of the share log truncated; nothing in it was acknowledged");
        }
        let end = Seq(end.next_seq.0.saturating_sub(1));
        let mut name = host_name(directory, draw).map_err(HostError::config)?;
        // Whichever clock is behind: blocks must rather wait too long than too short a time.
        let at = clock().min(store.now().await.map_err(HostError::database)?);
        let mut replaces = None;
        match store.host_find(&name).await.map_err(HostError::database)? {
            Some(host) => {
                let found =
                    continuity(directory, store, host.id, host.folded, end).await.map_err(HostError::database)?;
                if let Continuity::Parted { agrees } = found {
                    name = draw();
                    // First the database: a name that no host has yet could not say what it goes on with.
                    store.host_replace(&name, host.id, agrees, at).await.map_err(HostError::database)?;
                    set_host_name(directory, &name).map_err(HostError::config)?;
                    note_restored(conditions, &host, &name, agrees, end);
                    replaces = host.is_open().then_some(host.name);
                } else if let Some((old, agrees)) = &host.replaces {
                    let old = store.host_find(old).await.map_err(HostError::database)?.filter(HostRow::is_open);
                    if let Some(old) = old {
                        note_restored(conditions, &old, &name, *agrees, end);
                        replaces = Some(old.name);
                    }
                }
            }
            None if end > Seq::ZERO => {
                warn!(host = name, end = end.0, "share log unknown to the database, which is older");
            }
            None => {}
        }
        let oldest = directory.oldest().ok().flatten().filter(|_| end > Seq::ZERO);
        let begins = oldest.map_or(at, begin);
        let opening = HostOpening { name: name.clone(), at, begins, end: Some(end) };
        let id = store.host_open(opening).await.map_err(HostError::database)?;
        let (store, directory, clock) = (store.clone(), directory.clone(), Arc::clone(clock));
        Ok(Membership { store, directory, clock, name, id, owner: Arc::default(), replaces })
    }

    /// Ends the word on an older log when the host that it replaces is given up or closed.
    pub(crate) fn watch(&self, conditions: &Arc<Conditions>) -> Option<Task> {
        let (store, conditions, old) = (self.store.clone(), Arc::clone(conditions), self.replaces.clone()?);
        Some(runtime::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                // While the database is away nothing has changed.
                let Ok(open) = store.hosts_open().await else { continue };
                if !open.iter().any(|host| host.name == old) {
                    return conditions.clear(ConditionKind::LogRestored);
                }
            }
        }))
    }

    /// All actors have ended: nothing is logged any more.
    pub(crate) async fn close(&self) {
        let stays = |why: &str| {
            warn!(
                host = self.name,
                why, "this host stays open: blocks that are found wait for it until it is started again"
            );
        };
        let end = match self.directory.readable() {
            _ if !self.owner.is_complete() => return stays("its share log is not folded to the end"),
            Ok(end) => end.map_or(Seq::ZERO, |end| end.seq),
            Err(error) => return stays(&error.to_string()),
        };
        match self.store.host_close(self.id, end, (self.clock)()).await {
            Ok(true) => info!(host = self.name, end = end.0, "host closed: all of its share log is folded"),
            Ok(false) => stays("its share log and the database end at different positions"),
            Err(error) => stays(&error.to_string()),
        }
    }
}

fn draw() -> String {
    hex::encode(rand::rng().random::<[u8; 6]>())
}

/// Nothing that the log has was written earlier.
fn begin(oldest: OldestRecord) -> Timestamp {
    match oldest.minute {
        Minute(0) => Timestamp::from_ms(0),
        minute => minute.start(),
    }
}

fn note_restored(conditions: &Conditions, old: &HostRow, new: &str, agrees: Seq, end: Seq) {
    let (name, folded) = (&old.name, old.folded);
    let next = match old.is_open() {
        true => format!(
            "what host {name} logged after that is lost with its log: blocks that were found wait for it until its own \
             directory is started again, or it is given up: meshpool hosts retire {name}"
        ),
        false => format!("host {name} had folded all that it logged, so nothing is lost"),
    };
    let detail = format!(
        "the share log is an older copy: it ends at position {end} and agrees up to {agrees} with what the database has \
         of host {name}, up to {folded}. It goes on as host {new}; {next}"
    );
    let text = "share log is older than the books: it goes on under a new host name";
    conditions.set(ConditionKind::LogRestored, text, &detail);
}
