//! Scripted daemons, a database, and an actor between them.
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chain::{BlockId, Hash32, HeaderBase, HeaderParts, Target};
use daemon::fake::{Fake, RecordedRequest, ScriptedAnswer};
use messages::facts::{CurrentJob, DaemonHealth, Tip};
use messages::share_ledger::DefineTemplate;
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Handler, Recipient, Reply};
use secrecy::SecretString;
use settings::DaemonEndpoint;
use store::Store;
use template::{Pace, Published, TemplateActor, TemplateMetrics, TemplateParts, TemplateSettings, TemplateSource};
use tokio::sync::oneshot;
use units::{Difficulty, Height, Timestamp};

pub(crate) const NOW: i64 = 1_800_000_000;
const MINUTE: i64 = 60;
const BLOCK_WORK: usize = 60;

/// What a scripted daemon is in.
pub(crate) struct World {
    /// Ids and times of the main chain, by height.
    pub(crate) chain: Vec<(BlockId, i64)>,
    /// Work beyond that of a chain of this length.
    pub(crate) work_bonus: usize,
    pub(crate) time: i64,
    pub(crate) templates: u64,
    pub(crate) mempool: u64,
    pub(crate) pays: &'static str,
    pub(crate) wallet_loaded: bool,
    pub(crate) loads: usize,
    pub(crate) lease_ends: i64,
    pub(crate) renews: bool,
    /// Seconds to stay away from it, while its leases are used up.
    pub(crate) cache_full: Option<u64>,
    pub(crate) block_bytes: usize,
    pub(crate) syncing: bool,
    pub(crate) down: bool,
    /// Holds the next answer to a status back, once it is made, until something arrives.
    pub(crate) gate: Option<mpsc::Receiver<()>>,
}

pub(crate) fn id(n: u64) -> BlockId {
    BlockId(chain::sha3_256(&[b"block", &n.to_le_bytes()]))
}

impl World {
    pub(crate) fn new() -> World {
        World {
            chain: (0..10).map(|n| (id(n), NOW - MINUTE)).collect(),
            work_bonus: 0,
            time: NOW,
            templates: 0,
            mempool: 1,
            pays: "POOL",
            wallet_loaded: true,
            loads: 0,
            lease_ends: i64::MAX,
            renews: true,
            cache_full: None,
            block_bytes: 0,
            syncing: false,
            down: false,
            gate: None,
        }
    }

    /// The chain grows by a block.
    pub(crate) fn grow(&mut self, n: u64) {
        self.chain.push((id(n), NOW - 1));
    }

