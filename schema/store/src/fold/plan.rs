//! What a step writes, worked out before and between the statements. No I/O.
use std::collections::{BTreeMap, HashMap};

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use units::Seq;

use super::{FoldStep, IdentityKey, SegmentDelta};
use crate::{Result, StoreError};

const VOIDED: &str = "voided";

/// The part of a step that needs no look at the tables, in the form that the statements take: JSON lists of rows.
pub(super) struct Written {
    /// place, address, worker, origin
    pub(super) identities: String,
    /// merkle root, height, previous hash, header base, difficulty, reward, seen at, policy; empty without templates
    pub(super) templates: String,
}

/// A worker identity as the tables have it.
#[derive(Debug, Clone)]
pub(super) struct IdentityState {
    pub(super) id: i64,
    pub(super) shares: i64,
    pub(super) work: i64,
    pub(super) first_share_at: i64,
    pub(super) last_share_at: i64,
    pub(super) last: Option<Segment>,
}

/// A row of `segments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) start_seq: i64,
    pub(super) last_seq: i64,
    pub(super) minute: i64,
    pub(super) shares: i64,
    pub(super) work: i64,
    pub(super) total_shares: i64,
    pub(super) total_work: i64,
}

/// What a host has folded in all.
#[derive(QueryableByName)]
pub(super) struct HostTotals {
    #[diesel(sql_type = BigInt)]
    pub(super) shares: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) work: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) rejects: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) verified: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) refuted: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) first_share_at: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) last_share_at: i64,
}

/// The rows that follow from the step and the identities' states, as JSON lists; empty text for no rows.
pub(super) struct Planned {
    /// identity, start, last, minute, shares, work, total shares, total work
    pub(super) segments: String,
    /// identity, shares, work, rejects to add, first share at, last share at
    pub(super) identities: String,
    /// share, identity, minute, difficulty, verdict, own position
    pub(super) verdicts: String,
    /// identity, minute, reason, count
    pub(super) rejects: String,
}

// === impl Written ===

impl Written {
    pub(super) fn of(step: &FoldStep) -> Result<Written> {
        if step.to < step.from {
            return Err(contradicts(step, "it ends before it begins"));
        }
        let identities: Vec<_> =
            step.lines.iter().enumerate().map(|(place, identity)| identity_row(place, identity)).collect();
        let templates: Vec<_> = step
            .templates
            .iter()
            .map(|row| {
                let (height, difficulty, reward) = (row.height.to_i64(), row.difficulty.to_i64(), row.reward.to_i64());
                let base = hex::encode(&row.header_base);
                (&row.merkle_root, height, &row.prev_hash, base, difficulty, reward, row.seen_at.ms(), step.policy.0)
            })
            .collect();
        Ok(Written { identities: json(&identities), templates: json(&templates) })
    }
}

impl HostTotals {
    /// Adds what the step brings; `judged` is by how much the counts of verified and of refuted shares change.
    pub(super) fn add(&mut self, step: &FoldStep, judged: (i64, i64)) -> Result<()> {
        let too_large = || contradicts(step, "a sum of it is too large");
        if self.shares == 0 {
            self.first_share_at = step.segments.iter().map(|delta| delta.first_at.ms()).min().unwrap_or(0);
        }
        for delta in &step.segments {
            let shares = i64::try_from(delta.shares).map_err(|_| too_large())?;
            self.shares = self.shares.checked_add(shares).ok_or_else(too_large)?;
            self.work = self.work.checked_add(delta.work.to_i64()).ok_or_else(too_large)?;
            self.last_share_at = self.last_share_at.max(delta.last_at.ms());
        }
        for row in &step.rejects {
            let count = i64::try_from(row.count).map_err(|_| too_large())?;
            self.rejects = self.rejects.saturating_add(count);
        }
        self.verified = self.verified.saturating_add(judged.0);
        self.refuted = self.refuted.saturating_add(judged.1);
        Ok(())
    }
}

fn identity_row(place: usize, identity: &IdentityKey) -> (usize, String, String, String) {
    (place, storable(&identity.address), storable(&identity.worker), hex::encode(identity.origin))
}

/// PostgreSQL stores no zero characters, and one miner's name must not stop the fold.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn json<T: serde::Serialize>(rows: &[T]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    serde_json::to_string(rows).expect("numbers and texts are always JSON")
}

fn contradicts(step: &FoldStep, why: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("fold step {} to {} of host {}", step.from, step.to, step.host),
        why: why.into(),
    }
}

// === planning ===

