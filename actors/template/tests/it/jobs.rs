//! What one daemon's looks lead to.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use messages::facts::{CurrentJob, Tip};
use messages::share_ledger::DefineTemplate;
use messages::template::RefreshReason;
use runtime::{Recipient, Refused};
use template::{Pace, Published};
use units::Height;

use crate::harness::{Harness, NOW, World, id, until};

#[actix_rt::test]
async fn the_first_look_publishes_tip_and_job_and_logs_the_definition() {
    let mut harness = Harness::new(|_| {});
    assert!(harness.job().is_none() && !harness.tip().reachable);
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.push, job.template.height), (1, Height::new(10)));
    assert_eq!(job.template.prev_hash, id(9));
    assert_eq!(job.template.daemon_id.as_deref(), Some("t1"));
    assert_eq!(
        harness.tip(),
        Tip { daemon: 0, height: Height::new(9), hash: Some(id(9)), reachable: true, ..Tip::default() }
    );
    assert_eq!(*harness.defined.lock().unwrap(), [job.template.merkle_root]);
    assert!(harness.fakes[0].seen().iter().any(|seen| seen.path.ends_with("blocktemplate?address=POOL")));
}

#[actix_rt::test]
async fn the_same_tip_and_mempool_cost_one_status_and_no_lease() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    let before = harness.fakes[0].seen().len();
    harness.look().await;
    assert_eq!(harness.fakes[0].seen().len(), before + 1);
    assert_eq!(harness.world().templates, 1);
}

/// Two templates of one tip, the second for another mempool.
async fn renewed() -> (Harness, [Arc<CurrentJob>; 2]) {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    let first = harness.job().unwrap();
    harness.world().mempool = 2;
    harness.look().await;
    let second = harness.job().unwrap();
    (harness, [first, second])
}

#[actix_rt::test]
async fn a_changed_mempool_renews_the_template_without_a_push() {
    let (_stage, [first, second]) = renewed().await;
    assert_eq!(second.push, first.push);
    assert_ne!(second.template.merkle_root, first.template.merkle_root);
    assert!(first.template.retired_at.get().is_none(), "it is still good for blocks");
}

#[actix_rt::test]
async fn an_old_template_is_renewed_for_its_time() {
    let mut harness = Harness::new(|settings| {
        settings.pace = Pace { min_age: Duration::MAX, max_age: Duration::ZERO, ..settings.pace }
    });
    harness.look().await;
    harness.look().await;
    assert_eq!((harness.world().templates, harness.job().unwrap().push), (2, 1));
}

#[actix_rt::test]
async fn a_new_tip_is_a_push_and_retires_every_template_of_the_old_one() {
    let (mut harness, [first, second]) = renewed().await;
    harness.world().grow(10);
    harness.look().await;
    let third = harness.job().unwrap();
    assert_eq!((third.push, third.template.height), (2, Height::new(11)));
    assert!(first.template.retired_at.get().is_some() && second.template.retired_at.get().is_some());
    assert!(third.template.retired_at.get().is_none());
}

#[actix_rt::test]
async fn a_reorganisation_with_more_work_is_followed_to_a_lower_and_to_the_same_height() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    harness.world().chain.truncate(8);
    harness.world().grow(100);
    harness.world().work_bonus = 1_000;
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.push, job.template.height, job.template.prev_hash), (2, Height::new(9), id(100)));
    harness.world().chain.pop();
    harness.world().grow(101);
    harness.world().work_bonus += 1;
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.push, job.template.height, job.template.prev_hash), (3, Height::new(9), id(101)));
}

