//! Where the daemon cannot list its sends: a count of payout steps in the data directory, beside the one in the books.
use daemon_sim::Routes;
use messages::conditions::ConditionKind;
use store::payouts::IntentState;

use crate::database::Kind;
use crate::harness::{COIN, Harness, address, settings};
use crate::older::runs;

async fn plain() -> Harness {
    let mut harness = Harness::with(Kind::Sqlite, settings(), |params| params.routes = Routes::Basic).await;
    harness.endow(8);
    harness.owe(&address(1), COIN).await;
    harness
}

#[actix_rt::test]
async fn where_sends_cannot_be_listed_a_count_tells_that_the_books_are_older() {
    let mut harness = plain().await;
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(std::fs::read_to_string(harness.steps_file()).unwrap().trim(), "1");
    assert_eq!(harness.store.payout_books().await.unwrap().steps, 1);
    harness.put_old_books_back().await;
    runs(&mut harness, 3).await;
    assert_eq!(harness.sends().len(), 1);
    let older = "the books are older than the wallet";
    let detail = harness.wait_condition(ConditionKind::PayoutsHeld, Some(older)).await;
    assert!(detail.contains("1 payout steps, the books have 0"), "{detail}");
    // An operator takes it upon himself.
    assert!(!harness.store.payout_steps_accept(2).await.unwrap(), "another number than was shown");
    assert!(harness.store.payout_steps_accept(1).await.unwrap());
    harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
    harness.settle().await;
    assert_eq!(harness.sends().len(), 2);
    assert_eq!(std::fs::read_to_string(harness.steps_file()).unwrap().trim(), "2");
}

#[actix_rt::test]
async fn a_fresh_data_directory_takes_the_count_of_the_books_over() {
    let mut harness = plain().await;
    harness.sweep().await;
    harness.settle().await;
    std::fs::remove_file(harness.steps_file()).unwrap();
    harness.take_lease("next").await;
    harness.owe(&address(1), COIN).await;
    harness.tick().await;
    assert_eq!(std::fs::read_to_string(harness.steps_file()).unwrap().trim(), "1");
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(harness.sends().len(), 2);
}

#[actix_rt::test]
async fn a_count_that_cannot_be_written_sends_nothing_and_loses_nothing() {
    for routes in [Routes::Basic, Routes::Full] {
        let mut harness = Harness::with(Kind::Sqlite, settings(), |params| params.routes = routes).await;
        harness.endow(8);
        harness.owe(&address(1), COIN).await;
        // A directory where the file should be.
        std::fs::create_dir(harness.steps_file()).unwrap();
        runs(&mut harness, 2).await;
        assert!(harness.sends().is_empty());
        assert!(harness.open().await.iter().all(|intent| intent.state == IntentState::Reserved));
        harness.wait_condition(ConditionKind::PayoutsHeld, Some("cannot be counted")).await;
        std::fs::remove_dir(harness.steps_file()).unwrap();
        harness.wait_condition(ConditionKind::PayoutsHeld, None).await;
        harness.sweep().await;
        harness.settle().await;
        assert_eq!(harness.sends().len(), 1);
        harness.check(&[(&address(1), 1)]).await;
    }
}
