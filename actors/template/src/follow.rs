//! One look at the daemons: is there something newer to mine, is it good, and who gives it?
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chain::BlockId;
use daemon::{BlockInfo, DaemonError, Event, Status, TemplateAnswer};
use futures_util::Stream;
use messages::facts::{Template, Tip};
use messages::share_ledger::DefineTemplate;
use runtime::Task;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use units::Height;

use crate::TemplateParts;
use crate::best_chain::BestChainRecord;
use crate::choice::{ChainReport, Choice};
use crate::error::TemplateError;
use crate::node::Node;
use crate::published::{Offer, PublishOutcome};
use crate::rules::{build, needs_template};

/// Where the pinned reward address is stored.
const PINNED_KEY: &str = "reward_address";
/// A definition that is not logged by then is logged with the template's first share.
const DEFINE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a lease lasts where the daemon does not say.
const LEASE: Duration = Duration::from_secs(600);
/// Looks in a row while the tip keeps moving.
const LOOKS: usize = 3;

/// Follows the daemons.
pub(crate) struct Follower {
    pub(crate) parts: TemplateParts,
    pub(crate) nodes: Vec<Node>,
    pub(crate) choice: RefCell<Choice>,
    fetched_at: Cell<Option<Instant>>,
    /// Since when the chosen daemon shows a chain with less work than the current job's.
    back_since: Cell<Option<Instant>>,
    last_logged: RefCell<Option<String>>,
    pub(crate) renewing: RefCell<Option<Task>>,
    best_chain: Rc<BestChainRecord>,
}

enum TipOutcome {
    Done,
    /// Nothing was asked for: the daemon or a rule said to wait. What was wrong before still is.
    Held,
    /// The tip changed in the middle, or another daemon is to be asked.
    Again,
}

impl Follower {
    pub(crate) fn new(parts: TemplateParts) -> Follower {
        let nodes: Vec<_> = parts.sources.iter().map(Node::new).collect();
        assert!(!nodes.is_empty(), "the settings always name a first daemon");
        Follower {
            choice: RefCell::new(Choice::new(nodes.len(), parts.settings.patience)),
            nodes,
            best_chain: BestChainRecord::new(Arc::clone(&parts.published), parts.store.clone()),
            parts,
            fetched_at: Cell::new(None),
            back_since: Cell::new(None),
            last_logged: RefCell::default(),
            renewing: RefCell::default(),
        }
    }

