//! The daemons of the settings, as actors take them.
use std::sync::Arc;

use daemon::WalletPassword;
use settings::{DaemonEndpoint, Settings};
use template::TemplateSource;
use tracing::warn;

/// All of them, in order of preference; at least one.
pub(crate) fn sources(settings: &Arc<Settings>) -> Vec<TemplateSource> {
    settings.daemon.endpoints().iter().map(|endpoint| source(settings, endpoint)).collect()
}

/// Reads a wallet's password whenever it is needed.
fn wallet_password(settings: &Arc<Settings>, endpoint: &DaemonEndpoint) -> WalletPassword {
    let (settings, endpoint) = (Arc::clone(settings), endpoint.clone());
    Arc::new(move || {
        settings.wallet_password(&endpoint).unwrap_or_else(|error| {
            warn!(%error, daemon = endpoint.url, "wallet password file not readable yet");
            None
        })
    })
}

fn source(settings: &Arc<Settings>, endpoint: &DaemonEndpoint) -> TemplateSource {
    TemplateSource { daemon: endpoint.clone(), wallet_password: wallet_password(settings, endpoint) }
}