#[actix_rt::test]
async fn an_older_template_never_replaces_a_newer_one() {
    let mut harness = Harness::new(|_| {});
    harness.world().grow(10);
    harness.look().await;
    let job = harness.job().unwrap();
    harness.world().chain.pop(); // An old answer, or a daemon that lost its newest block in a crash.
    for older in 1..=3 {
        harness.look().await;
        assert!(Arc::ptr_eq(&harness.job().unwrap(), &job));
        assert_eq!((harness.world().templates, harness.metrics.templates_older_total.get()), (1, older));
    }
    harness.world().grow(10);
    harness.look().await;
    assert!(Arc::ptr_eq(&harness.job().unwrap(), &job), "nothing has changed");
    harness.world().chain.pop();
    harness.again(|parts| parts.settings.pace.step_back = Duration::ZERO);
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.height, Height::new(10), "for ever it is not insisted upon");
    assert_eq!(
        (harness.tip().height, harness.tip().hash),
        (Height::new(9), None),
        "but nothing about money follows from it"
    );
    harness.world().grow(11);
    harness.look().await;
    assert_eq!(harness.tip().hash, Some(id(11)), "as much work as was ever seen");
}

#[actix_rt::test]
async fn a_template_that_pays_another_address_is_refused() {
    let mut world = World::new();
    world.pays = "SOMEBODY";
    let mut harness = Harness::in_world(world, |_| {});
    harness.look().await;
    assert!(harness.job().is_none() && harness.defined.lock().unwrap().is_empty());
    assert!(harness.tip().reachable);
    assert_eq!((harness.states(), harness.metrics.templates_foreign_total.get()), (vec!["*foreign_address".into()], 1));
    harness.world().pays = "POOL";
    harness.look().await;
    assert!(harness.job().is_some());
}

#[actix_rt::test]
async fn the_wallets_address_is_learned_once_and_pinned_for_ever() {
    let mut harness = Harness::new(|settings| settings.reward_address = None);
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.reward_address, "POOL");
    assert_eq!(harness.parts.store.meta_get("reward_address").await.unwrap().as_deref(), Some("POOL"));
    let asked = |harness: &Harness| harness.count("GET", "/api/wallet/address");
    assert_eq!(asked(&harness), 1);
    // Another process of the same pool, another wallet: the stored address stands.
    harness.parts.store.meta_set("reward_address", "STORED").await.unwrap();
    harness.again(|parts| parts.published = Published::new());
    harness.look().await;
    assert_eq!(asked(&harness), 1);
    assert!(harness.fakes[0].seen().iter().any(|seen| seen.path.ends_with("blocktemplate?address=STORED")));
    assert!(harness.states() == ["*foreign_address"], "this daemon pays POOL whatever it is told");
}

#[actix_rt::test]
async fn the_address_of_the_settings_overrides_the_stored_one() {
    let mut harness = Harness::new(|_| {});
    harness.parts.store.meta_set("reward_address", "STORED").await.unwrap();
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.reward_address, "POOL");
    assert_eq!(harness.parts.store.meta_get("reward_address").await.unwrap().as_deref(), Some("STORED"));
}

#[actix_rt::test]
async fn an_unloaded_wallet_is_loaded_with_the_password() {
    let mut world = World::new();
    world.wallet_loaded = false;
    let mut harness = Harness::in_world(world, |_| {});
    harness.again(|parts| parts.sources[0].wallet_password = Arc::new(|| Some("sesame".into())));
    harness.look().await;
    assert_eq!((harness.world().loads, harness.job().is_some()), (1, true));
}

#[actix_rt::test]
async fn a_wrong_password_is_not_tried_again_at_once() {
    let mut world = World::new();
    world.wallet_loaded = false;
    let mut harness = Harness::in_world(world, |_| {});
    harness.again(|parts| parts.sources[0].wallet_password = Arc::new(|| Some("wrong".into())));
    for _ in 0..3 {
        harness.look().await;
    }
    assert_eq!((harness.world().loads, harness.job().is_none(), harness.tip().reachable), (1, true, true));
}

#[actix_rt::test]
async fn a_daemon_that_is_away_takes_no_job_away() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    let job = harness.job().unwrap();
    harness.world().down = true;
    harness.look().await;
    assert!(Arc::ptr_eq(&harness.job().unwrap(), &job));
    let tip = harness.tip();
    assert_eq!((tip.reachable, tip.height, tip.hash), (false, Height::new(9), Some(id(9))));
    harness.world().down = false;
    harness.look().await;
    assert!(harness.tip().reachable && Arc::ptr_eq(&harness.job().unwrap(), &job));
}

