//! The template actor over a scripted daemon and a real database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain::{BlockId, Hash32, HeaderBase, HeaderParts, Target};
use daemon::DaemonSettings;
use daemon::fake::{Answer, Fake, Seen};
use messages::counters::Counters;
use messages::facts::{CurrentJob, Tip};
use messages::share_ledger::DefineTemplate;
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Handler, Recipient, Refused, Reply};
use secrecy::SecretString;
use store::Store;
use template::{Pace, Published, TemplateActor, TemplateParts, TemplateSettings};
use units::{Difficulty, Height, Timestamp};

const NOW: i64 = 1_800_000_000;
const MINUTE: i64 = 60;

/// What the scripted daemon is in.
struct World {
    /// Ids and times of the main chain, by height.
    chain: Vec<(BlockId, i64)>,
    time: i64,
    templates: u64,
    mempool: u64,
    pays: &'static str,
    wallet_loaded: bool,
    loads: usize,
    lease_ends: i64,
    down: bool,
}

fn id(n: u64) -> BlockId {
    BlockId(chain::sha3_256(&[b"block", &n.to_le_bytes()]))
}

impl World {
    fn new() -> World {
        World {
            chain: (0..10).map(|n| (id(n), NOW - MINUTE)).collect(),
            time: NOW,
            templates: 0,
            mempool: 1,
            pays: "POOL",
            wallet_loaded: true,
            loads: 0,
            lease_ends: i64::MAX,
            down: false,
        }
    }

