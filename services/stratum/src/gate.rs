//! Who may connect, log in, and under how many names. One for all arbiters; touched when a connection opens, logs in
//! or closes, never by a share within the submit rate.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messages::closed::CloseReason;
use messages::facts::Clock;
use tracing::warn;
use wire::LoginRefusal;

use crate::bans::{Ban, Bans};
use crate::client::{Client, Peer};
use crate::limits::{Limits, NAMES_PERIOD, Pace, REFUSALS_AT_ONCE, STRIKES};

/// Clients that something is known about, beyond those that may be connected. At the bound those that have been away
/// longest are forgotten.
const CLIENTS_KEPT: usize = 65_536;

pub(crate) struct Gate {
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
    prefixes: HashMap<IpAddr, u32>,
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

/// Hashes of the names that a client used lately.
#[derive(Debug)]
struct Names {
    since: Instant,
    addresses: HashSet<u64>,
    workers: HashSet<u64>,
}

/// A connection's place; given back when dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    pub(crate) peer: Peer,
}

/// A refused connection's leave to be told so; given back when dropped.
pub(crate) struct RefusalTurn {
    gate: Arc<Gate>,
    client: Client,
}

/// Why a connection gets no place. Prints what the miner is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
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

impl Refusal {
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            Refusal::Total => CloseReason::LimitTotal,
            Refusal::Client => CloseReason::LimitClient,
            Refusal::Prefix => CloseReason::LimitPrefix,
            Refusal::ConnectRate => CloseReason::ConnectRate,
            Refusal::Banned(_) => CloseReason::Banned,
        }
    }
}

