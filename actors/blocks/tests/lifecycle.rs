//! The lifecycle over a scripted chain and a real database.

mod common;
#[path = "lifecycle/hosts.rs"]
mod hosts;
#[path = "lifecycle/joined.rs"]
mod joined;

use accounting::{Entry, EntryKind};
use common::{FIRST_HEIGHT, Harness, id};
use store::blocks::BlockState;
use units::{Amount, BasisPoints, Timestamp};

const REWARD: i64 = 1_000_003;

#[actix_rt::test]
async fn a_block_at_its_depth_is_credited_by_the_work_of_its_window_and_once() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.chain_has(100, id(1));
    harness.tick(102).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
    assert_eq!(harness.balances(&["payable:A", "payable:B", "pool_fee"]).await, [0, 0, 0]);
    for tip in [103, 103, 104, 150] {
        harness.tick(tip).await;
        assert_eq!((harness.block(1).await.state, harness.block(1).await.credits), (BlockState::Credited, 1));
        // 1 % of 1,000,003 is 10,000; 990,003 are split 1 to 3, and the odd atom goes to the larger one.
        let balances = harness.balances(&["payable:A", "payable:B", "pool_fee", "chain_rewards"]).await;
        assert_eq!(balances, [247_500, 742_503, 10_000, -REWARD]);
    }
}

#[actix_rt::test]
async fn a_solo_pool_a_round_and_a_bonus_are_policies_too() {
    let mut harness = Harness::new().await;
    harness.policy_with(|policy| policy.scheme = "solo".to_owned()).await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.policy_with(|policy| policy.finder_bonus_bps = BasisPoints::new(1_000).unwrap()).await;
    harness.find(2, &[("C", 100)]).await;
    harness.policy_with(|policy| policy.fee_flat = Amount::from_atoms(3).unwrap()).await;
    harness.find(3, &[("A", 100)]).await;
    harness.policy_with(|policy| policy.scheme = "proportional".to_owned()).await;
    harness.find(4, &[("D", 100)]).await;
    for n in 1..=4 {
        harness.chain_has(99 + n, id(n));
    }
    harness.tick(106).await;
    let credits = async |n: u64| harness.store.block_credits(harness.block(n).await.id).await.unwrap();
    let atoms = |lines: Vec<(String, Amount)>| lines.into_iter().map(|(to, sum)| (to, sum.atoms())).collect::<Vec<_>>();
    // 1 % of 1,000,003 is 10,000.
    assert_eq!(atoms(credits(1).await), [("A".to_owned(), 990_003)], "its finder takes all");
    // A tenth of 990,003 to the finder; the rest by 100, 300 and 100.
    let by_weight = 990_003 - 99_000;
    let fifth = by_weight / 5;
    let expected =
        [("A", fifth), ("B", by_weight - 2 * fifth), ("C", fifth + 99_000)].map(|(to, sum)| (to.to_owned(), sum));
    assert_eq!(atoms(credits(2).await), expected);
    let third: u64 = credits(3).await.iter().map(|(_, sum)| sum.atoms()).sum();
    assert_eq!(third, 1_000_003 - 3 - 10_000);
    let fourth = harness.block(4).await;
    assert_eq!(fourth.window_start, harness.block(3).await.found_at, "since the block before");
    assert_eq!(harness.store.audit_blocks(blocks::price).await.unwrap(), []);
}

