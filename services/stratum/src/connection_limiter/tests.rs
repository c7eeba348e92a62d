//! Who gets in, and what is kept about whom.
use settings::StratumSettings;
use units::Timestamp;

use super::*;

fn gate(total: u32, per_client: u32) -> Arc<ConnectionLimiter> {
    let settings =
        StratumSettings { max_connections: total, max_connections_per_ip: per_client, ..StratumSettings::default() };
    ConnectionLimiter::new(Limits::of(&settings), Arc::default(), Arc::new(|| Timestamp::from_ms(1_000_000)))
}

fn peer(text: &str) -> Peer {
    Peer::direct(text.parse().unwrap())
}

fn refusal(gate: &Arc<ConnectionLimiter>, peer: Peer, now: Instant) -> Option<ConnectionRefusal> {
    gate.enter(peer, now).err()
}

#[test]
fn a_place_is_given_back_when_its_connection_ends() {
    let (gate, now) = (gate(2, 1), Instant::now());
    let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(peer);
    let first = gate.enter(one, now).ok().unwrap();
    assert_eq!(refusal(&gate, one, now), Some(ConnectionRefusal::Client));
    let _second = gate.enter(two, now).ok().unwrap();
    assert_eq!(refusal(&gate, three, now), Some(ConnectionRefusal::Total));
    drop(first);
    assert_eq!(refusal(&gate, one, now), None);
}

#[test]
fn a_network_has_a_limit_of_its_own_which_loopback_has_not() {
    let (gate, now) = (gate(10_000, 1), Instant::now());
    let of = |net: &str, n: u32| peer(&format!("{net}.{n}"));
    let held: Vec<_> = (0..16).map(|n| gate.enter(of("10.0.0", n), now).ok().unwrap()).collect();
    assert_eq!(refusal(&gate, of("10.0.0", 16), now), Some(ConnectionRefusal::Prefix));
    assert_eq!(refusal(&gate, of("10.0.1", 16), now), None);
    let _home: Vec<_> = (0..100).map(|n| gate.enter(of("127.0.0", n), now).ok().unwrap()).collect();
    drop(held);
    assert_eq!(refusal(&gate, of("10.0.0", 16), now), None);
    let v6 = |n: u32| peer(&format!("2001:db8:7:{n:x}::1"));
    let _held: Vec<_> = (0..16).map(|n| gate.enter(v6(n), now).ok().unwrap()).collect();
    assert_eq!(refusal(&gate, v6(16), now), Some(ConnectionRefusal::Prefix));
}

#[test]
fn a_client_that_connects_all_the_time_waits_and_nobody_is_banned_for_it() {
    let (gate, now) = (gate(100, 4), Instant::now());
    let refused = (0..1300).filter(|_| refusal(&gate, peer("10.0.0.1"), now).is_some()).count();
    assert_eq!(refused, 1300 - 16);
    assert_eq!(refusal(&gate, peer("10.0.0.1"), now), Some(ConnectionRefusal::ConnectRate));
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
    let Some(ConnectionRefusal::Banned(ban)) = refusal(&gate, peer("10.0.0.1"), now) else { panic!("no ban") };
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
    let [one, two, other] = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|who| gate.enter(peer(who), now).ok().unwrap());
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

#[test]
fn names_of_a_network_are_bounded_however_many_clients_it_has() {
    let (gate, now) = (gate(1_000_000, 1), Instant::now());
    let client = |n: u32| peer(&format!("2001:db8:7:{n:x}::1"));
    let uses = |n: u32, name: &str| gate.enter(client(n), now).ok().unwrap().may_use(name, "rig", now);
    let new = (0..300).filter(|n| uses(*n, &format!("address{n}")).is_ok()).count();
    assert_eq!(new, 16 * 16, "as many as sixteen clients may use");
    assert_eq!(uses(0, "address0"), Ok(()), "what is known costs nothing");
    let elsewhere = gate.enter(peer("2001:db8:8::1"), now).ok().unwrap();
    assert_eq!(elsewhere.may_use("address300", "rig", now), Ok(()));
    let later = now + NAMES_PERIOD;
    assert_eq!(gate.enter(client(300), later).ok().unwrap().may_use("address300", "rig", later), Ok(()));
}
