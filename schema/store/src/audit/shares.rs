//! Batches against segments against worker identities against hosts, and verdicts against batches.
//!
//! Where old details are gone, what is left is compared with what was counted when they went.
use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::dsl::max;
use diesel::sql_types::BigInt;
use diesel::{ExpressionMethods, NullableExpressionMethods, QueryDsl, Queryable, QueryableByName};
use diesel_async::RunQueryDsl;
use units::{HostId, Minute, Seq};

use super::identities::Identities;
use super::sum::{Sum, check_row};
use super::{BATCHES_PER_PAGE, Difference, Findings, batches, host_rows};
use crate::Result;
use crate::batch::ShareBatch;
use crate::db::{Conn, on};
use crate::fold::BatchRow;
use crate::retention::{Mark, mark_in_txn};
use crate::schema::{blocks, hosts, templates, verdicts, worker_identities};
use crate::sql::{binds, statement};

/// Identities whose segments one query looks at: one has one for each minute in which it worked.
const IDENTITIES_PER_PAGE: i64 = 50;

/// Minutes after which no share for a template can come any more.
const TEMPLATE_MINUTES: u32 = 120;

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    let mut found = Findings::default();
    let last = worker_identities::table.select(max(worker_identities::id));
    let last: Option<i64> = on!(c, x => last.first(x).await)?;
    let last = last.unwrap_or(0);
    let mut after = 0;
    while after < last {
        let page = || binds![after, after.saturating_add(IDENTITIES_PER_PAGE)];
        found.query(c, "line's totals are its last segment's", statement!("shares/last_segments.sql"), page()).await?;
        found
            .query(c, "segment's totals follow from the one before", statement!("shares/running_totals.sql"), page())
            .await?;
        found.query(c, "line's rejects are the sum", statement!("shares/rejects.sql"), page()).await?;
        after = after.saturating_add(IDENTITIES_PER_PAGE);
    }
    found.query(c, "host's totals are those of its lines", statement!("shares/hosts.sql"), binds![]).await?;
    found.query(c, "host counts its verdicts", statement!("shares/judged.sql"), binds![]).await?;
    let kept = mark_in_txn(c, Mark::Details).await?;
    for (host, name, folded) in host_rows(c).await? {
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
    /// Ten minutes each, that may still go on, by identity and minute; minutes never go back in a log.
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

#[derive(Queryable)]
struct Find {
    hash: String,
    share_seq: i64,
    identity_id: i64,
    nonce: i64,
    found_at: i64,
    merkle_root: String,
}

async fn finds(conn: &mut Conn<'_>, host: HostId) -> Result<HashMap<i64, Find>> {
    let found = blocks::table
        .inner_join(templates::table)
        .filter(blocks::host_id.eq(host.0))
        .filter(blocks::identity_id.is_not_null())
        .select((
            blocks::hash,
            blocks::share_seq,
            blocks::identity_id.assume_not_null(),
            blocks::nonce,
            blocks::found_at,
            templates::merkle_root,
        ));
    let rows: Vec<Find> = on!(conn, c => found.load(c).await)?;
    Ok(rows.into_iter().map(|row| (row.share_seq, row)).collect())
}

#[derive(Queryable)]
struct StoredVerdict {
    share_seq: i64,
    identity_id: i64,
    minute: i64,
    difficulty: i64,
    verdict: String,
    seq: i64,
}

#[derive(QueryableByName)]
struct Totals {
    #[diesel(sql_type = BigInt)]
    shares: i64,
    #[diesel(sql_type = BigInt)]
    work: i64,
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
        let verdicts = verdicts::table
            .filter(verdicts::host_id.eq(self.host.0))
            .filter(verdicts::minute.ge(i64::from(self.kept.0)))
            .count();
        let verdicts: i64 = on!(c, x => verdicts.get_result(x).await)?;
        if verdicts != judged {
            let computed = format!("{judged} about stored shares");
            found.add("verdict is about a stored share", &self.name, verdicts, computed);
        }
        let gone = hosts::table.find(self.host.0).select((hosts::pruned_shares, hosts::pruned_work));
        let gone: Vec<(i64, i64)> = on!(c, x => gone.load(x).await)?;
        for (shares, work) in gone {
            self.sum += Sum::stored(shares, work);
        }
        for total in c.load_file::<Totals>(statement!("shares/host_totals.sql"), binds![self.host.0]).await? {
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
        let ids: Vec<Option<i64>> = batch.lines.iter().map(|identity| self.identities.id(identity)).collect();
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
            let identity = usize::try_from(share.line).ok().and_then(|place| batch.lines.get(place));
            let root = usize::try_from(share.template).ok().and_then(|place| batch.templates.get(place));
            let identity = identity.and_then(|identity| self.identities.id(identity)).unwrap_or(0);
            let root = root.map_or("", String::as_str);
            // A block that was recognised on the chain first has the time of its header, in whole seconds.
            let is_headers = block.found_at % 1_000 == 0;
            let found_at = if is_headers { block.found_at } else { share.received_at.ms() };
            let (stored, share) = (
                (block.identity_id, block.merkle_root.as_str(), block.nonce, block.found_at),
                (identity, root, share.nonce.get().cast_signed(), found_at),
            );
            if stored != share {
                let text = |(identity, root, nonce, at)| format!("line {identity}, nonce {nonce} on {root}, at {at}");
                found.add("block is what its share says", &block.hash, text(stored), text(share));
            }
        }
    }

    /// Segments of ten minutes are what the batches hold: minute by minute, or all together for an identity whose
    /// segments were merged.
    async fn bucket(
        &self,
        c: &mut Conn<'_>,
        bucket: u32,
        sums: HashMap<(i64, i64), Sum>,
        found: &mut Findings,
    ) -> Result<()> {
        let first = i64::from(bucket) * i64::from(BUCKET);
        let binds = binds![first, first + i64::from(BUCKET), self.host.0];
        let booked: Vec<Booked> = c.load_file(statement!("shares/booked.sql"), binds).await?;
        let merged: HashSet<i64> = booked.iter().filter(|row| row.span > 1).map(|row| row.identity_id).collect();
        let place = |identity, minute| (identity, if merged.contains(&identity) { first } else { minute });
        let mut both: BTreeMap<(i64, i64), (Sum, Sum)> = BTreeMap::new();
        for row in &booked {
            both.entry(place(row.identity_id, row.minute)).or_default().0 += Sum::stored(row.shares, row.work);
        }
        for ((identity, minute), sum) in sums {
            both.entry(place(identity, minute)).or_default().1 += sum;
        }
        for ((identity, minute), (stored, computed)) in
            both.into_iter().filter(|(_, (stored, computed))| stored != computed)
        {
            found.add(
                "segments of a minute are its shares",
                format!("line {identity} minute {minute}"),
                stored,
                computed,
            );
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
        let judged = verdicts::table
            .filter(verdicts::host_id.eq(self.host.0))
            .filter(verdicts::share_seq.ge(row.first_seq.to_i64()))
            .filter(verdicts::share_seq.le(row.last_seq.to_i64()))
            .filter(verdicts::minute.ge(i64::from(self.kept.0)))
            .select((
                verdicts::share_seq,
                verdicts::identity_id,
                verdicts::minute,
                verdicts::difficulty,
                verdicts::verdict,
                verdicts::seq,
            ));
        let verdicts: Vec<StoredVerdict> = on!(c, x => judged.load(x).await)?;
        let mut judged = 0;
        for verdict in verdicts {
            let subject = format!("{} {} share {}", self.name, verdict.verdict, verdict.share_seq);
            let share = batch.shares.binary_search_by_key(&verdict.share_seq, |share| share.seq.to_i64());
            let Ok(share) = share.map(|place| &batch.shares[place]) else { continue };
            judged += 1;
            let identity = usize::try_from(share.line).ok().and_then(|place| ids.get(place)).copied().flatten();
            let stored = (verdict.identity_id, verdict.minute, verdict.difficulty);
            let computed = (identity.unwrap_or(0), i64::from(share.minute.0), share.difficulty.to_i64());
            if stored != computed {
                let text = |(identity, minute, difficulty)| {
                    format!("line {identity}, minute {minute}, difficulty {difficulty}")
                };
                found.add("verdict says what its share says", &subject, text(stored), text(computed));
            }
            if verdict.seq < verdict.share_seq || verdict.seq > self.folded.to_i64() {
                found.add("verdict follows its share", &subject, verdict.seq, format!("up to {}", self.folded));
            }
        }
        Ok(judged)
    }
}
