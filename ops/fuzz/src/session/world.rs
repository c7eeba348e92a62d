//! Everything around a front: a chain, a ledger, a Validation, each as friendly as the script wants it.
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain::{BlockId, Hash32, HeaderBase, HeaderParts, Network, Target};
use messages::facts::{
    CurrentJob, LocalIds, Notice, Quarantine, Restrictions, SessionId, SessionIds, Template, TrustKey,
};
use settings::{StratumSettings, VardiffSettings};
use stratum::{Hints, OriginSalt, ProcessNumber, StratumMetrics, StratumParts};
use tokio::sync::{broadcast, oneshot, watch};
use units::{Amount, Difficulty, Height, Timestamp};

use super::books::{Books, lock, recipients};
use super::peer::PATIENCE;
use super::script::{LedgerBehavior, ProverBehavior};

const NETWORK_DIFFICULTY: u64 = 5_000;
const SALT: OriginSalt = OriginSalt([7; 32]);

/// A front that serves on loopback, and what it talks to.
pub struct World {
    /// Where the front listens.
    pub address: SocketAddr,
    /// Where it listens for TLS only.
    pub tls_address: Option<SocketAddr>,
    /// What the front counts.
    pub metrics: Arc<StratumMetrics>,
    /// What the ledger and Validation have got, and how they behave.
    pub books: Arc<Mutex<Books>>,
    jobs: watch::Sender<Option<Arc<CurrentJob>>>,
    restrictions: watch::Sender<Arc<Restrictions>>,
    notices: broadcast::Sender<Notice>,
    ids: LocalIds,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    /// A front; whether it takes submits without a claimed hash.
    #[must_use]
    pub fn start(claims_required: bool) -> World {
        World::serve(StratumSettings { require_claimed_hash: claims_required, ..World::settings() })
    }

    /// On loopback, and without limits on connections, which are not what is tried here.
    #[must_use]
    pub fn settings() -> StratumSettings {
        StratumSettings {
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            max_connections_per_ip: u32::MAX,
            max_connections: u32::MAX,
            ..StratumSettings::default()
        }
    }

