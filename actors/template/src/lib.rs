//! `TemplateActor` follows the daemon's tip and publishes what is mined now.
//!
//! It looks at the daemon at every tick, at an event of the daemon's stream, after a block of our own. One look at a
//! time; what arrives meanwhile makes it look once more, so no event is lost. A new job is pushed when the template's
//! identity (height, target, previous block) changes: a template renewed for time or mempool serves later assignments
//! without throwing away hashes in progress. The one exception is work that could soon not be submitted any more.
//!
//! Of several daemons it follows the first that is well and on the best tip; see [`FailoverTimeouts`].
//!
//! What it refuses to do: publish a template that pays another address than the pinned one, that does not build on
//! the tip it was told about, or that builds on less work than the best chain seen, also by earlier processes, unless
//! that lasts (see [`Pace::step_back`]); end the process because the daemons are away. It keeps the last job and says
//! once what is wrong.
//!
//! Bounds: one look, one round of lease renewals and one question per further daemon at a time; 256 leases kept.
#![warn(missing_docs)]

mod actor;
mod best_chain;
mod choice;
mod daemons;
mod error;
mod follow;
mod leases;
mod metrics;
mod node;
mod published;
mod rules;

pub use actor::TemplateActor;
pub use choice::FailoverTimeouts;
pub use error::TemplateError;
pub use metrics::TemplateMetrics;
pub use published::Published;

use std::sync::Arc;
use std::time::Duration;

use daemon::WalletPassword;
use messages::facts::{Clock, LocalIds};
use messages::share_ledger::DefineTemplate;
use runtime::Recipient;
use settings::DaemonEndpoint;
use store::Store;

/// How templates are fetched.
#[derive(Debug, Clone, Default)]
pub struct TemplateSettings {
    /// Whom blocks pay. `None`: the address stored earlier, or else the daemon's wallet, which is then stored.
    pub reward_address: Option<String>,
    /// Let an event that names another block of the tip's height hurry; otherwise the next poll finds it.
    pub refresh_on_same_height: bool,
    /// When the same tip's template is fetched anew.
    pub pace: Pace,
    /// When another daemon is chosen.
    pub patience: FailoverTimeouts,
}

/// One daemon.
#[derive(Clone)]
pub struct TemplateSource {
    /// Where it is and what opens it.
    pub daemon: DaemonEndpoint,
    /// Opens its wallet when that is not loaded or locked. While it gives none: only say that it is.
    pub wallet_password: WalletPassword,
}

/// When a template is renewed although the tip is the same.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Never sooner: every fetch takes one of the daemon's 512 leases for ten minutes.
    pub min_age: Duration,
    /// At this age for certain: header times feed the difficulty rule and should be honest.
    pub max_age: Duration,
    /// A chain with less work than the best one seen is mined only after so long. A daemon that has just started needs
    /// a minute to find its peers and then some to catch up; work on its old tip is lost.
    pub step_back: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let secs = Duration::from_secs;
        Pace { min_age: secs(10), max_age: secs(30), step_back: secs(180) }
    }
}

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct TemplateParts {
    /// How templates are fetched.
    pub settings: TemplateSettings,
    /// Which daemons, in order of preference; at least one. A template's issuer is a place in this list.
    pub sources: Vec<TemplateSource>,
    /// Holds the pinned address.
    pub store: Store,
    /// What it publishes; outlives its generations.
    pub published: Arc<Published>,
    /// Numbers its templates.
    pub ids: Arc<LocalIds>,
    /// Counts them.
    pub metrics: Arc<TemplateMetrics>,
    /// The wall clock.
    pub clock: Clock,
    /// Logs their definitions.
    pub ledger: Recipient<DefineTemplate>,
}
