//! What is known of the best chain after a restart.
use std::time::Duration;

use store::best_chain::BestChain;
use template::Published;
use units::{Height, Timestamp};

use crate::stage::{NOW, Stage, World, id};

/// Another process with the same database.
fn restart(stage: &mut Stage) {
    stage.again(|parts| parts.published = Published::new());
}

async fn stored(stage: &Stage) -> Option<BestChain> {
    stage.parts.store.best_chain_get().await.unwrap()
}

/// Looks until the database has, or says, what it should.
async fn look_until_stored(stage: &mut Stage, work: u64) {
    let wait = async {
        while stored(stage).await.is_none_or(|best| best.work != work) {
            stage.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "never stored: {work}");
}

/// A pool that saw a chain of eleven blocks, and is started again beside a daemon that has ten.
async fn restarted_behind() -> Stage {
    let mut stage = Stage::new(|_| {});
    stage.world().grow(10);
    stage.look().await;
    look_until_stored(&mut stage, 660).await;
    stage.world().chain.pop();
    restart(&mut stage);
    stage.look().await;
    stage
}

#[actix_rt::test]
async fn the_best_chain_is_stored_as_it_grows() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    look_until_stored(&mut stage, 600).await;
    stage.world().grow(10);
    stage.look().await;
    look_until_stored(&mut stage, 660).await;
    let best = BestChain { height: Height::new(10), work: 660, seen_at: Timestamp::from_ms(NOW * 1_000) };
    assert_eq!(stored(&stage).await, Some(best));
}

#[actix_rt::test]
async fn after_a_restart_an_older_tip_is_not_mined_and_no_money_follows_from_it() {
    let mut stage = restarted_behind().await;
    let tip = stage.tip();
    assert_eq!((tip.height, tip.hash, tip.behind), (Height::new(9), None, Some(Height::new(10))));
    assert!(stage.job().is_none() && stage.states() == ["*behind"]);
    assert_eq!((stage.world().templates, stage.counters.templates_older_total.get()), (1, 1), "no lease is taken");
    stage.world().grow(10);
    stage.look().await;
    let tip = stage.tip();
    assert_eq!((tip.height, tip.hash, tip.behind), (Height::new(10), Some(id(10)), None));
    assert!(stage.job().is_some() && stage.states() == ["*good"]);
}

#[actix_rt::test]
async fn an_older_tip_is_mined_after_a_while_but_no_money_follows_from_it_until_there_is_as_much_work() {
    let mut stage = restarted_behind().await;
    stage.again(|parts| parts.settings.pace.step_back = Duration::ZERO);
    stage.look().await;
    assert_eq!(stage.job().unwrap().template.height, Height::new(10));
    stage.world().chain.truncate(9);
    stage.world().grow(100);
    stage.look().await;
    assert_eq!(stage.job().unwrap().template.prev_hash, id(100), "it is followed wherever it goes");
    assert_eq!((stage.tip().hash, stage.tip().behind), (None, Some(Height::new(10))));
    assert_eq!(stored(&stage).await.unwrap().work, 660);
    stage.world().grow(101);
    stage.look().await;
    assert_eq!((stage.tip().hash, stage.tip().behind), (Some(id(101)), None), "as much as was ever seen");
}

#[actix_rt::test]
async fn a_chain_that_an_operator_gave_up_is_not_waited_for() {
    let mut stage = restarted_behind().await;
    stage.parts.store.best_chain_give_up(Timestamp::from_ms(1)).await.unwrap();
    let followed = async {
        while stage.tip().hash.is_none() {
            stage.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), followed).await.is_ok(), "the chain is never followed");
    assert_eq!((stage.tip().hash, stage.tip().behind), (Some(id(9)), None));
    assert_eq!(stage.job().unwrap().template.prev_hash, id(9));
    look_until_stored(&mut stage, 600).await;
    // And with a restart in between.
    stage.world().chain.pop();
    stage.parts.store.best_chain_give_up(Timestamp::from_ms(2)).await.unwrap();
    restart(&mut stage);
    stage.look().await;
    assert_eq!((stage.tip().hash, stage.tip().behind), (Some(id(8)), None));
}

#[actix_rt::test]
async fn after_a_restart_the_daemon_that_has_the_best_chain_is_chosen_at_once() {
    let mut stage = Stage::in_worlds(vec![World::new(), World::new()], |settings| {
        settings.patience.lag = Duration::from_secs(3_600);
    });
    (0..2).for_each(|place| stage.nth(place).grow(10));
    stage.look().await;
    look_until_stored(&mut stage, 660).await;
    stage.nth(0).chain.pop();
    restart(&mut stage);
    let chosen = async {
        while stage.states() != ["good", "*good"] {
            stage.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), chosen).await.is_ok(), "never chosen: {:?}", stage.states());
    let job = stage.job().unwrap();
    assert_eq!((job.template.issuer, job.template.prev_hash), (Some(1), id(10)));
    assert_eq!((stage.tip().hash, stage.tip().behind), (Some(id(10)), None));
}

#[actix_rt::test]
async fn while_the_database_cannot_say_what_was_seen_the_pool_mines_and_no_money_moves() {
    let mut stage = Stage::new(|_| {});
    stage.parts.store.meta_set("best_chain", "damaged").await.unwrap();
    stage.look().await;
    assert!(stage.job().is_some());
    assert_eq!((stage.tip().height, stage.tip().hash), (Height::new(9), None));
    stage.parts.store.best_chain_give_up(Timestamp::from_ms(1)).await.unwrap();
    let recalled = async {
        while stage.tip().hash.is_none() {
            stage.look().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), recalled).await.is_ok(), "it is never asked again");
    assert_eq!(stage.tip().hash, Some(id(9)));
}
