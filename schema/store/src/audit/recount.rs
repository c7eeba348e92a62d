//! Work in blocks' windows, share by share.
//!
//! Deliberately not the way that weights are computed: no segment, no running total, only decoded batches and
//! verdicts. One pass over the batches serves many blocks: per block the totals at its window's start are kept
//! until its end is reached.
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use diesel::dsl::min;
use diesel::sql_types::{BigInt, Text};
use diesel::{ExpressionMethods, QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{HostId, Minute, Seq, Timestamp};

use super::{BATCHES_PER_PAGE, batches};
use crate::Result;
use crate::batch::ShareBatch;
use crate::db::{Conn, on};
use crate::fold::storable;
use crate::joined::Joined;
use crate::schema::{block_windows, share_batches};
use crate::sql::{binds, statement};

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
        let all = block_windows::table
            .filter(block_windows::block_id.eq(window.block))
            .select((block_windows::host_id, block_windows::end_seq));
        let all: Vec<(i64, i64)> = on!(c, x => all.load(x).await)?;
        for (host, end) in all {
            let open = Open { place, first: window.first, end: Seq::from_i64(end), before: None };
            ends.entry(HostId(host)).or_default().push(open);
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
    let start = share_batches::table
        .filter(share_batches::host_id.eq(host.0))
        .filter(share_batches::last_at.ge(label))
        .select(min(share_batches::first_seq));
    let start: Option<i64> = on!(c, x => start.first(x).await)?;
    let Some(start) = start else { return Ok(()) };
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
    let places: Vec<usize> = batch.lines.iter().map(|identity| totals.place(&identity.address)).collect();
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
        let place = usize::try_from(share.line).ok().and_then(|identity| places.get(identity));
        if let Some(place) = place {
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
    let binds = binds![i64::from(window.first.0), window.block];
    for row in c.load_file::<Judged>(statement!("recount/verdicts.sql"), binds).await? {
        let work = recounted.entry(row.address).or_default();
        work.verified = row.verified.into();
        work.taken = row.taken.into();
        work.voided_since = row.voided_since.into();
        work.taken_now = row.taken_now.into();
    }
    Ok(())
}