    fn answer(&mut self, seen: &Seen) -> Answer {
        if self.down {
            return Answer::plain(502, "nobody home");
        }
        let tip = self.chain.len() - 1;
        match seen.path.split(['?']).next().unwrap() {
            "/api/status" => Answer::json(
                200,
                format!(
                    r#"{{"peers":1,"chain_height":{tip},"best_hash":"{}","total_work":1,"syncing":false,"mempool_generation":{}}}"#,
                    &self.chain[tip].0.to_string()[..16],
                    self.mempool
                ),
            ),
            "/api/mining/blocktemplate" if !self.wallet_loaded => Answer::error(503, "no wallet loaded"),
            "/api/mining/blocktemplate" => self.template(tip),
            "/api/mining/renewtemplate" => Answer::json(200, r#"{"template_expires_at_unix_ms":1800000600000}"#),
            "/api/wallet/address" => Answer::json(200, r#"{"address":"POOL","view_only":false}"#),
            "/api/wallet/load" => {
                self.loads += 1;
                self.wallet_loaded = seen.body.contains("sesame");
                match self.wallet_loaded {
                    true => Answer::json(200, r#"{"address":"POOL","synced_height":1}"#),
                    false => Answer::error(401, "wrong password"),
                }
            }
            path => match path.strip_prefix("/api/block/").and_then(|height| height.parse::<usize>().ok()) {
                Some(height) if height <= tip => self.block(height),
                Some(_) => Answer::error(404, "block not found"),
                None => Answer::plain(404, "404 page not found\n"),
            },
        }
    }

    fn template(&mut self, tip: usize) -> Answer {
        self.templates += 1;
        let parts = HeaderParts {
            version: 1,
            height: Height::new(tip as u64 + 1),
            prev_hash: self.chain[tip].0,
            merkle_root: Hash32(chain::sha3_256(&[&self.templates.to_le_bytes()])),
            timestamp: self.time,
            difficulty: 60,
        };
        let target = Target::from_difficulty(Difficulty::new(60).unwrap());
        Answer::json(
            200,
            format!(
                r#"{{"block":{{"header":{{"Nonce":0}},"transactions":[]}},"header_base":"{}","target":"{target}","mempool_generation":{},"reward_address_used":"{}","template_id":"t{}","template_expires_at_unix_ms":{}}}"#,
                HeaderBase::build(&parts).to_hex(),
                self.mempool,
                self.pays,
                self.templates,
                self.lease_ends
            ),
        )
    }

    fn block(&self, height: usize) -> Answer {
        let (hash, time) = self.chain[height];
        Answer::json(
            200,
            format!(
                r#"{{"hash":"{hash}","height":{height},"prev_hash":"{hash}","merkle_root":"{hash}","nonce":1,"difficulty":60,"timestamp":{time},"confirmations":1,"reward":1}}"#
            ),
        )
    }
}

struct Stage {
    world: Arc<Mutex<World>>,
    fake: Fake,
    published: Arc<Published>,
    defined: Arc<Mutex<Vec<Hash32>>>,
    counters: Arc<Counters>,
    parts: TemplateParts,
    actor: TemplateActor,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(change: impl FnOnce(&mut TemplateSettings)) -> Stage {
        Stage::in_world(World::new(), change)
    }

    fn in_world(world: World, change: impl FnOnce(&mut TemplateSettings)) -> Stage {
        let world = Arc::new(Mutex::new(world));
        let script = Arc::clone(&world);
        let fake = Fake::start(move |seen| script.lock().unwrap().answer(seen));
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("pool.sqlite").display());
        // Opening blocks, which an actor's thread may not.
        let store = std::thread::spawn(move || {
            Store::migrate(&url).unwrap();
            Store::open(&url, 2).unwrap()
        });
        let defined: Arc<Mutex<Vec<Hash32>>> = Arc::default();
        let log = Arc::clone(&defined);
        let take = move |DefineTemplate(template): DefineTemplate, reply: Reply<DefineTemplate>| {
            log.lock().unwrap().push(template.merkle_root);
            reply.send(Ok(()));
            Ok(())
        };
        let mut settings = TemplateSettings {
            reward_address: Some("POOL".to_owned()),
            pace: Pace { min_age: Duration::ZERO, max_age: Duration::MAX },
            ..TemplateSettings::default()
        };
        change(&mut settings);
        let token = Some(SecretString::from("t"));
        let parts = TemplateParts {
            settings,
            daemon: DaemonSettings { url: fake.url.clone(), token, ..DaemonSettings::default() },
            store: store.join().unwrap(),
            published: Published::new(),
            ids: Arc::default(),
            counters: Arc::default(),
            clock: Arc::new(|| Timestamp::from_ms(NOW * 1_000)),
            ledger: Recipient::from_fn(take),
            me: Recipient::from_fn(|message, _| Err(Refused::Busy(message))),
        };
        let (published, counters) = (Arc::clone(&parts.published), Arc::clone(&parts.counters));
        let actor = TemplateActor::new(parts.clone());
        Stage { world, fake, published, defined, counters, parts, actor, _dir: dir }
    }

    /// Tells the actor to look and waits until it has.
    async fn look(&mut self) {
        let (reply, done) = Reply::test();
        self.actor.handle(RefreshTemplate(RefreshReason::Poll), reply).await.unwrap();
        done.await.unwrap();
    }

    fn job(&self) -> Option<Arc<CurrentJob>> {
        self.published.jobs().borrow().clone()
    }

    fn tip(&self) -> Tip {
        self.published.tips().borrow().clone()
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

#[actix_rt::test]
async fn the_first_look_publishes_tip_and_job_and_logs_the_definition() {
    let mut stage = Stage::new(|_| {});
    assert!(stage.job().is_none() && !stage.tip().reachable);
    stage.look().await;
    let job = stage.job().unwrap();
    assert_eq!((job.push, job.template.height), (1, Height::new(10)));
    assert_eq!(job.template.prev_hash, id(9));
    assert_eq!(job.template.daemon_id.as_deref(), Some("t1"));
    assert_eq!(
        stage.tip(),
        Tip { daemon: 0, height: Height::new(9), hash: Some(id(9)), syncing: false, reachable: true }
    );
    assert_eq!(*stage.defined.lock().unwrap(), [job.template.merkle_root]);
    assert!(stage.fake.seen().iter().any(|seen| seen.path.ends_with("blocktemplate?address=POOL")));
}

#[actix_rt::test]
async fn the_same_tip_and_mempool_cost_one_status_and_no_lease() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    let before = stage.fake.seen().len();
    stage.look().await;
    assert_eq!(stage.fake.seen().len(), before + 1);
    assert_eq!(stage.world().templates, 1);
}

#[actix_rt::test]
async fn a_changed_mempool_renews_the_template_without_a_push() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    let first = stage.job().unwrap();
    stage.world().mempool = 2;
    stage.look().await;
    let second = stage.job().unwrap();
    assert_eq!(second.push, first.push);
    assert_ne!(second.template.merkle_root, first.template.merkle_root);
    assert!(first.template.retired_at.get().is_none(), "it is still good for blocks");
}

#[actix_rt::test]
async fn an_old_template_is_renewed_for_its_time() {
    let mut stage = Stage::new(|settings| settings.pace = Pace { min_age: Duration::MAX, max_age: Duration::ZERO });
    stage.look().await;
    stage.look().await;
    assert_eq!((stage.world().templates, stage.job().unwrap().push), (2, 1));
}

#[actix_rt::test]
async fn a_new_tip_is_a_push_and_retires_every_template_of_the_old_one() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    let first = stage.job().unwrap();
    stage.world().mempool = 2;
    stage.look().await;
    let second = stage.job().unwrap();
    stage.world().chain.push((id(10), NOW - 1));
    stage.look().await;
    let third = stage.job().unwrap();
    assert_eq!((third.push, third.template.height), (2, Height::new(11)));
    assert!(first.template.retired_at.get().is_some() && second.template.retired_at.get().is_some());
    assert!(third.template.retired_at.get().is_none());
}

#[actix_rt::test]
async fn a_reorganisation_to_a_lower_tip_is_followed() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    stage.world().chain.truncate(8);
    stage.world().chain.push((id(100), NOW - 1));
    stage.look().await;
    let job = stage.job().unwrap();
    assert_eq!((job.push, job.template.height, job.template.prev_hash), (2, Height::new(9), id(100)));
}

