//! One clean-up, in steps. Each step is one short transaction; what is done stays done, and a clean-up that was broken
//! off is continued by the next.
use instruments::Counter;
use store::retention::{DAY, Mark, Span};
use store::{Store, StoreError};
use units::{LineId, MinerId, Minute};

use crate::cuts::Cuts;
use crate::metrics::RetentionMetrics;

/// Rows of rejects, verdicts and templates in one step.
const ROWS: u32 = 2_000;
/// Share batches in one step: they are large.
const BATCHES: u32 = 32;
/// Payouts in one step, with all their recipients.
const PAYOUTS: u32 = 32;
/// Lines and miners looked at in one step.
const NAMES: u32 = 200;
/// Lines of which one step merges an hour of minutes.
const LINES_OF_HOUR: u32 = 60;
/// Lines of which one step merges a day of ten minutes, and a day of minutes.
const LINES_OF_DAY: (u32, u32) = (30, 3);
/// Templates live longer than the shares that name them.
const TEMPLATES_LONGER: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Mark,
    Rejects,
    Verdicts,
    Batches,
    Days(Option<Range>),
    TenMinutes(Option<Range>),
    Templates,
    Lines(LineId),
    Miners(MinerId),
    MarkPayouts,
    Payouts,
    Done,
}

/// Where merging is: minutes, and the last line that is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: Minute,
    until: Minute,
    after: LineId,
}

/// A clean-up.
pub(crate) struct CleanUpRun {
    cuts: Cuts,
    stage: Stage,
}

impl CleanUpRun {
    pub(crate) fn new(cuts: Cuts) -> CleanUpRun {
        CleanUpRun { cuts, stage: Stage::Mark }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// One transaction, or less.
    pub(crate) async fn step(
        &mut self,
        store: &Store,
        metrics: &RetentionMetrics,
        epoch: i64,
    ) -> Result<(), StoreError> {
        let Cuts { merge, details, payouts, payouts_below, idle, .. } = self.cuts;
        self.stage = match (self.stage, details, payouts) {
            (Stage::Mark, Some(cut), _) => {
                // Before anything goes: audits must know.
                store.retention_mark(epoch, Mark::Details, cut).await?;
                Stage::Rejects
            }
            (Stage::Rejects, Some(cut), _) => {
                let gone = store.rejects_prune(epoch, cut, ROWS).await?;
                again(gone, &metrics.retention_rejects_total, Stage::Rejects, Stage::Verdicts)
            }
            (Stage::Verdicts, Some(cut), _) => {
                let gone = store.verdicts_prune(epoch, cut, ROWS).await?;
                again(gone, &metrics.retention_verdicts_total, Stage::Verdicts, Stage::Batches)
            }
            (Stage::Batches, Some(cut), _) => {
                let gone = store.batches_prune(epoch, cut, BATCHES).await?;
                again(gone, &metrics.retention_batches_total, Stage::Batches, Stage::Days(None))
            }
            (Stage::Days(range), Some(cut), _) => {
                let next = merge_step(store, metrics, epoch, Span::Day, cut, range).await?;
                next.map_or(Stage::TenMinutes(None), |range| Stage::Days(Some(range)))
            }
            (Stage::Mark | Stage::Rejects | Stage::Verdicts | Stage::Batches | Stage::Days(_), None, _) => {
                Stage::TenMinutes(None)
            }
            (Stage::TenMinutes(range), ..) => {
                let next = merge_step(store, metrics, epoch, Span::TenMinutes, merge, range).await?;
                next.map_or(Stage::Templates, |range| Stage::TenMinutes(Some(range)))
            }
            (Stage::Templates, Some(cut), _) => {
                let gone = store.templates_prune(epoch, cut.start().minus(TEMPLATES_LONGER), ROWS).await?;
                again(gone, &metrics.retention_templates_total, Stage::Templates, Stage::Lines(LineId(0)))
            }
            (Stage::Templates, None, _) => Stage::Lines(LineId(0)),
            (Stage::Lines(after), ..) => {
                let swept = store.lines_forget(epoch, after, NAMES, idle).await?;
                metrics.retention_lines_total.add(swept.removed);
                swept.last.map_or(Stage::Miners(MinerId(0)), Stage::Lines)
            }
            (Stage::Miners(after), ..) => {
                let swept = store.miners_forget(epoch, after, NAMES, idle.start()).await?;
                metrics.retention_miners_total.add(swept.removed);
                swept.last.map_or(Stage::MarkPayouts, Stage::Miners)
            }
            (Stage::MarkPayouts, _, Some(cut)) => {
                store.retention_mark(epoch, Mark::Payouts, cut).await?;
                Stage::Payouts
            }
            (Stage::Payouts, _, Some(cut)) => {
                let gone = store.payouts_prune(epoch, cut.start(), payouts_below, PAYOUTS).await?;
                again(gone, &metrics.retention_payouts_total, Stage::Payouts, Stage::Done)
            }
            (Stage::MarkPayouts | Stage::Payouts, _, None) | (Stage::Done, ..) => Stage::Done,
        };
        Ok(())
    }
}

/// Counts what is gone; there may be more as long as something was.
fn again(gone: u64, counter: &Counter, same: Stage, next: Stage) -> Stage {
    counter.add(gone);
    if gone > 0 { same } else { next }
}

/// One step of merging; where the next one goes on, `None` at the end.
async fn merge_step(
    store: &Store,
    metrics: &RetentionMetrics,
    epoch: i64,
    span: Span,
    cut: Minute,
    range: Option<Range>,
) -> Result<Option<Range>, StoreError> {
    let mark = match span {
        Span::TenMinutes => Mark::TenMinutes,
        Span::Day => Mark::Days,
    };
    let Some(range) = range else {
        let next = range_next(store, span, mark, cut).await?;
        if next.is_none() {
            store.retention_mark(epoch, mark, cut).await?;
        }
        return Ok(next);
    };
    let lines = match span {
        Span::TenMinutes => LINES_OF_HOUR,
        Span::Day if range.until <= store.retention_marked(Mark::TenMinutes).await? => LINES_OF_DAY.0,
        Span::Day => LINES_OF_DAY.1,
    };
    let merged = store.segments_merge(epoch, span, range.from, range.until, range.after, lines).await?;
    metrics.retention_segments_total.add(merged.removed);
    if let Some(last) = merged.last {
        return Ok(Some(Range { after: last, ..range }));
    }
    store.retention_mark(epoch, mark, range.until).await?;
    let next = range_next(store, span, mark, cut).await?;
    if next.is_none() {
        store.retention_mark(epoch, mark, cut).await?;
    }
    Ok(next)
}

/// The first hour or day after what is done that has segments to merge.
async fn range_next(store: &Store, span: Span, mark: Mark, cut: Minute) -> Result<Option<Range>, StoreError> {
    let done = store.retention_marked(mark).await?;
    let (width, from) = match span {
        // Days are made of whatever there is.
        Span::TenMinutes => (60, done.max(store.retention_marked(Mark::Days).await?)),
        Span::Day => (DAY, done),
    };
    let next = store.segment_next(from).await?.filter(|next| *next < cut);
    Ok(next.map(|next| {
        let from = next.0 / width * width;
        Range { from: Minute(from), until: Minute(from.saturating_add(width)), after: LineId(0) }
    }))
}
