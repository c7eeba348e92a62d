//! Clients that may not connect for a while.
//!
//! A ban falls on a client, never on a payout address, and keeps new connections out; what is connected stays, for
//! honest miners may share the client's address. It is decided in memory and written behind by
//! [`crate::BanKeeper`]. A client that is banned again soon is banned for longer.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::counters::Counters;
use store::bans::BanRow;
use units::Timestamp;

use crate::client::Client;

/// The first ban.
const FIRST: Duration = Duration::from_secs(600);
/// Each further one is longer by this factor...
const GROWTH: u32 = 4;
/// ... up to this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// A ban that ended is remembered for so long.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bans kept, remembered ones included. Beyond it the one that ends first is forgotten.
const BANS_MAX: usize = 4096;

/// A ban, in force or remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) reason: Arc<str>,
    pub(crate) begun: Timestamp,
    pub(crate) until: Timestamp,
    /// How many there were in a row, this one included.
    pub(crate) times: u32,
}

impl Ban {
    pub(crate) fn row(&self, client: Client) -> BanRow {
        BanRow {
            client: client.to_string(),
            reason: self.reason.to_string(),
            begun: self.begun,
            until: self.until,
            times: self.times,
        }
    }
}

/// All bans. Touched when a connection begins or is closed for abuse, never by a share.
#[derive(Debug, Default)]
pub struct Bans {
    kept: Mutex<BanTable>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct BanTable {
    bans: HashMap<Client, Ban>,
    /// Those that are not in the database yet.
    dirty: HashSet<Client>,
}

impl Bans {
    /// With what was stored. Rows that name no client are left out.
    #[must_use]
    pub fn new(stored: Vec<BanRow>, counters: Arc<Counters>, now: Timestamp) -> Bans {
        let bans = Bans { kept: Mutex::default(), counters };
        bans.refresh(stored, now);
        bans
    }

    fn kept(&self) -> MutexGuard<'_, BanTable> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ban that keeps `client` out.
    pub(crate) fn find(&self, client: Client, now: Timestamp) -> Option<Ban> {
        self.kept().bans.get(&client).filter(|ban| ban.until > now).cloned()
    }

    /// Bans a client.
    pub(crate) fn add(&self, client: Client, reason: &'static str, now: Timestamp) -> Ban {
        let mut kept = self.kept();
        let before = kept.bans.get(&client).filter(|ban| ban.until.plus(MEMORY) > now);
        let times = before.map_or(1, |ban| ban.times.saturating_add(1));
        let longer = GROWTH.saturating_pow(times - 1);
        let ban = Ban {
            reason: reason.into(),
            begun: now,
            until: now.plus(FIRST.saturating_mul(longer).min(LONGEST)),
            times,
        };
        if kept.bans.len() >= BANS_MAX && !kept.bans.contains_key(&client) {
            kept.bans.retain(|_, ban| ban.until.plus(MEMORY) > now);
            let soonest = kept.bans.iter().min_by_key(|(_, ban)| ban.until).map(|(client, _)| *client);
            if let Some(soonest) = soonest.filter(|_| kept.bans.len() >= BANS_MAX) {
                kept.bans.remove(&soonest);
                kept.dirty.remove(&soonest);
            }
        }
        kept.bans.insert(client, ban.clone());
        kept.dirty.insert(client);
        self.counters.stratum_bans_total.add(1);
        self.count(&kept, now);
        ban
    }

    /// What is still to be stored.
    pub(crate) fn unsaved(&self) -> Vec<BanRow> {
        let kept = self.kept();
        let row = |client: &Client| Some(kept.bans.get(client)?.row(*client));
        kept.dirty.iter().filter_map(row).collect()
    }

    /// These are stored. A client that was banned again meanwhile is still to be.
    pub(crate) fn saved(&self, rows: &[BanRow]) {
        let mut kept = self.kept();
        for row in rows {
            let Ok(client) = row.client.parse() else { continue };
            if kept.bans.get(&client).is_some_and(|ban| ban.row(client) == *row) {
                kept.dirty.remove(&client);
            }
        }
    }

