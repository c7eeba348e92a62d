//! `TemplateActor` follows the daemon's tip and publishes what is mined now.
//!
//! It looks at the daemon when told to: at every tick, at an event of the daemon's stream, after a block of our own.
//! One look at a time; what arrives meanwhile makes it look once more, so no event is lost. A new job is pushed when
//! the template's identity (height, target, previous block) changes, and only then: a template renewed for time or
//! mempool serves later assignments without throwing away hashes in progress.
//!
//! What it refuses to do: publish a template that pays another address than the pinned one, or that does not build on
//! the tip it was told about; end the process because the daemon is away. It keeps the last job and says once what is
//! wrong.
#![warn(missing_docs)]

mod actor;
mod follow;
mod published;
mod rules;
mod trouble;
mod wallet;

pub use actor::TemplateActor;
pub use published::Published;
pub use trouble::Trouble;

use std::sync::Arc;
use std::time::Duration;

use daemon::DaemonSettings;
use messages::counters::Counters;
use messages::facts::{Clock, LocalIds};
use messages::share_ledger::DefineTemplate;
use messages::template::RefreshTemplate;
use runtime::Recipient;
use secrecy::SecretString;
use store::Store;

/// How templates are fetched.
#[derive(Debug, Clone, Default)]
pub struct TemplateSettings {
    /// Whom blocks pay. `None`: the address stored earlier, or else the daemon's wallet, which is then stored.
    pub reward_address: Option<String>,
    /// Let an event that names another block of the tip's height hurry; otherwise the next poll finds it.
    pub refresh_on_same_height: bool,
    /// Opens the daemon's wallet when it is not loaded or locked. `None`: only say that it is.
    pub wallet_password: Option<SecretString>,
    /// When the same tip's template is fetched anew.
    pub pace: Pace,
}

/// When a template is renewed although the tip is the same.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Never sooner: every fetch takes one of the daemon's 512 leases for ten minutes.
    pub min_age: Duration,
    /// At this age for certain: header times feed the difficulty rule and should be honest.
    pub max_age: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { min_age: Duration::from_secs(10), max_age: Duration::from_secs(30) }
    }
}

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct TemplateParts {
    /// How templates are fetched.
    pub settings: TemplateSettings,
    /// Which daemon.
    pub daemon: DaemonSettings,
    /// Holds the pinned address.
    pub store: Store,
    /// What it publishes; outlives its generations.
    pub published: Arc<Published>,
    /// Numbers its templates.
    pub ids: Arc<LocalIds>,
    /// Counts them.
    pub counters: Arc<Counters>,
    /// The wall clock.
    pub clock: Clock,
    /// Logs their definitions.
    pub ledger: Recipient<DefineTemplate>,
    /// The actor itself, for the daemon's events.
    pub me: Recipient<RefreshTemplate>,
}
