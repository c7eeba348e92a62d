//! Weights of a block: when its window is closed, and what is stored then.
use super::*;

#[test]
fn weights_wait_for_hosts_that_are_behind() {
    for_each_database(async |db| {
        let (log, epoch) = with_block(db).await;
        let block = find(db, 1).await.id;
        let close = async || db.store.block_window_close(epoch, block).await.unwrap();
        assert!(close().await.is_empty());
        db.sql("UPDATE block_windows SET end_seq = 5").unwrap();
        assert_eq!(close().await, ["host"]);
        db.sql("UPDATE block_windows SET end_seq = 4").unwrap();
        let registered = at(EPOCH).minus(Duration::from_secs(300));
        db.store.host_register("other", registered).await.unwrap();
        db.store.host_register("younger than the find", at(EPOCH + 3)).await.unwrap();
        assert_eq!(close().await, ["other"]);
        assert!(matches!(db.store.block_window_close(epoch + 1, block).await, Err(StoreError::Fenced { .. })));
        assert_eq!(log.shares.len(), 3);
    });
}

#[test]
fn a_host_that_has_folded_past_the_find_gets_its_window_end_behind_that_minute() {
    for_each_database(async |db| {
        let mut other = Log::new(&db.store, "other", vec![line("carol", "c")]).await;
        other.share(0, EPOCH - 1, 3);
        other.share(0, EPOCH + 2, 4);
        db.store.fold(other.step()).await.unwrap();
        let (_, epoch) = with_block(db).await;
        let block = find(db, 1).await.id;
        let close = async || db.store.block_window_close(epoch, block).await.unwrap();
        assert_eq!(close().await, ["other"], "more of that minute may come");
        other.share(0, EPOCH + 2, 5);
        other.share(0, EPOCH + 3, 100);
        db.store.fold(other.step()).await.unwrap();
        assert!(close().await.is_empty());
        // What was late belongs to no window of this block, and not to its segments either.
        other.share(0, EPOCH + 3, 1_000);
        db.store.fold(other.step()).await.unwrap();
        assert!(close().await.is_empty());
        let (works, folded) = db.store.block_window_work(block).await.unwrap();
        let works: Vec<_> = works.iter().map(|work| (work.address.as_str(), work.provisional.get())).collect();
        assert_eq!(works, [("alice", 100), ("bob", 25), ("carol", 12)]);
        assert_eq!(folded, [(HostId(1), Seq(5)), (HostId(2), Seq(4))]);
    });
}

#[test]
fn a_host_without_shares_or_without_a_future_holds_nothing_for_ever() {
    for_each_database(async |db| {
        let (_, epoch) = with_block(db).await;
        let registered = at(EPOCH).minus(Duration::from_secs(300));
        let idle = db.store.host_register("idle", registered).await.unwrap();
        db.store.host_register("replaced", registered).await.unwrap();
        let block = find(db, 1).await.id;
        let close = async || db.store.block_window_close(epoch, block).await.unwrap();
        assert_eq!(close().await, ["idle", "replaced"]);
        let hosts = db.store.host_overview().await.unwrap();
        let waiting: Vec<_> = hosts.iter().map(|host| (host.name.as_str(), host.waiting_blocks)).collect();
        assert_eq!(waiting, [("host", 0), ("idle", 1), ("replaced", 1)]);
        db.store.host_caught_up(idle, Seq(0), at(EPOCH + 2)).await.unwrap();
        assert_eq!(close().await, ["idle", "replaced"], "clocks differ");
        db.store.host_caught_up(idle, Seq(7), at(EPOCH + 9)).await.unwrap();
        assert_eq!(close().await, ["idle", "replaced"], "somebody else has folded on");
        db.store.host_caught_up(idle, Seq(0), at(EPOCH + 5)).await.unwrap();
        assert_eq!(close().await, ["replaced"]);
        assert!(!db.store.host_retire("unknown", at(EPOCH + 9)).await.unwrap());
        assert!(db.store.host_retire("replaced", at(EPOCH + 9)).await.unwrap());
        assert!(close().await.is_empty());
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM block_windows"), 3);
        // It is back after all.
        db.store.host_register("replaced", at(EPOCH + 10)).await.unwrap();
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM hosts WHERE retired_at IS NOT NULL"), 0);
    });
}

#[test]
fn weights_are_stored_once() {
    for_each_database(async |db| {
        let (block, epoch) = with_weights(db).await;
        assert_eq!(find(db, 1).await.state, BlockState::Confirmed);
        let stored = db.store.block_weights_list(block.id).await.unwrap();
        assert_eq!(stored, [weight(db, "alice", 80).await, weight(db, "bob", 20).await]);
        let again = db.store.block_weights_store(epoch, block.id, stored.clone(), "other", seen(5)).await;
        assert!(is_conflict(again));
        assert_eq!(db.store.block_weights_list(block.id).await.unwrap(), stored);
        assert_eq!(
            db.number("SELECT COUNT(*) AS n FROM blocks WHERE weights_digest = 'digest' AND verdict_seq = 4"),
            1
        );
        assert!(matches!(
            db.store.block_weights_store(epoch + 1, block.id, Vec::new(), "", seen(5)).await,
            Err(StoreError::Fenced { .. })
        ));
    });
}
