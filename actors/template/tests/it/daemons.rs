//! Several daemons: which one is followed, and what the others are good for.
use std::time::Duration;

use template::{FailoverTimeouts, TemplateSettings};
use units::Height;

use crate::harness::{Harness, World, id, until};

fn calm(settings: &mut TemplateSettings) {
    let long = Duration::from_secs(3_600);
    settings.patience = FailoverTimeouts { lag: long, settle: long, bar: long, bar_max: long };
}

fn eager(settings: &mut TemplateSettings) {
    let none = Duration::ZERO;
    settings.patience = FailoverTimeouts { lag: none, settle: none, bar: none, bar_max: none };
}

/// Looks until every daemon was asked.
async fn look_around(harness: &mut Harness) {
    harness.look().await;
    until("every daemon was asked", || harness.states().iter().all(|state| !state.ends_with("unknown"))).await;
    harness.look().await;
}

#[actix_rt::test]
async fn the_first_daemon_is_followed_and_the_others_only_watched() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], calm);
    look_around(&mut harness).await;
    assert_eq!(harness.states(), ["*good", "good"]);
    assert_eq!((harness.nth(0).templates, harness.nth(1).templates), (1, 0));
    assert_eq!((harness.job().unwrap().template.issuer, harness.tip().daemon), (Some(0), 0));
    assert_eq!(harness.health()[1].height, Height::new(9));
}

#[actix_rt::test]
async fn a_daemon_that_is_away_is_replaced_without_a_push_and_taken_back_later() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], calm);
    look_around(&mut harness).await;
    let first = harness.job().unwrap();
    harness.nth(0).down = true;
    harness.nth(1).mempool = 7;
    harness.look().await;
    assert_eq!(harness.states(), ["away", "*good"]);
    let second = harness.job().unwrap();
    assert_eq!((second.template.issuer, second.push), (Some(1), first.push), "the same tip is the same work");
    assert_eq!((harness.tip().daemon, harness.tip().reachable), (1, true));
    assert_eq!(harness.metrics.daemon_switches_total.get(), 1);
    harness.nth(1).grow(10);
    harness.look().await;
    let third = harness.job().unwrap();
    assert_eq!((third.template.prev_hash, third.template.issuer), (id(10), Some(1)));
    harness.nth(0).down = false;
    harness.nth(0).grow(10);
    for _ in 0..5 {
        harness.look().await;
    }
    until("it answers again", || harness.states()[0] == "good").await;
    harness.look().await;
    assert_eq!(harness.states(), ["good", "*good"], "not before it was well for a while");
    harness.again(|parts| eager(&mut parts.settings));
    look_around(&mut harness).await;
    assert_eq!(harness.states(), ["*good", "good"]);
    assert_eq!(harness.job().unwrap().push, third.push);
}

#[actix_rt::test]
async fn a_daemon_on_a_tip_with_less_work_is_left_and_its_templates_wait() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], eager);
    look_around(&mut harness).await;
    harness.nth(1).grow(10);
    look_around(&mut harness).await;
    until("the better one was seen", || harness.health()[1].height == Height::new(10)).await;
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.template.prev_hash, job.template.issuer), (id(10), Some(1)));
    assert_eq!(harness.states(), ["behind", "*good"]);
    harness.nth(1).down = true; // Now the first is all there is, and it still has less work.
    harness.look().await;
    harness.look().await;
    assert_eq!(harness.states(), ["*behind", "away"]);
    assert_eq!(harness.job().unwrap().template.prev_hash, id(10));
    assert!(harness.metrics.templates_older_total.get() > 0);
    harness.nth(0).grow(10);
    harness.nth(0).grow(11);
    harness.look().await;
    let job = harness.job().unwrap();
    assert_eq!((job.template.prev_hash, job.template.issuer), (id(11), Some(0)));
}

#[actix_rt::test]
async fn a_daemon_that_would_pay_another_address_is_left_and_counted() {
    let mut harness = Harness::in_worlds(vec![World { pays: "SOMEBODY", ..World::new() }, World::new()], calm);
    look_around(&mut harness).await;
    look_around(&mut harness).await;
    assert_eq!(harness.states(), ["foreign_address", "*good"]);
    let job = harness.job().unwrap();
    assert_eq!((job.template.issuer, job.template.reward_address.as_str()), (Some(1), "POOL"));
    assert_eq!(
        (harness.nth(0).templates, harness.metrics.templates_foreign_total.get()),
        (1, 1),
        "it is not asked again"
    );
}

#[actix_rt::test]
async fn a_chain_that_only_an_unusable_daemon_shows_is_nobodys_tip() {
    let mut rogue = World { pays: "SOMEBODY", ..World::new() };
    rogue.chain.iter_mut().enumerate().for_each(|(n, block)| block.0 = id(1_000 + n as u64));
    rogue.work_bonus = 1_000_000;
    let mut harness = Harness::in_worlds(vec![World::new(), rogue], |settings| {
        calm(settings);
        settings.patience.lag = Duration::ZERO;
    });
    for _ in 0..5 {
        look_around(&mut harness).await;
        assert_eq!((harness.tip().daemon, harness.tip().hash), (0, Some(id(9))));
    }
    assert_eq!(harness.states(), ["*good", "foreign_address"]);
    assert_eq!(harness.job().unwrap().template.prev_hash, id(9));
}

#[actix_rt::test]
async fn a_syncing_daemon_is_left() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], calm);
    look_around(&mut harness).await;
    harness.nth(0).syncing = true;
    harness.look().await;
    assert_eq!(harness.states(), ["syncing", "*good"]);
}

#[actix_rt::test]
async fn the_reward_address_is_learned_from_the_first_daemon_alone() {
    let mut harness = Harness::in_worlds(vec![World::new(), World::new()], |settings| {
        calm(settings);
        settings.reward_address = None;
    });
    harness.nth(0).down = true;
    look_around(&mut harness).await;
    look_around(&mut harness).await;
    assert!(harness.job().is_none(), "the second daemon has another wallet");
    assert_eq!(harness.fakes[1].count("GET", "/api/wallet/address"), 0);
    assert_eq!(harness.states(), ["away", "*good"], "the second daemon is not to blame");
    harness.nth(0).down = false;
    harness.look().await;
    assert_eq!(harness.job().unwrap().template.issuer, Some(1));
}

#[actix_rt::test]
async fn leases_are_renewed_where_they_were_given() {
    let lease_ends = (crate::harness::NOW + 60) * 1_000;
    let worlds = vec![World { lease_ends, ..World::new() }, World::new()];
    let mut harness = Harness::in_worlds(worlds, calm);
    look_around(&mut harness).await;
    let held = harness.job().unwrap();
    until("renewed", || harness.fakes[0].count("POST", "/api/mining/renewtemplate") == 1).await;
    harness.nth(0).down = true;
    harness.nth(1).lease_ends = lease_ends;
    harness.nth(1).mempool = 9;
    look_around(&mut harness).await;
    until("renewed there", || harness.fakes[1].count("POST", "/api/mining/renewtemplate") == 1).await;
    assert_eq!(held.template.issuer, Some(0));
}
