//! Work in blocks' windows, share by share.
//!
//! Deliberately not the way that weights are computed: no segment, no running total, only decoded batches and
//! verdicts. One pass over the batches serves many blocks: per block the totals at its window's start are kept
//! until its end is reached.
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::{HostId, Minute, Seq, Timestamp};

use super::{BATCHES_PER_PAGE, batches};
use crate::Result;
use crate::batch::ShareBatch;
use crate::db::Conn;
use crate::fold::storable;
use crate::joined::Joined;
use crate::sql::binds;

/// How far the clock that books minutes may have been behind the one that labels batches. A pass begins that much
/// before the first window.
const CLOCKS_DIFFER_MS: i64 = 24 * 3_600_000;

/// A block's window.
#[derive(Clone, Copy)]
pub(super) struct Window {
    block: i64,
    first: Minute,
}

impl Window {
    pub(super) fn load(block: i64, window_start: i64) -> Window {
        Window { block, first: Timestamp::from_ms(window_start).minute() }
    }
}

/// One miner's work in a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    /// All of it.
    pub(super) accepted: i128,
    /// Judged good, and known when the weights were computed.
    pub(super) verified: i128,
    /// Judged bad, and known when the weights were computed.
    pub(super) taken: i128,
    /// Voided since then: it may have counted as anything before.
    pub(super) voided_since: i128,
    /// Judged bad, as of now.
    pub(super) taken_now: i128,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Work { accepted, verified, taken, voided_since, .. } = self;
        write!(f, "accepted {accepted}, verified {verified}, taken {taken}, voided since {voided_since}")
    }
}

/// By address of today.
pub(super) type Recounted = BTreeMap<String, Work>;

/// The work in each window, in their order.
pub(super) async fn recount(c: &mut Conn<'_>, windows: Vec<Window>, joined: &Joined) -> Result<Vec<Recounted>> {
    let mut recounts = vec![Recounted::new(); windows.len()];
    let mut ends: BTreeMap<HostId, Vec<Open>> = BTreeMap::new();
    for (place, window) in windows.iter().enumerate() {
        for end in window_ends(c, window.block).await? {
            let open = Open { place, first: window.first, end: Seq::from_i64(end.end_seq), before: None };
            ends.entry(HostId(end.host_id)).or_default().push(open);
        }
    }
    for (host, mut open) in ends {
        open.sort_unstable_by_key(|window| (window.end, window.place));
        host_pass(c, host, open, Totals::new(joined), &mut recounts).await?;
    }
    for (window, recounted) in windows.iter().zip(&mut recounts) {
        verdicts(c, *window, recounted).await?;
    }
    Ok(recounts)
}

#[derive(QueryableByName)]
struct WindowEnd {
    #[diesel(sql_type = BigInt)]
    host_id: i64,
    #[diesel(sql_type = BigInt)]
    end_seq: i64,
}

async fn window_ends(c: &mut Conn<'_>, block: i64) -> Result<Vec<WindowEnd>> {
    c.rows("SELECT host_id, end_seq FROM block_windows WHERE block_id = $1", binds![block]).await
}

/// A window that one host's pass has not left yet.
struct Open {
    place: usize,
    first: Minute,
    end: Seq,
    /// Totals before its first share, once that was reached.
    before: Option<Vec<i128>>,
}

/// Totals per address since the pass began.
struct Totals<'a> {
    joined: &'a Joined,
    places: HashMap<String, usize>,
    work: Vec<i128>,
}