    fn answer(&mut self, seen: &RecordedRequest) -> ScriptedAnswer {
        if self.down {
            return ScriptedAnswer::plain(502, "nobody home");
        }
        let tip = self.chain.len() - 1;
        match seen.path.split(['?']).next().unwrap() {
            "/api/status" => self.status(tip),
            "/api/mining/blocktemplate" if !self.wallet_loaded => ScriptedAnswer::error(503, "no wallet loaded"),
            "/api/mining/blocktemplate" => match self.cache_full {
                Some(seconds) => {
                    let body = r#"{"code":"mining_template_cache_full","error":"mining template cache full"}"#;
                    ScriptedAnswer { retry_after: Some(seconds), ..ScriptedAnswer::json(503, body) }
                }
                None => self.template(tip),
            },
            "/api/mining/renewtemplate" if !self.renews => ScriptedAnswer::plain(404, "404 page not found\n"),
            "/api/mining/renewtemplate" => {
                ScriptedAnswer::json(200, format!(r#"{{"template_expires_at_unix_ms":{}}}"#, (NOW + 600) * 1_000))
            }
            "/api/wallet/address" => ScriptedAnswer::json(200, r#"{"address":"POOL","view_only":false}"#),
            "/api/wallet/load" => {
                self.loads += 1;
                self.wallet_loaded = seen.body.contains("sesame");
                match self.wallet_loaded {
                    true => ScriptedAnswer::json(200, r#"{"address":"POOL","synced_height":1}"#),
                    false => ScriptedAnswer::error(401, "wrong password"),
                }
            }
            path => match path.strip_prefix("/api/block/").and_then(|height| height.parse::<usize>().ok()) {
                Some(height) if height <= tip => self.block(height),
                Some(_) => ScriptedAnswer::error(404, "block not found"),
                None => ScriptedAnswer::plain(404, "404 page not found\n"),
            },
        }
    }

    fn status(&self, tip: usize) -> ScriptedAnswer {
        let sync = if self.syncing { r#""syncing":true,"sync_target":99999"# } else { r#""syncing":false"# };
        ScriptedAnswer::json(
            200,
            format!(
                r#"{{"peers":1,"chain_height":{tip},"best_hash":"{}","total_work":{},{sync},"mempool_generation":{}}}"#,
                &self.chain[tip].0.to_string()[..16],
                self.chain.len() * BLOCK_WORK + self.work_bonus,
                self.mempool
            ),
        )
    }

    fn template(&mut self, tip: usize) -> ScriptedAnswer {
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
        ScriptedAnswer::json(
            200,
            format!(
                r#"{{"block":{{"header":{{"Nonce":0}},"transactions":[],"filler":"{}"}},"header_base":"{}","target":"{target}","mempool_generation":{},"reward_address_used":"{}","template_id":"t{}","template_expires_at_unix_ms":{}}}"#,
                "x".repeat(self.block_bytes),
                HeaderBase::build(&parts).to_hex(),
                self.mempool,
                self.pays,
                self.templates,
                self.lease_ends
            ),
        )
    }

    fn block(&self, height: usize) -> ScriptedAnswer {
        let (hash, time) = self.chain[height];
        ScriptedAnswer::json(
            200,
            format!(
                r#"{{"hash":"{hash}","height":{height},"prev_hash":"{hash}","merkle_root":"{hash}","nonce":1,"difficulty":60,"timestamp":{time},"confirmations":1,"reward":1}}"#
            ),
        )
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "never: {what}");
}

pub(crate) struct Harness {
    worlds: Vec<Arc<Mutex<World>>>,
    pub(crate) fakes: Vec<Fake>,
    pub(crate) published: Arc<Published>,
    pub(crate) defined: Arc<Mutex<Vec<Hash32>>>,
    pub(crate) metrics: Arc<TemplateMetrics>,
    pub(crate) parts: TemplateParts,
    /// Seconds.
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) actor: TemplateActor,
    _dir: tempfile::TempDir,
}

impl Harness {
    pub(crate) fn new(change: impl FnOnce(&mut TemplateSettings)) -> Harness {
        Harness::in_world(World::new(), change)
    }

    pub(crate) fn in_world(world: World, change: impl FnOnce(&mut TemplateSettings)) -> Harness {
        Harness::in_worlds(vec![world], change)
    }

    /// With one daemon for each world, in order of preference.
    pub(crate) fn in_worlds(worlds: Vec<World>, change: impl FnOnce(&mut TemplateSettings)) -> Harness {
        let worlds: Vec<_> = worlds.into_iter().map(|world| Arc::new(Mutex::new(world))).collect();
        let serve = |world: &Arc<Mutex<World>>| {
            let world = Arc::clone(world);
            Fake::start(move |seen| {
                let mut world = world.lock().unwrap();
                let answer = world.answer(seen);
                let gate = if seen.path == "/api/status" { world.gate.take() } else { None };
                drop(world);
                if let Some(gate) = gate {
                    gate.recv().unwrap();
                }
                answer
            })
        };
        let fakes: Vec<_> = worlds.iter().map(serve).collect();
        let sources = fakes.iter().map(|fake| source(&fake.url)).collect();
        let (mut parts, defined, dir) = parts(sources, change);
        let clock = Arc::new(AtomicI64::new(NOW));
        let read = Arc::clone(&clock);
        parts.clock = Arc::new(move || Timestamp::from_ms(read.load(Ordering::Relaxed) * 1_000));
        let (published, metrics) = (Arc::clone(&parts.published), Arc::clone(&parts.metrics));
        let actor = TemplateActor::new(parts.clone());
        Harness { worlds, fakes, published, defined, metrics, parts, clock, actor, _dir: dir }
    }

    /// Another generation of the actor, after `change`.
    pub(crate) fn again(&mut self, change: impl FnOnce(&mut TemplateParts)) {
        change(&mut self.parts);
        self.published = Arc::clone(&self.parts.published);
        self.actor = TemplateActor::new(self.parts.clone());
    }

    /// Tells the actor to look; the receiver hears when it has.
    pub(crate) async fn ask(&mut self, reason: RefreshReason) -> oneshot::Receiver<()> {
        let (reply, done) = Reply::test();
        self.actor.handle(RefreshTemplate(reason), reply).await.unwrap();
        done
    }

    /// Tells the actor to look and waits until it has.
    pub(crate) async fn look(&mut self) {
        self.ask(RefreshReason::Poll).await.await.unwrap();
    }

    pub(crate) fn job(&self) -> Option<Arc<CurrentJob>> {
        self.published.jobs().borrow().clone()
    }

    pub(crate) fn tip(&self) -> Tip {
        self.published.tips().borrow().clone()
    }

    pub(crate) fn health(&self) -> Vec<DaemonHealth> {
        self.published.daemons().borrow().clone()
    }

    /// States of the daemons, the chosen one with a star.
    pub(crate) fn states(&self) -> Vec<String> {
        let star = |health: &DaemonHealth| if health.chosen { "*" } else { "" };
        self.health().iter().map(|health| format!("{}{}", star(health), health.state.as_str())).collect()
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.nth(0)
    }

    pub(crate) fn nth(&self, place: usize) -> MutexGuard<'_, World> {
        self.worlds[place].lock().unwrap()
    }

    /// How many requests of the first daemon began with this method and path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.fakes[0].count(method, path)
    }
}

/// A daemon without a password for its wallet.
pub(crate) fn source(url: &str) -> TemplateSource {
    let token = SecretString::from("t");
    let daemon = DaemonEndpoint { url: url.to_owned(), token, ..DaemonEndpoint::default() };
    TemplateSource { daemon, wallet_password: Arc::new(|| None) }
}

/// Parts whose definitions are collected, and the directory of their database.
pub(crate) fn parts(
    sources: Vec<TemplateSource>,
    change: impl FnOnce(&mut TemplateSettings),
) -> (TemplateParts, Arc<Mutex<Vec<Hash32>>>, tempfile::TempDir) {
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
        pace: Pace { min_age: Duration::ZERO, max_age: Duration::MAX, step_back: Duration::MAX },
        ..TemplateSettings::default()
    };
    change(&mut settings);
    let parts = TemplateParts {
        settings,
        sources,
        store: store.join().unwrap(),
        published: Published::new(),
        ids: Arc::default(),
        metrics: Arc::default(),
        clock: Arc::new(|| Timestamp::from_ms(NOW * 1_000)),
        ledger: Recipient::from_fn(take),
    };
    (parts, defined, dir)
}
