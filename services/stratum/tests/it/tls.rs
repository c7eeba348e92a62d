//! TLS on its own port and on the plain one.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stratum::CloseReason;
use tempfile::TempDir;

use crate::miner::{Job, Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{PATIENCE, Pool, Setup, template, with_pool};

/// A certificate for `localhost` on disk.
struct Certificate {
    dir: TempDir,
}

impl Certificate {
    fn new() -> (Certificate, CertificateDer<'static>) {
        let certificate = Certificate { dir: tempfile::tempdir().unwrap() };
        let der = certificate.renew();
        (certificate, der)
    }

    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(self.cert(), made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn set(&self, setup: &mut Setup) {
        let settings = &mut setup.settings;
        settings.tls_cert = Some(self.cert());
        settings.tls_key = Some(self.key());
        settings.tls_listen = Some("127.0.0.1:0".parse().unwrap());
    }
}

fn client(trusted: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: std::net::SocketAddr, config: &Arc<ClientConfig>) -> Secure {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

/// The first message of a client.
fn hello(trusted: &CertificateDer<'static>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(client(trusted), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

fn line(secure: &mut Secure) -> std::io::Result<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    loop {
        secure.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(String::from_utf8(text).unwrap());
        }
        text.push(byte[0]);
    }
}

fn send(secure: &mut Secure, text: &str) {
    secure.write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// A whole session: login, job, sixteen shares at once, the end in the middle of a line.
fn mine(mut secure: Secure) {
    send(&mut secure, &login_line(1, &address(1), "rig"));
    assert_eq!(line(&mut secure).unwrap(), login_ok(1));
    let job = Job::of(&line(&mut secure).unwrap());
    let all: String = (2..18).map(|n| job.submit(n, n) + "\n").collect();
    secure.write_all(all.as_bytes()).unwrap();
    for n in 2..18 {
        assert_eq!(line(&mut secure).unwrap(), share_ok(n));
    }
    // Larger than a record and than what the pool reads at once.
    for _ in 0..40 {
        secure.write_all("\n".repeat(4000).as_bytes()).unwrap();
    }
    secure.write_all(job.submit(18, 18).as_bytes()).unwrap();
    secure.conn.send_close_notify();
    secure.flush().unwrap();
    assert_eq!(line(&mut secure).unwrap(), share_ok(18));
    assert_eq!(secure.read(&mut [0; 8]).unwrap_or(0), 0);
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn a_session_in_tls_is_the_same_session_on_both_ports() {
    let (certificate, der) = Certificate::new();
    with_pool(
        |setup| certificate.set(setup),
        async |pool| {
            pool.mine(&template(41_237));
            let config = client(&der);
            for address in [pool.address, pool.tls_address.unwrap()] {
                let config = Arc::clone(&config);
                apart(move || mine(connect(address, &config))).await;
            }
            let mut plain = Miner::connect(pool).await;
            plain.log_in(1, "rig").await;
            pool.until("the ends", |pool| pool.closed(CloseReason::Client) == 2).await;
            assert_eq!(pool.ledger.shares().len(), 34);
            assert_eq!(pool.metrics.stratum_tls_handshakes_total.get(), 2);
        },
    );
}

#[test]
fn a_proxy_header_before_tls_names_the_client() {
    let (certificate, der) = Certificate::new();
    with_pool(
        |setup| certificate.set(setup),
        async |pool| {
            pool.mine(&template(41_237));
            let (address, config) = (pool.tls_address.unwrap(), client(&der));
            apart(move || {
                let mut secure = connect(address, &config);
                secure.sock.write_all(b"PROXY TCP4 10.9.8.7 127.0.0.1 1 2\r\n").unwrap();
                mine(secure);
            })
            .await;
            let origin = stratum::OriginSalt([7; 32]).origin("10.9.8.7".parse().unwrap());
            assert!(pool.ledger.shares().iter().all(|share| share.line.origin == origin));
        },
    );
}

#[test]
fn what_is_no_tls_gets_none() {
    let (certificate, _) = Certificate::new();
    with_pool(
        |setup| certificate.set(setup),
        async |pool| {
            let mut plain = Miner::to(pool.tls_address.unwrap()).await;
            plain.send(&login_line(1, &address(1), "rig")).await;
            assert!(plain.is_closed().await, "plain text on the port for TLS");
            let mut garbage = Miner::connect(pool).await;
            garbage.send_bytes(&[&[0x16, 3, 1, 2, 0][..], &[0xaa; 600]].concat()).await;
            // An alert, and the end.
            pool.until("both ends", |pool| pool.closed(CloseReason::TlsFailed) == 2).await;
        },
    );
    with_pool(
        |_| (),
        async |pool| {
            let mut hello = Miner::connect(pool).await;
            hello.send_bytes(&[0x16, 3, 1, 0, 10, 1, 2, 3]).await;
            assert!(hello.is_closed().await, "TLS where none is set up");
            let mut honest = Miner::connect(pool).await;
            honest.send(&login_line(1, &address(1), "rig")).await;
            assert_eq!(honest.line().await, login_ok(1));
        },
    );
}

/// A goodbye in plain text may follow a ClientHello, and nothing behind it is looked at any more.
#[test]
fn a_goodbye_in_the_middle_of_a_handshake_ends_the_connection_and_holds_up_nobody() {
    let (certificate, der) = Certificate::new();
    with_pool(
        |setup| certificate.set(setup),
        async |pool| {
            let goodbye = [0x15, 3, 3, 0, 2, 1, 0];
            for behind in [0, 1, 5_000, 60_000] {
                let mut miner = Miner::connect(pool).await;
                miner.send_bytes(&[&hello(&der)[..], &goodbye, &vec![0x17; behind]].concat()).await;
                miner.until_closed().await;
                let mut honest = Miner::connect(pool).await;
                honest.send(&login_line(1, &address(1), "rig")).await;
                assert_eq!(honest.line().await, login_ok(1));
            }
        },
    );
}

#[test]
fn a_handshake_that_stops_is_ended() {
    let (certificate, _) = Certificate::new();
    let adjust = |setup: &mut Setup| {
        certificate.set(setup);
        setup.settings.idle_timeout = Duration::from_secs(1);
    };
    with_pool(adjust, async |pool| {
        let mut slow = Miner::from(pool, "10.0.0.1").await;
        slow.send_bytes(&[0x16, 3, 1, 2, 0, 1]).await;
        assert!(slow.is_closed().await);
        pool.until("the end", |pool| pool.closed(CloseReason::TlsDeadline) == 1).await;
    });
}

/// Handshakes that may be under way at once.
const HANDSHAKES: usize = 1024;

#[test]
fn too_many_handshakes_at_once_are_refused_and_miners_in_plain_text_do_not_notice() {
    let (certificate, der) = Certificate::new();
    let adjust = |setup: &mut Setup| {
        certificate.set(setup);
        setup.arbiters = 2;
    };
    with_pool(adjust, async |pool| {
        pool.mine(&template(41_237));
        let mut honest = Miner::connect(pool).await;
        let job = honest.log_in(1, "rig").await;
        let mut begun = Vec::new();
        for n in 0..HANDSHAKES as u64 + 8 {
            let mut slow = Miner::connect(pool).await;
            slow.send_bytes(&[0x16]).await;
            begun.push(slow);
            if n % 64 == 0 {
                honest.send(&job.submit(n + 2, n)).await;
                assert_eq!(honest.line().await, share_ok(n + 2));
            }
        }
        pool.until("the refusals", |pool| pool.closed(CloseReason::TlsBusy) == 8).await;
        assert!(!shows(pool, &der).await);
        assert_eq!(pool.closed(CloseReason::TlsBusy), 9);
        let mut late = Miner::connect(pool).await;
        late.log_in(2, "rig").await;
        // Whoever goes makes room.
        drop(begun);
        pool.until("their ends", |pool| pool.closed(CloseReason::Client) == HANDSHAKES as u64).await;
        assert!(shows(pool, &der).await);
        assert_eq!(pool.metrics.stratum_bans_total.get(), 0);
    });
}

/// The certificate that a new connection is shown is `der`.
async fn shows(pool: &Pool, der: &CertificateDer<'static>) -> bool {
    let (address, config) = (pool.address, client(der));
    let answer = apart(move || {
        let mut secure = connect(address, &config);
        // A certificate of somebody else fails the handshake.
        secure.write_all(format!("{}\n", login_line(1, &crate::miner::address(1), "rig")).as_bytes())?;
        line(&mut secure)
    });
    answer.await.is_ok_and(|answer| answer == login_ok(1))
}

async fn comes_to_show(pool: &Pool, der: &CertificateDer<'static>) {
    let begun = std::time::Instant::now();
    while !shows(pool, der).await {
        assert!(begun.elapsed() < PATIENCE, "the new certificate never came");
    }
}

#[test]
fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let (certificate, first) = Certificate::new();
    with_pool(
        |setup| certificate.set(setup),
        async |pool| {
            assert!(shows(pool, &first).await);
            let second = certificate.renew();
            comes_to_show(pool, &second).await;
            assert!(!shows(pool, &first).await);
            std::fs::write(certificate.cert(), "no certificate").unwrap();
            let failures = || pool.metrics.stratum_tls_reload_failures_total.get();
            let before = failures();
            hang_up();
            pool.until("the failure in the metrics", |_| failures() > before).await;
            assert!(shows(pool, &second).await, "the old one stays");
            let third = certificate.renew();
            hang_up();
            comes_to_show(pool, &third).await;
        },
    );
}

/// What an operator does.
fn hang_up() {
    let pid = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start_and_names_the_settings() {
    for (cert, key) in [("", ""), ("no PEM", "no PEM")] {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let paths = (file("cert.pem", cert), file("key.pem", key));
        let refused = std::panic::catch_unwind(|| {
            with_pool(
                |setup| {
                    (setup.settings.tls_cert, setup.settings.tls_key) = (Some(paths.0.clone()), Some(paths.1.clone()))
                },
                async |_| (),
            );
        });
        assert!(refused.is_err());
    }
    assert!(!Path::new("cert.pem").exists());
}

#[test]
fn a_miner_in_tls_that_does_not_read_is_closed() {
    let (certificate, der) = Certificate::new();
    let adjust = |setup: &mut Setup| {
        certificate.set(setup);
        setup.settings.submit_rate_max = 1;
    };
    with_pool(adjust, async |pool| {
        let (address, config) = (pool.address, client(&der));
        let deaf = apart(move || {
            let mut secure = connect(address, &config);
            send(&mut secure, &login_line(1, &crate::miner::address(1), "rig"));
            assert_eq!(line(&mut secure).unwrap(), login_ok(1));
            secure.sock.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            // Each is answered; none of the answers is read.
            while secure.write_all("{}\n".repeat(1000).as_bytes()).is_ok() {}
            secure
        });
        let _deaf = deaf.await;
        pool.until("the end", |pool| pool.closed(CloseReason::SlowReader) == 1).await;
        let mut honest = Miner::connect(pool).await;
        honest.send("garbage").await;
        assert_eq!(honest.line().await, error(0, "invalid JSON"));
    });
}
