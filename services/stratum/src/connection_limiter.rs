//! Who may connect, log in, and under how many names. One for all arbiters; touched when a connection opens, logs in
//! or closes, never by a share within the submit rate.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messages::facts::Clock;
use tracing::warn;
use wire::LoginRefusal;

use crate::bans::{Ban, Bans};
use crate::client::{Client, Peer};
use crate::close_reason::CloseReason;
use crate::limits::{Limits, NAMES_PERIOD, Pace, REFUSALS_AT_ONCE, STRIKES};

/// Clients that something is known about, beyond those that may be connected. At the bound those that have been away
/// longest are forgotten.
const CLIENTS_KEPT: usize = 65_536;

/// The same for networks.
const NETWORKS_KEPT: usize = 16_384;

pub(crate) struct ConnectionLimiter {
    pub(crate) limits: Limits,
    bans: Arc<Bans>,
    clock: Clock,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: u32,
    refused: u32,
    prefixes: HashMap<IpAddr, Network>,
    /// When so many are known, some are forgotten.
    prefixes_max: usize,
    clients: HashMap<Client, Record>,
}

/// What is known about one client.
#[derive(Debug)]
struct Record {
    open: u32,
    /// Refused connections that are still held.
    refused: u32,
    connects: Pace,
    logins: Pace,
    surplus: Pace,
    strikes: Pace,
    names: Option<Box<Names>>,
    seen: Instant,
}

/// What is known about a client's network.
#[derive(Debug, Default)]
struct Network {
    open: u32,
    /// Names that were new to their client.
    names: Pace,
}

/// Hashes of the names that a client used lately.
#[derive(Debug)]
struct Names {
    since: Instant,
    addresses: HashSet<u64>,
    workers: HashSet<u64>,
}

/// A connection's place; given back when dropped.
pub(crate) struct ConnectionPermit {
    gate: Arc<ConnectionLimiter>,
    pub(crate) peer: Peer,
}

/// A refused connection's leave to be told so; given back when dropped.
pub(crate) struct RefusalTurn {
    gate: Arc<ConnectionLimiter>,
    client: Client,
}

/// Why a connection gets no place. Prints what the miner is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectionRefusal {
    #[error("too many connections, try again later")]
    Total,
    #[error("too many connections from your address")]
    Client,
    #[error("too many connections from your network")]
    Prefix,
    #[error("you connect too often, wait a moment")]
    ConnectRate,
    #[error("banned until {}: {}", .0.until, .0.reason)]
    Banned(Ban),
}

impl ConnectionRefusal {
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            ConnectionRefusal::Total => CloseReason::LimitTotal,
            ConnectionRefusal::Client => CloseReason::LimitClient,
            ConnectionRefusal::Prefix => CloseReason::LimitPrefix,
            ConnectionRefusal::ConnectRate => CloseReason::ConnectRate,
            ConnectionRefusal::Banned(_) => CloseReason::Banned,
        }
    }
}

impl ConnectionLimiter {
    pub(crate) fn new(limits: Limits, bans: Arc<Bans>, clock: Clock) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter { limits, bans, clock, hasher: RandomState::new(), table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, or which limit stands in the way.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer, now: Instant) -> Result<ConnectionPermit, ConnectionRefusal> {
        let (client, prefix, exempt) = (peer.client(), peer.client().prefix(), peer.is_exempt());
        if !exempt && let Some(ban) = self.bans.find(client, (self.clock)()) {
            return Err(ConnectionRefusal::Banned(ban));
        }
        let mut table = self.table();
        let table = &mut *table;
        let total = table.open;
        let in_prefix = table.prefixes.get(&prefix).map_or(0, |network| network.open);
        let record = table.record(client, now);
        if !exempt && !record.connects.admit(1, now, self.limits.connects) {
            return Err(ConnectionRefusal::ConnectRate);
        }
        if total >= self.limits.total {
            return Err(ConnectionRefusal::Total);
        }
        if record.open >= self.limits.per_client {
            return Err(ConnectionRefusal::Client);
        }
        if !exempt && in_prefix >= self.limits.per_prefix {
            return Err(ConnectionRefusal::Prefix);
        }
        record.open += 1;
        table.open += 1;
        table.network(prefix, now).open += 1;
        Ok(ConnectionPermit { gate: Arc::clone(self), peer })
    }

    /// Leave to tell a refused connection why, before it is closed. No client may use up all of them.
    pub(crate) fn refusal_turn(self: &Arc<Self>, peer: Peer, now: Instant) -> Option<RefusalTurn> {
        let client = peer.client();
        let mut table = self.table();
        if table.refused >= REFUSALS_AT_ONCE {
            return None;
        }
        let record = table.record(client, now);
        if record.refused >= self.limits.per_client.saturating_mul(2) {
            return None;
        }
        record.refused += 1;
        table.refused += 1;
        Some(RefusalTurn { gate: Arc::clone(self), client })
    }

    /// Notes that a connection was closed for abuse. Too many of these ban the client.
    pub(crate) fn strike(&self, peer: Peer, reason: CloseReason, now: Instant) {
        if peer.is_exempt() {
            return;
        }
        let client = peer.client();
        if self.table().record(client, now).strikes.admit(1, now, STRIKES) {
            return;
        }
        let ban = self.bans.add(client, reason.label(), (self.clock)());
        warn!(%client, reason = reason.label(), until = %ban.until, times = ban.times, "client banned");
    }
}

