//! `meshpool up`: settings to running actors, and the way back.
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use blocks::{BlockLifecycle, BlockSubmitter, LifecycleParts, Policy, SubmitterParts};
use boot::{GRACE, Log, ServiceNotifier, Shutdown, Telemetry};
use keepers::{BanKeeper, HintKeeper};
use live::{Live, LiveParts, Snapshot};
use messages::blocks::LifecycleTick;
use messages::conditions::Conditions;
use messages::counters::Counters;
use messages::facts::{Clock, LocalIds, SessionIds};
use messages::live::SampleLive;
use messages::payout::{PayoutTick, SweepPayouts};
use messages::retention::RetentionTick;
use messages::share_ledger::{FoldNow, ReopenClaims};
use messages::template::{RefreshReason, RefreshTemplate};
use messages::validation::ValidationTick;
use messages::write_behind::{StoreBans, StoreHints};
use payout::Payout;
use rand::Rng;
use retention::Retention;
use runtime::{Actor, ActorRef, Host, Limits, Recipient};
use secrecy::ExposeSecret;
use settings::Settings;
use share_ledger::{DiskStall, LogDirectory, ShareLedger, ShareLedgerParts};
use store::Store;
use stratum::{Bans, Hints, Listeners, OriginSalt, ProcessNumber, StratumParts};
use template::{Published, TemplateActor, TemplateSource};
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};
use units::{PolicyId, Timestamp};
use validation::{Lanes, Validation, ValidationParts};
use web::{InjectedFault, WebParts};

use crate::checks::{Helpers, TrustAtStart};
use crate::cli::fail;
use crate::data_dir::DataDirLock;
use crate::devnet::Devnet;
use crate::high_mark::HighMark;
use crate::lease::Renewals;
use crate::membership::Membership;
use crate::startup_banner::announce;
use crate::writes::Writes;
use crate::{daemons, doubts, lease, metrics, migrate, policies};

mod parts;

/// A payout is settled at this depth, or at that of a credit where that is less.
const SETTLE_DEPTH_MAX: u64 = 10;
/// Notices that a slow arbiter may lag behind.
const NOTICES: usize = 64;

/// Runs the pool until a signal, or until an actor gives up.
pub(crate) fn run(settings: Settings, devnet: bool, migrate: bool) -> ExitCode {
    let log = match Log::start(settings.telemetry.log_format) {
        Ok(log) => log,
        Err(error) => return fail(boot::SUPERVISOR, &format!("log: {error}")),
    };
    let code = observed(settings, devnet, migrate, &log).unwrap_or_else(|failure| {
        log.note_failure(failure.code, &failure.text);
        ExitCode::from(failure.code)
    });
    log.close();
    code
}

fn observed(mut settings: Settings, devnet: bool, migrate: bool, log: &Log) -> Result<ExitCode, Failure> {
    let telemetry = Telemetry::start("meshpool", &settings.telemetry, log).map_err(config)?;
    if devnet && settings.api.keys.is_empty() {
        let key = hex::encode(rand::rng().random::<[u8; 16]>());
        log.say("api key", &key);
        settings.api.keys.push(key.into());
    }
    for warning in settings.warnings() {
        warn!("{warning}");
    }
    let outcome = prepare(settings, devnet, migrate, &telemetry);
    telemetry.close();
    outcome
}

/// Why the pool did not start or did not go on.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

pub(crate) fn config(text: impl ToString) -> Failure {
    Failure { code: boot::CONFIG, text: text.to_string() }
}

pub(crate) fn database(text: impl ToString) -> Failure {
    Failure { code: boot::DATABASE, text: text.to_string() }
}

