//! What a connection may begin with, and TLS that is none, or not for long: bytes at the doors of a real front.
//!
//! What must hold, whatever comes: no panic; the connection ends once the other side has ended it, for exactly one stated
//! reason, which does not depend on how the bytes were cut; what the pool says in plain text is whole lines.
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use wire::FromPool;

use crate::draw;
use crate::session::peer::PATIENCE;
use crate::session::world::World;

/// Peers in this network are believed when they name a client.
const TRUSTED: [u8; 2] = [127, 1];
const STRANGERS: [u8; 2] = [127, 2];
/// The first byte of TLS.
const HANDSHAKE: u8 = 0x16;
/// How the two versions of a PROXY header begin.
const HEADERS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// A front with a certificate, and a client that trusts it.
struct Doors {
    world: World,
    client: Arc<ClientConfig>,
    _certificate: TempDir,
}

/// What is sent, and where to.
#[derive(Clone, Copy)]
struct Plan<'a> {
    /// To the port that takes nothing but TLS.
    tls_only: bool,
    trusted: bool,
    /// What TLS there is before the bytes.
    tls: Tls,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// None: the bytes come first.
    None,
    /// A client's first message.
    Hello,
    /// A handshake; the bytes are records, or not.
    Records,
    /// A handshake; the bytes are what is said in it.
    Inside,
}

/// Bytes in one piece, and cut up: the connection ends for the same reason.
pub fn connection(data: &[u8]) {
    static DOORS: OnceLock<Mutex<Doors>> = OnceLock::new();
    let doors = DOORS.get_or_init(|| Mutex::new(Doors::open())).lock().unwrap_or_else(PoisonError::into_inner);
    let mut input = Unstructured::new(data);
    let (door, cut): (u8, u16) = draw(&mut input);
    let bytes = input.take_rest();
    let tls = [Tls::None, Tls::Hello, Tls::Records, Tls::Inside][usize::from(door >> 2) % 4];
    let plan = Plan { tls_only: door & 1 != 0, trusted: door & 2 != 0, tls, bytes };
    let whole = doors.send(plan, usize::MAX);
    // A header that nobody believes is told from garbage by its first bytes, when these come together.
    if !HEADERS.iter().any(|header| plan.tls == Tls::None && bytes.starts_with(header)) {
        assert_eq!(doors.send(plan, usize::from(cut) % (bytes.len() + 1)), whole, "cut: {}", bytes.escape_ascii());
    }
}

impl Doors {
    fn open() -> Doors {
        let certificate = tempfile::tempdir().expect("a temporary directory");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let file = |name: &str, text: String| {
            let path = certificate.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let world = World::serve(settings::StratumSettings {
            tls_cert: Some(file("cert.pem", made.cert.pem())),
            tls_key: Some(file("key.pem", made.signing_key.serialize_pem())),
            tls_listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            proxy_from: vec![format!("{}.{}.0.0/16", TRUSTED[0], TRUSTED[1]).parse().expect("a network")],
            ..World::settings()
        });
        Doors { world, client: trusting(made.cert.der()), _certificate: certificate }
    }

    /// Sends what is planned, with a cut behind so many of the bytes; says why the pool ended the connection.
    fn send(&self, plan: Plan<'_>, cut: usize) -> &'static str {
        let before: Vec<u64> = self.closed().map(|(_, count)| count).collect();
        let mut stream = self.connect(plan);
        let received = self.talk(&mut stream, plan, cut);
        if plan.tls == Tls::None && !plan.tls_only && !plan.bytes.contains(&HANDSHAKE) {
            lines(&received);
        }
        drop(stream);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended: Vec<_> = self
                .closed()
                .zip(&before)
                .filter(|((_, now), before)| now != *before)
                .map(|((why, _), _)| why)
                .collect();
            if let [why] = ended[..] {
                self.world.settle();
                return why;
            }
            assert!(ended.is_empty(), "one connection ended for {ended:?}");
            assert!(Instant::now() < deadline, "the connection has not ended");
            std::thread::yield_now();
        }
    }

    fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.world.metrics.stratum_closed_total.each()
    }

    fn connect(&self, plan: Plan<'_>) -> TcpStream {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        // Each comes from another address: what one does is not laid at the door of the next.
        let [_, _, low, last] = (RUNS.fetch_add(1, Ordering::Relaxed) % 0xfff0 + 2).to_be_bytes();
        let [first, second] = if plan.trusted { TRUSTED } else { STRANGERS };
        let from = IpAddr::V4(Ipv4Addr::new(first, second, low, last));
        let to = if plan.tls_only { self.world.tls_address.expect("it is set") } else { self.world.address };
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            std::io::Result::Ok(TcpStream::from(socket))
        };
        connect().expect("a connection on loopback")
    }

    /// Says everything, then reads to the end.
    fn talk(&self, stream: &mut TcpStream, plan: Plan<'_>, cut: usize) -> Vec<u8> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        match plan.tls {
            Tls::None => {}
            Tls::Hello => {
                let mut hello = Vec::new();
                tls.write_tls(&mut hello).expect("a vector takes all bytes");
                say(stream, &hello);
            }
            Tls::Records | Tls::Inside => {
                while tls.is_handshaking() {
                    tls.complete_io(stream).expect("a handshake");
                }
                while tls.wants_write() {
                    tls.write_tls(stream).expect("what is left of it");
                }
            }
        }
        let (first, second) = plan.bytes.split_at(cut.min(plan.bytes.len()));
        for piece in [first, second] {
            if plan.tls == Tls::Inside {
                tls.writer().write_all(piece).expect("room for it");
                let mut records = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut records).expect("a vector takes all bytes");
                }
                say(stream, &records);
            } else {
                say(stream, piece);
            }
            // Most of the time, the pool reads the two apart.
            std::thread::sleep(Duration::from_micros(if second.is_empty() { 0 } else { 50 }));
        }
        // It fails when the pool has ended the connection.
        let _closed = stream.shutdown(std::net::Shutdown::Write);
        let mut received = Vec::new();
        match stream.read_to_end(&mut received) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => received.clear(),
            Err(error) => panic!("the pool does not end the connection: {error}"),
        }
        received
    }
}

fn say(stream: &mut TcpStream, bytes: &[u8]) {
    if let Err(error) = stream.write_all(bytes) {
        let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(gone.contains(&error.kind()), "the pool does not read: {error}");
    }
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

/// Everything that was said is a message of the pool in a line of its own.
fn lines(received: &[u8]) {
    let text = std::str::from_utf8(received).expect("the pool writes UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the pool ends in the middle of a line: {text}");
    for line in text.lines() {
        FromPool::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
