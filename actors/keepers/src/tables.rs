//! The tables that are written behind, and their records as rows.
use messages::facts::Origin;
use messages::write_behind::{
    BanRecord, HINTS_LOADED_MAX, HINTS_MAX, HintRecord, PenaltyRecord, StoreBans, StoreHints, StorePenalties,
};
use store::Store;
use store::bans::BanRow;
use store::hints::HintRow;
use store::penalties::PenaltyRow;
use units::Timestamp;

use crate::table::Table;

/// Hosts may differ by so much in their clocks, and in when they write.
const OVERLAP_MS: i64 = 15 * 60 * 1000;

// === bans ===

/// Clients that may not connect for a while.
#[derive(Debug, Default)]
pub struct BanTable;

impl Table for BanTable {
    type Record = BanRecord;
    type Tick = StoreBans;
    const NAME: &'static str = "ban_keeper";
    const WHAT: &'static str = "bans";
    const NOT_STORED: &'static str = "bans not stored, will retry; they are in force";
    const BATCH: usize = usize::MAX;
    const TICKS_PER_REFRESH: u32 = 12;
    const FIRST_TICK: u32 = 1;

    async fn put(&self, store: &Store, records: &[BanRecord], oldest: Timestamp) -> store::Result<()> {
        let row = |ban: &BanRecord| BanRow {
            client: ban.client.clone(),
            reason: ban.reason.to_string(),
            begun: ban.begun,
            until: ban.until,
            times: ban.times,
        };
        let rows: Vec<BanRow> = records.iter().map(row).collect();
        store.bans_put(&rows, oldest).await
    }

    async fn list(&mut self, store: &Store, oldest: Timestamp, _now: Timestamp) -> store::Result<Vec<BanRecord>> {
        let record = |row: BanRow| BanRecord {
            client: row.client,
            reason: row.reason.into(),
            begun: row.begun,
            until: row.until,
            times: row.times,
        };
        Ok(store.bans_list(oldest).await?.into_iter().map(record).collect())
    }
}

// === hints ===

/// Measured difficulties of workers.
#[derive(Debug, Default)]
pub struct HintTable {
    /// Everything stored up to here was read.
    read_until: Option<Timestamp>,
}

impl Table for HintTable {
    type Record = HintRecord;
    type Tick = StoreHints;
    const NAME: &'static str = "hint_keeper";
    const WHAT: &'static str = "vardiff hints";
    const NOT_STORED: &'static str = "vardiff hints not stored, will retry";
    const BATCH: usize = 2000;
    const TICKS_PER_REFRESH: u32 = 60;
    const FIRST_TICK: u32 = 0;

    async fn put(&self, store: &Store, records: &[HintRecord], _oldest: Timestamp) -> store::Result<()> {
        let row = |hint: &HintRecord| HintRow {
            address: hint.address.as_ref().to_owned(),
            worker: hint.worker.as_ref().to_owned(),
            origin: hint.origin.0,
            difficulty: hint.difficulty,
            measured_at: hint.measured_at,
        };
        let rows: Vec<HintRow> = records.iter().map(row).collect();
        store.hints_put(&rows).await
    }

    async fn list(&mut self, store: &Store, oldest: Timestamp, now: Timestamp) -> store::Result<Vec<HintRecord>> {
        let since = self.read_until.map_or(oldest, |until| Timestamp::from_ms(until.ms() - OVERLAP_MS).max(oldest));
        let rows = store.hints_since(since, HINTS_LOADED_MAX).await?;
        self.read_until = Some(now);
        let record = |row: HintRow| HintRecord {
            address: row.address.into(),
            worker: row.worker.into(),
            origin: Origin(row.origin),
            difficulty: row.difficulty,
            measured_at: row.measured_at,
        };
        Ok(rows.into_iter().map(record).collect())
    }

    async fn prune(&self, store: &Store, oldest: Timestamp) -> store::Result<()> {
        store.hints_prune(oldest, HINTS_MAX).await.map(|_| ())
    }
}

// === penalties ===

/// Pairs that sent false shares.
#[derive(Debug, Default)]
pub struct PenaltyTable;

impl Table for PenaltyTable {
    type Record = PenaltyRecord;
    type Tick = StorePenalties;
    const NAME: &'static str = "suspect_keeper";
    const WHAT: &'static str = "penalties";
    const NOT_STORED: &'static str = "penalties not stored, will retry; they are in force";
    const BATCH: usize = usize::MAX;
    const TICKS_PER_REFRESH: u32 = 12;
    const FIRST_TICK: u32 = 1;

    async fn put(&self, store: &Store, records: &[PenaltyRecord], oldest: Timestamp) -> store::Result<()> {
        let row = |penalty: &PenaltyRecord| PenaltyRow {
            address: penalty.pair.0.as_ref().to_owned(),
            origin: penalty.pair.1.0,
            reason: penalty.reason.clone(),
            strikes: penalty.strikes,
            struck_at: penalty.struck_at,
            forced_until: penalty.forced_until,
            quarantined_until: penalty.quarantined_until,
            void_before: penalty.void_before,
            ends_at: penalty.ends_at,
        };
        let rows: Vec<PenaltyRow> = records.iter().map(row).collect();
        store.penalties_put(&rows, oldest).await
    }

    async fn list(&mut self, store: &Store, oldest: Timestamp, _now: Timestamp) -> store::Result<Vec<PenaltyRecord>> {
        let record = |row: PenaltyRow| PenaltyRecord {
            pair: (row.address.into(), Origin(row.origin)),
            reason: row.reason,
            strikes: row.strikes,
            struck_at: row.struck_at,
            forced_until: row.forced_until,
            quarantined_until: row.quarantined_until,
            void_before: row.void_before,
            ends_at: row.ends_at,
        };
        Ok(store.penalties_list(oldest).await?.into_iter().map(record).collect())
    }
}
