//! Clients that may not connect for a while.
//!
//! A ban falls on a client, never on a payout address, and keeps new connections out; what is connected stays, for
//! honest miners may share the client's address. It is decided in memory and written behind by
//! the keeper of bans. A client that is banned again soon is banned for longer.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::write_behind::{BanRecord, WrittenBehind};
use units::Timestamp;

use crate::client::Client;
use crate::metrics::StratumMetrics;

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
    pub(crate) fn record(&self, client: Client) -> BanRecord {
        BanRecord {
            client: client.to_string(),
            reason: Arc::clone(&self.reason),
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
    metrics: Arc<StratumMetrics>,
}

#[derive(Debug, Default)]
struct BanTable {
    bans: HashMap<Client, Ban>,
    /// Those that are not in the database yet.
    dirty: HashSet<Client>,
}

impl Bans {
    /// With what was stored. Records that name no client are left out.
    #[must_use]
    pub fn new(stored: Vec<BanRecord>, metrics: Arc<StratumMetrics>, now: Timestamp) -> Bans {
        let bans = Bans { kept: Mutex::default(), metrics };
        bans.load(stored, now);
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
        self.metrics.stratum_bans_total.add(1);
        self.count(&kept, now);
        ban
    }

    /// When the oldest ban ended that is still remembered: one that ends later belongs into [`Bans::new`].
    #[must_use]
    pub fn memory_begins(now: Timestamp) -> Timestamp {
        now.minus(MEMORY)
    }

    fn count(&self, kept: &BanTable, now: Timestamp) {
        let in_force = kept.bans.values().filter(|ban| ban.until > now).count();
        self.metrics.stratum_bans.set(in_force as u64);
    }
}

impl WrittenBehind for Bans {
    type Record = BanRecord;

    fn take_unsaved(&self, limit: usize) -> Vec<BanRecord> {
        let mut kept = self.kept();
        let clients: Vec<Client> = kept.dirty.iter().take(limit).copied().collect();
        let mut records = Vec::with_capacity(clients.len());
        for client in clients {
            kept.dirty.remove(&client);
            records.extend(kept.bans.get(&client).map(|ban| ban.record(client)));
        }
        records
    }

    fn put_back(&self, records: &[BanRecord]) {
        let mut kept = self.kept();
        for client in records.iter().filter_map(|record| record.client.parse().ok()) {
            if kept.bans.contains_key(&client) {
                kept.dirty.insert(client);
            }
        }
    }

    /// Other hosts ban too, and an operator lifts a ban by deleting its row. What is not stored yet stays.
    fn load(&self, stored: Vec<BanRecord>, now: Timestamp) {
        let mut kept = self.kept();
        let BanTable { bans, dirty } = &mut *kept;
        bans.retain(|client, _| dirty.contains(client));
        for record in stored.into_iter().take(BANS_MAX) {
            if let Ok(client) = record.client.parse::<Client>() {
                let BanRecord { reason, begun, until, times, .. } = record;
                bans.entry(client).or_insert(Ban { reason, begun, until, times });
            }
        }
        self.count(&kept, now);
    }

    fn oldest(&self, now: Timestamp) -> Timestamp {
        Bans::memory_begins(now)
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};
    use keepers::{BanKeeper, BanTable, Table};
    use store::Store;

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
        let rows = bans.take_unsaved(9);
        assert!(rows.len() == 1 && bans.take_unsaved(9).is_empty());
        bans.put_back(&rows);
        assert_eq!(bans.take_unsaved(9), rows, "it was not stored after all");
        let again = Bans::new(rows.clone(), Arc::default(), NOW);
        assert_eq!(again.find(client(1), NOW), bans.find(client(1), NOW));
        assert_eq!(again.metrics.stratum_bans.get(), 1);
        assert_eq!(again.add(client(1), "bytes", NOW).times, 2);
        again.take_unsaved(9);
        assert_eq!(again.add(client(1), "bytes", NOW).times, 3);
        assert_eq!(again.take_unsaved(9).len(), 1, "another ban than the one that is being stored");
    }

    #[test]
    fn a_row_that_was_deleted_lifts_the_ban_and_one_not_yet_stored_stays() {
        let bans = Bans::default();
        bans.add(client(1), "bytes", NOW);
        let stored = bans.take_unsaved(9);
        bans.add(client(2), "bytes", NOW);
        bans.load(stored, NOW);
        assert!(bans.find(client(1), NOW).is_some() && bans.find(client(2), NOW).is_some());
        bans.load(Vec::new(), NOW);
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

    #[test]
    fn a_ban_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let sql = |text| {
            // The store may be writing.
            let text = format!("PRAGMA busy_timeout = 5000; {text}");
            SqliteConnection::establish(&path).unwrap().batch_execute(&text).unwrap();
        };
        sql("CREATE TRIGGER refusal BEFORE INSERT ON client_bans WHEN NEW.client = '10.0.0.2' \
             BEGIN SELECT RAISE(ABORT, 'not this one'); END");
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        let bans = Arc::new(Bans::default());
        (1..=5).for_each(|n| drop(bans.add(client(n), "bytes", NOW)));
        let memory = Arc::clone(&bans);
        let mut keeper = BanKeeper::factory(memory, store.clone(), Arc::new(|| NOW))();
        let unsaved = || bans.kept().dirty.len();
        runtime::block_on(async {
            let refused = keeper.keep().await.unwrap_err().to_string();
            assert!(refused.contains("not this one"), "{refused}");
            assert_eq!(store.bans_list(Bans::memory_begins(NOW)).await.unwrap().len(), 4);
            assert_eq!(unsaved(), 1);
            // Later ones are stored too, and what others stored is heard of.
            bans.add(client(6), "bytes", NOW);
            let other = Ban { reason: "bytes".into(), begun: NOW, until: NOW.plus(FIRST), times: 1 };
            BanTable.put(&store, &[other.record(client(7))], NOW).await.unwrap();
            for _ in 1..BanTable::TICKS_PER_REFRESH {
                assert!(bans.find(client(7), NOW).is_none());
                keeper.keep().await.unwrap_err();
            }
            assert!(bans.find(client(7), NOW).is_some() && bans.find(client(2), NOW).is_some());
            assert_eq!(store.bans_list(Bans::memory_begins(NOW)).await.unwrap().len(), 6);
            assert_eq!(unsaved(), 1);
            sql("DROP TRIGGER refusal");
            keeper.keep().await.unwrap();
            assert_eq!(store.bans_list(Bans::memory_begins(NOW)).await.unwrap().len(), 7);
            assert_eq!(unsaved(), 0);
        });
    }
}