/// `states` has a state for each of the step's identities, in their order; `closed` is the host's closed position.
pub(super) fn plan(step: &FoldStep, states: &[IdentityState], closed: Seq) -> Result<Planned> {
    let identity = |place: usize| {
        states
            .get(place)
            .map(|state| state.id)
            .ok_or_else(|| contradicts(step, "it names a line that it does not have"))
    };
    let mut identities: BTreeMap<i64, Running> = BTreeMap::new();
    for delta in &step.segments {
        let id = identity(delta.line)?;
        let running = identities.entry(id).or_insert_with(|| Running::of(&states[delta.line]));
        running.add(delta, closed.to_i64()).ok_or_else(|| contradicts(step, "a sum of it is too large"))?;
    }
    let mut rejects: BTreeMap<(i64, u32, &str), i64> = BTreeMap::new();
    for row in &step.rejects {
        let id = identity(row.line)?;
        let count = i64::try_from(row.count).map_err(|_| contradicts(step, "a count of it is too large"))?;
        let sum = rejects.entry((id, row.minute.0, &row.reason)).or_default();
        *sum = sum.saturating_add(count);
        let running = identities.entry(id).or_insert_with(|| Running::of(&states[row.line]));
        running.rejects = running.rejects.saturating_add(count);
    }
    rejects.retain(|_, count| *count > 0);

    // The last word on each share, and the order in which they were first said.
    let mut verdicts: Vec<(i64, i64, u32, i64, &str, i64)> = Vec::with_capacity(step.verdicts.len());
    let mut said: HashMap<i64, usize> = HashMap::with_capacity(step.verdicts.len());
    for row in &step.verdicts {
        let share = row.share_seq.to_i64();
        let verdict =
            (share, identity(row.line)?, row.minute.0, row.difficulty.to_i64(), row.verdict, row.seq.to_i64());
        match said.get(&share) {
            None => {
                said.insert(share, verdicts.len());
                verdicts.push(verdict);
            }
            Some(&place) if row.verdict == VOIDED && verdicts[place].4 != VOIDED => verdicts[place] = verdict,
            Some(_) => {}
        }
    }

    let mut segments = Vec::with_capacity(step.segments.len());
    let mut changes = Vec::with_capacity(identities.len());
    for (id, running) in identities {
        let Running { state, rejects, mut done, changed } = running;
        if changed {
            done.extend(state.last);
        }
        segments.extend(
            done.into_iter()
                .map(|s| (id, s.start_seq, s.last_seq, s.minute, s.shares, s.work, s.total_shares, s.total_work)),
        );
        changes.push((id, state.shares, state.work, rejects, state.first_share_at, state.last_share_at));
    }
    let rejects: Vec<_> =
        rejects.into_iter().map(|((id, minute, reason), n)| (id, minute, storable(reason), n)).collect();
    Ok(Planned {
        segments: json(&segments),
        identities: json(&changes),
        verdicts: json(&verdicts),
        rejects: json(&rejects),
    })
}

/// A worker identity while the step's segments are added to it.
struct Running {
    state: IdentityState,
    rejects: i64,
    /// Segments that are complete; the one that still grows is `state.last`.
    done: Vec<Segment>,
    /// Whether `state.last` must be written.
    changed: bool,
}

impl Running {
    fn of(state: &IdentityState) -> Running {
        Running { state: state.clone(), rejects: 0, done: Vec::new(), changed: false }
    }

    /// `None` when a sum does not fit a column.
    fn add(&mut self, delta: &SegmentDelta, closed: i64) -> Option<()> {
        let (shares, work) = (i64::try_from(delta.shares).ok()?, delta.work.to_i64());
        let minute = i64::from(delta.minute.0);
        let state = &mut self.state;
        if state.shares == 0 {
            state.first_share_at = delta.first_at.ms();
        }
        state.last_share_at = state.last_share_at.max(delta.last_at.ms());
        state.shares = state.shares.checked_add(shares)?;
        state.work = state.work.checked_add(work)?;
        let last = state.last.take();
        let continued = last.as_ref().filter(|last| last.minute == minute && last.last_seq > closed);
        let (start_seq, before_shares, before_work) =
            continued.map_or((delta.start_seq.to_i64(), 0, 0), |last| (last.start_seq, last.shares, last.work));
        // Two connections of one worker take turns within a step.
        let last_seq = delta.last_seq.to_i64().max(continued.map_or(0, |last| last.last_seq));
        if continued.is_none() && self.changed {
            self.done.extend(last);
        }
        state.last = Some(Segment {
            start_seq,
            last_seq,
            minute,
            shares: before_shares.checked_add(shares)?,
            work: before_work.checked_add(work)?,
            total_shares: state.shares,
            total_work: state.work,
        });
        self.changed = true;
        Some(())
    }
}
