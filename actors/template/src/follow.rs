//! One look at the daemon: is there something newer to mine, and is it good?
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use chain::BlockId;
use daemon::{BlockInfo, Daemon, DaemonError, Event, TemplateAnswer};
use messages::facts::{Template, Tip};
use messages::share_ledger::DefineTemplate;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use units::Height;

use crate::rules::{build, is_news, needs_template};
use crate::trouble::Trouble;
use crate::wallet::Wallet;
use crate::{TemplateParts, TemplateSettings};

/// Where the pinned reward address is stored.
const PINNED_KEY: &str = "reward_address";
/// A definition that is not logged by then is logged with the template's first share.
const DEFINE_PATIENCE: Duration = Duration::from_secs(1);
/// A lease is renewed this long before it ends.
const RENEW_AHEAD: Duration = Duration::from_secs(120);
/// Looks in a row while the tip keeps moving.
const LOOKS: u32 = 3;

/// Follows one daemon.
pub(crate) struct Follower {
    parts: TemplateParts,
    daemon: Daemon,
    wallet: Wallet,
    fetched_at: Cell<Option<Instant>>,
    /// The daemon asked not to be asked for templates before.
    not_before: Cell<Option<Instant>>,
    /// This daemon cannot renew leases.
    no_renewals: Cell<bool>,
    said: RefCell<Option<String>>,
    last_event: Cell<Option<(Height, BlockId)>>,
}

enum Look {
    Done,
    /// The tip changed in the middle.
    Moved,
}