    pub(crate) fn daemons(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn events(&self, place: usize) -> impl Stream<Item = Event> + use<> {
        self.nodes[place].client.events()
    }

    /// Takes note of an event; whether it is a reason to look.
    pub(crate) fn hear(&self, place: usize, event: &Event) -> bool {
        let node = &self.nodes[place];
        if let Event::Lost(error) = event
            && node.events.get()
        {
            warn!(daemon = node.client.place(), %error, "event stream lost, polling the tip");
        }
        let news = node.hear(event, self.parts.settings.refresh_on_same_height);
        self.tell_health();
        news
    }

    /// Looks at the daemons and publishes what is new. Whatever is wrong is said, once.
    pub(crate) async fn refresh(self: &Rc<Self>) {
        self.best_chain.recall().await;
        self.peek_at_others();
        let outcome = self.look_until_still().await;
        self.parts.published.set_tip(|tip| tip.reachable = self.choice.borrow().answers(tip.daemon));
        self.tell_health();
        self.renew_leases();
        self.best_chain.keep();
        if matches!(outcome, Ok(TipOutcome::Held)) {
            return;
        }
        self.say(outcome.err());
    }

    async fn look_until_still(&self) -> Result<TipOutcome, TemplateError> {
        let mut last = None;
        for _ in 0..LOOKS + self.nodes.len() {
            let place = self.choose();
            match self.look(place).await {
                Ok(TipOutcome::Again) => {}
                Ok(done) => return Ok(done),
                Err(trouble) => {
                    self.blame(place, &trouble);
                    if self.choose() == place {
                        return Err(trouble);
                    }
                    last = Some(trouble);
                }
            }
        }
        Err(last.unwrap_or(TemplateError::Moving))
    }

    async fn look(&self, place: usize) -> Result<TipOutcome, TemplateError> {
        let (node, published) = (&self.nodes[place], &self.parts.published);
        let status = self.status(place).await?;
        if self.choose() != place {
            return Ok(TipOutcome::Again);
        }
        let height = status.chain_height;
        published.set_tip(|tip| {
            // Another daemon's chain counts once it gave a template, or agrees with the one that did.
            if tip.daemon == place {
                *tip = self.tip(place, &status, tip.hash.filter(|hash| status.is_tip(tip.height, hash)));
            }
        });
        let job = published.job();
        let age = self.fetched_at.get().map_or(Duration::MAX, |at| at.elapsed());
        let current = job.as_ref().map(|job| (&*job.template, age));
        if !needs_template(current, &status, &self.parts.settings.pace) {
            self.back_since.set(None);
            let hash = job.map(|job| job.template.prev_hash);
            published.set_tip(|tip| *tip = self.tip(place, &status, hash));
            return Ok(TipOutcome::Done);
        }
        self.refuse_step_back(place, &status)?;
        if node.is_held(&status.best_hash) {
            return Ok(TipOutcome::Held);
        }
        let pinned = self.pinned().await?;
        let (answer, parent) = tokio::join!(self.fetch(node, &status, &pinned), node.client.block_by_height(height));
        let Some(parent) = parent? else { return Ok(TipOutcome::Again) };
        if !status.is_tip(parent.height, &parent.hash) {
            return Ok(TipOutcome::Again);
        }
        published.set_tip(|tip| {
            if tip.daemon == place {
                *tip = self.tip(place, &status, Some(parent.hash));
            }
        });
        let Some(answer) = answer? else { return Ok(TipOutcome::Again) };
        if answer.header_base.prev_hash() != parent.hash || answer.header_base.height() != height.next() {
            return Ok(TipOutcome::Again);
        }
        if let Err(trouble) = self.publish(place, answer, &parent, &status, &pinned).await {
            // Each fetch takes a lease: whatever is wrong with this one, the next does not come at once.
            node.hold(&status.best_hash, Instant::now() + self.parts.settings.pace.min_age);
            return Err(trouble);
        }
        published.set_tip(|tip| *tip = self.tip(place, &status, Some(parent.hash)));
        Ok(TipOutcome::Done)
    }

    /// The chain as this daemon shows it. Its id is told only when no better chain is known, so that nothing about
    /// money follows from any other.
    fn tip(&self, place: usize, status: &Status, hash: Option<BlockId>) -> Tip {
        let published = &self.parts.published;
        let behind = published.best().filter(|best| status.total_work < best.work).map(|best| best.height);
        let hash = hash.filter(|_| behind.is_none() && published.is_recalled());
        let (height, syncing) = (status.chain_height, status.is_behind());
        Tip { daemon: place, height, hash, behind, syncing, reachable: true }
    }

    pub(crate) async fn status(&self, place: usize) -> Result<Status, DaemonError> {
        let node = &self.nodes[place];
        let answer = node.client.status().await;
        let mut choice = self.choice.borrow_mut();
        match &answer {
            Ok(status) => {
                node.sight(status);
                let (height, work, syncing) = (status.chain_height, status.total_work, status.is_behind());
                choice.answered(place, ChainReport { height, work, syncing });
            }
            Err(_) => choice.silent(place),
        }
        answer
    }

    /// A chain with less work than the one that is mined is an old answer, or a daemon that starts afresh. It is
    /// followed only if it stays that way.
    fn refuse_step_back(&self, place: usize, status: &Status) -> Result<(), TemplateError> {
        let published = &self.parts.published;
        if status.total_work >= published.work() {
            self.back_since.set(None);
            return Ok(());
        }
        let now = Instant::now();
        let since = self.back_since.get().unwrap_or(now);
        self.back_since.set(Some(since));
        if now.duration_since(since) < self.parts.settings.pace.step_back {
            self.parts.metrics.templates_older_total.add(1);
            let best = published.best().map_or(Height::new(0), |best| best.height);
            return Err(TemplateError::LessWork { height: status.chain_height, best });
        }
        let daemon = self.nodes[place].client.place();
        warn!(daemon, height = %status.chain_height, "daemon's chain still has less work, following it now");
        published.forget_work();
        self.back_since.set(None);
        Ok(())
    }

    /// `None` when the tip moved under the daemon's hands.
    async fn fetch(&self, node: &Node, status: &Status, pinned: &str) -> Result<Option<TemplateAnswer>, TemplateError> {
        let asked = node.wallet.with(&node.client, async || node.client.template(Some(pinned)).await).await;
        match asked.map_err(TemplateError::from) {
            Ok(answer) => {
                self.fetched_at.set(Some(Instant::now()));
                self.parts.metrics.templates_total.add(1);
                Ok(Some(answer))
            }
            Err(TemplateError::Daemon(DaemonError::Busy { text, .. })) if text.contains("tip changed") => Ok(None),
            Err(TemplateError::Daemon(DaemonError::Busy { text, retry_after })) => {
                let pause = retry_after.unwrap_or(self.parts.settings.pace.min_age);
                node.hold(&status.best_hash, Instant::now() + pause);
                Err(TemplateError::Daemon(DaemonError::Busy { text, retry_after }))
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn publish(
        &self,
        place: usize,
        answer: TemplateAnswer,
        parent: &BlockInfo,
        status: &Status,
        pinned: &str,
    ) -> Result<(), TemplateError> {
        let (parts, now) = (&self.parts, (self.parts.clock)());
        let lease_ends = answer.expires_at.unwrap_or(now.plus(LEASE));
        let template = Arc::new(build(answer, place, parent.timestamp, pinned, parts.ids.take(), now)?);
        let Template { height, network_difficulty: difficulty, .. } = &*template;
        debug!(%height, %difficulty, merkle_root = %template.merkle_root, "template");
        let published_at = Instant::now().into_std();
        let known = self.nodes.iter().filter_map(|node| node.knew(parent.hash, parent.height)).min();
        let known_at = known.unwrap_or(published_at);
        let taken = parts.published.put(Offer {
            template: Arc::clone(&template),
            lease_ends: Some(lease_ends),
            work: status.total_work,
            known_at,
            now: published_at,
            soon: self.soon(),
        });
        match taken {
            PublishOutcome::Pushed => {
                parts.metrics.template_pushes_total.add(1);
                let took = published_at.saturating_duration_since(known_at);
                parts.metrics.template_tip_to_job_seconds.record(took);
            }
            PublishOutcome::Renewed => {}
            PublishOutcome::Older => parts.metrics.templates_older_total.add(1),
        }
        self.choice.borrow_mut().gave_template(place);
        self.define(&template).await;
        Ok(())
    }

    /// Logged as soon as it is current; miners do not wait for the disk. A share logs it too, if it comes first.
    async fn define(&self, template: &Arc<Template>) {
        let asked = self.parts.ledger.ask(DefineTemplate(Arc::clone(template)), DEFINE_PATIENCE).await;
        let why = match asked {
            Ok(Ok(())) => return,
            Ok(Err(refusal)) => refusal.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(height = %template.height, why, "current template's definition is not logged yet");
    }

    /// The address that every template must pay: from the settings, else stored earlier, else the first daemon's
    /// wallet, which is then stored. Other daemons have other wallets.
    async fn pinned(&self) -> Result<String, TemplateError> {
        if let Some(address) = &self.parts.settings.reward_address {
            return Ok(address.clone());
        }
        if let Some(address) = self.parts.published.pinned.get() {
            return Ok(address.clone());
        }
        let store = &self.parts.store;
        let address = match store.meta_get(PINNED_KEY).await? {
            Some(address) => address,
            None => {
                let first = &self.nodes[0];
                let asked = first.wallet.with(&first.client, async || first.client.wallet_address().await).await;
                let wallet = asked.map_err(|trouble| TemplateError::NotPinned(Box::new(trouble.into())))?;
                let address = store.meta_get_or_insert(PINNED_KEY, &wallet.address).await?;
                info!(address, "reward address set");
                address
            }
        };
        Ok(self.parts.published.pinned.get_or_init(|| address).clone())
    }

    fn say(&self, trouble: Option<TemplateError>) {
        let text = trouble.as_ref().map(|trouble| {
            let source = std::error::Error::source(trouble).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{trouble}{source}")
        });
        let before = self.last_logged.replace(text.clone());
        match (text, before) {
            (Some(text), before) if before.as_ref() != Some(&text) => match trouble {
                Some(trouble) if trouble.is_serious() => error!("no new template: {text}"),
                _ => warn!("no new template: {text}"),
            },
            (None, Some(_)) => info!("following the tip again"),
            _ => {}
        }
    }
}
