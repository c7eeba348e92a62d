//! Batches against segments against lines against hosts, and verdicts against batches.
//!
//! Where old details are gone, what is left is compared with what was counted when they went.
use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use units::{HostId, Minute, Seq};

use super::identities::Identities;
use super::{BATCHES_PER_PAGE, Difference, Findings, batches, hosts};
use crate::Result;
use crate::batch::ShareBatch;
use crate::db::Conn;
use crate::fold::BatchRow;
use crate::retention::{Mark, mark_in_txn};
use crate::sql::binds;

/// Identities whose segments one query looks at: one has one for each minute in which it worked.
const LINES_PER_PAGE: i64 = 50;

/// Minutes after which no share for a template can come any more.
const TEMPLATE_MINUTES: u32 = 120;

const LAST_SEGMENT: &str = "SELECT 'line ' || l.id AS subject, l.work AS stored, \
    COALESCE(s.total_work, 0) AS computed FROM worker_identities l LEFT JOIN segments s ON s.identity_id = l.id \
    AND s.start_seq = (SELECT MAX(x.start_seq) FROM segments x WHERE x.identity_id = l.id) \
    WHERE l.id > $1 AND l.id <= $2 \
    AND (l.work <> COALESCE(s.total_work, 0) OR l.shares <> COALESCE(s.total_shares, 0))";

const RUNNING: &str = "SELECT 'line ' || identity_id || ' from ' || start_seq AS subject, total_work AS stored, \
    work + before_work AS computed FROM (SELECT identity_id, start_seq, last_seq, shares, work, total_shares, total_work, \
    LAG(total_work, 1, CAST(0 AS BIGINT)) OVER line AS before_work, \
    LAG(total_shares, 1, CAST(0 AS BIGINT)) OVER line AS before_shares, \
    LAG(last_seq, 1, CAST(0 AS BIGINT)) OVER line AS before_seq, \
    LAG(minute, 1, CAST(0 AS BIGINT)) OVER line AS before_minute, minute \
    FROM segments WHERE identity_id > $1 AND identity_id <= $2 \
    WINDOW line AS (PARTITION BY identity_id ORDER BY start_seq)) AS s \
    WHERE total_work <> work + before_work OR total_shares <> shares + before_shares \
    OR start_seq <= before_seq OR last_seq < start_seq OR minute < before_minute";

const REJECTS: &str = "SELECT 'line ' || l.id AS subject, l.rejects AS stored, \
    CAST(l.pruned_rejects + COALESCE(SUM(r.count), 0) AS BIGINT) AS computed \
    FROM worker_identities l LEFT JOIN rejects r ON r.identity_id = l.id WHERE l.id > $1 AND l.id <= $2 \
    GROUP BY l.id, l.rejects, l.pruned_rejects HAVING l.rejects <> l.pruned_rejects + COALESCE(SUM(r.count), 0)";

const HOSTS: &str = "SELECT 'host ' || h.name AS subject, h.work AS stored, \
    CAST(h.gone_work + COALESCE(l.work, 0) AS BIGINT) AS computed FROM hosts h LEFT JOIN \
    (SELECT host_id, SUM(shares) AS shares, SUM(work) AS work, SUM(rejects) AS rejects FROM worker_identities GROUP BY host_id) \
    AS l ON l.host_id = h.id WHERE h.work <> h.gone_work + COALESCE(l.work, 0) \
    OR h.shares <> h.gone_shares + COALESCE(l.shares, 0) OR h.rejects <> h.gone_rejects + COALESCE(l.rejects, 0)";

const JUDGED: &str = "SELECT 'host ' || h.name AS subject, h.verified + h.refuted AS stored, \
    h.pruned_verified + h.pruned_refuted + COALESCE(v.verified, 0) + COALESCE(v.refuted, 0) AS computed \
    FROM hosts h LEFT JOIN (SELECT host_id, COUNT(CASE WHEN verdict = 'verified' THEN 1 END) AS verified, \
        COUNT(CASE WHEN verdict <> 'verified' THEN 1 END) AS refuted FROM verdicts GROUP BY host_id) \
    AS v ON v.host_id = h.id WHERE h.verified <> h.pruned_verified + COALESCE(v.verified, 0) \
    OR h.refuted <> h.pruned_refuted + COALESCE(v.refuted, 0)";

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    let last = c.number("SELECT MAX(id) AS n FROM worker_identities", binds![]).await?.unwrap_or(0);
    let mut after = 0;
    while after < last {
        let page = || binds![after, after.saturating_add(LINES_PER_PAGE)];
        found.query(c, "line's totals are its last segment's", LAST_SEGMENT, page()).await?;
        found.query(c, "segment's totals follow from the one before", RUNNING, page()).await?;
        found.query(c, "line's rejects are the sum", REJECTS, page()).await?;
        after = after.saturating_add(LINES_PER_PAGE);
    }
    found.query(c, "host's totals are those of its lines", HOSTS, binds![]).await?;
    found.query(c, "host counts its verdicts", JUDGED, binds![]).await?;
    let kept = mark_in_txn(c, Mark::Details).await?;
    for (host, name, folded) in hosts(c).await? {
        let identities = Identities::load(c, host).await?;
        let finds = finds(c, host).await?;
        let mut pass = Pass {
            host,
            name,
            folded,
            kept,
            identities,
            finds,
            nonces: HashMap::new(),
            last: Seq::ZERO,
            buckets: BTreeMap::new(),
            sum: Sum::default(),
        };
        pass.batches(c, &mut found).await?;
    }
    Ok(found.0)
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    shares: u128,
    work: u128,
}