impl Follower {
    pub(crate) fn new(parts: TemplateParts) -> Follower {
        let TemplateSettings { wallet_password, .. } = &parts.settings;
        Follower {
            daemon: Daemon::new(&parts.daemon),
            wallet: Wallet::new(wallet_password.clone()),
            parts,
            fetched_at: Cell::new(None),
            not_before: Cell::new(None),
            no_renewals: Cell::new(false),
            said: RefCell::default(),
            last_event: Cell::new(None),
        }
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Looks at the daemon and publishes what is new. Whatever is wrong is said, once.
    pub(crate) async fn refresh(&self) {
        let outcome = self.look_until_still().await;
        if let Err(Trouble::Daemon(error)) = &outcome
            && error.is_unreachable()
        {
            self.parts.published.set_tip(|tip| tip.reachable = false);
        }
        self.say(outcome.err());
    }

    async fn look_until_still(&self) -> Result<(), Trouble> {
        for _ in 0..LOOKS {
            match self.look().await? {
                Look::Done => return Ok(()),
                Look::Moved => {}
            }
        }
        Err(Trouble::Moving)
    }

    async fn look(&self) -> Result<Look, Trouble> {
        let published = &self.parts.published;
        let status = self.daemon.status().await?;
        let (height, syncing) = (status.chain_height, status.is_behind());
        published.set_tip(|tip| {
            let same =
                tip.height == height && tip.hash.is_some_and(|hash| hash.to_string().starts_with(&status.best_hash));
            *tip = Tip { daemon: 0, height, hash: tip.hash.filter(|_| same), syncing, reachable: true };
        });
        let job = published.job();
        let age = self.fetched_at.get().map_or(Duration::MAX, |at| at.elapsed());
        let current = job.as_ref().map(|job| (&*job.template, age));
        if !needs_template(current, &status, &self.parts.settings.pace) {
            self.renew_leases().await;
            return Ok(Look::Done);
        }
        if self.not_before.get().is_some_and(|at| Instant::now() < at) {
            return Ok(Look::Done);
        }
        let pinned = self.pinned().await?;
        let (answer, parent) = tokio::join!(self.fetch(&pinned), self.daemon.block_by_height(height));
        let Some(parent) = parent? else { return Ok(Look::Moved) };
        published.set_tip(|tip| *tip = Tip { daemon: 0, height, hash: Some(parent.hash), syncing, reachable: true });
        let Some(answer) = answer? else { return Ok(Look::Moved) };
        if answer.header_base.prev_hash() != parent.hash || answer.header_base.height() != height.next() {
            return Ok(Look::Moved);
        }
        self.publish(answer, &parent, &pinned).await?;
        Ok(Look::Done)
    }

    /// `None` when the tip moved under the daemon's hands.
    async fn fetch(&self, pinned: &str) -> Result<Option<TemplateAnswer>, Trouble> {
        match self.wallet.with(&self.daemon, async || self.daemon.template(Some(pinned)).await).await {
            Ok(answer) => {
                self.fetched_at.set(Some(Instant::now()));
                self.parts.counters.templates_total.add(1);
                Ok(Some(answer))
            }
            Err(Trouble::Daemon(DaemonError::Busy { text, .. })) if text.contains("tip changed") => Ok(None),
            Err(Trouble::Daemon(DaemonError::Busy { text, retry_after })) => {
                self.not_before.set(retry_after.map(|pause| Instant::now() + pause));
                Err(Trouble::Daemon(DaemonError::Busy { text, retry_after }))
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn publish(&self, answer: TemplateAnswer, parent: &BlockInfo, pinned: &str) -> Result<(), Trouble> {
        let parts = &self.parts;
        let lease_ends = answer.expires_at;
        let template = build(answer, parent.timestamp, pinned, parts.ids.take(), (parts.clock)())?;
        let template = Arc::new(template);
        self.define(&template).await;
        let Template { height, network_difficulty: difficulty, .. } = &*template;
        debug!(%height, %difficulty, merkle_root = %template.merkle_root, "template");
        parts.published.put(template, lease_ends, Instant::now().into_std());
        Ok(())
    }

    /// Logged before its first use, if the disk answers in time; mining does not wait for the disk.
    async fn define(&self, template: &Arc<Template>) {
        let asked = self.parts.ledger.ask(DefineTemplate(Arc::clone(template)), DEFINE_PATIENCE).await;
        let why = match asked {
            Ok(Ok(())) => return,
            Ok(Err(refusal)) => refusal.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(height = %template.height, why, "template is published before its definition is logged");
    }

    /// Keeps the leases of templates that miners still work on, so that their blocks can be submitted by name.
    async fn renew_leases(&self) {
        if self.no_renewals.get() {
            return;
        }
        for id in self.parts.published.leases_ending((self.parts.clock)().plus(RENEW_AHEAD)) {
            match self.daemon.renew_template(&id).await {
                Ok(ends) => self.parts.published.lease_is(&id, Some(ends)),
                Err(DaemonError::NoSuchRoute { .. }) => return self.no_renewals.set(true),
                Err(error) if error.is_unreachable() => return,
                Err(_) => self.parts.published.lease_is(&id, None), // Gone or stale: the full form remains.
            }
        }
    }

    /// The address that every template must pay: from the settings, else stored earlier, else learned now and stored.
    async fn pinned(&self) -> Result<String, Trouble> {
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
                let wallet = self.wallet.with(&self.daemon, async || self.daemon.wallet_address().await).await?;
                let address = store.meta_get_or_insert(PINNED_KEY, &wallet.address).await?;
                info!(address, "blocks pay this address from now on");
                address
            }
        };
        Ok(self.parts.published.pinned.get_or_init(|| address).clone())
    }

    /// Whether an event is news. Our own block is told twice.
    pub(crate) fn is_news(&self, event: Event) -> bool {
        let (height, hash) = match event {
            Event::NewBlock { hash, height } | Event::MinedBlock { hash, height } => (height, hash),
            Event::Connected { .. } => return true,
            Event::Lost(error) => {
                debug!(%error, "event stream");
                return false;
            }
        };
        let last = self.last_event.replace(Some((height, hash)));
        is_news(last, (height, hash), self.parts.settings.refresh_on_same_height)
    }

    fn say(&self, trouble: Option<Trouble>) {
        let text = trouble.as_ref().map(|trouble| {
            let source = std::error::Error::source(trouble).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{trouble}{source}")
        });
        let before = self.said.replace(text.clone());
        match (text, before) {
            (Some(text), before) if before.as_ref() != Some(&text) => match trouble {
                Some(trouble) if trouble.is_serious() => error!("no new template: {text}"),
                _ => warn!("no new template: {text}"),
            },
            (None, Some(_)) => info!(daemon = self.daemon.place(), "following the tip again"),
            _ => {}
        }
    }
}
