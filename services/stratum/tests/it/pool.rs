//! A front, and what it is told.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain::{HeaderBase, Network, Target};
use messages::facts::{CurrentJob, LocalIds, Notice, Restrictions, SessionIds, Template};
use messages::share_ledger::{AppendEvents, Appended, FindShares};
use messages::validation::{ClaimPermits, OfferShares, VerifyShare};
use runtime::Recipient;
use serde_json::value::RawValue;
use settings::{StratumSettings, VardiffSettings};
use stratum::{Bans, CloseReason, Hints, OriginSalt, ProcessNumber, Stratum, StratumMetrics, StratumParts};
use tokio::sync::{broadcast, watch};
use units::{Amount, Difficulty, Seq, Timestamp};

use crate::ledger::Ledger;

/// The header base of the reference's test vector, and two nonces with their hashes.
pub(crate) const HEADER: &str = "0100000015a1000000000000da04a77cc20c628b7fe61f2900c17b26a0f49d21c84a72e6aa1bd0a5142ebedaf60c43c891eba6d455b07f78be8ad13065550f87ad328256dbc8aba65e82683a00b955690000000000d0020000000000";
/// Meets difficulty 5 and no block.
pub(crate) const HASH_5: &str = "2d1a5c84d4614bd1826cd2a88970fc015ad3421fdf9cc41ddaf87d9142946904";
/// Meets difficulty 1 only.
pub(crate) const HASH_1: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn difficulty(hashes: u64) -> Difficulty {
    Difficulty::new(hashes).unwrap()
}

/// A running front.
pub(crate) struct Pool {
    pub(crate) stratum: Option<Stratum>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) tls_address: Option<std::net::SocketAddr>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) metrics: Arc<StratumMetrics>,
    pub(crate) claim_places: Arc<ClaimPermits>,
    pub(crate) bans: Arc<Bans>,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) restrictions: watch::Sender<Arc<Restrictions>>,
    /// Messages that Validation was offered shares in.
    pub(crate) offered: Arc<Mutex<Vec<OfferShares>>>,
    jobs: watch::Sender<Option<Arc<CurrentJob>>>,
}

/// What a test changes before the front starts.
pub(crate) struct Setup {
    pub(crate) settings: StratumSettings,
    pub(crate) vardiff: VardiffSettings,
    pub(crate) bans: Arc<Bans>,
    pub(crate) hints: Arc<Hints>,
    pub(crate) arbiters: u8,
    pub(crate) ledger: Option<Recipient<messages::share_ledger::AppendShares>>,
    pub(crate) finder: Option<Recipient<FindShares>>,
    pub(crate) events: Option<Recipient<AppendEvents>>,
    pub(crate) prover: Option<Recipient<VerifyShare>>,
    pub(crate) validation: Option<Recipient<OfferShares>>,
    pub(crate) metrics: Arc<StratumMetrics>,
    pub(crate) claim_places: Arc<ClaimPermits>,
    pub(crate) ids: Arc<LocalIds>,
}