impl<'a> Totals<'a> {
    fn new(joined: &'a Joined) -> Totals<'a> {
        Totals { joined, places: HashMap::new(), work: Vec::new() }
    }

    fn place(&mut self, address: &str) -> usize {
        let address = self.joined.now(&storable(address)).to_owned();
        let next = self.work.len();
        let place = *self.places.entry(address).or_insert(next);
        if place == next {
            self.work.push(0);
        }
        place
    }

    /// Adds to `recounted` what was done since `before`; an address that is missing there had done nothing yet.
    fn since(&self, before: Option<&[i128]>, recounted: &mut Recounted) {
        let Some(before) = before else { return };
        for (address, place) in &self.places {
            let work = self.work[*place] - before.get(*place).copied().unwrap_or_default();
            if work != 0 {
                recounted.entry(address.clone()).or_default().accepted += work;
            }
        }
    }
}

/// `open` in order of their ends.
async fn host_pass(
    c: &mut Conn<'_>,
    host: HostId,
    open: Vec<Open>,
    mut totals: Totals<'_>,
    recounts: &mut [Recounted],
) -> Result<()> {
    let first = open.iter().map(|window| window.first).min().unwrap_or_default();
    let label = first.start().ms().saturating_sub(CLOCKS_DIFFER_MS);
    let start = "SELECT MIN(first_seq) AS n FROM share_batches WHERE host_id = $1 AND last_at >= $2";
    let Some(start) = c.number(start, binds![host.0, label]).await? else { return Ok(()) };
    let mut after = Seq::from_i64(start.saturating_sub(1));
    let mut open = std::collections::VecDeque::from(open);
    while !open.is_empty() {
        let page = batches(c, host, after, BATCHES_PER_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.first_seq;
        // What cannot be decoded is the other audit's finding; here its shares are missing.
        for batch in page.iter().filter_map(|row| ShareBatch::decode(&row.body).ok()) {
            walk(&batch, &mut open, &mut totals, recounts);
        }
    }
    for window in open {
        totals.since(window.before.as_deref(), &mut recounts[window.place]);
    }
    Ok(())
}

fn walk(
    batch: &ShareBatch,
    open: &mut std::collections::VecDeque<Open>,
    totals: &mut Totals<'_>,
    recounts: &mut [Recounted],
) {
    let places: Vec<usize> = batch.lines.iter().map(|line| totals.place(&line.address)).collect();
    let mut minute = None;
    for share in &batch.shares {
        while open.front().is_some_and(|window| window.end < share.seq) {
            let left = open.pop_front().expect("it was just seen");
            totals.since(left.before.as_deref(), &mut recounts[left.place]);
        }
        // Minutes never go back in a log, so windows are looked at once a minute.
        if minute != Some(share.minute) {
            minute = Some(share.minute);
            let entered = open.iter_mut().filter(|window| window.before.is_none() && window.first <= share.minute);
            entered.for_each(|window| window.before = Some(totals.work.clone()));
        }
        let line = usize::try_from(share.line).ok().and_then(|line| places.get(line));
        if let Some(place) = line {
            totals.work[*place] += i128::from(share.difficulty.get());
        }
    }
}

async fn verdicts(c: &mut Conn<'_>, window: Window, recounted: &mut Recounted) -> Result<()> {
    #[derive(QueryableByName)]
    struct Judged {
        #[diesel(sql_type = Text)]
        address: String,
        #[diesel(sql_type = BigInt)]
        verified: i64,
        #[diesel(sql_type = BigInt)]
        taken: i64,
        #[diesel(sql_type = BigInt)]
        voided_since: i64,
        #[diesel(sql_type = BigInt)]
        taken_now: i64,
    }
    let sum = |condition: &str| format!("CAST(SUM(CASE WHEN {condition} THEN v.difficulty ELSE 0 END) AS BIGINT)");
    let select = format!(
        "SELECT m.address, {} AS verified, {} AS taken, {} AS voided_since, {} AS taken_now \
         FROM block_windows w JOIN blocks b ON b.id = w.block_id \
         JOIN verdicts v ON v.host_id = w.host_id AND v.minute >= $1 AND v.share_seq <= w.end_seq \
         JOIN worker_identities l ON l.id = v.identity_id JOIN miners m ON m.id = l.miner_id WHERE w.block_id = $2 GROUP BY m.address",
        sum("v.verdict = 'verified' AND v.seq <= COALESCE(w.verdict_seq, b.verdict_seq)"),
        sum("v.verdict <> 'verified' AND v.seq <= COALESCE(w.verdict_seq, b.verdict_seq)"),
        sum("v.verdict = 'voided' AND v.seq > COALESCE(w.verdict_seq, b.verdict_seq)"),
        sum("v.verdict <> 'verified'"),
    );
    for row in c.rows::<Judged>(&select, binds![i64::from(window.first.0), window.block]).await? {
        let work = recounted.entry(row.address).or_default();
        work.verified = row.verified.into();
        work.taken = row.taken.into();
        work.voided_since = row.voided_since.into();
        work.taken_now = row.taken_now.into();
    }
    Ok(())
}
