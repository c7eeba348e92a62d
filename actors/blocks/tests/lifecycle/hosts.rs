//! Blocks and the logs of other hosts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{FIRST_HEIGHT, Harness, id};
use messages::conditions::{Condition, ConditionKind};
use store::blocks::BlockState;
use units::{HostId, Seq, Timestamp};

fn said(harness: &Harness, kind: ConditionKind) -> Option<Condition> {
    harness.conditions.list().into_iter().find(|condition| condition.kind == kind)
}

/// The other host has folded all that it had a moment before.
async fn catches_up(harness: &Harness, host: HostId, ms: i64) {
    harness.store.host_caught_up(host, Seq::ZERO, Timestamp::from_ms(ms)).await.unwrap();
}

#[actix_rt::test]
async fn a_held_block_is_a_condition_that_names_its_host_and_ends_when_it_is_given_up() {
    let mut harness = Harness::new().await;
    harness.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.tick(102).await;
    assert_eq!(said(&harness, ConditionKind::HostsAwaited), None, "nothing is due yet");
    harness.tick(103).await;
    let shown = said(&harness, ConditionKind::HostsAwaited).unwrap();
    assert!(!shown.text.contains("silent"), "{}", shown.text);
    assert!(shown.detail.contains("silent (1 block, never heard of)"), "{}", shown.detail);
    assert!(shown.detail.contains("meshpool hosts retire"), "{}", shown.detail);
    harness.store.host_retire("silent", Timestamp::from_ms(1)).await.unwrap();
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    assert_eq!(said(&harness, ConditionKind::HostsAwaited), None);
}

#[actix_rt::test]
async fn who_has_no_lease_says_nothing_of_held_blocks() {
    let mut harness = Harness::new().await;
    harness.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    assert!(said(&harness, ConditionKind::HostsAwaited).is_some());
    harness.lease.send_replace(None);
    harness.tick(103).await;
    assert_eq!(said(&harness, ConditionKind::HostsAwaited), None);
}

#[actix_rt::test]
async fn a_block_without_a_record_waits_for_the_logs_of_all_open_hosts() {
    let mut harness = Harness::new().await;
    let other = harness.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    let closed = harness.store.host_register("closed", Timestamp::from_ms(0)).await.unwrap();
    assert!(harness.store.host_close(closed, Seq::ZERO, Timestamp::from_ms(1)).await.unwrap());
    harness.tick(FIRST_HEIGHT).await;
    harness.define(1, &[("A", 100)]).await;
    harness.chain_has_mined(100, id(1), 1);
    harness.tick(100).await;
    catches_up(&harness, other, 10).await;
    harness.tick(100).await;
    assert!(harness.find_block(1).await.is_none(), "that look may have begun before the block was found");
    catches_up(&harness, other, 20).await;
    harness.tick(100).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
}

#[actix_rt::test]
async fn a_find_that_is_folded_late_has_its_finder() {
    let mut harness = Harness::new().await;
    let other = harness.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    harness.tick(FIRST_HEIGHT).await;
    harness.chain_has_mined(100, id(1), 1);
    harness.tick(100).await;
    catches_up(&harness, other, 10).await;
    harness.tick(100).await;
    harness.find(1, &[("A", 100)]).await;
    catches_up(&harness, other, 20).await;
    harness.tick(100).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.finder.as_deref()), (BlockState::Seen, Some("A")));
    assert_eq!(harness.store.meta_get("swept_height").await.unwrap().as_deref(), Some("100"));
}

#[actix_rt::test]
async fn a_host_that_is_given_up_or_closed_holds_no_block_without_a_record() {
    for is_closed in [true, false] {
        let mut harness = Harness::new().await;
        let other = harness.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
        harness.tick(FIRST_HEIGHT).await;
        harness.define(1, &[("A", 100)]).await;
        harness.chain_has_mined(100, id(1), 1);
        harness.tick(100).await;
        assert!(harness.find_block(1).await.is_none());
        match is_closed {
            true => assert!(harness.store.host_close(other, Seq::ZERO, Timestamp::from_ms(1)).await.unwrap()),
            false => assert!(harness.store.host_retire("other", Timestamp::from_ms(1)).await.unwrap()),
        }
        harness.tick(100).await;
        assert_eq!(harness.block(1).await.state, BlockState::Seen);
    }
}

#[actix_rt::test]
async fn a_tip_that_another_one_has_replaced_says_nothing_of_the_block_in_its_place() {
    let mut harness = Harness::new().await;
    let other = harness.store.host_register("other", Timestamp::from_ms(0)).await.unwrap();
    harness.tick(FIRST_HEIGHT).await;
    harness.define(1, &[("A", 100)]).await;
    harness.tick(100).await;
    for at in [10, 20] {
        catches_up(&harness, other, at).await;
        if at == 20 {
            harness.chain_has_mined(100, id(1), 1);
        }
        harness.tick(100).await;
    }
    assert!(harness.find_block(1).await.is_none(), "it came after the hosts were asked");
    for at in [30, 40, 50] {
        harness.tick(100).await;
        catches_up(&harness, other, at).await;
    }
    harness.tick(100).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
}