#[actix_rt::test]
async fn an_audit_computes_every_credit_anew() {
    let mut harness = Harness::new().await;
    harness.policy_with(|policy| policy.fee_address = Some("owner".to_owned())).await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    let audit = async || harness.store.audit_blocks(blocks::price).await.unwrap();
    let checks = async || audit().await.into_iter().map(|found| found.check).collect::<Vec<_>>();
    assert_eq!(audit().await, []);
    let credit = "credit follows from work, fee and reward";
    for (harm, heal, check) in [
        ("block_weights SET credit = credit + 1 WHERE credit > 0", "block_weights SET credit = credit - 1", credit),
        (
            "blocks SET window_start = found_at - 3599999",
            "blocks SET window_start = found_at - 3600000",
            "window begins where the rules say",
        ),
        (
            "blocks SET weights_digest = 'x' || weights_digest",
            "blocks SET weights_digest = substr(weights_digest, 2)",
            "digest of a block is its allocation's",
        ),
        // Another version of the rules than the one it was priced by.
        ("policies SET body = replace(body, '100', '200')", "policies SET body = replace(body, '200', '100')", credit),
        (
            "policies SET body = replace(body, 'owner', 'other')",
            "policies SET body = replace(body, 'other', 'owner')",
            "credit is what the weights say",
        ),
        ("policies SET body = '-' || body", "policies SET body = substr(body, 2)", "rules of a block can be read"),
    ] {
        harness.sql(&format!("UPDATE {harm}"));
        assert!(checks().await.contains(&check), "{harm}: {:?}", audit().await);
        harness.sql(&format!("UPDATE {heal}"));
        assert_eq!(audit().await, [], "{heal}");
    }
}

#[actix_rt::test]
async fn a_credit_waits_until_every_payee_has_enough_checked_work() {
    let mut harness = Harness::new().await;
    harness.policy_with(|policy| policy.provisional_cap = Some(1)).await;
    let works = [("A", 100), ("B", 300)];
    harness.find(1, &works).await;
    harness.chain_has(100, id(1));
    harness.tick(110).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.hold_reason.is_some()), (BlockState::Seen, true));
    harness.verify(0, &works).await;
    let waited = std::time::Instant::now();
    while harness.block(1).await.state != BlockState::Credited {
        assert!(waited.elapsed().as_secs() < 20, "the credit never came");
        harness.tick(110).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(harness.block(1).await.hold_reason, None);
}

#[actix_rt::test]
async fn a_credit_does_not_wait_for_checks_for_ever() {
    let mut harness = Harness::new().await;
    harness.policy_with(|policy| policy.provisional_cap = Some(1)).await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.chain_has(100, id(1));
    harness.tick(199).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
    harness.tick(200).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
}

#[actix_rt::test]
async fn without_the_lease_nothing_is_written() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    let epoch = harness.lease.send_replace(None);
    harness.tick(150).await;
    assert_eq!(harness.block(1).await.state, BlockState::Candidate);
    harness.lease.send_replace(epoch.map(|epoch| epoch - 1));
    harness.tick(150).await;
    assert_eq!(harness.block(1).await.state, BlockState::Candidate, "an old epoch is refused");
    harness.lease.send_replace(epoch);
    harness.tick(150).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
}

#[actix_rt::test]
async fn a_host_that_has_not_folded_past_the_find_holds_the_block_visibly() {
    let mut harness = Harness::new().await;
    harness.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    let block = harness.block(1).await;
    assert_eq!(block.state, BlockState::Seen);
    assert!(block.hold_reason.unwrap().contains("silent"));
    assert!(harness.store.host_retire("silent", Timestamp::from_ms(1)).await.unwrap());
    harness.tick(103).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.hold_reason), (BlockState::Credited, None));
}

#[actix_rt::test]
async fn a_held_block_that_returns_is_not_called_displaced() {
    let mut harness = Harness::new().await;
    harness.store.host_register("silent", Timestamp::from_ms(0)).await.unwrap();
    harness.find(1, &[("A", 100)]).await;
    harness.tick(103).await;
    assert!(harness.block(1).await.displaced_at.is_some());
    harness.chain_has(100, id(1));
    harness.tick(104).await;
    let block = harness.block(1).await;
    assert!(block.hold_reason.is_some());
    assert_eq!(block.displaced_at, None);
}

#[actix_rt::test]
async fn a_block_that_left_the_chain_while_nobody_looked_is_reversed() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    harness.chain_has(100, id(77));
    for tip in [900, 903] {
        harness.tick(tip).await;
    }
    assert_eq!(harness.block(1).await.state, BlockState::Reversed);
    assert_eq!(harness.balances(&["payable:A", "chain_rewards"]).await, [0, 0]);
}