fn prepare(settings: Settings, devnet: bool, migrate_first: bool, telemetry: &Telemetry) -> Result<ExitCode, Failure> {
    let place = DataDirLock::take(&settings.data.dir).map_err(config)?;
    let url = settings.database_url();
    // With SQLite it is one process and one file: nobody else could do it.
    if migrate_first || url.expose_secret().starts_with("sqlite:") {
        for applied in migrate::apply(&settings).map_err(database)? {
            info!(applied, "database migrated");
        }
    }
    let store = Store::open(url.expose_secret(), settings.database.pool_size.get()).map_err(database)?;
    let counters = Arc::new(Counters::default());
    let lanes = Lanes::start(
        usize::try_from(settings.validation.lanes.get()).unwrap_or(1),
        settings.validation.pow_memory_kib,
        &counters,
    )
    .map_err(config)?;
    // Before the actors: they read the cookie and the password that it makes.
    let mut child = None;
    if devnet {
        let (dir, url) = (settings.data.dir.join("daemon"), settings.daemon.url.clone());
        child = Some(Devnet::start(&dir, &url, &settings.stratum.listen).map_err(config)?);
    }
    let outcome = runtime::block_on(async {
        let shutdown = Shutdown::listen().map_err(config)?;
        let (pool, ports) = Pool::prepare(settings, store, counters, lanes).await?;
        pool.run(ports, telemetry, shutdown).await
    });
    if child.as_mut().is_some_and(Devnet::has_ended) {
        warn!("simulated network ended before the pool");
    }
    drop(child);
    drop(place);
    outcome
}

/// The ports, taken and not served yet.
struct Ports {
    stratum: Listeners,
    api: Vec<TcpListener>,
}

impl Ports {
    fn bind(settings: &Settings, counters: &Arc<Counters>) -> Result<Ports, Failure> {
        let stratum = Listeners::bind(&settings.stratum, counters).map_err(config)?;
        let api = web::bind(&settings.api.listen).map_err(config)?;
        Ok(Ports { stratum, api })
    }
}

/// Everything that is known before the first actor starts.
struct Pool {
    settings: Arc<Settings>,
    store: Store,
    counters: Arc<Counters>,
    conditions: Arc<Conditions>,
    lanes: Arc<Lanes>,
    clock: Clock,
    ids: Arc<LocalIds>,
    directory: LogDirectory,
    membership: Membership,
    policy: Policy,
    policy_id: PolicyId,
    salt: OriginSalt,
    era: ProcessNumber,
    hints: Arc<Hints>,
    bans: Arc<Bans>,
    memory: TrustAtStart,
    /// In order of preference.
    daemons: Vec<TemplateSource>,
}