#[actix_rt::test]
async fn a_template_not_younger_than_its_parent_is_moved_and_loses_its_short_name() {
    let mut world = World::new();
    world.chain[9].1 = NOW + 5;
    let mut harness = Harness::in_world(world, |_| {});
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.template.header_base.timestamp(), job.template.daemon_id.as_deref()), (NOW + 6, None));
}

#[actix_rt::test]
async fn a_parent_too_far_in_the_future_holds_the_template_until_its_time_comes() {
    let mut world = World::new();
    world.chain[9].1 = NOW + 7_200;
    let mut harness = Harness::in_world(world, |_| {});
    harness.look().await;
    assert!(harness.job().is_none());
    harness.world().time = NOW + 7_201;
    harness.look().await;
    assert!(harness.job().is_some());
}

#[actix_rt::test]
async fn leases_that_end_soon_are_renewed_while_somebody_holds_their_template() {
    let mut harness = Harness::in_world(World { lease_ends: (NOW + 300) * 1_000, ..World::new() }, |_| {});
    harness.look().await;
    let held = harness.job().unwrap();
    for mempool in 2..4 {
        harness.world().mempool = mempool; // The second template is nobody's after the third.
        harness.look().await;
    }
    let renewals = |harness: &Harness| {
        let posts = harness.fakes[0].seen().into_iter().filter(|seen| seen.method == "POST");
        posts.map(|seen| seen.body).collect::<Vec<_>>()
    };
    assert!(renewals(&harness).is_empty());
    harness.clock.fetch_add(250, Ordering::Relaxed);
    harness.look().await;
    until("both are renewed", || renewals(&harness).len() >= 2).await;
    harness.look().await;
    harness.look().await;
    assert_eq!(renewals(&harness), [r#"{"template_id":"t1"}"#, r#"{"template_id":"t3"}"#], "renewed leases last");
    drop(held);
}

#[actix_rt::test]
async fn an_event_during_a_look_makes_it_look_once_more_and_a_poll_does_not() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    let reasons = [RefreshReason::Poll, RefreshReason::Event, RefreshReason::BlockAccepted];
    for (height, reason) in (10..).zip(reasons) {
        let before = harness.count("GET", "/api/status");
        let (open, gate) = mpsc::channel();
        harness.world().gate = Some(gate);
        let first = harness.ask(RefreshReason::Poll).await;
        // The answer that is on its way knows nothing of the block that comes now.
        until("the look has asked", || harness.count("GET", "/api/status") == before + 1).await;
        until("the answer is made", || harness.world().gate.is_none()).await;
        harness.world().grow(height);
        harness.ask(reason).await.await.unwrap(); // Answered while the first look runs.
        open.send(()).unwrap();
        first.await.unwrap();
        if reason == RefreshReason::Poll {
            assert_eq!(harness.job().unwrap().template.height, Height::new(10), "the next poll will find it");
            harness.look().await;
        }
        until("the new tip is mined", || harness.job().unwrap().template.height == Height::new(height + 1)).await;
    }
}

#[actix_rt::test]
async fn leases_that_are_used_up_are_waited_for_until_the_tip_changes() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    harness.world().mempool = 2;
    harness.world().cache_full = Some(500);
    let asked = |harness: &Harness| harness.count("GET", "/api/mining/blocktemplate");
    for _ in 0..3 {
        harness.look().await;
    }
    assert_eq!((asked(&harness), harness.job().unwrap().push), (2, 1), "it said when to come back");
    assert_eq!(harness.states(), ["*good"]);
    harness.world().cache_full = None; // A new tip frees all leases.
    harness.world().grow(10);
    harness.look().await;
    assert_eq!((asked(&harness), harness.job().unwrap().push), (3, 2));
}