impl ConnectionPermit {
    /// Whether the client may log in once more.
    pub(crate) fn may_log_in(&self, now: Instant) -> bool {
        let logins = self.gate.limits.logins;
        self.peer.is_exempt() || self.gate.table().record(self.peer.client(), now).logins.admit(1, now, logins)
    }

    /// Whether the client may send one more submit than the rate of its connection allows.
    pub(crate) fn may_exceed(&self, now: Instant) -> bool {
        self.gate.table().record(self.peer.client(), now).surplus.admit(1, now, self.gate.limits.surplus)
    }

    /// Whether the client may use these names too.
    pub(crate) fn may_use(&self, address: &str, worker: &str, now: Instant) -> Result<(), LoginRefusal> {
        if self.peer.is_exempt() {
            return Ok(());
        }
        let gate = &self.gate;
        let (address, worker) = (gate.hasher.hash_one(address), gate.hasher.hash_one((address, worker)));
        let mut table = gate.table();
        let names = &mut table.record(self.peer.client(), now).names;
        if names.as_ref().is_some_and(|names| now.saturating_duration_since(names.since) > NAMES_PERIOD) {
            *names = None;
        }
        let names = names
            .get_or_insert_with(|| Box::new(Names { since: now, addresses: HashSet::new(), workers: HashSet::new() }));
        let fits = |names: &HashSet<u64>, name: u64, max: usize| names.contains(&name) || names.len() < max;
        if !fits(&names.addresses, address, gate.limits.addresses) || !fits(&names.workers, worker, gate.limits.workers)
        {
            return Err(LoginRefusal::TooManyNames);
        }
        if names.workers.contains(&worker) {
            return Ok(());
        }
        names.addresses.insert(address);
        names.workers.insert(worker);
        // A network has more clients than anybody can count: what is stored of their names is bounded here.
        let network = table.network(self.peer.client().prefix(), now);
        if network.names.admit(1, now, gate.limits.names) { Ok(()) } else { Err(LoginRefusal::TooManyNames) }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let (client, prefix) = (self.peer.client(), self.peer.client().prefix());
        let mut table = self.gate.table();
        let now = Instant::now();
        table.open -= 1;
        if let Some(network) = table.prefixes.get_mut(&prefix) {
            network.open -= 1;
            if network.is_blank(now) {
                table.prefixes.remove(&prefix);
            }
        }
        table.leave(client, now, |record| record.open -= 1);
    }
}

impl Drop for RefusalTurn {
    fn drop(&mut self) {
        let mut table = self.gate.table();
        table.refused -= 1;
        table.leave(self.client, Instant::now(), |record| record.refused -= 1);
    }
}

impl Network {
    /// Forgetting it changes nothing.
    fn is_blank(&self, now: Instant) -> bool {
        self.open == 0 && self.names.is_fresh(now)
    }
}

impl Table {
    fn network(&mut self, prefix: IpAddr, now: Instant) -> &mut Network {
        if self.prefixes.len() >= self.prefixes_max.max(NETWORKS_KEPT) {
            self.prefixes.retain(|_, network| !network.is_blank(now));
            if self.prefixes.len() >= NETWORKS_KEPT / 4 * 3 {
                self.prefixes.retain(|_, network| network.open > 0);
            }
            // Not for each newcomer while there are many connected.
            self.prefixes_max = 2 * self.prefixes.len();
        }
        self.prefixes.entry(prefix).or_default()
    }

    fn record(&mut self, client: Client, now: Instant) -> &mut Record {
        if self.kept() >= CLIENTS_KEPT && !self.clients.contains_key(&client) {
            self.forget_some(now);
        }
        let record = self.clients.entry(client).or_insert_with(|| Record::new(now));
        record.seen = now;
        record
    }

    /// Records beyond one for each connection.
    fn kept(&self) -> usize {
        self.clients.len().saturating_sub((self.open + self.refused) as usize)
    }

    fn leave(&mut self, client: Client, now: Instant, less: impl FnOnce(&mut Record)) {
        if let Some(record) = self.clients.get_mut(&client) {
            less(record);
            record.seen = now;
            if record.is_blank(now) {
                self.clients.remove(&client);
            }
        }
    }

    /// Forgets those that are not connected: first whoever has nothing on record, then the longest away.
    fn forget_some(&mut self, now: Instant) {
        self.clients.retain(|_, record| !record.is_blank(now));
        for age in [NAMES_PERIOD, Duration::from_secs(600), Duration::from_secs(60), Duration::ZERO] {
            if self.kept() < CLIENTS_KEPT / 4 * 3 {
                return;
            }
            self.clients.retain(|_, record| record.is_connected() || now.saturating_duration_since(record.seen) < age);
        }
    }
}

impl Record {
    fn new(now: Instant) -> Record {
        let pace = Pace::default();
        let (connects, logins, surplus, strikes) = (pace, pace, pace, pace);
        Record { open: 0, refused: 0, connects, logins, surplus, strikes, names: None, seen: now }
    }

    fn is_connected(&self) -> bool {
        self.open > 0 || self.refused > 0
    }

    /// Forgetting it changes nothing.
    fn is_blank(&self, now: Instant) -> bool {
        let names = self.names.as_ref();
        let named = names.is_some_and(|names| now.saturating_duration_since(names.since) <= NAMES_PERIOD);
        let fresh = [self.connects, self.logins, self.surplus, self.strikes].iter().all(|pace| pace.is_fresh(now));
        !self.is_connected() && fresh && !named
    }
}

#[cfg(test)]
mod tests;
