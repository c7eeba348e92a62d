//! What all actors of a process share.
use std::sync::Arc;
use std::time::SystemTime;

use boot::Telemetry;
use messages::conditions::Conditions;
use messages::facts::{Clock, LocalIds};
use rand::Rng;
use secrecy::ExposeSecret;
use settings::Settings;
use store::Store;
use template::TemplateSource;
use units::Timestamp;

use crate::daemons;
use crate::data_dir::DataDirLock;
use crate::error::HostError;
use crate::metrics::HostMetrics;
use crate::role::Role;

/// What all actors of a process share; built once, before any of them.
pub struct HostContext<'a> {
    /// The binary.
    pub(crate) name: &'static str,
    pub(crate) roles: &'a [Role],
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// The system's chance.
    pub(crate) rng: fn() -> [u8; 32],
    /// Local ids of lines in the share log.
    pub(crate) ids: Arc<LocalIds>,
    pub(crate) metrics: HostMetrics,
    pub(crate) conditions: Arc<Conditions>,
    /// In order of preference; at least one.
    pub(crate) daemons: Vec<TemplateSource>,
    pub(crate) telemetry: &'a Telemetry,
    /// Last, so that it is dropped when nobody uses the directory any more.
    _place: DataDirLock,
}

impl<'a> HostContext<'a> {
    /// Opens the database, whose migrations must be applied. `place` is the lock of the settings' data directory.
    ///
    /// # Errors
    /// The database is not there, or not as this binary needs it.
    pub fn open(
        name: &'static str,
        roles: &'a [Role],
        settings: Settings,
        place: DataDirLock,
        telemetry: &'a Telemetry,
    ) -> Result<HostContext<'a>, HostError> {
        let url = settings.database_url();
        let store = Store::open(url.expose_secret(), settings.database.pool_size.get()).map_err(HostError::database)?;
        let clock: Clock = Arc::new(|| Timestamp::from_system(SystemTime::now()));
        let settings = Arc::new(settings);
        Ok(HostContext {
            name,
            roles,
            store,
            conditions: Arc::new(Conditions::new(Arc::clone(&clock))),
            clock,
            rng: || rand::rng().random(),
            ids: Arc::new(LocalIds::default()),
            metrics: HostMetrics::register(&telemetry.metrics(), roles),
            daemons: daemons::sources(&settings),
            settings,
            telemetry,
            _place: place,
        })
    }

    /// What the operator has set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the role is in this process.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    pub(crate) fn is_devnet(&self) -> bool {
        self.settings.pool.network == settings::Network::Devnet
    }
}
