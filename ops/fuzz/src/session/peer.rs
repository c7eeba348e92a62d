//! A miner's connection: what it sent, what it was told.
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use wire::{FromPool, LineEvent, Lines, Request};

/// Nothing on loopback takes longer, unless it never happens.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Logins of a script have ids from here on, requests of [`super::LINES`] have smaller ones.
const LOGIN_IDS: u64 = 100;
/// Submits of a script have ids from here on.
pub const SUBMIT_IDS: u64 = 1_000;

/// A job that was pushed.
#[derive(Debug, Clone)]
pub struct Job {
    /// As it was written.
    pub id: String,
    /// The range, both ends included.
    pub nonces: (u64, u64),
    /// Share target and block target.
    pub targets: ([u8; 32], [u8; 32]),
    /// Share difficulty.
    pub difficulty: u64,
    /// Of the block.
    pub height: u64,
}

/// A submit of a script.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The job that it names, when it is one of the pool's.
    pub job: Option<Job>,
    /// The nonce.
    pub nonce: u64,
    /// The claimed hash, when it is one.
    pub claim: Option<[u8; 32]>,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub id: u64,
    /// `None` for yes.
    pub error: Option<String>,
    /// Whether it says that a share is accepted.
    pub accepted: bool,
}

/// How a connection ended, seen from the miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The pool closed it.
    Closed,
    /// The miner went away without a word.
    Reset,
}

/// A connection.
pub struct Peer {
    stream: Option<TcpStream>,
    /// Everything that went out.
    sent: Vec<u8>,
    /// What is held back.
    pub pending: Vec<u8>,
    /// Whether lines are held back.
    pub corked: bool,
    received: Vec<u8>,
    /// In order.
    pub answers: Vec<Answer>,
    /// In order.
    pub jobs: Vec<Job>,
    /// By id.
    pub submits: HashMap<u64, Submitted>,
    /// Addresses it has logged in with or tried to.
    pub addresses: Vec<String>,
    /// Set when it is over.
    pub end: Option<End>,
    next_id: u64,
}

/// A request as the pool must have read it.
pub struct Asked {
    /// 0 for what is no request.
    pub id: u64,
    /// Whether nothing is read behind it.
    pub breaks: bool,
}

