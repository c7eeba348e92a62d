//! A connection to PostgreSQL: with limits for servers that vanish without a word, and with TLS where it is asked for.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::CONNECT_TIMEOUT;

/// A statement that takes longer is stuck, and a transaction that waits longer for us was abandoned.
const SESSION: &str = "SET application_name = 'meshpool'; SET statement_timeout = '30s'; \
    SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';";

/// A server that acknowledges nothing for so long is gone: a machine that lost its power sends no goodbye.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// The same for a connection that waits for an answer: probes after so long, so far apart, so many.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// What a URL asks for.
struct Wanted {
    config: Config,
    /// `Some` for TLS: certificates of the issuers that are trusted; `None` in it for those of the system.
    tls: Option<Option<PathBuf>>,
}

/// A new connection.
pub(crate) fn connect(url: &str) -> impl Future<Output = ConnectionResult<AsyncPgConnection>> + Send + use<> {
    let wanted = wanted(url);
    async move {
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, establish(wanted?));
        let mut conn = connect.await.map_err(|_| bad("no answer within 5 seconds"))??;
        conn.batch_execute(SESSION).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(conn)
    }
}

/// What a URL asks for, and the files that it names, can be used.
pub(crate) fn check(url: &str) -> ConnectionResult<()> {
    wanted(url)?.tls.map_or(Ok(()), |issuers| connector(issuers).map(drop))
}

async fn establish(Wanted { config, tls }: Wanted) -> ConnectionResult<AsyncPgConnection> {
    match tls {
        Some(issuers) => {
            let (client, conn) = config.connect(connector(issuers)?).await.map_err(|error| bad(described(&error)))?;
            AsyncPgConnection::try_from_client_and_connection(client, conn).await
        }
        None => {
            let (client, conn) = config.connect(NoTls).await.map_err(|error| bad(described(&error)))?;
            AsyncPgConnection::try_from_client_and_connection(client, conn).await
        }
    }
}

/// `sslmode=require` and `verify-full` mean the same: an encrypted connection to a server whose certificate names it and
/// is issued by somebody in `sslrootcert`, or trusted by the system. Without it nothing is encrypted.
fn wanted(url: &str) -> ConnectionResult<Wanted> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut issuers = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslrootcert", path)) => issuers = Some(PathBuf::from(path)),
            Some(("sslmode", "verify-full")) => rest.push("sslmode=require"),
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    let mut config: Config = url.parse().map_err(|error| bad(described(&error)))?;
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    config.keepalives(true).keepalives_idle(PROBE_AFTER).keepalives_interval(PROBE_EVERY).keepalives_retries(PROBES);
    let tls = (config.get_ssl_mode() == SslMode::Require).then_some(issuers);
    Ok(Wanted { config, tls })
}

fn connector(issuers: Option<PathBuf>) -> ConnectionResult<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    match issuers {
        Some(path) => {
            let failed = |why: String| bad(format!("sslrootcert {}: {why}", path.display()));
            let found = CertificateDer::pem_file_iter(&path).map_err(|error| failed(error.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(failed("holds no certificate".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| bad(error.to_string()))?.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn bad(why: impl Into<String>) -> ConnectionError {
    ConnectionError::BadConnection(why.into())
}

/// The driver hides what happened in the source of its errors.
fn described(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_vanishes_is_noticed_within_half_a_minute() {
        let Wanted { config, tls } = wanted("postgres://pool@db/pool").unwrap();
        assert_eq!(config.get_tcp_user_timeout(), Some(&UNACKNOWLEDGED));
        assert!(config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), PROBE_AFTER);
        assert_eq!(
            (config.get_keepalives_interval(), config.get_keepalives_retries()),
            (Some(PROBE_EVERY), Some(PROBES))
        );
        assert!(UNACKNOWLEDGED.max(PROBE_AFTER + PROBE_EVERY * PROBES) < Duration::from_secs(30));
        assert!(tls.is_none());
        let own = wanted("postgres://pool@db/pool?tcp_user_timeout=3000").unwrap();
        assert_ne!(own.config.get_tcp_user_timeout(), Some(&UNACKNOWLEDGED));
    }

    #[test]
    fn tls_is_used_when_it_is_asked_for() {
        let tls = |query: &str| wanted(&format!("postgres://pool:a@db/pool?{query}")).map(|wanted| wanted.tls).unwrap();
        for query in ["", "sslmode=disable", "sslmode=prefer", "sslrootcert=/x.pem"] {
            assert_eq!(tls(query), None, "{query}");
        }
        for query in ["sslmode=require", "application_name=x&sslmode=verify-full"] {
            assert_eq!(tls(query), Some(None), "{query}");
        }
        assert_eq!(tls("sslmode=require&sslrootcert=/x.pem"), Some(Some(PathBuf::from("/x.pem"))));
        let refused = wanted("postgres://pool:geheim@db/pool?sslmode=verify-ca").err().unwrap().to_string();
        assert!(refused.contains("sslmode") && !refused.contains("geheim"), "{refused}");
    }
}