impl Sum {
    fn add(&mut self, difficulty: u64) {
        self.shares += 1;
        self.work += u128::from(difficulty);
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shares, {} work", self.shares, self.work)
    }
}

/// One host's batches, in the order of its log.
struct Pass {
    host: HostId,
    name: String,
    folded: Seq,
    /// All details are kept from this minute on. Of what was before it only the sums are compared.
    kept: Minute,
    identities: Identities,
    /// Blocks whose finding share was not met yet, by its position.
    finds: HashMap<i64, Find>,
    /// Nonces of templates that shares may still come for, and when the last one came.
    nonces: HashMap<String, (Minute, HashSet<u64>)>,
    /// End of the batch before.
    last: Seq,
    /// Ten minutes each, that may still go on, by line and minute; minutes never go back in a log.
    buckets: BTreeMap<u32, HashMap<(i64, i64), Sum>>,
    sum: Sum,
}

/// Minutes that segments are merged to while their batches are still there.
const BUCKET: u32 = 10;

#[derive(QueryableByName)]
struct Booked {
    #[diesel(sql_type = BigInt)]
    identity_id: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = BigInt)]
    span: i64,
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
}

#[derive(QueryableByName)]
struct Find {
    #[diesel(sql_type = Text)]
    hash: String,
    #[diesel(sql_type = BigInt)]
    share_seq: i64,
    #[diesel(sql_type = BigInt)]
    identity_id: i64,
    #[diesel(sql_type = BigInt)]
    nonce: i64,
    #[diesel(sql_type = BigInt)]
    found_at: i64,
    #[diesel(sql_type = Text)]
    merkle_root: String,
}

async fn finds(c: &mut Conn<'_>, host: HostId) -> Result<HashMap<i64, Find>> {
    let select = "SELECT b.hash, b.share_seq, b.identity_id, b.nonce, b.found_at, t.merkle_root FROM blocks b \
                  JOIN templates t ON t.id = b.template_id WHERE b.host_id = $1 AND b.identity_id IS NOT NULL";
    let rows: Vec<Find> = c.rows(select, binds![host.0]).await?;
    Ok(rows.into_iter().map(|row| (row.share_seq, row)).collect())
}

