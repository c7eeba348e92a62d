//! The daemons of the settings, as actors take them.
use daemon::DaemonSettings;
use secrecy::ExposeSecret;
use settings::{DaemonEndpoint, Settings};
use template::TemplateSource;
use tracing::warn;

/// All of them, in order of preference; at least one.
pub(crate) fn sources(settings: &Settings) -> Vec<TemplateSource> {
    settings.daemon.endpoints().iter().map(|endpoint| source(settings, endpoint)).collect()
}

fn source(settings: &Settings, endpoint: &DaemonEndpoint) -> TemplateSource {
    let wallet_password = settings.wallet_password(endpoint).unwrap_or_else(|error| {
        warn!(%error, daemon = endpoint.url, "no wallet password yet");
        None
    });
    let daemon = DaemonSettings {
        url: endpoint.url.clone(),
        cookie_path: endpoint.cookie_path.clone(),
        data_dir: endpoint.data_dir.clone(),
        token: Some(endpoint.token.clone()).filter(|token| !token.expose_secret().is_empty()),
    };
    TemplateSource { daemon, wallet_password }
}
