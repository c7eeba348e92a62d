//! A whole clean-up, in small steps.
use store::retention::{DAY, Mark, Span};
use units::{LineId, MinerId, Minute};

use crate::common::TestDb;

/// Rows per step: small, so that steps end in the middle of everything.
const FEW: u32 = 7;

/// Merges from where the mark is to `until`, a border of the span, a line or two at a time.
pub(super) async fn merge(db: &TestDb, epoch: i64, span: Span, until: Minute) {
    let (mark, width) = match span {
        Span::TenMinutes => (Mark::TenMinutes, 10),
        Span::Day => (Mark::Days, DAY),
    };
    let mut from = db.store.retention_marked(mark).await.unwrap();
    while let Some(next) = db.store.segment_next(from).await.unwrap().filter(|next| *next < until) {
        let range = (Minute(next.0 / width * width), Minute((next.0 / width + 1) * width));
        let mut after = LineId(0);
        loop {
            let merged = db.store.segments_merge(epoch, span, range.0, range.1, after, 2).await.unwrap();
            let Some(last) = merged.last else { break };
            after = last;
        }
        from = range.1;
    }
    db.store.retention_mark(epoch, mark, until).await.unwrap();
}

/// Removes details of days that ended before `cut`, merges the rest up to it.
pub(super) async fn clean(db: &TestDb, epoch: i64, cut: Minute) {
    let store = &db.store;
    let day = Minute(cut.0 / DAY * DAY);
    store.retention_mark(epoch, Mark::Details, day).await.unwrap();
    while store.rejects_prune(epoch, day, FEW).await.unwrap() > 0 {}
    while store.verdicts_prune(epoch, day, FEW).await.unwrap() > 0 {}
    while store.batches_prune(epoch, day, FEW).await.unwrap() > 0 {}
    merge(db, epoch, Span::Day, day).await;
    merge(db, epoch, Span::TenMinutes, Minute(cut.0 / 10 * 10)).await;
    forget(db, epoch, day).await;
    while store.templates_prune(epoch, day.start(), FEW).await.unwrap() > 0 {}
}

/// Names without a reject since `idle`.
pub(super) async fn forget(db: &TestDb, epoch: i64, idle: Minute) {
    let mut after = LineId(0);
    while let Some(last) = db.store.lines_forget(epoch, after, 2, idle).await.unwrap().last {
        after = last;
    }
    let mut after = MinerId(0);
    while let Some(last) = db.store.miners_forget(epoch, after, 2, idle.start()).await.unwrap().last {
        after = last;
    }
}