#[derive(QueryableByName)]
struct StoredVerdict {
    #[diesel(sql_type = BigInt)]
    share_seq: i64,
    #[diesel(sql_type = BigInt)]
    identity_id: i64,
    #[diesel(sql_type = BigInt)]
    minute: i64,
    #[diesel(sql_type = BigInt)]
    difficulty: i64,
    #[diesel(sql_type = Text)]
    verdict: String,
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

#[derive(QueryableByName)]
struct Totals {
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
}

impl Sum {
    fn stored(shares: i64, work: i64) -> Sum {
        let positive = |sum: i64| u128::try_from(sum).unwrap_or(0);
        Sum { shares: positive(shares), work: positive(work) }
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.shares += other.shares;
        self.work += other.work;
    }
}

impl Pass {
    async fn batches(&mut self, c: &mut Conn<'_>, found: &mut Findings) -> Result<()> {
        let mut judged = 0;
        let mut after = Seq::ZERO;
        loop {
            let page = batches(c, self.host, after, BATCHES_PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.first_seq;
            for row in page {
                judged += self.batch(c, &row, found).await?;
            }
        }
        for (bucket, sums) in std::mem::take(&mut self.buckets) {
            self.bucket(c, bucket, sums, found).await?;
        }
        let count = "SELECT COUNT(*) AS n FROM verdicts WHERE host_id = $1 AND minute >= $2";
        let verdicts = c.number(count, binds![self.host.0, i64::from(self.kept.0)]).await?;
        if verdicts.unwrap_or(0) != judged {
            let computed = format!("{judged} about stored shares");
            found.add("verdict is about a stored share", &self.name, verdicts.unwrap_or(0), computed);
        }
        let gone = "SELECT pruned_shares AS shares, pruned_work AS work FROM hosts WHERE id = $1";
        for gone in c.rows::<Totals>(gone, binds![self.host.0]).await? {
            self.sum += Sum::stored(gone.shares, gone.work);
        }
        let select = "SELECT CAST(h.gone_shares + COALESCE(SUM(l.shares), 0) AS BIGINT) AS shares, \
                      CAST(h.gone_work + COALESCE(SUM(l.work), 0) AS BIGINT) AS work \
                      FROM hosts h LEFT JOIN worker_identities l ON l.host_id = h.id WHERE h.id = $1 \
                      GROUP BY h.id, h.gone_shares, h.gone_work";
        for total in c.rows::<Totals>(select, binds![self.host.0]).await? {
            let total = Sum::stored(total.shares, total.work);
            if total != self.sum {
                found.add("batches hold the work of all lines", &self.name, total, self.sum);
            }
        }
        Ok(())
    }

    /// Checks one batch by itself and with its verdicts; how many of them are about its shares.
    async fn batch(&mut self, c: &mut Conn<'_>, row: &BatchRow, found: &mut Findings) -> Result<i64> {
        let subject = format!("{} from {}", self.name, row.first_seq);
        if row.first_seq <= self.last || row.last_seq > self.folded || row.last_seq < row.first_seq {
            let computed = format!("after {} and up to {}", self.last, self.folded);
            found.add("batch is in its place", &subject, format!("{} to {}", row.first_seq, row.last_seq), computed);
        }
        self.last = self.last.max(row.last_seq);
        let batch = match ShareBatch::decode(&row.body) {
            Ok(batch) => batch,
            Err(error) => {
                found.add("batch can be decoded", &subject, "a batch", error);
                return Ok(0);
            }
        };
        check_row(row, &batch, &subject, found);
        self.once(&batch, found);
        self.found_blocks(&batch, found);
        let ids: Vec<Option<i64>> = batch.lines.iter().map(|line| self.identities.id(line)).collect();
        for share in &batch.shares {
            self.sum.add(share.difficulty.get());
            if share.minute < self.kept {
                continue;
            }
            let id = usize::try_from(share.line).ok().and_then(|place| ids.get(place)).copied().flatten();
            let Some(id) = id else {
                found.add("share has a stored line", &subject, format!("line {} of the batch", share.line), "none");
                continue;
            };
            let bucket = self.buckets.entry(share.minute.0 / BUCKET).or_default();
            bucket.entry((id, i64::from(share.minute.0))).or_default().add(share.difficulty.get());
        }
        let judged = self.verdicts(c, row, &batch, &ids, found).await?;
        // Later batches may go on with this one's last minutes, but with none before them.
        if let Some(last) = batch.shares.last() {
            let open = self.buckets.split_off(&(last.minute.0 / BUCKET));
            for (bucket, sums) in std::mem::replace(&mut self.buckets, open) {
                self.bucket(c, bucket, sums, found).await?;
            }
        }
        Ok(judged)
    }

    /// No share is counted twice, not in another batch either.
    fn once(&mut self, batch: &ShareBatch, found: &mut Findings) {
        for share in &batch.shares {
            let root = usize::try_from(share.template).ok().and_then(|place| batch.templates.get(place));
            let Some(root) = root else { continue };
            if !self.nonces.contains_key(root) {
                self.nonces.insert(root.clone(), (share.minute, HashSet::new()));
            }
            let (last, nonces) = self.nonces.get_mut(root).expect("it is there now");
            *last = share.minute;
            if !nonces.insert(share.nonce.get()) {
                let subject = format!("{} share {}", self.name, share.seq);
                found.add("share is counted once", subject, format!("nonce {} on {root}", share.nonce.get()), "once");
            }
        }
        let Some(now) = batch.shares.last().map(|share| share.minute.0) else { return };
        self.nonces.retain(|_, (last, _)| last.0.saturating_add(TEMPLATE_MINUTES) >= now);
    }

    /// A block is what its finding share says.
    fn found_blocks(&mut self, batch: &ShareBatch, found: &mut Findings) {
        if self.finds.is_empty() {
            return;
        }
        for share in &batch.shares {
            let Some(block) = self.finds.remove(&share.seq.to_i64()) else { continue };
            let line = usize::try_from(share.line).ok().and_then(|place| batch.lines.get(place));
            let root = usize::try_from(share.template).ok().and_then(|place| batch.templates.get(place));
            let line = line.and_then(|line| self.identities.id(line)).unwrap_or(0);
            let root = root.map_or("", String::as_str);
            // A block that was recognised on the chain first has the time of its header, in whole seconds.
            let is_headers = block.found_at % 1_000 == 0;
            let found_at = if is_headers { block.found_at } else { share.received_at.ms() };
            let (stored, share) = (
                (block.identity_id, block.merkle_root.as_str(), block.nonce, block.found_at),
                (line, root, share.nonce.get().cast_signed(), found_at),
            );
            if stored != share {
                let text = |(line, root, nonce, at)| format!("line {line}, nonce {nonce} on {root}, at {at}");
                found.add("block is what its share says", &block.hash, text(stored), text(share));
            }
        }
    }

    /// Segments of ten minutes are what the batches hold: minute by minute, or all together for a line whose
    /// segments were merged.
    async fn bucket(
        &self,
        c: &mut Conn<'_>,
        bucket: u32,
        sums: HashMap<(i64, i64), Sum>,
        found: &mut Findings,
    ) -> Result<()> {
        let select = "SELECT s.identity_id, s.minute, MAX(s.span) AS span, CAST(SUM(s.shares) AS BIGINT) AS shares, \
                      CAST(SUM(s.work) AS BIGINT) AS work FROM segments s JOIN worker_identities l ON l.id = s.identity_id \
                      WHERE s.minute >= $1 AND s.minute < $2 AND l.host_id = $3 GROUP BY s.identity_id, s.minute";
        let first = i64::from(bucket) * i64::from(BUCKET);
        let binds = binds![first, first + i64::from(BUCKET), self.host.0];
        let booked: Vec<Booked> = c.rows(select, binds).await?;
        let merged: HashSet<i64> = booked.iter().filter(|row| row.span > 1).map(|row| row.identity_id).collect();
        let place = |line, minute| (line, if merged.contains(&line) { first } else { minute });
        let mut both: BTreeMap<(i64, i64), (Sum, Sum)> = BTreeMap::new();
        for row in &booked {
            both.entry(place(row.identity_id, row.minute)).or_default().0 += Sum::stored(row.shares, row.work);
        }
        for ((line, minute), sum) in sums {
            both.entry(place(line, minute)).or_default().1 += sum;
        }
        for ((line, minute), (stored, computed)) in
            both.into_iter().filter(|(_, (stored, computed))| stored != computed)
        {
            found.add("segments of a minute are its shares", format!("line {line} minute {minute}"), stored, computed);
        }
        Ok(())
    }

    async fn verdicts(
        &self,
        c: &mut Conn<'_>,
        row: &BatchRow,
        batch: &ShareBatch,
        ids: &[Option<i64>],
        found: &mut Findings,
    ) -> Result<i64> {
        let select = "SELECT share_seq, identity_id, minute, difficulty, verdict, seq FROM verdicts \
                      WHERE host_id = $1 AND share_seq >= $2 AND share_seq <= $3 AND minute >= $4";
        let kept = i64::from(self.kept.0);
        let verdicts: Vec<StoredVerdict> =
            c.rows(select, binds![self.host.0, row.first_seq.to_i64(), row.last_seq.to_i64(), kept]).await?;
        let mut judged = 0;
        for verdict in verdicts {
            let subject = format!("{} {} share {}", self.name, verdict.verdict, verdict.share_seq);
            let share = batch.shares.binary_search_by_key(&verdict.share_seq, |share| share.seq.to_i64());
            let Ok(share) = share.map(|place| &batch.shares[place]) else { continue };
            judged += 1;
            let line = usize::try_from(share.line).ok().and_then(|place| ids.get(place)).copied().flatten();
            let stored = (verdict.identity_id, verdict.minute, verdict.difficulty);
            let computed = (line.unwrap_or(0), i64::from(share.minute.0), share.difficulty.to_i64());
            if stored != computed {
                let text =
                    |(line, minute, difficulty)| format!("line {line}, minute {minute}, difficulty {difficulty}");
                found.add("verdict says what its share says", &subject, text(stored), text(computed));
            }
            if verdict.seq < verdict.share_seq || verdict.seq > self.folded.to_i64() {
                found.add("verdict follows its share", &subject, verdict.seq, format!("up to {}", self.folded));
            }
        }
        Ok(judged)
    }
}

/// The row says what the body holds.
fn check_row(row: &BatchRow, batch: &ShareBatch, subject: &str, found: &mut Findings) {
    let mut sum = Sum::default();
    batch.shares.iter().for_each(|share| sum.add(share.difficulty.get()));
    let stored = Sum { shares: row.shares.into(), work: row.work.get().into() };
    if sum != stored {
        found.add("batch holds what its row says", subject, stored, sum);
    }
    let ends = batch.shares.first().zip(batch.shares.last()).map(|(first, last)| (first.seq, last.seq));
    if ends != Some((row.first_seq, row.last_seq)) {
        found.add("batch holds what its row says", subject, row.first_seq, format!("{ends:?}"));
    }
    if !batch.shares.is_sorted_by(|before, after| before.seq < after.seq) {
        found.add("batch is in order", subject, "shares", "not in order of their positions");
    }
    let digest = batch.digest();
    if digest != row.digest {
        found.add("batch has its digest", subject, hex::encode(row.digest), hex::encode(digest));
    }
}
