//! PostgreSQL behind TLS: a door that speaks it, with the real server behind.
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use store::{OpenError, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::common::Scratch;

/// Answers the request for TLS, then hands everything on to `server` in plain.
fn door(server: SocketAddr, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the tests.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, acceptor.clone(), server));
            }
        });
    });
    address
}

async fn pass(mut stream: TcpStream, acceptor: TlsAcceptor, server: SocketAddr) -> std::io::Result<()> {
    let mut request = [0; 8];
    stream.read_exact(&mut request).await?;
    assert_eq!(request[4..], 80_877_103_u32.to_be_bytes(), "it asks for TLS first");
    stream.write_all(b"S").await?;
    let mut inside = acceptor.accept(stream).await?;
    let mut outside = TcpStream::connect(server).await?;
    copy_bidirectional(&mut inside, &mut outside).await.map(|_| ())
}

#[test]
fn a_server_with_a_known_certificate_is_reached_encrypted_and_any_other_is_refused() {
    let scratch = Scratch::postgres();
    let url = scratch.url();
    let (_, place) = url.split_once("://").unwrap();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (server, name) = place.split_once('/').unwrap();
    let (user, name) = (url.split_once("://").unwrap().1.split_once('@').map_or("postgres", |(user, _)| user), name);
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let port = door(server.parse().unwrap(), &certificate).port();
    let dir = tempfile::tempdir().unwrap();
    let issuer = dir.path().join("issuer.pem");
    std::fs::write(&issuer, certificate.cert.pem()).unwrap();
    let base = format!("postgres://{user}@localhost:{port}/{}", name.split('?').next().unwrap());
    let known = format!("{base}?sslmode=verify-full&sslrootcert={}", issuer.display());
    assert!(!Store::migrate(&known).unwrap().is_empty());
    Store::open(&known, 2).unwrap();
    for (query, named) in [
        ("sslmode=require".to_owned(), "certificate"),
        ("sslmode=require&sslrootcert=/nowhere.pem".to_owned(), "sslrootcert /nowhere.pem"),
    ] {
        let refused = Store::open(&format!("{base}?{query}"), 2).err().unwrap();
        assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused:?}");
        assert!(refused.to_string().contains(named), "{query}: {refused}");
    }
}

#[test]
fn a_server_without_tls_is_not_reached_in_plain_when_tls_is_asked_for() {
    let scratch = Scratch::postgres();
    let url = scratch.url();
    let joint = if url.contains('?') { '&' } else { '?' };
    let refused = Store::open(&format!("{url}{joint}sslmode=require"), 2).err().unwrap().to_string();
    assert!(refused.contains("TLS"), "{refused}");
}
