//! A served API and a client of it.
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use chain::Address;
use instruments::Gauge;
use live::{Live, LiveParts, Snapshot};
use messages::conditions::Conditions;
use messages::facts::{Clock, CurrentJob, DaemonHealth, LogPosition, Tip};
use messages::live::SampleLive;
use runtime::{Handler, Reply};
use serde_json::Value;
use settings::Settings;
use tokio::sync::watch;
use tokio::task::LocalSet;
use units::{Height, Timestamp};
use web::{InjectedFault, ProcessCounts, WebParts};

use crate::common::log::{EPOCH, at};
use crate::common::{TestDb, for_each_database};

/// The moment at which every test asks.
pub(crate) fn now() -> Timestamp {
    at(EPOCH + 10)
}

/// What the tests turn.
pub(crate) struct Knobs {
    pub(crate) tip: watch::Sender<Tip>,
    pub(crate) daemons: watch::Sender<Vec<DaemonHealth>>,
    pub(crate) jobs: watch::Sender<Option<Arc<CurrentJob>>>,
    pub(crate) counts: ProcessCounts,
    pub(crate) conditions: Arc<Conditions>,
    live: watch::Sender<Arc<Snapshot>>,
}

/// A running API.
pub(crate) struct Site<'a> {
    pub(crate) db: &'a TestDb,
    pub(crate) knobs: Knobs,
    base: String,
    client: awc::Client,
    handle: ServerHandle,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Site<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let method = method.parse().unwrap();
        // A compressed answer to HEAD has no body to decompress.
        let mut request = self.client.request(method, format!("{}{path}", self.base)).no_decompress();
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        let mut answer = request.send_body(body.to_owned()).await.unwrap();
        let headers =
            answer.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let headers = headers.collect();
        let body = String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap();
        Answer { status: answer.status().as_u16(), body, headers }
    }

    /// Takes the snapshot that the pool takes every two seconds.
    pub(crate) async fn sample(&self) {
        self.sample_at(now()).await;
    }

    /// The same when the clock says this.
    pub(crate) async fn sample_at(&self, now: Timestamp) {
        let clock: Clock = Arc::new(move || now);
        let mut live = Live::factory(LiveParts {
            host: "host".to_owned(),
            store: self.db.store.clone(),
            sessions: Gauge::default(),
            booking_clock: self.knobs.counts.booking_clock.clone(),
            conditions: Arc::clone(&self.knobs.conditions),
            published: self.knobs.live.clone(),
            clock,
        })();
        live.handle(SampleLive, Reply::test().0).await.unwrap();
    }
}

/// Runs the test against a served API on each database.
pub(crate) fn on_each_site(change: impl Fn(&mut WebParts), test: impl AsyncFn(&Site<'_>)) {
    for_each_database(async |db| {
        LocalSet::new()
            .run_until(async {
                let site = serve(db, &change);
                site.sample().await;
                test(&site).await;
                site.handle.stop(false).await;
            })
            .await;
    });
}

fn serve<'a>(db: &'a TestDb, change: &impl Fn(&mut WebParts)) -> Site<'a> {
    let (tip, tips) =
        watch::channel(Tip { daemon: 0, height: Height::new(1_010), hash: None, reachable: true, ..Tip::default() });
    let (daemons, daemon_states) = watch::channel(Vec::new());
    let (jobs, job) = watch::channel(None);
    let (live, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let counts = ProcessCounts::default();
    let conditions = Arc::new(Conditions::new(Arc::new(now)));
    let mut settings = Settings::default();
    settings.api.listen = "127.0.0.1:0".parse().unwrap();
    let mut parts = WebParts {
        store: db.store.clone(),
        settings: Arc::new(settings),
        live: snapshot,
        ports: Vec::new(),
        counts: counts.clone(),
        conditions: Arc::clone(&conditions),
        tip: tips,
        jobs: job,
        daemons: daemon_states,
        position: watch::channel(Some(LogPosition { durable: 12, folded: 10 })).1,
        metrics: Arc::new(|| "# TYPE meshpool_x gauge\nmeshpool_x 1\n".to_owned()),
        drill: None,
        keys: Vec::new(),
        clock: Arc::new(now),
        started_at: at(EPOCH),
        settle_depth: 10,
    };
    change(&mut parts);
    let (server, addresses) = web::serve(parts).unwrap();
    let handle = server.handle();
    tokio::task::spawn_local(server);
    let knobs = Knobs { tip, daemons, jobs, counts, conditions, live };
    Site { db, knobs, base: format!("http://{}", addresses[0]), client: awc::Client::default(), handle }
}

/// Keys and drills as the development network has them.
pub(crate) fn with_drills(parts: &mut WebParts) {
    parts.keys = vec!["open sesame".into(), "second".into()];
    parts.drill = Some(Arc::new(|order| order == InjectedFault::Panic("live".to_owned())));
}

/// The nth valid address of the default network.
pub(crate) fn address(n: usize) -> String {
    let network = Settings::default().pool.network.addresses();
    // Small numbers are points every now and then.
    let candidates = (2..=u8::MAX).map(|first| {
        let key = std::array::from_fn(|place| if place == 0 { first } else { 0 });
        Address::encode(&key, &key, network)
    });
    candidates.filter(|text| Address::parse(text, &network).is_ok()).nth(n).unwrap()
}