impl Pool {
    async fn prepare(
        settings: Settings,
        store: Store,
        counters: Arc<Counters>,
        lanes: Arc<Lanes>,
    ) -> Result<(Pool, Ports), Failure> {
        let clock: Clock = Arc::new(|| Timestamp::from_system(SystemTime::now()));
        let directory = LogDirectory::open(&settings.data.dir.join("log")).map_err(config)?;
        let policy = parts::policy(&settings);
        let logged = directory.last_policy().map_err(config)?;
        let policy_id = store.policy_ensure_above(&policy.to_json(), logged, clock()).await.map_err(database)?;
        let fresh = hex::encode(rand::rng().random::<[u8; 32]>());
        let salt = store.meta_get_or_insert("origin_salt", &fresh).await.map_err(database)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&salt, &mut bytes).map_err(|_| database("stored origin_salt is damaged"))?;
        let mut used = HighMark::read(&settings.data.dir, "era").map_err(config)?;
        let era = ProcessNumber(store.meta_count_above("stratum_era", used.highest()).await.map_err(database)?);
        used.raise(era.0).map_err(config)?;
        let hints = Arc::new(Hints::new(Arc::clone(&counters)));
        HintKeeper::load(&*hints, &store, clock()).await.map_err(database)?;
        let bans = Bans::new(Vec::new(), Arc::clone(&counters), clock());
        BanKeeper::load(&bans, &store, clock()).await.map_err(database)?;
        let memory = TrustAtStart::load(&settings, &store, &counters, &clock).await.map_err(database)?;
        let settings = Arc::new(settings);
        let daemons = daemons::sources(&settings);
        let conditions = Arc::new(Conditions::new(Arc::clone(&clock)));
        // Last: a start that fails changes no host.
        let ports = Ports::bind(&settings, &counters)?;
        let membership = Membership::open(&store, &directory, &clock, &conditions).await?;
        let pool = Pool {
            settings,
            store,
            counters,
            conditions,
            lanes,
            clock,
            ids: Arc::new(LocalIds::default()),
            directory,
            membership,
            policy,
            policy_id,
            salt: OriginSalt(bytes),
            era,
            hints,
            bans: Arc::new(bans),
            memory,
            daemons,
        };
        Ok((pool, ports))
    }

    async fn run(self, ports: Ports, telemetry: &Telemetry, mut shutdown: Shutdown) -> Result<ExitCode, Failure> {
        let (settings, clock) = (Arc::clone(&self.settings), Arc::clone(&self.clock));
        let log = telemetry.log().clone();
        let mut host = Host::with_watchdog(move |stuck| {
            log.end_process(boot::SUPERVISOR, || {
                error!(?stuck, "actor thread stuck, ending the process for a restart");
            })
        })
        .map_err(config)?;

        // Addresses first, then actors from the last stage to the first.
        let ledger = ActorRef::<ShareLedger>::unbound(Limits {
            messages: usize::try_from(settings.ledger.mailbox.get()).unwrap_or(1024),
            urgent: policies::LEDGER_URGENT,
        });
        let validation = ActorRef::<Validation>::unbound(Limits {
            messages: usize::try_from(settings.validation.capacity.get()).unwrap_or(2048),
            urgent: policies::VALIDATION_URGENT,
        });
        let submitter = ActorRef::<BlockSubmitter>::unbound(policies::CANDIDATES);
        let lifecycle = ActorRef::<BlockLifecycle>::unbound(policies::QUIET);
        let payout = ActorRef::<Payout>::unbound(policies::QUIET);
        let template = ActorRef::<TemplateActor>::unbound(policies::QUIET);
        let live = ActorRef::<Live>::unbound(policies::QUIET);
        let retention = ActorRef::<Retention>::unbound(policies::QUIET);
        let hint_keeper = ActorRef::<HintKeeper>::unbound(policies::QUIET);
        let ban_keeper = ActorRef::<BanKeeper>::unbound(policies::QUIET);

        let published = Published::new();
        let (position, _) = watch::channel(None);
        let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        let (notices, _) = broadcast::channel(NOTICES);
        let (epochs, epoch) = watch::channel(None);
        let stall = Arc::new(DiskStall::default());

        host.start(
            &live,
            policies::COSMETIC,
            Live::factory(LiveParts {
                host: self.membership.name.clone(),
                store: self.store.clone(),
                counters: Arc::clone(&self.counters),
                conditions: Arc::clone(&self.conditions),
                published: snapshots,
                clock: Arc::clone(&clock),
            }),
        );
        host.start(&retention, policies::COSMETIC, Retention::factory(self.retention_parts(epoch.clone())));
        let parts = self.payout_parts(epoch.clone());
        host.start(&payout, policies::MONEY, move || Payout::new(parts.clone()));
        // Early, so that it closes late: sessions that a drain ends still note what they measured.
        let hints = Arc::clone(&self.hints);
        let keeper = HintKeeper::factory(hints, self.store.clone(), Arc::clone(&clock));
        host.start(&hint_keeper, policies::COSMETIC, keeper);
        let bans = Arc::clone(&self.bans);
        host.start(&ban_keeper, policies::COSMETIC, BanKeeper::factory(bans, self.store.clone(), Arc::clone(&clock)));
        let helpers = Helpers {
            memory: &self.memory,
            settings: &settings,
            store: &self.store,
            host: self.membership.id,
            ids: &self.ids,
            counters: &self.counters,
            clock: &clock,
            position: position.subscribe(),
            validation: &validation,
        };
        helpers.start(&mut host);
        let parts = LifecycleParts {
            daemons: self.daemons.iter().map(|source| source.daemon.clone()).collect(),
            store: self.store.clone(),
            host: self.membership.id,
            policy: self.policy_id,
            window: self.policy.window(),
            tip: published.tips(),
            position: position.subscribe(),
            lease: epoch.clone(),
            clock: Arc::clone(&clock),
            conditions: Arc::clone(&self.conditions),
        };
        host.start(&lifecycle, policies::MONEY, move || BlockLifecycle::new(parts.clone()));
        host.start(
            &ledger,
            policies::VITAL,
            ShareLedger::factory(ShareLedgerParts {
                directory: self.directory.clone(),
                store: self.store.clone(),
                network: settings.pool.network.addresses(),
                host: self.membership.id,
                capacity: ledger.capacity(),
                segment_max_bytes: settings.ledger.segment_bytes(),
                backlog_max_bytes: settings.ledger.backlog_bytes(),
                policy: self.policy_id,
                window: self.policy.window(),
                clock: Arc::clone(&clock),
                ids: Arc::clone(&self.ids),
                counters: Arc::clone(&self.counters),
                conditions: Arc::clone(&self.conditions),
                position: position.clone(),
                owner: Arc::clone(&self.membership.owner),
                stall: Arc::clone(&stall),
                validation: validation.recipient(),
                submitter: submitter.recipient(),
            }),
        );
        let parts = SubmitterParts {
            daemons: self.daemons.iter().map(|source| source.daemon.clone()).collect(),
            ledger: ledger.recipient(),
            template: template.recipient(),
            notices: notices.clone(),
            counters: Arc::clone(&self.counters),
        };
        host.start(&submitter, policies::VITAL, move || BlockSubmitter::new(parts.clone()));
        host.start(
            &validation,
            policies::VITAL,
            Validation::factory(ValidationParts {
                settings: settings.validation.clone(),
                lanes: Arc::clone(&self.lanes),
                own: validation.clone(),
                ledger: ledger.recipient(),
                submitter: submitter.recipient(),
                penalties: Arc::clone(&self.memory.penalties),
                known: Arc::clone(&self.memory.known),
                counters: Arc::clone(&self.counters),
                clock: Arc::clone(&clock),
                seed: || rand::rng().random(),
            }),
        );
        let parts = self.template_parts(&published, &ledger);
        host.start(&template, policies::VITAL, move || TemplateActor::new(parts.clone()));

        host.tick(&template, settings.daemon.poll_interval, || RefreshTemplate(RefreshReason::Poll));
        host.tick(&ledger, Duration::from_secs(1), || FoldNow);
        host.tick(&validation, Duration::from_secs(1), || ValidationTick);
        host.tick(&lifecycle, Duration::from_secs(1), || LifecycleTick);
        host.tick(&payout, settings.payout.interval, || SweepPayouts);
        host.tick(&payout, Duration::from_secs(1), || PayoutTick);
        host.tick(&live, Duration::from_secs(2), || SampleLive);
        host.tick(&retention, retention::TURN_EVERY, || RetentionTick);
        host.tick(&hint_keeper, Duration::from_secs(5), || StoreHints);
        host.tick(&ban_keeper, Duration::from_secs(5), || StoreBans);
        let _claims = [
            reopen_after_restart(&validation, ledger.recipient()),
            reopen_after_restart(&submitter, ledger.recipient()),
        ];
        let _restored = self.membership.watch(&self.conditions);
        let (stopping, stop) = watch::channel(false);
        let renewals = Renewals::new();
        let name = self.membership.name.clone();
        let lease = lease::keep(self.store.clone(), name, epochs, Arc::clone(&renewals), stop);
        let lease = tokio::spawn(lease);
        let _writes = Writes::watch(&self.conditions, &self.counters, position.subscribe(), renewals);

        let actors = host.ports();
        let metrics = metrics::export(&actors, &self.counters, &settings, arbiters(), telemetry);
        metrics.daemons(published.daemons());
        metrics.conditions(&self.conditions);

        let front = StratumParts {
            settings: settings.stratum.clone(),
            vardiff: settings.vardiff.clone(),
            network: settings.pool.network.addresses(),
            arbiters: arbiters(),
            era: self.era,
            salt: self.salt.clone(),
            ledger: ledger.recipient(),
            finder: ledger.recipient(),
            events: ledger.recipient(),
            validation: validation.recipient(),
            prover: validation.recipient(),
            offer_all: !settings.validation.is_off(),
            jobs: published.jobs(),
            claim_places: Arc::default(),
            restrictions: self.memory.penalties.subscribe(),
            notices,
            hints: Arc::clone(&self.hints),
            bans: Arc::clone(&self.bans),
            counters: Arc::clone(&self.counters),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&self.ids),
            sessions: Arc::new(SessionIds::default()),
        }
        .start_on(ports.stratum)
        .map_err(config)?;
        let api = WebParts {
            store: self.store.clone(),
            settings: Arc::clone(&settings),
            live: snapshot,
            ports: actors.clone(),
            counters: Arc::clone(&self.counters),
            conditions: Arc::clone(&self.conditions),
            tip: published.tips(),
            jobs: published.jobs(),
            daemons: published.daemons(),
            position: position.subscribe(),
            metrics: Arc::new(telemetry.printer()),
            drill: (settings.pool.network == settings::Network::Devnet).then(|| -> web::FaultInjection {
                Arc::new(move |order| match order {
                    InjectedFault::Panic(name) => {
                        actors.iter().find(|actor| actor.name() == name).is_some_and(|actor| actor.inject_panic())
                    }
                    InjectedFault::Hang(name) => {
                        actors.iter().find(|actor| actor.name() == name).is_some_and(|actor| actor.inject_hang())
                    }
                    InjectedFault::StallDisk(stalled) => {
                        stall.set(stalled);
                        true
                    }
                })
            }),
            keys: settings.api.keys.clone(),
            clock: Arc::clone(&clock),
            started_at: clock(),
            settle_depth: self.settle_depth(),
        };
        let (server, pages) = web::serve_on(api, ports.api).map_err(config)?;
        let server_handle = server.handle();
        let server = tokio::spawn(server);

        let log = telemetry.log();
        front.addresses().iter().for_each(|address| log.say("stratum", &address.to_string()));
        pages.iter().for_each(|page| log.say("page", &format!("http://{page}/")));
        log.say("data", &settings.data.dir.display().to_string());
        let _doubts = doubts::watch(log.clone(), Arc::clone(&self.counters), Arc::clone(&self.conditions));

        let manager = Arc::new(ServiceNotifier::of_process());
        let _announced = announce(&manager, &host, front.pulses(), &self.counters, published.jobs());

        let ending = async {
            let signal = shutdown.wait().await;
            info!(signal, "stopping");
            manager.stopping(signal);
            front.drain(GRACE).await;
        };
        let outcome = host.run(ending, GRACE).await;
        if let Err(failure) = &outcome {
            manager.stopping(&failure.to_string());
        }
        self.membership.close().await;
        stopping.send_replace(true);
        server_handle.stop(true).await;
        for (what, ended) in [("lease", lease.await.is_ok()), ("server", server.await.is_ok())] {
            if !ended {
                warn!(what, "did not end cleanly");
            }
        }
        match outcome {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(failure) => Err(Failure { code: boot::SUPERVISOR, text: failure.to_string() }),
        }
    }

    /// Depth at which a payout's books are closed.
    fn settle_depth(&self) -> u64 {
        self.settings.blocks.confirmations.min(SETTLE_DEPTH_MAX)
    }
}

/// Whoever was looking at block claims has lost them when it starts afresh: the log hands them on again.
fn reopen_after_restart<A: Actor>(actor: &ActorRef<A>, ledger: Recipient<ReopenClaims>) -> runtime::Task {
    let mut status = actor.watch();
    runtime::spawn(async move {
        let mut generation = 1;
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().generation;
            if now > generation.max(1) && ledger.tell(ReopenClaims).is_err() {
                warn!("open block claims not restored; a restart of the pool restores them");
            }
            generation = generation.max(now);
        }
    })
}

/// One thread of sessions per core, but not more than two: the disk and the lanes want the rest.
fn arbiters() -> u8 {
    std::thread::available_parallelism().map_or(1, |cores| u8::try_from(cores.get().min(2)).unwrap_or(1))
}
