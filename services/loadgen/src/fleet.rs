//! Many connections on one thread: opening them from many addresses, and waiting for what they say.
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event as Ready, EventData, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::client::{Client, Job, PoolMessage, SCRATCH};
use crate::{Common, LoadError};
use devnet_accounts::Keys;

/// Logins that are under way at once while a fleet is opened: fewer than the pool's accept queue holds.
const OPENING_MAX: usize = 256;
/// How long opening may take without any progress.
const OPENING_PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const READY_MAX: usize = 1024;
/// Id of every login.
pub(super) const LOGIN_ID: u64 = 1;

/// What is told about a connection.
#[derive(Debug)]
pub(super) enum Event<'a> {
    PoolMessage(PoolMessage<'a>),
    /// All that could be read was read.
    Read,
    /// The other side has closed it.
    Closed,
}

/// Connections by number. Each has a payout address and a worker of its own.
pub(super) struct Fleet {
    epoll: OwnedFd,
    ready: Vec<Ready>,
    scratch: Vec<u8>,
    clients: Vec<Option<Client>>,
    common: Common,
    accounts: Vec<String>,
}

impl Fleet {
    pub(super) fn new(common: &Common, connections: usize) -> Result<Fleet, LoadError> {
        let accounts = (0..connections).map(|number| Keys::derive(common.seed, &format!("load{number}")).address());
        Ok(Fleet {
            epoll: epoll::create(CreateFlags::CLOEXEC).map_err(LoadError::Poll)?,
            ready: Vec::with_capacity(READY_MAX),
            scratch: vec![0; SCRATCH],
            clients: (0..connections).map(|_| None).collect(),
            common: common.clone(),
            accounts: accounts.collect(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn open_count(&self) -> usize {
        self.clients.iter().flatten().count()
    }

    pub(super) fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients[number].as_mut()
    }

    pub(super) fn close(&mut self, number: usize) {
        self.clients[number] = None;
    }

    pub(super) fn close_all(&mut self) {
        self.clients.iter_mut().for_each(|client| *client = None);
    }

    /// The login line of a connection.
    pub(super) fn login_line(&self, number: usize) -> Vec<u8> {
        let mut line = Vec::new();
        wire::write_login(&mut line, LOGIN_ID, &self.accounts[number], &format!("load{number}"), None);
        line
    }

    /// Opens a connection and says nothing.
    pub(super) fn connect(&mut self, number: usize) -> Result<&mut Client, LoadError> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::V4(SocketAddrV4::new(self.source(number), 0)).into())?;
            socket.connect_timeout(&self.common.pool.into(), CONNECT_PATIENCE)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let data = EventData::new_u64(number as u64);
            epoll::add(&self.epoll, socket.as_fd(), data, EventFlags::IN | EventFlags::RDHUP)?;
            std::io::Result::Ok(socket.into())
        };
        let stream = open().map_err(|source| LoadError::Connect { pool: self.common.pool, source })?;
        Ok(self.clients[number].insert(Client::new(stream)))
    }

    /// Loopback addresses are plenty: 127.1.0.1 and on.
    fn source(&self, number: usize) -> Ipv4Addr {
        let place = number / self.common.per_source.max(1);
        let octet = |value: usize| u8::try_from(value % 250).unwrap_or(0);
        Ipv4Addr::new(127, 1 + octet(place / 62_500) % 100, octet(place / 250), 1 + octet(place))
    }

    /// Opens a connection and logs in.
    pub(super) fn log_in(&mut self, number: usize) -> Result<(), LoadError> {
        let line = self.login_line(number);
        let client = self.connect(number)?;
        client.out = line;
        client.flush();
        Ok(())
    }

    /// Waits for what connections say, for `patience` at most, and passes it on.
    pub(super) fn poll(
        &mut self,
        patience: Duration,
        mut hear: impl FnMut(usize, Option<&mut Client>, Event<'_>),
    ) -> Result<(), LoadError> {
        let patience = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        self.ready.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(LoadError::Poll(error)),
        }
        for ready in self.ready.drain(..) {
            let number = usize::try_from(ready.data.u64()).unwrap_or(usize::MAX);
            let Some(client) = self.clients[number].as_mut() else { continue };
            let is_open =
                client.read(&mut self.scratch, |client, line| hear(number, Some(client), Event::PoolMessage(line)));
            if is_open {
                hear(number, Some(client), Event::Read);
            }
            let is_open = is_open && client.flush();
            if !is_open || client.is_done {
                self.clients[number] = None;
            }
            if !is_open {
                hear(number, None, Event::Closed);
            }
        }
        Ok(())
    }

    /// Opens all connections, a bounded number at once, until each has a job; the lines of the jobs by number.
    pub(super) fn open_all(&mut self) -> Result<Vec<Job>, LoadError> {
        let mut jobs: Vec<Option<Job>> = (0..self.len()).map(|_| None).collect();
        let (mut started, mut done) = (0, 0);
        let mut progress = Instant::now();
        while done < self.len() {
            while started < self.len() && started - done < OPENING_MAX {
                self.log_in(started)?;
                started += 1;
            }
            let before = done;
            let mut refused = None;
            self.poll(Duration::from_millis(100), |number, _, event| match event {
                Event::PoolMessage(PoolMessage::Job(line)) => {
                    let first = jobs[number].is_none();
                    if let Some(job) = Job::parse(line) {
                        jobs[number] = Some(job);
                        done += usize::from(first);
                    }
                }
                Event::PoolMessage(PoolMessage::Refused(_, text)) => refused = Some(text),
                Event::Closed => refused = Some("the connection was closed".to_owned()),
                _ => {}
            })?;
            if let Some(text) = refused {
                return Err(LoadError::Login(text));
            }
            if done > before {
                progress = Instant::now();
            } else if progress.elapsed() > OPENING_PATIENCE {
                return Err(LoadError::NoJob { have: done, want: self.len() });
            }
        }
        let jobs: Vec<Job> = jobs.into_iter().flatten().collect();
        if jobs.iter().any(|job| job.is_block_work) {
            return Err(LoadError::BlockWork);
        }
        Ok(jobs)
    }
}
