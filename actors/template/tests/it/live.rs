//! The simulated daemon with its event stream and its habits.
use std::sync::Arc;
use std::time::Duration;

use chain::BlockId;
use daemon_sim::{Action, Control, Fault, MineOrder, Params, Phase, ReorgOrder, Routes, SimulatedDaemon};
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Actor, Handler, Reply};
use secrecy::SecretString;
use settings::DaemonEndpoint;
use template::{Pace, Published, TemplateActor, TemplateMetrics, TemplateSettings, TemplateSource};
use units::Timestamp;

use crate::harness::{parts, until};

struct Net {
    daemon: SimulatedDaemon,
    published: Arc<Published>,
    metrics: Arc<TemplateMetrics>,
    actor: TemplateActor,
    _dirs: [tempfile::TempDir; 2],
}

impl Net {
    async fn start(change: impl FnOnce(&mut Params), settings: impl FnOnce(&mut TemplateSettings)) -> Net {
        let dir = tempfile::tempdir().unwrap();
        let mut params = Params { premined: 5, pow_memory_kib: 64, ..Params::devnet(dir.path()) };
        change(&mut params);
        let daemon = SimulatedDaemon::start(params).unwrap();
        let password = std::fs::read_to_string(dir.path().join("wallet.password")).unwrap();
        let source = TemplateSource {
            daemon: DaemonEndpoint {
                url: daemon.url(),
                cookie_path: Some(daemon.cookie_path()),
                ..DaemonEndpoint::default()
            },
            wallet_password: Arc::new(move || Some(SecretString::from(password.trim()))),
        };
        let (mut parts, _, store_dir) = parts(vec![source], |all| {
            all.reward_address = None;
            all.pace = Pace::default();
            settings(all);
        });
        parts.clock = Arc::new(|| Timestamp::from_system(std::time::SystemTime::now()));
        let (published, metrics) = (Arc::clone(&parts.published), Arc::clone(&parts.metrics));
        let mut actor = TemplateActor::new(parts);
        actor.open().await.unwrap();
        let net = Net { daemon, published, metrics, actor, _dirs: [dir, store_dir] };
        // Nobody polls: the stream's first word is reason enough.
        until("the first job", || net.published.jobs().borrow().is_some()).await;
        net
    }

    fn control(&self) -> Control {
        self.daemon.control()
    }

    fn mine(&self, order: MineOrder) -> BlockId {
        self.control().mine(&order).unwrap().hash
    }

    fn mined_on(&self) -> BlockId {
        self.published.jobs().borrow().as_ref().unwrap().template.prev_hash
    }

    async fn poll(&mut self) {
        let (reply, done) = Reply::test();
        self.actor.handle(RefreshTemplate(RefreshReason::Poll), reply).await.unwrap();
        done.await.unwrap();
    }

    /// Polls, as the host's clock does.
    async fn poll_until(&mut self, tip: BlockId) {
        let polls = async {
            while self.mined_on() != tip {
                self.poll().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), polls).await.is_ok(), "the tip was never mined on");
    }

    fn events_up(&self) -> bool {
        self.published.daemons().borrow()[0].events
    }
}

#[actix_rt::test]
async fn events_alone_are_followed_without_a_message_and_without_a_poll() {
    let net = Net::start(|_| {}, |_| {}).await;
    for _ in 0..5 {
        let tip = net.mine(MineOrder::default());
        until("the block's job", || net.mined_on() == tip).await;
    }
    assert_eq!(net.metrics.template_pushes_total.get(), 6);
    let job = net.published.jobs().borrow().clone().unwrap();
    assert!(job.known_at.elapsed() < Duration::from_secs(20));
}

#[actix_rt::test]
async fn an_event_in_the_middle_of_a_look_is_not_lost() {
    let net = Net::start(|_| {}, |_| {}).await;
    for route in ["status", "mining/blocktemplate", "block"] {
        // The answer is made and then held back, so what is mined meanwhile is not in it.
        net.control().add_fault(Fault::once(route, Phase::After, Action::DelayMs(150)));
        let first = net.mine(MineOrder::default());
        until("the fault was met", || net.control().faults().is_empty()).await;
        let second = net.mine(MineOrder::default());
        assert_ne!(first, second);
        until("the newer block's job", || net.mined_on() == second).await;
    }
}

#[actix_rt::test]
async fn a_silent_block_and_a_silent_reorganisation_are_found_by_the_poll() {
    let mut net = Net::start(|_| {}, |_| {}).await;
    let tip = net.mine(MineOrder { silent: true, ..MineOrder::default() });
    net.poll_until(tip).await;
    let tip = net.control().reorganise(ReorgOrder { depth: 2, silent: true }).unwrap().hash;
    net.poll_until(tip).await;
}

#[actix_rt::test]
async fn a_broken_stream_is_noticed_polled_around_and_made_again() {
    let mut net = Net::start(|_| {}, |_| {}).await;
    until("the stream stands", || net.events_up()).await;
    net.control().add_fault(Fault::always("events", Phase::Before, Action::Drop));
    net.control().hang_up_events();
    until("the stream is gone", || !net.events_up()).await;
    let tip = net.mine(MineOrder::default());
    net.poll_until(tip).await;
    net.control().clear_faults();
    until("the stream stands again", || net.events_up()).await;
    let tip = net.mine(MineOrder::default());
    until("the block's job", || net.mined_on() == tip).await;
}

#[actix_rt::test]
async fn a_restarted_daemon_is_followed_with_its_new_token_and_its_wallet_opened() {
    let mut net = Net::start(|_| {}, |_| {}).await;
    net.control().restart(Duration::ZERO, false).unwrap();
    net.mine(MineOrder::default());
    let tip = net.mine(MineOrder::default());
    net.poll_until(tip).await;
}

#[actix_rt::test]
async fn an_old_daemon_is_followed_too() {
    let mut net = Net::start(|params| params.routes = Routes::Basic, |_| {}).await;
    let tip = net.mine(MineOrder { silent: true, ..MineOrder::default() });
    net.poll_until(tip).await;
    let job = net.published.jobs().borrow().clone().unwrap();
    assert!(job.template.mempool_generation.is_none());
}