#[actix_rt::test]
async fn the_watch_ends_when_the_block_was_seen_at_depth_100() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    for tip in [103, 199] {
        harness.tick(tip).await;
        assert_eq!(harness.store.block_list_open().await.unwrap().len(), 1);
    }
    harness.tick(200).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    assert!(harness.store.block_list_open().await.unwrap().is_empty());
}

#[actix_rt::test]
async fn a_reversal_takes_the_fee_back_from_the_address_that_got_it() {
    let mut harness = Harness::new().await;
    harness.policy_with(|policy| policy.fee_address = Some("owner".to_owned())).await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    let all = ["payable:A", "payable:owner", "pool_fee", "orphan_loss", "chain_rewards"];
    assert_eq!(harness.balances(&all).await, [990_003, 10_000, 0, 0, -REWARD]);
    harness.chain_has(100, id(77));
    for tip in [104, 107] {
        harness.tick(tip).await;
    }
    assert_eq!(harness.balances(&all).await, [0; 5]);
}

#[actix_rt::test]
async fn a_displaced_block_that_returns_is_credited() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    harness.tick(103).await; // The chain holds another block at height 100.
    let block = harness.block(1).await;
    assert_eq!((block.state, block.displaced_at.map(|tip| tip.get())), (BlockState::Candidate, Some(103)));
    harness.chain_has(100, id(1));
    harness.tick(105).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.displaced_at), (BlockState::Credited, None));
}

#[actix_rt::test]
async fn a_block_that_is_not_on_the_chain_at_depth_100_is_lost() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    for tip in [101, 199] {
        harness.tick(tip).await;
        assert_eq!(harness.block(1).await.state, BlockState::Candidate);
    }
    harness.tick(200).await;
    assert_eq!(harness.block(1).await.state, BlockState::Lost);
    assert_eq!(harness.balances(&["payable:A", "chain_rewards"]).await, [0, 0]);
}

#[actix_rt::test]
async fn a_credit_is_taken_back_after_three_tips_and_given_again_when_the_block_returns() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    let credited = harness.balances(&["payable:A", "payable:B", "pool_fee"]).await;
    harness.chain_has(100, id(77));
    for tip in [104, 105, 106] {
        harness.tick(tip).await;
        assert_eq!(harness.block(1).await.state, BlockState::Credited, "it may flip back");
    }
    harness.tick(107).await;
    assert_eq!((harness.block(1).await.state, harness.block(1).await.reversals), (BlockState::Reversed, 1));
    let all = ["payable:A", "payable:B", "pool_fee", "orphan_loss", "chain_rewards"];
    assert_eq!(harness.balances(&all).await, [0; 5]);
    harness.chain_has(100, id(1));
    harness.tick(108).await;
    assert_eq!((harness.block(1).await.state, harness.block(1).await.credits), (BlockState::Credited, 2));
    assert_eq!(harness.balances(&["payable:A", "payable:B", "pool_fee"]).await, credited);
}

#[actix_rt::test]
async fn what_was_paid_already_is_taken_from_the_pools_fees_and_then_lost() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100), ("B", 300)]).await;
    harness.chain_has(100, id(1));
    harness.tick(103).await;
    let postings = [("payable:B", -742_503), ("paid_out:B", 742_503)];
    let postings = postings.map(|(key, amount)| (key.parse().unwrap(), amount));
    let paid = Entry::new(EntryKind::Adjustment, "paid", postings).unwrap();
    harness.store.entry_post(harness.epoch, paid, Timestamp::from_ms(1)).await.unwrap();
    harness.chain_has(100, id(77));
    harness.tick(104).await;
    harness.tick(107).await;
    let all = ["payable:A", "payable:B", "pool_fee", "orphan_loss", "chain_rewards"];
    // A returns its 247,500, the pool its 10,000; what B was paid is not there any more.
    assert_eq!(harness.balances(&all).await, [0, 0, 0, -742_503, 0]);
}