    /// A front with these settings.
    #[must_use]
    pub fn serve(settings: StratumSettings) -> World {
        count_panics();
        let books: Arc<Mutex<Books>> = Arc::default();
        let (jobs, restrictions) = (watch::Sender::new(None), watch::Sender::default());
        let (notices, metrics) = (broadcast::channel(64).0, Arc::<StratumMetrics>::default());
        let (ledger, finder, events, validation, prover) = recipients(&books);
        let parts = StratumParts {
            settings,
            vardiff: VardiffSettings::default(),
            network: Network::Testnet,
            arbiters: 2,
            era: ProcessNumber(1),
            salt: SALT,
            ledger,
            finder,
            events,
            validation,
            prover,
            offer_all: true,
            jobs: jobs.subscribe(),
            claim_places: Arc::default(),
            restrictions: restrictions.subscribe(),
            notices: notices.clone(),
            hints: Arc::new(Hints::new(Arc::clone(&metrics))),
            bans: Arc::default(),
            metrics: Arc::clone(&metrics),
            clock: Arc::new(|| Timestamp::from_system(std::time::SystemTime::now())),
            ids: Arc::default(),
            sessions: Arc::<SessionIds>::default(),
        };
        let (tell, told) = channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            runtime::block_on(async move {
                let front = parts.start().expect("a free port on loopback");
                tell.send((front.addresses()[0], front.tls_addresses().first().copied()))
                    .expect("the world waits for it");
                // Whether told or left alone: the front ends.
                drop(stopped.await);
                front.drain(Duration::from_secs(10)).await;
            });
        };
        let thread = std::thread::Builder::new().name("front".into()).spawn(serve).expect("a thread");
        let (address, tls_address) = told.recv().expect("a front that listens");
        let (ids, stop, thread) = (LocalIds::default(), Some(stop), Some(thread));
        let world = World { address, tls_address, metrics, books, jobs, restrictions, notices, ids, stop, thread };
        world.publish(true);
        world
    }

    /// A clean state for the next run.
    pub fn begin(&self) {
        let mut books = self.books();
        books.written.clear();
        books.seen.retain(|line| line.strong_count() > 0);
        books.behave(Some(LedgerBehavior::Takes), Some(ProverBehavior::Proves));
        drop(books);
        self.restrict(HashSet::new(), HashSet::new());
        self.tip(false);
    }

    /// Waits until no connection is left and all that the ledger wrote has gone its way.
    ///
    /// # Panics
    /// It does not happen: something was left behind. Or a thread of the front panicked.
    pub fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let books = self.books();
            let (open, sessions) = (self.metrics.stratum_connections.get(), self.metrics.stratum_sessions.get());
            let (told, unknown) = (self.metrics.shares_accepted_total.get(), self.metrics.shares_unknown_total.get());
            // A share in doubt whose job is forgotten meanwhile stays in the log and is told to nobody.
            let (untold, unheard) = (books.total_written - told, books.unheard.len() as u64);
            if (open, sessions, unheard) == (0, 0, untold) && untold <= unknown {
                assert!(books.strays.is_empty(), "Validation hears of each share once: {:?}", books.strays);
                break;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {open} connections, {sessions} sessions; of {} shares {told} acknowledged, {:?} not offered",
                books.total_written,
                books.unheard
            );
            drop(books);
            std::thread::yield_now();
        }
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a thread of the front panicked");
    }

    /// Ends the front, as a host does.
    pub fn stop(mut self) -> (Arc<StratumMetrics>, Arc<Mutex<Books>>) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).expect("the front waits for it");
        }
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("the front ends without a panic");
        (Arc::clone(&self.metrics), Arc::clone(&self.books))
    }

    /// The books, whoever broke off while holding them.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// A new template of the same identity.
    pub fn renew(&self) {
        self.publish(false);
    }

    /// A new tip; the template before it is retired, now or long ago.
    pub fn tip(&self, stale: bool) {
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(20)).unwrap_or(now);
        if let Some(current) = self.jobs.borrow().as_ref() {
            // Another template of this identity may have been retired with it before.
            let _first = current.template.retired_at.set(if stale { long_ago } else { now });
        }
        self.publish(true);
    }

    /// Of the block that is mined now.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.jobs.borrow().as_ref().map_or(0, |job| job.template.height.get())
    }

    fn publish(&self, push: bool) {
        let before = self.jobs.borrow().clone();
        let (height, pushes) = match &before {
            Some(job) => (job.template.height.get() + u64::from(push), job.push + u64::from(push)),
            None => (1, 1),
        };
        let template = template(self.ids.take(), height);
        let (template, known_at) = (Arc::new(template), Instant::now());
        self.jobs.send_replace(Some(Arc::new(CurrentJob { template, push: pushes, known_at })));
    }

    /// Who is to be proven first, and who is refused.
    pub fn restrict(&self, forced: HashSet<TrustKey>, quarantined: HashSet<TrustKey>) {
        let sentence = |pair| {
            (pair, Quarantine { reason: "invalid share proof", strikes: 3, until: Timestamp::from_ms(i64::MAX) })
        };
        let quarantined: HashMap<_, _> = quarantined.into_iter().map(sentence).collect();
        self.restrictions.send_replace(Arc::new(Restrictions { forced, quarantined }));
    }

    /// The pair of an address that connects from `client`.
    #[must_use]
    pub fn pair(address: &str, client: std::net::IpAddr) -> TrustKey {
        (address.into(), SALT.origin(client))
    }

    /// Miners are told of a block.
    pub fn announce(&self) {
        let finder = Some(SessionId(1));
        // Nobody listens yet when the front has just started.
        let _listeners = self.notices.send(Notice::BlockSolved { finder });
    }
}

/// Panics on the threads of fronts; the runtime of a front hides them from everybody else.
static PANICS: AtomicU32 = AtomicU32::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_none_or(|name| name.starts_with("actix") || name == "front") {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(panic);
        }));
    });
}

fn template(local_id: u64, height: u64) -> Template {
    let merkle_root = Hash32(chain::sha3_256(&[&local_id.to_le_bytes()]));
    let prev_hash = BlockId(chain::sha3_256(&[&height.to_le_bytes()]));
    let parts = HeaderParts {
        version: 1,
        height: Height::new(height),
        prev_hash,
        merkle_root,
        timestamp: 1_800_000_000,
        difficulty: NETWORK_DIFFICULTY,
    };
    let network_difficulty = Difficulty::new(NETWORK_DIFFICULTY).expect("not zero");
    Template {
        local_id,
        header_base: HeaderBase::build(&parts),
        height: parts.height,
        prev_hash,
        merkle_root,
        network_target: Target::from_difficulty(network_difficulty),
        network_difficulty,
        reward: Amount::ZERO,
        reward_address: String::new(),
        daemon_id: None,
        issuer: Some(0),
        block: serde_json::value::RawValue::from_string("{}".into()).expect("JSON"),
        mempool_generation: None,
        fetched_at: Timestamp::from_ms(0),
        retired_at: OnceLock::new(),
        defined_in: AtomicU64::new(0),
    }
}