#[actix_rt::test]
async fn a_template_that_pays_another_address_is_refused() {
    let mut world = World::new();
    world.pays = "SOMEBODY";
    let mut stage = Stage::in_world(world, |_| {});
    stage.look().await;
    assert!(stage.job().is_none() && stage.defined.lock().unwrap().is_empty());
    assert!(stage.tip().reachable);
    stage.world().pays = "POOL";
    stage.look().await;
    assert!(stage.job().is_some());
}

#[actix_rt::test]
async fn the_wallets_address_is_learned_once_and_pinned_for_ever() {
    let mut stage = Stage::new(|settings| settings.reward_address = None);
    stage.look().await;
    assert_eq!(stage.job().unwrap().template.reward_address, "POOL");
    assert_eq!(stage.parts.store.meta_get("reward_address").await.unwrap().as_deref(), Some("POOL"));
    let asked = || stage.fake.count("GET", "/api/wallet/address");
    assert_eq!(asked(), 1);
    // Another process of the same pool, another wallet: the stored address stands.
    let mut parts = stage.parts.clone();
    parts.published = Published::new();
    parts.store.meta_set("reward_address", "STORED").await.unwrap();
    let mut actor = TemplateActor::new(parts);
    let (reply, done) = Reply::test();
    actor.handle(RefreshTemplate(RefreshReason::Poll), reply).await.unwrap();
    done.await.unwrap();
    assert_eq!(asked(), 1);
    assert!(stage.fake.seen().iter().any(|seen| seen.path.ends_with("blocktemplate?address=STORED")));
}

#[actix_rt::test]
async fn an_unloaded_wallet_is_loaded_with_the_password() {
    let mut world = World::new();
    world.wallet_loaded = false;
    let mut stage = Stage::in_world(world, |settings| settings.wallet_password = Some(SecretString::from("sesame")));
    stage.look().await;
    assert_eq!((stage.world().loads, stage.job().is_some()), (1, true));
}

#[actix_rt::test]
async fn a_wrong_password_is_not_tried_again_at_once() {
    let mut world = World::new();
    world.wallet_loaded = false;
    let mut stage = Stage::in_world(world, |settings| settings.wallet_password = Some(SecretString::from("wrong")));
    for _ in 0..3 {
        stage.look().await;
    }
    assert_eq!((stage.world().loads, stage.job().is_none(), stage.tip().reachable), (1, true, true));
}

