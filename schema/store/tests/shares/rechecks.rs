//! Stored shares that nobody has judged.
use store::blocks::WindowWork;
use units::Seq;

use crate::common::for_each_database;
use crate::common::log::{EPOCH, Log, hash, line};

#[test]
fn the_unjudged_shares_of_a_payee_are_found_segment_by_segment() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "h1", vec![line("a", "1"), line("b", "1")]).await;
        let early = log.share(0, EPOCH - 1, 7);
        db.store.fold(log.step()).await.unwrap();
        let first = log.share(0, EPOCH, 5);
        let judged = log.share(0, EPOCH, 5);
        log.share(1, EPOCH, 5);
        log.verdict(judged, "verified");
        db.store.fold(log.step()).await.unwrap();
        let second = log.share(0, EPOCH, 6);
        let candidate = log.candidate(&hash(1), 0, second, EPOCH);
        db.store.fold(candidate).await.unwrap();
        let late = log.share(0, EPOCH, 9);
        db.store.fold(log.step()).await.unwrap();

        let block = db.store.block_find(&hash(1)).await.unwrap().unwrap();
        let (works, _) = db.store.block_window_work(block.id).await.unwrap();
        let a: &WindowWork = works.iter().find(|work| work.address == "a").unwrap();
        let segments = db.store.window_segments(block.id, log.host, a.miner, 10).await.unwrap();
        let work: u64 = segments.iter().map(|segment| segment.work.get()).sum();
        assert_eq!(work, a.verified.get() + a.provisional.get());
        let mut found = Vec::new();
        for segment in &segments {
            assert_eq!(segment.line, line("a", "1"));
            found.extend(db.store.unchecked_shares(log.host, segment).await.unwrap());
        }
        found.sort_by_key(|share| share.seq);
        let seqs: Vec<Seq> = found.iter().map(|share| share.seq).collect();
        assert_eq!(seqs, [early, first, second].map(Seq), "neither the judged one nor {late}, which came after");
        assert!(found.iter().all(|share| share.merkle_root == log.template.merkle_root));
        assert_eq!(db.store.window_segments(block.id, log.host, a.miner, 1).await.unwrap().len(), 1);
    });
}

#[test]
fn what_a_pair_would_lose_is_found_page_by_page() {
    for_each_database(async |db| {
        let mut log = Log::new(&db.store, "h1", vec![line("a", "1"), line("a", "2"), line("b", "1")]).await;
        assert_eq!(db.store.unweighed_since().await.unwrap(), None);
        let mut verified = Vec::new();
        for (n, line) in [0, 1, 2, 0, 1].into_iter().enumerate() {
            let share = log.share(line, EPOCH + n as u32, 5);
            log.verdict(share, "verified");
            log.share(line, EPOCH + n as u32, 5);
            verified.extend((line < 2).then_some(Seq(share)));
        }
        db.store.fold(log.step()).await.unwrap();
        let pair = ("a", [7; 16]);
        let since = units::Minute(EPOCH);
        let (store, host) = (&db.store, log.host);
        let page = store.pair_segments(host, pair, since, Seq::ZERO, 3).await.unwrap();
        let rest = store.pair_segments(host, pair, since, page[2].start_seq, 3).await.unwrap();
        assert_eq!((page.len(), rest.len()), (3, 1));
        assert!(page.iter().chain(&rest).all(|segment| segment.line.address == "a"));
        assert_eq!(store.unchecked_shares(host, &rest[0]).await.unwrap().len(), 1);
        let latest = store.pair_verified(host, pair, since, 3).await.unwrap();
        let seqs: Vec<Seq> = latest.iter().map(|share| share.seq).collect();
        verified.reverse();
        assert_eq!(seqs, verified[..3]);
        assert_eq!(latest[0].line, line("a", "2"));
        assert!(store.pair_verified(host, ("a", [8; 16]), since, 3).await.unwrap().is_empty());
        assert_eq!(store.pair_verified(host, pair, units::Minute(EPOCH + 4), 3).await.unwrap().len(), 1);
    });
}
