//! Blocks and the logs of other hosts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{FIRST_HEIGHT, Stage, id};
use messages::conditions::{Condition, ConditionKind};
use store::blocks::BlockState;
use units::{HostId, Seq, Timestamp};

fn said(stage: &Stage, kind: ConditionKind) -> Option<Condition> {
    stage.conditions.list().into_iter().find(|condition| condition.kind == kind)
}

/// The other host has folded all that it had a moment before.
async fn catches_up(stage: &Stage, host: HostId, ms: i64) {
    stage.store.host_caught_up(host, Seq::ZERO, Timestamp::from_ms(ms)).await.unwrap();
}

#[actix_rt::test]
async fn a_held_block_is_a_condition_that_names_its_host_and_ends_when_it_is_given_up() {
    let mut stage = Stage::new().await;
    stage.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    stage.find(1, &[("A", 100)]).await;
    stage.chain_has(100, id(1));
    stage.tick(102).await;
    assert_eq!(said(&stage, ConditionKind::HostsAwaited), None, "nothing is due yet");
    stage.tick(103).await;
    let shown = said(&stage, ConditionKind::HostsAwaited).unwrap();
    assert!(!shown.text.contains("silent"), "{}", shown.text);
    assert!(shown.detail.contains("silent (1 block, never heard of)"), "{}", shown.detail);
    assert!(shown.detail.contains("meshpool hosts retire"), "{}", shown.detail);
    stage.store.host_retire("silent", Timestamp::from_ms(1)).await.unwrap();
    stage.tick(103).await;
    assert_eq!(stage.block(1).await.state, BlockState::Credited);
    assert_eq!(said(&stage, ConditionKind::HostsAwaited), None);
}

#[actix_rt::test]
async fn who_has_no_lease_says_nothing_of_held_blocks() {
    let mut stage = Stage::new().await;
    stage.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    stage.find(1, &[("A", 100)]).await;
    stage.chain_has(100, id(1));
    stage.tick(103).await;
    assert!(said(&stage, ConditionKind::HostsAwaited).is_some());
    stage.lease.send_replace(None);
    stage.tick(103).await;
    assert_eq!(said(&stage, ConditionKind::HostsAwaited), None);
}

#[actix_rt::test]
async fn a_block_without_a_record_waits_for_the_logs_of_all_open_hosts() {
    let mut stage = Stage::new().await;
    let other = stage.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    let closed = stage.store.host_register("closed", Timestamp::from_ms(0)).await.unwrap();
    assert!(stage.store.host_close(closed, Seq::ZERO, Timestamp::from_ms(1)).await.unwrap());
    stage.tick(FIRST_HEIGHT).await;
    stage.define(1, &[("A", 100)]).await;
    stage.chain_has_mined(100, id(1), 1);
    stage.tick(100).await;
    catches_up(&stage, other, 10).await;
    stage.tick(100).await;
    assert!(stage.find_block(1).await.is_none(), "that look may have begun before the block was found");
    catches_up(&stage, other, 20).await;
    stage.tick(100).await;
    assert_eq!(stage.block(1).await.state, BlockState::Seen);
}

#[actix_rt::test]
async fn a_find_that_is_folded_late_has_its_finder() {
    let mut stage = Stage::new().await;
    let other = stage.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    stage.tick(FIRST_HEIGHT).await;
    stage.chain_has_mined(100, id(1), 1);
    stage.tick(100).await;
    catches_up(&stage, other, 10).await;
    stage.tick(100).await;
    stage.find(1, &[("A", 100)]).await;
    catches_up(&stage, other, 20).await;
    stage.tick(100).await;
    let block = stage.block(1).await;
    assert_eq!((block.state, block.finder.as_deref()), (BlockState::Seen, Some("A")));
    assert_eq!(stage.store.meta_get("swept_height").await.unwrap().as_deref(), Some("100"));
}

#[actix_rt::test]
async fn a_host_that_is_given_up_or_closed_holds_no_block_without_a_record() {
    for is_closed in [true, false] {
        let mut stage = Stage::new().await;
        let other = stage.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
        stage.tick(FIRST_HEIGHT).await;
        stage.define(1, &[("A", 100)]).await;
        stage.chain_has_mined(100, id(1), 1);
        stage.tick(100).await;
        assert!(stage.find_block(1).await.is_none());
        match is_closed {
            true => assert!(stage.store.host_close(other, Seq::ZERO, Timestamp::from_ms(1)).await.unwrap()),
            false => assert!(stage.store.host_retire("other", Timestamp::from_ms(1)).await.unwrap()),
        }
        stage.tick(100).await;
        assert_eq!(stage.block(1).await.state, BlockState::Seen);
    }
}

#[actix_rt::test]
async fn a_tip_that_another_one_has_replaced_says_nothing_of_the_block_in_its_place() {
    let mut stage = Stage::new().await;
    let other = stage.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    stage.tick(FIRST_HEIGHT).await;
    stage.define(1, &[("A", 100)]).await;
    stage.tick(100).await;
    for at in [10, 20] {
        catches_up(&stage, other, at).await;
        if at == 20 {
            stage.chain_has_mined(100, id(1), 1);
        }
        stage.tick(100).await;
    }
    assert!(stage.find_block(1).await.is_none(), "it came after the hosts were asked");
    for at in [30, 40, 50] {
        stage.tick(100).await;
        catches_up(&stage, other, at).await;
    }
    stage.tick(100).await;
    assert_eq!(stage.block(1).await.state, BlockState::Seen);
}