impl Setup {
    /// Difficulty 5 for everybody; PROXY headers from loopback name clients.
    pub(crate) fn new() -> Setup {
        let settings = StratumSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            proxy_from: vec!["127.0.0.0/8".parse().unwrap()],
            max_connections_per_ip: 4096,
            ..StratumSettings::default()
        };
        let vardiff = VardiffSettings { enabled: false, initial: difficulty(5), ..VardiffSettings::default() };
        let metrics = Arc::new(StratumMetrics::default());
        Setup {
            settings,
            vardiff,
            bans: Arc::new(Bans::new(Vec::new(), Arc::clone(&metrics), now())),
            hints: Arc::new(Hints::new(Arc::clone(&metrics))),
            arbiters: 1,
            ledger: None,
            finder: None,
            events: None,
            prover: None,
            validation: None,
            metrics,
            claim_places: Arc::default(),
            ids: Arc::default(),
        }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

/// A template of the reference's header at another height; 41,237 is the header's own.
pub(crate) fn template(height: u64) -> Arc<Template> {
    let mut header = HeaderBase::from_hex(HEADER).unwrap();
    if height != 41_237 {
        let mut parts = header.parts();
        parts.height = units::Height::new(height);
        parts.merkle_root = chain::Hash32(chain::sha3_256(&[&height.to_le_bytes()]));
        header = HeaderBase::build(&parts);
    }
    let network = difficulty(184_320);
    Arc::new(Template {
        local_id: height,
        height: header.height(),
        prev_hash: header.prev_hash(),
        merkle_root: header.merkle_root(),
        header_base: header,
        network_target: Target::from_difficulty(network),
        network_difficulty: network,
        reward: Amount::ZERO,
        reward_address: String::new(),
        daemon_id: Some("5be1a90c77d2e604".to_owned()),
        block: RawValue::from_string("{}".to_owned()).unwrap(),
        issuer: Some(0),
        mempool_generation: None,
        fetched_at: Timestamp::from_ms(0),
        retired_at: Default::default(),
        defined_in: Default::default(),
    })
}

impl Pool {
    pub(crate) fn start(setup: Setup) -> Pool {
        let ledger = Arc::new(Ledger::default());
        let (jobs, receiver) = watch::channel(None);
        let (notices, _) = broadcast::channel(64);
        let (restrictions, restricted) = watch::channel(Arc::new(Restrictions::default()));
        let offered: Arc<Mutex<Vec<OfferShares>>> = Default::default();
        let offers = Arc::clone(&offered);
        let fake_events = || {
            Recipient::from_fn(|_: AppendEvents, reply| {
                reply.send(Ok(Appended { first: Seq(1), minute: now().minute() }));
                Ok(())
            })
        };
        let parts = StratumParts {
            settings: setup.settings,
            vardiff: setup.vardiff,
            network: Network::Mainnet,
            arbiters: setup.arbiters,
            era: ProcessNumber(1),
            salt: OriginSalt([7; 32]),
            ledger: setup.ledger.unwrap_or_else(|| ledger.recipient()),
            finder: setup.finder.unwrap_or_else(|| ledger.finder()),
            events: setup.events.unwrap_or_else(fake_events),
            validation: setup.validation.unwrap_or_else(|| {
                Recipient::from_fn(move |message: OfferShares, reply| {
                    offers.lock().unwrap().push(message);
                    reply.send(());
                    Ok(())
                })
            }),
            prover: setup.prover.unwrap_or_else(|| {
                Recipient::from_fn(|_, reply| {
                    drop(reply);
                    Ok(())
                })
            }),
            offer_all: true,
            jobs: receiver,
            claim_places: Arc::clone(&setup.claim_places),
            restrictions: restricted,
            notices: notices.clone(),
            bans: Arc::clone(&setup.bans),
            hints: setup.hints,
            metrics: Arc::clone(&setup.metrics),
            clock: Arc::new(now),
            ids: setup.ids,
            sessions: Arc::new(SessionIds::default()),
        };
        let stratum = parts.start().unwrap();
        Pool {
            address: stratum.addresses()[0],
            tls_address: stratum.tls_addresses().first().copied(),
            stratum: Some(stratum),
            ledger,
            metrics: setup.metrics,
            claim_places: setup.claim_places,
            bans: setup.bans,
            notices,
            restrictions,
            offered,
            jobs,
        }
    }

    /// Publishes a template: a new push, and what was current before is retired.
    pub(crate) fn mine(&self, template: &Arc<Template>) {
        self.jobs.send_modify(|job| {
            if let Some(before) = job.as_ref() {
                before.template.retired_at.get_or_init(std::time::Instant::now);
            }
            let push = job.as_ref().map_or(1, |job| job.push + 1);
            *job = Some(Arc::new(CurrentJob {
                template: Arc::clone(template),
                push,
                known_at: std::time::Instant::now(),
            }));
        });
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.metrics.stratum_closed_total.of(reason)
    }

    /// Waits until `is` says so.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Pool) -> bool) {
        let reached = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "never came: {what}");
    }

    pub(crate) async fn drain(&mut self, grace: Duration) {
        self.stratum.take().unwrap().drain(grace).await;
    }
}

/// Runs a test with a front.
pub(crate) fn with_pool(adjust: impl FnOnce(&mut Setup), test: impl AsyncFnOnce(&mut Pool)) {
    let mut setup = Setup::new();
    adjust(&mut setup);
    runtime::block_on(async {
        let mut pool = Pool::start(setup);
        test(&mut pool).await;
        if pool.stratum.is_some() {
            pool.drain(Duration::from_millis(200)).await;
        }
    });
}