#[actix_rt::test]
async fn a_refused_template_is_not_fetched_again_in_a_hurry() {
    let mut world = World::new();
    world.pays = "SOMEBODY";
    let mut harness = Harness::in_world(world, |settings| settings.pace.min_age = Duration::MAX / 4);
    for _ in 0..5 {
        harness.look().await;
    }
    assert_eq!(harness.world().templates, 1);
}

/// A held template of this size whose lease ends soon, then one that replaces it for its time.
async fn pushes_when_a_lease_ends(block_bytes: usize, renews: bool) -> u64 {
    let world = World { block_bytes, renews, lease_ends: (NOW + 60) * 1_000, ..World::new() };
    let mut harness = Harness::in_world(world, |_| {});
    harness.look().await;
    let held = harness.job().unwrap();
    until("a renewal was tried", || harness.count("POST", "/api/mining/renewtemplate") == 1).await;
    harness.world().lease_ends = i64::MAX;
    for mempool in 2..6 {
        harness.world().mempool = mempool;
        harness.look().await;
    }
    assert!(held.template.retired_at.get().is_none());
    harness.job().unwrap().push
}

#[actix_rt::test]
async fn work_that_could_not_be_submitted_any_more_is_replaced_by_one_push() {
    assert_eq!(pushes_when_a_lease_ends(0, false).await, 1, "it goes as a whole block");
    assert_eq!(pushes_when_a_lease_ends(1_000_000, true).await, 1, "its lease is renewed");
    assert_eq!(pushes_when_a_lease_ends(1_000_000, false).await, 2, "too large, and without a name soon");
}

#[actix_rt::test]
async fn a_daemon_that_cannot_renew_is_asked_once_and_gives_new_templates_instead() {
    let world = World { renews: false, lease_ends: (NOW + 60) * 1_000, ..World::new() };
    let mut harness = Harness::in_world(world, |settings| settings.pace.max_age = Duration::ZERO);
    let renewals = |harness: &Harness| harness.count("POST", "/api/mining/renewtemplate");
    let mut held = Vec::new();
    for fetched in 1..=5 {
        harness.look().await;
        until("a renewal was tried", || renewals(&harness) == 1).await;
        held.push(harness.job().unwrap());
        assert_eq!((harness.world().templates, held.last().unwrap().push), (fetched, 1));
    }
    assert_eq!(renewals(&harness), 1);
    assert!(held.iter().all(|job| job.template.retired_at.get().is_none()), "all are good for blocks, as a whole");
}

#[actix_rt::test]
async fn a_log_that_does_not_take_the_definition_delays_nothing_for_long() {
    let mut harness = Harness::new(|_| {});
    harness.again(|parts| parts.ledger = Recipient::from_fn(|message, _| Err(Refused::Busy(message))));
    harness.look().await;
    assert!(harness.job().is_some());
    assert_eq!(harness.metrics.templates_total.get(), 1);
}

#[actix_rt::test]
async fn a_new_job_does_not_wait_for_the_log() {
    let mut harness = Harness::new(|_| {});
    let early = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&early);
    harness.again(move |parts| {
        let jobs = parts.published.jobs();
        parts.ledger = Recipient::from_fn(move |DefineTemplate(template): DefineTemplate, reply| {
            let is_it = |job: &Arc<CurrentJob>| job.template.merkle_root == template.merkle_root;
            seen.store(jobs.borrow().as_ref().is_some_and(is_it), Ordering::Relaxed);
            reply.send(Ok(()));
            Ok(())
        });
    });
    harness.look().await;
    assert!(early.load(Ordering::Relaxed), "miners had it before the disk");
}

#[actix_rt::test]
async fn a_new_generation_goes_on_where_the_old_one_was() {
    let mut harness = Harness::new(|_| {});
    harness.look().await;
    let first = harness.job().unwrap();
    harness.again(|_| {});
    harness.look().await;
    assert_eq!(harness.job().unwrap().push, first.push, "a restart pushes nothing");
    harness.world().grow(10);
    harness.look().await;
    assert_eq!(harness.job().unwrap().push, first.push + 1);
    assert!(first.template.retired_at.get().is_some());
}
