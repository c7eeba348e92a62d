//! The certificate, who may shake hands now, and new certificates without a restart.
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection};
use settings::StratumSettings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::limits::HANDSHAKES_AT_ONCE;
use crate::metrics::StratumMetrics;
use crate::transport::Tls;

/// The first byte of TLS. No request begins with it.
pub(crate) const HANDSHAKE_BYTE: u8 = 0x16;
/// How often the files are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// Ciphertext that may wait for a slow socket.
const UNSENT_MAX: usize = 64 * 1024;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or not PEM.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// No certificate in it.
    #[error("no certificate in {0}")]
    Empty(PathBuf),
    /// Key and certificate do not fit, or are of a kind we do not speak.
    #[error("certificate or key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Makes connections' TLS.
pub(crate) struct TlsGate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
    handshakes: Arc<Semaphore>,
    metrics: Arc<StratumMetrics>,
}

impl TlsGate {
    pub(crate) fn new(cert: &Path, key: &Path, metrics: &Arc<StratumMetrics>) -> Result<TlsGate, TlsError> {
        let current = RwLock::new(read_config(cert, key)?);
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
        Ok(TlsGate { cert: cert.into(), key: key.into(), current, handshakes, metrics: Arc::clone(metrics) })
    }

    /// TLS for one connection; `None` while too many shake hands. Nothing is allocated before that is known.
    pub(crate) fn begin(&self, now: Instant) -> Result<Option<Box<Tls>>, rustls::Error> {
        let Ok(turn) = Arc::clone(&self.handshakes).try_acquire_owned() else { return Ok(None) };
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let mut conn = ServerConnection::new(config)?;
        conn.set_buffer_limit(Some(UNSENT_MAX));
        Ok(Some(Box::new(Tls { conn, handshake: Some(turn), begun: now, metrics: Arc::clone(&self.metrics) })))
    }

    /// Reads the files again. What is connected keeps the certificate it has.
    pub(crate) fn reload(&self) {
        match read_config(&self.cert, &self.key) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                info!(certificate = %self.cert.display(), "new certificate in use");
            }
            Err(error) => {
                self.metrics.stratum_tls_reload_failures_total.add(1);
                warn!(%error, "new certificate rejected, keeping the old one");
            }
        }
    }

    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.cert, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

/// Loads a changed certificate, at SIGHUP at once. Ends with the arbiter.
pub(crate) async fn watch(gate: Option<Arc<TlsGate>>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return warn!(%error, "SIGHUP handler failed; certificates are not reloaded"),
    };
    let Some(gate) = gate else {
        while hangup.recv().await.is_some() {
            info!("SIGHUP: there is no certificate to read again");
        }
        return;
    };
    let mut looks = tokio::time::interval(WATCH_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = gate.stamp();
    loop {
        let asked = tokio::select! {
            _at = looks.tick() => false,
            _got = hangup.recv() => true,
        };
        let gate = Arc::clone(&gate);
        // Files may lie on a slow disk, and this thread serves miners.
        let look = tokio::task::spawn_blocking(move || {
            let stamp = gate.stamp();
            if asked || stamp != seen {
                gate.reload();
            }
            stamp
        });
        match look.await {
            Ok(stamp) => seen = stamp,
            Err(error) => return warn!(%error, "certificate reload stopped"),
        }
    }
}

/// Whether the certificate and the key that the settings name can be read, and belong together.
///
/// # Errors
/// What the start of the front would say.
pub fn check_certificate(settings: &StratumSettings) -> Result<(), TlsError> {
    match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => read_config(cert, key).map(drop),
        _ => Ok(()),
    }
}

fn read_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(file(cert))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert.into()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // Miners connect once and stay: nothing is kept to make a second handshake cheaper.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