#[actix_rt::test]
async fn a_daemon_that_is_away_takes_no_job_away() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    let job = stage.job().unwrap();
    stage.world().down = true;
    stage.look().await;
    assert!(Arc::ptr_eq(&stage.job().unwrap(), &job));
    let tip = stage.tip();
    assert_eq!((tip.reachable, tip.height, tip.hash), (false, Height::new(9), Some(id(9))));
    stage.world().down = false;
    stage.look().await;
    assert!(stage.tip().reachable && Arc::ptr_eq(&stage.job().unwrap(), &job));
}

#[actix_rt::test]
async fn a_template_not_younger_than_its_parent_is_moved_and_loses_its_short_name() {
    let mut world = World::new();
    world.chain[9].1 = NOW + 5;
    let mut stage = Stage::in_world(world, |_| {});
    stage.look().await;
    let job = stage.job().unwrap();
    assert_eq!((job.template.header_base.timestamp(), job.template.daemon_id.as_deref()), (NOW + 6, None));
}

#[actix_rt::test]
async fn a_parent_too_far_in_the_future_holds_the_template_until_its_time_comes() {
    let mut world = World::new();
    world.chain[9].1 = NOW + 7_200;
    let mut stage = Stage::in_world(world, |_| {});
    stage.look().await;
    assert!(stage.job().is_none());
    stage.world().time = NOW + 7_201;
    stage.look().await;
    assert!(stage.job().is_some());
}

#[actix_rt::test]
async fn leases_that_end_soon_are_renewed_while_somebody_holds_their_template() {
    let mut world = World::new();
    world.lease_ends = (NOW + 60) * 1_000;
    let mut stage = Stage::in_world(world, |_| {});
    stage.look().await;
    let held = stage.job().unwrap();
    stage.world().mempool = 2;
    stage.look().await;
    stage.world().mempool = 3;
    stage.look().await; // The second template is nobody's now.
    stage.look().await;
    let bodies: Vec<_> =
        stage.fake.seen().into_iter().filter(|seen| seen.method == "POST").map(|seen| seen.body).collect();
    assert_eq!(bodies, [r#"{"template_id":"t1"}"#, r#"{"template_id":"t3"}"#]);
    stage.look().await;
    assert_eq!(stage.fake.count("POST", "/api/mining/renewtemplate"), 2, "renewed leases last");
    drop(held);
}

#[actix_rt::test]
async fn an_event_during_a_look_makes_it_look_once_more_and_a_poll_does_not() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    for (reason, looks) in [(RefreshReason::Poll, 1), (RefreshReason::Event, 2), (RefreshReason::BlockAccepted, 2)] {
        let before = stage.fake.count("GET", "/api/status");
        let (reply, done) = Reply::test();
        stage.actor.handle(RefreshTemplate(RefreshReason::Poll), reply).await.unwrap();
        let (reply, taken) = Reply::test();
        stage.actor.handle(RefreshTemplate(reason), reply).await.unwrap();
        taken.await.unwrap(); // Answered while the first look runs.
        done.await.unwrap();
        assert_eq!(stage.fake.count("GET", "/api/status") - before, looks, "{reason:?}");
    }
}

#[actix_rt::test]
async fn a_log_that_does_not_take_the_definition_delays_nothing_for_long() {
    let mut stage = Stage::new(|_| {});
    stage.parts.ledger = Recipient::from_fn(|message, _| Err(Refused::Busy(message)));
    stage.actor = TemplateActor::new(stage.parts.clone());
    stage.look().await;
    assert!(stage.job().is_some());
    assert_eq!(stage.counters.templates_total.get(), 1);
}

#[actix_rt::test]
async fn a_new_generation_goes_on_where_the_old_one_was() {
    let mut stage = Stage::new(|_| {});
    stage.look().await;
    let first = stage.job().unwrap();
    stage.actor = TemplateActor::new(stage.parts.clone());
    stage.look().await;
    assert_eq!(stage.job().unwrap().push, first.push, "a restart pushes nothing");
    stage.world().chain.push((id(10), NOW - 1));
    stage.look().await;
    assert_eq!(stage.job().unwrap().push, first.push + 1);
    assert!(first.template.retired_at.get().is_some());
}