#[actix_rt::test]
async fn a_block_that_cannot_be_priced_is_held_and_the_others_go_on() {
    let mut harness = Harness::new().await;
    harness.policy = harness.store.policy_ensure("{}", Timestamp::from_ms(0)).await.unwrap();
    harness.find(1, &[("A", 100)]).await;
    harness.policy = harness.good_policy;
    harness.find(2, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.chain_has(101, id(2));
    harness.tick(104).await;
    assert!(harness.block(1).await.hold_reason.unwrap().contains("policy"));
    assert_eq!(harness.block(2).await.state, BlockState::Credited);
}

#[actix_rt::test]
async fn a_daemon_that_is_away_stops_nothing_for_good() {
    let mut harness = Harness::new().await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has(100, id(1));
    harness.down(true);
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Candidate);
    harness.down(false);
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
}

// === blocks without a record ===

#[actix_rt::test]
async fn a_block_of_a_logged_template_without_a_record_becomes_one_when_the_log_is_folded() {
    let mut harness = Harness::new().await;
    harness.tick(FIRST_HEIGHT).await; // The first start: nothing below is looked at.
    harness.position(50, 10);
    harness.chain_has_mined(100, id(1), 1);
    harness.define(1, &[("A", 100)]).await;
    harness.tick(100).await;
    assert!(harness.find_block(1).await.is_none(), "its candidate may be on the way");
    harness.position(60, 50); // What was durable when it was seen is folded.
    harness.tick(100).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.finder), (BlockState::Seen, None));
    harness.tick(103).await;
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
    assert_eq!(harness.balances(&["payable:A", "pool_fee"]).await, [990_003, 10_000]);
}

#[actix_rt::test]
async fn no_block_is_passed_before_the_log_is_open() {
    let mut harness = Harness::new().await;
    harness.tick(FIRST_HEIGHT).await;
    harness.chain_has_mined(100, id(1), 1);
    harness.log_is_shut();
    harness.tick(100).await;
    harness.tick(101).await;
    harness.position(50, 10);
    harness.tick(101).await;
    assert_eq!(harness.store.meta_get("swept_height").await.unwrap().as_deref(), Some("99"));
    harness.define(1, &[("A", 100)]).await;
    harness.position(50, 50);
    harness.tick(101).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
}

#[actix_rt::test]
async fn foreign_blocks_and_recorded_ones_are_left_alone() {
    let mut harness = Harness::new().await;
    harness.tick(FIRST_HEIGHT).await;
    harness.find(1, &[("A", 100)]).await;
    harness.chain_has_mined(100, id(1), 1);
    harness.tick(101).await;
    let block = harness.block(1).await;
    assert_eq!((block.state, block.finder.as_deref()), (BlockState::Seen, Some("A")));
    assert!(harness.find_block(1_101).await.is_none());
    assert_eq!(harness.store.meta_get("swept_height").await.unwrap().as_deref(), Some("101"));
}

#[actix_rt::test]
async fn a_long_absence_is_caught_up_in_steps_without_waiting_for_a_tip() {
    let mut harness = Harness::new().await;
    harness.tick(FIRST_HEIGHT).await;
    harness.define(1, &[("A", 100)]).await;
    harness.chain_has_mined(100, id(1), 1);
    for _ in 0..3 {
        harness.tick(260).await;
    }
    assert_eq!(harness.store.meta_get("swept_height").await.unwrap().as_deref(), Some("260"));
    assert_eq!(harness.block(1).await.state, BlockState::Credited);
}

#[actix_rt::test]
async fn a_block_that_a_reorganisation_brings_in_below_the_sweep_is_found() {
    let mut harness = Harness::new().await;
    harness.tick(FIRST_HEIGHT).await;
    harness.define(1, &[("A", 100)]).await;
    harness.tick(101).await; // Foreign blocks at 100 and 101.
    harness.chain_has_mined(100, id(1), 1);
    harness.chain_has(101, id(55));
    harness.tick(102).await;
    harness.tick(102).await;
    assert_eq!(harness.block(1).await.state, BlockState::Seen);
}