impl Peer {
    /// Connects from `client`.
    #[must_use]
    pub fn open(pool: SocketAddr, client: IpAddr) -> Peer {
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SocketAddr::new(client, 0).into())?;
            socket.connect_timeout(&pool.into(), PATIENCE)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_write_timeout(Some(PATIENCE))?;
            std::io::Result::Ok(TcpStream::from(socket))
        };
        Peer {
            stream: Some(connect().expect("a connection on loopback")),
            sent: Vec::new(),
            pending: Vec::new(),
            corked: false,
            received: Vec::new(),
            answers: Vec::new(),
            jobs: Vec::new(),
            submits: HashMap::new(),
            addresses: Vec::new(),
            end: None,
            next_id: LOGIN_IDS,
        }
    }

    /// An id for a login.
    pub fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Notes a submit and gives it an id.
    pub fn submit(&mut self, submitted: Submitted) -> u64 {
        let id = SUBMIT_IDS + self.submits.len() as u64;
        self.submits.insert(id, submitted);
        id
    }

    // === writing ===

    /// Sends bytes, or holds them back.
    pub fn say(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if !self.corked {
            self.flush(0, usize::MAX);
        }
    }

    /// Sends what was held back but for `keep` bytes, in pieces of at most `piece`.
    pub fn flush(&mut self, keep: usize, piece: usize) {
        let rest = self.pending.split_off(self.pending.len().saturating_sub(keep));
        let out = std::mem::replace(&mut self.pending, rest);
        for bytes in out.chunks(piece.max(1)) {
            let Some(stream) = &mut self.stream else { return };
            match stream.write_all(bytes) {
                Ok(()) => self.sent.extend_from_slice(bytes),
                // The pool may have closed; whether it may is decided by what it said.
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                        "the pool does not read: {error}"
                    );
                    return;
                }
            }
        }
    }

    /// Sends no more.
    pub fn half_close(&mut self) {
        self.flush(0, usize::MAX);
        if let Some(stream) = &self.stream {
            // It fails when the pool has closed, which reading will tell.
            let _closed = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Goes away; the pool sees an error instead of an end.
    pub fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            let socket = Socket::from(stream);
            socket.set_linger(Some(Duration::ZERO)).expect("a socket option");
            self.end = Some(End::Reset);
        }
    }

    // === reading ===

    /// Takes what has arrived.
    pub fn take_in(&mut self) {
        let Some(stream) = &self.stream else { return };
        stream.set_nonblocking(true).expect("a socket option");
        while self.read() {}
        if let Some(stream) = &self.stream {
            stream.set_nonblocking(false).expect("a socket option");
        }
    }

    /// Reads until `enough` or the end of the connection.
    ///
    /// # Panics
    /// It does not happen.
    pub fn wait(&mut self, what: &str, enough: impl Fn(&Peer) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        self.take_in();
        while self.end.is_none() && !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} does not happen; {}", self.tale());
            let Some(stream) = &self.stream else { return };
            stream.set_read_timeout(Some(left)).expect("a socket option");
            self.read();
        }
    }

    /// Reads once; whether there was something.
    fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => {
                assert!(self.received.is_empty(), "the pool closes between lines; {}", self.tale());
                self.close(End::Closed);
                false
            }
            Ok(read) => {
                self.received.extend_from_slice(&buffer[..read]);
                self.take_lines();
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            // The fuzzer's own timer.
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // What the pool did not read when it closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.close(End::Closed);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn close(&mut self, end: End) {
        self.end = Some(end);
        self.stream = None;
    }

    fn take_lines(&mut self) {
        let received = std::mem::take(&mut self.received);
        let mut from = 0;
        while let Some(length) = received[from..].iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(&received[from..from + length]).expect("the pool writes UTF-8");
            self.take_line(line);
            from += length + 1;
        }
        self.received = received[from..].to_vec();
    }

    fn take_line(&mut self, line: &str) {
        match FromPool::parse(line).unwrap_or_else(|error| panic!("{error}: {line}")) {
            FromPool::Answer(answer) => {
                let (id, accepted) = (answer.id, answer.submit().is_some_and(|share| share.accepted));
                let error = answer.error.map(|text| text.into_owned());
                self.answers.push(Answer { id, error, accepted });
            }
            FromPool::Job(job) => {
                let hash = |hex: &str| wire::parse_claimed_hash(hex).expect("32 bytes in hex");
                self.jobs.push(Job {
                    id: job.job_id.clone().into_owned(),
                    nonces: (job.nonce_start, job.nonce_end),
                    targets: (hash(&job.target), hash(job.network_target.as_deref().expect("a block target"))),
                    difficulty: job.difficulty.expect("a difficulty"),
                    height: job.height,
                });
            }
            FromPool::Notification { message, .. } => assert!(!message.is_empty()),
        }
    }

    // === the model ===

    /// The requests that the pool has been sent, as the line rules read them; once it cannot read on, nothing more.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        let mut lines = Lines::new(&self.sent);
        let mut asked: Vec<Asked> = lines.by_ref().filter_map(read_as).collect();
        if !asked.last().is_some_and(|asked| asked.breaks) {
            asked.extend(Lines::last(lines.rest()).and_then(read_as));
        }
        asked
    }

    /// Whether every line that was sent is answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let lines = Lines::new(&self.sent).filter_map(read_as).count();
        self.answers.len() >= lines && self.expects_no_job()
    }

    /// A login that was taken is followed by a job.
    fn expects_no_job(&self) -> bool {
        let logins = self.answers.iter().filter(|answer| answer.is_login()).count();
        logins == 0 || !self.jobs.is_empty()
    }

    /// For a message about what went wrong.
    #[must_use]
    pub fn tale(&self) -> String {
        let sent = self.sent.escape_ascii().to_string();
        let sent = sent.get(sent.len().saturating_sub(2_000)..).unwrap_or(&sent);
        format!("sent at last: {sent}\nanswers: {:?}\njobs: {}, end: {:?}", self.answers, self.jobs.len(), self.end)
    }
}

impl Answer {
    /// Whether it takes a login.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.id < SUBMIT_IDS && self.error.is_none()
    }
}

fn read_as(event: LineEvent<'_>) -> Option<Asked> {
    match event {
        LineEvent::Blank => None,
        LineEvent::Broken(_) => Some(Asked { id: 0, breaks: true }),
        LineEvent::Line(line) => {
            let id = match Request::parse(&line) {
                Ok(Request::Login { id, .. } | Request::Submit { id, .. } | Request::Unknown { id }) => id,
                Err(_) => 0,
            };
            Some(Asked { id, breaks: false })
        }
    }
}
