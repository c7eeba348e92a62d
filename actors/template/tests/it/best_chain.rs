//! What is known of the best chain after a restart.
use std::time::Duration;

use store::best_chain::BestChain;
use template::Published;
use units::{Height, Timestamp};

use crate::harness::{Harness, NOW, World, id};

/// Another process with the same database.
fn restart(harness: &mut Harness) {
    harness.again(|parts| parts.published = Published::new());
}

async fn stored(harness: &Harness) -> Option<BestChain> {
    harness.parts.store.best_chain_get().await.unwrap()
}

/// Looks until the database has, or says, what it should.
async fn look_until_stored(harness: &mut Harness, work: u64) {
    let wait = async {
        while stored(harness).await.is_none_or(|best| best.work != work) {
            harness.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "never stored: {work}");
}

/// A pool that saw a chain of eleven blocks, and is started again beside a daemon that has ten.
async fn restarted_behind() -> Harness {
    let mut harness = Harness::new(|_| {});
    harness.world().grow(10);
    harness.look().await;
    look_until_stored(&mut harness, 660).await;
    harness.world().chain.pop();
    restart(&mut harness);
    harness.look().await;
    harness
}

#[actix_rt::test]
async fn the_best_chain_is_stored_as_it_grows() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    look_until_stored(&mut harness, 600).await;
    harness.world().grow(10);
    harness.look().await;
    look_until_stored(&mut harness, 660).await;
    let best = BestChain { height: Height::new(10), work: 660, seen_at: Timestamp::from_ms(NOW * 1_000) };
    assert_eq!(stored(&harness).await, Some(best));
}

#[actix_rt::test]
async fn after_a_restart_an_older_tip_is_not_mined_and_no_money_follows_from_it() {
    let mut harness = restarted_behind().await;
    let tip = harness.tip();
    assert_eq!((tip.height, tip.hash, tip.behind), (Height::new(9), None, Some(Height::new(10))));
    assert!(harness.job().is_none() && harness.states() == ["*behind"]);
    assert_eq!((harness.world().templates, harness.metrics.templates_older_total.get()), (1, 1), "no lease is taken");
    harness.world().grow(10);
    harness.look().await;
    let tip = harness.tip();
    assert_eq!((tip.height, tip.hash, tip.behind), (Height::new(10), Some(id(10)), None));
    assert!(harness.job().is_some() && harness.states() == ["*good"]);
}

#[actix_rt::test]
async fn an_older_tip_is_mined_after_a_while_but_no_money_follows_from_it_until_there_is_as_much_work() {
    let mut harness = restarted_behind().await;
    harness.again(|parts| parts.settings.pace.step_back = Duration::ZERO);
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.height, Height::new(10));
    harness.world().chain.truncate(9);
    harness.world().grow(100);
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.prev_hash, id(100), "it is followed wherever it goes");
    assert_eq!((harness.tip().hash, harness.tip().behind), (None, Some(Height::new(10))));
    assert_eq!(stored(&harness).await.unwrap().work, 660);
    harness.world().grow(101);
    harness.look().await;
    assert_eq!((harness.tip().hash, harness.tip().behind), (Some(id(101)), None), "as much as was ever seen");
}

#[actix_rt::test]
async fn a_chain_that_an_operator_gave_up_is_not_waited_for() {
    let mut harness = restarted_behind().await;
    harness.parts.store.best_chain_give_up(Timestamp::from_ms(1)).await.unwrap();
    let followed = async {
        while harness.tip().hash.is_none() {
            harness.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), followed).await.is_ok(), "the chain is never followed");
    assert_eq!((harness.tip().hash, harness.tip().behind), (Some(id(9)), None));
    assert_eq!(harness.job().unwrap().template.prev_hash, id(9));
    look_until_stored(&mut harness, 600).await;
    // And with a restart in between.
    harness.world().chain.pop();
    harness.parts.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    restart(&mut harness);
    harness.look().await;
    assert_eq!((harness.tip().hash, harness.tip().behind), (Some(id(8)), None));
}

#[actix_rt::test]
async fn after_a_restart_the_daemon_that_has_the_best_chain_is_chosen_at_once() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], |settings| {
        settings.patience.lag = Duration::from_secs(3_600);
    });
    (0..2).for_each(|place| harness.nth(place).grow(10));
    harness.look().await;
    look_until_stored(&mut harness, 660).await;
    harness.nth(0).chain.pop();
    restart(&mut harness);
    let chosen = async {
        while harness.states() != ["good", "*good"] {
            harness.look().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), chosen).await.is_ok(),
        "never chosen: {:?}",
        harness.states()
    );
    let job = harness.job().unwrap();
    assert_eq!((job.template.issuer, job.template.prev_hash), (Some(1), id(10)));
    assert_eq!((harness.tip().hash, harness.tip().behind), (Some(id(10)), None));
}

#[actix_rt::test]
async fn while_the_database_cannot_say_what_was_seen_the_pool_mines_and_no_money_moves() {
    let mut harness = Harness::new(|_| {});
    harness.parts.store.meta_set("best_chain", "damaged").await.unwrap();
    harness.look().await;
    assert!(harness.job().is_some());
    assert_eq!((harness.tip().height, harness.tip().hash), (Height::new(9), None));
    harness.parts.store.best_chain_give_up(Timestamp::from_ms(1)).await.unwrap();
    let recalled = async {
        while harness.tip().hash.is_none() {
            harness.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), recalled).await.is_ok(), "it is never asked again");
    assert_eq!(harness.tip().hash, Some(id(9)));
}