impl Gate {
    pub(crate) fn new(limits: Limits, bans: Arc<Bans>, clock: Clock) -> Arc<Gate> {
        Arc::new(Gate { limits, bans, clock, hasher: RandomState::new(), table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, or which limit stands in the way.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer, now: Instant) -> Result<Place, Refusal> {
        let (client, prefix, exempt) = (peer.client(), peer.client().prefix(), peer.is_exempt());
        if !exempt && let Some(ban) = self.bans.find(client, (self.clock)()) {
            return Err(Refusal::Banned(ban));
        }
        let mut table = self.table();
        let table = &mut *table;
        let total = table.open;
        let in_prefix = table.prefixes.get(&prefix).copied().unwrap_or(0);
        let record = table.record(client, now);
        if !exempt && !record.connects.admit(1, now, self.limits.connects) {
            return Err(Refusal::ConnectRate);
        }
        if total >= self.limits.total {
            return Err(Refusal::Total);
        }
        if record.open >= self.limits.per_client {
            return Err(Refusal::Client);
        }
        if !exempt && in_prefix >= self.limits.per_prefix {
            return Err(Refusal::Prefix);
        }
        record.open += 1;
        table.open += 1;
        *table.prefixes.entry(prefix).or_insert(0) += 1;
        Ok(Place { gate: Arc::clone(self), peer })
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

impl Place {
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
        names.addresses.insert(address);
        names.workers.insert(worker);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (client, prefix) = (self.peer.client(), self.peer.client().prefix());
        let mut table = self.gate.table();
        let now = Instant::now();
        table.open -= 1;
        if let Some(in_prefix) = table.prefixes.get_mut(&prefix) {
            *in_prefix -= 1;
            if *in_prefix == 0 {
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

impl Table {
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
mod tests {
    use settings::StratumSettings;
    use units::Timestamp;

    use super::*;

    fn gate(total: u32, per_client: u32) -> Arc<Gate> {
        let settings = StratumSettings {
            max_connections: total,
            max_connections_per_ip: per_client,
            ..StratumSettings::default()
        };
        Gate::new(Limits::of(&settings), Arc::default(), Arc::new(|| Timestamp::from_ms(1_000_000)))
    }

    fn peer(text: &str) -> Peer {
        Peer::direct(text.parse().unwrap())
    }

    fn refusal(gate: &Arc<Gate>, peer: Peer, now: Instant) -> Option<Refusal> {
        gate.enter(peer, now).err()
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let (gate, now) = (gate(2, 1), Instant::now());
        let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(peer);
        let first = gate.enter(one, now).ok().unwrap();
        assert_eq!(refusal(&gate, one, now), Some(Refusal::Client));
        let _second = gate.enter(two, now).ok().unwrap();
        assert_eq!(refusal(&gate, three, now), Some(Refusal::Total));
        drop(first);
        assert_eq!(refusal(&gate, one, now), None);
    }

    #[test]
    fn a_network_has_a_limit_of_its_own_which_loopback_has_not() {
        let (gate, now) = (gate(10_000, 1), Instant::now());
        let of = |net: &str, n: u32| peer(&format!("{net}.{n}"));
        let held: Vec<_> = (0..16).map(|n| gate.enter(of("10.0.0", n), now).ok().unwrap()).collect();
        assert_eq!(refusal(&gate, of("10.0.0", 16), now), Some(Refusal::Prefix));
        assert_eq!(refusal(&gate, of("10.0.1", 16), now), None);
        let _home: Vec<_> = (0..100).map(|n| gate.enter(of("127.0.0", n), now).ok().unwrap()).collect();
        drop(held);
        assert_eq!(refusal(&gate, of("10.0.0", 16), now), None);
        let v6 = |n: u32| peer(&format!("2001:db8:7:{n:x}::1"));
        let _held: Vec<_> = (0..16).map(|n| gate.enter(v6(n), now).ok().unwrap()).collect();
        assert_eq!(refusal(&gate, v6(16), now), Some(Refusal::Prefix));
    }

    #[test]
    fn a_client_that_connects_all_the_time_waits_and_nobody_is_banned_for_it() {
        let (gate, now) = (gate(100, 4), Instant::now());
        let refused = (0..1300).filter(|_| refusal(&gate, peer("10.0.0.1"), now).is_some()).count();
        assert_eq!(refused, 1300 - 16);
        assert_eq!(refusal(&gate, peer("10.0.0.1"), now), Some(Refusal::ConnectRate));
        assert_eq!(refusal(&gate, peer("10.0.0.2"), now), None);
        assert_eq!(refusal(&gate, peer("10.0.0.1"), now + Duration::from_secs(1)), None);
        assert_eq!((0..1300).filter(|_| refusal(&gate, peer("127.0.0.1"), now).is_some()).count(), 0);
    }

    #[test]
    fn abuse_again_and_again_bans_the_client_and_not_its_neighbour() {
        let (gate, now) = (gate(100, 4), Instant::now());
        for _ in 0..8 {
            gate.strike(peer("10.0.0.1"), CloseReason::InvalidLines, now);
        }
        assert_eq!(refusal(&gate, peer("10.0.0.1"), now), None);
        gate.strike(peer("10.0.0.1"), CloseReason::InvalidLines, now);
        let Some(Refusal::Banned(ban)) = refusal(&gate, peer("10.0.0.1"), now) else { panic!("no ban") };
        assert_eq!((&*ban.reason, ban.times), ("invalid_lines", 1));
        assert_eq!(refusal(&gate, peer("10.0.0.2"), now), None);
        for _ in 0..100 {
            gate.strike(peer("127.0.0.1"), CloseReason::InvalidLines, now);
        }
        assert_eq!(refusal(&gate, peer("127.0.0.1"), now), None);
    }

    #[test]
    fn logins_are_counted_over_all_connections_of_a_client() {
        let (gate, now) = (gate(100, 2), Instant::now());
        let [one, two, other] =
            ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|who| gate.enter(peer(who), now).ok().unwrap());
        let home = gate.enter(peer("127.0.0.1"), now).ok().unwrap();
        let logins = (0..40).filter(|n| if n % 2 == 0 { one.may_log_in(now) } else { two.may_log_in(now) }).count();
        assert_eq!(logins, 16);
        assert!(other.may_log_in(now) && (0..40).all(|_| home.may_log_in(now)));
        assert!(two.may_log_in(now + Duration::from_secs(2)));
    }

    #[test]
    fn a_client_may_use_so_many_names_and_known_ones_for_ever() {
        let (gate, now) = (gate(100, 1), Instant::now());
        let place = gate.enter(peer("10.0.0.1"), now).ok().unwrap();
        let other = gate.enter(peer("10.0.0.2"), now).ok().unwrap();
        for n in 0..4 {
            assert_eq!(place.may_use(&format!("address{n}"), "rig", now), Ok(()));
        }
        assert_eq!(place.may_use("address4", "rig", now), Err(LoginRefusal::TooManyNames));
        for n in 0..12 {
            assert_eq!(place.may_use("address0", &format!("rig{n}"), now), Ok(()));
        }
        assert_eq!(place.may_use("address0", "rig12", now), Err(LoginRefusal::TooManyNames));
        assert_eq!(place.may_use("address3", "rig", now), Ok(()));
        assert_eq!(other.may_use("address4", "rig", now), Ok(()));
        let later = now + NAMES_PERIOD + Duration::from_secs(1);
        assert_eq!(place.may_use("address4", "rig", later), Ok(()));
    }

    #[test]
    fn submits_beyond_the_rate_are_counted_for_the_client_and_not_for_its_connections() {
        let (gate, now) = (gate(100, 4), Instant::now());
        let [one, two] = [peer("10.0.0.1"), peer("10.0.0.2")];
        let places = [0, 1].map(|_| gate.enter(one, now).ok().unwrap());
        assert_eq!((0..2000).filter(|n| places[n % 2].may_exceed(now)).count(), 8 * 120);
        let [again, neighbour] = [one, two].map(|peer| gate.enter(peer, now).ok().unwrap());
        assert!(!again.may_exceed(now) && neighbour.may_exceed(now));
        assert_eq!((0..100).filter(|_| again.may_exceed(now + Duration::from_secs(1))).count(), 12);
    }

    #[test]
    fn what_is_kept_about_clients_is_bounded_and_nothing_is_kept_about_whoever_did_nothing() {
        let (gate, now) = (gate(1_000_000, 16), Instant::now());
        let of = |n: u32| Peer::direct(IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
        let held = gate.enter(of(0), now).ok().unwrap();
        for n in 1..CLIENTS_KEPT as u32 + 10_000 {
            drop(gate.enter(of(n), now));
        }
        assert!(gate.table().clients.len() <= CLIENTS_KEPT);
        assert!(gate.table().clients.contains_key(&of(0).client()), "a connected client is never forgotten");
        drop(held);
        assert!(gate.table().prefixes.is_empty());
    }

    #[test]
    fn a_client_that_left_is_remembered_however_many_are_connected() {
        let (gate, now) = (gate(1_000_000, 1), Instant::now());
        let of = |n: u32| Peer::direct(IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + (n << 8))));
        let _held: Vec<_> = (0..CLIENTS_KEPT as u32).map(|n| gate.enter(of(n), now).ok().unwrap()).collect();
        let left = of(CLIENTS_KEPT as u32);
        let place = gate.enter(left, now).ok().unwrap();
        (0..4).for_each(|n| assert_eq!(place.may_use(&format!("address{n}"), "rig", now), Ok(())));
        drop(place);
        drop(gate.enter(of(CLIENTS_KEPT as u32 + 1), now));
        let back = gate.enter(left, now).ok().unwrap();
        assert_eq!(back.may_use("address4", "rig", now), Err(LoginRefusal::TooManyNames));
    }

    #[test]
    fn refusals_that_are_told_are_bounded_for_each_client_and_for_all() {
        let (gate, now) = (gate(1, 4), Instant::now());
        let turns: Vec<_> = (0..100).filter_map(|_| gate.refusal_turn(peer("10.0.0.1"), now)).collect();
        assert_eq!(turns.len(), 8);
        let all: Vec<_> =
            (0..2000).filter_map(|n| gate.refusal_turn(peer(&format!("10.1.{}.{}", n / 250, n % 250)), now)).collect();
        assert_eq!(all.len() + turns.len(), REFUSALS_AT_ONCE as usize);
        drop(turns);
        assert!(gate.refusal_turn(peer("10.0.0.1"), now).is_some());
    }
}