    /// Takes over what is stored: other hosts ban too, and an operator lifts a ban by deleting its row. What is not
    /// stored yet stays.
    pub(crate) fn refresh(&self, stored: Vec<BanRow>, now: Timestamp) {
        let mut kept = self.kept();
        let BanTable { bans, dirty } = &mut *kept;
        bans.retain(|client, _| dirty.contains(client));
        for row in stored.into_iter().take(BANS_MAX) {
            if let Ok(client) = row.client.parse::<Client>() {
                let ban = Ban { reason: row.reason.into(), begun: row.begun, until: row.until, times: row.times };
                bans.entry(client).or_insert(ban);
            }
        }
        self.count(&kept, now);
    }

    /// When the oldest ban ended that is still remembered: one that ends later belongs into [`Bans::new`].
    #[must_use]
    pub fn memory_begins(now: Timestamp) -> Timestamp {
        now.minus(MEMORY)
    }

    fn count(&self, kept: &BanTable, now: Timestamp) {
        let in_force = kept.bans.values().filter(|ban| ban.until > now).count();
        self.counters.stratum_bans.set(in_force as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);

    fn client(n: u32) -> Client {
        Client::of(std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)))
    }

    #[test]
    fn a_ban_ends_and_the_next_one_is_longer() {
        let bans = Bans::default();
        let mut now = NOW;
        let mut lengths = Vec::new();
        for _ in 0..6 {
            let ban = bans.add(client(1), "bytes", now);
            lengths.push(ban.until.since(now).as_secs() / 60);
            assert!(bans.find(client(1), now).is_some() && bans.find(client(2), now).is_none());
            now = ban.until;
            assert!(bans.find(client(1), now).is_none());
        }
        assert_eq!(lengths, [10, 40, 160, 640, 1440, 1440]);
        let forgiven = bans.add(client(1), "bytes", now.plus(MEMORY));
        assert_eq!(forgiven.times, 1);
    }

    #[test]
    fn what_was_stored_is_in_force_again_and_keeps_its_count() {
        let bans = Bans::default();
        bans.add(client(1), "bytes", NOW);
        let rows = bans.unsaved();
        assert_eq!(bans.unsaved(), rows, "until it is known to be stored");
        bans.saved(&rows);
        assert!(bans.unsaved().is_empty());
        let again = Bans::new(rows.clone(), Arc::default(), NOW);
        assert_eq!(again.find(client(1), NOW), bans.find(client(1), NOW));
        assert_eq!(again.counters.stratum_bans.get(), 1);
        assert_eq!(again.add(client(1), "bytes", NOW).times, 2);
        again.saved(&rows);
        assert_eq!(again.unsaved().len(), 1, "another ban than the one that was stored");
    }

    #[test]
    fn a_row_that_was_deleted_lifts_the_ban_and_one_not_yet_stored_stays() {
        let bans = Bans::default();
        bans.add(client(1), "bytes", NOW);
        let stored = bans.unsaved();
        bans.saved(&stored);
        bans.add(client(2), "bytes", NOW);
        bans.refresh(stored, NOW);
        assert!(bans.find(client(1), NOW).is_some() && bans.find(client(2), NOW).is_some());
        bans.refresh(Vec::new(), NOW);
        assert!(bans.find(client(1), NOW).is_none() && bans.find(client(2), NOW).is_some());
    }

    #[test]
    fn the_number_of_bans_is_bounded() {
        let bans = Bans::default();
        for n in 0..BANS_MAX as u32 + 10 {
            bans.add(client(n), "bytes", NOW.plus(Duration::from_millis(u64::from(n))));
        }
        let kept = bans.kept();
        assert_eq!((kept.bans.len(), kept.dirty.len()), (BANS_MAX, BANS_MAX));
        assert!(!kept.bans.contains_key(&client(0)) && kept.bans.contains_key(&client(BANS_MAX as u32 + 9)));
    }
}
