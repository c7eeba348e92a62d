//! Several daemons on one chain: what a pool can see of their gossip, their sync runs and their reorganisations.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Lab, PASSWORD, SOMEBODY, Solver, header_base};
use daemon_sim::{MineOrder, Params, Tip};
use serde_json::{Value, json};

/// Daemons that know each other.
struct Net {
    labs: Vec<Lab>,
}

/// Below the ports that the system gives to connections, so that none is taken away again.
fn free_address() -> SocketAddr {
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let random = |_| SocketAddr::from(([127, 0, 0, 1], rand::random_range(10_000..32_000)));
    (0..200).map(random).find(is_free).unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up_at = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < give_up_at, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Net {
    fn start(count: usize, change: impl Fn(&mut Params)) -> Net {
        let addresses: Vec<_> = (0..count).map(|_| free_address()).collect();
        let start = |own: &SocketAddr| {
            Lab::start(|params| {
                params.peer_listen = Some(*own);
                let others = addresses.iter().filter(|address| *address != own);
                params.peers = others.map(|address| format!("http://{address}")).collect();
                (params.peer_dial, params.relay) = (Duration::ZERO, Duration::ZERO);
                change(params);
            })
        };
        let net = Net { labs: addresses.iter().map(start).collect() };
        net.wait_linked();
        net
    }

    fn pair() -> Net {
        Net::start(2, |_| {})
    }

    fn tip(&self, number: usize) -> Tip {
        self.labs[number].control().tip()
    }

    fn mine(&self, number: usize, count: u64) {
        self.labs[number].mine(count);
    }

    fn cut(&self, number: usize) {
        self.labs[number].control().cut_off(true);
    }

    fn heal(&self, number: usize) {
        self.labs[number].control().cut_off(false);
    }

    /// How many peers a daemon says it has.
    fn peers(&self, number: usize) -> usize {
        let peers = self.labs[number].get("/api/status").json()["peers"].as_u64().unwrap();
        usize::try_from(peers).unwrap()
    }

    fn wait_linked(&self) {
        let others = self.labs.len() - 1;
        until("links", || (0..self.labs.len()).all(|number| self.peers(number) == others));
    }

    fn wait_agreed(&self) {
        until("one tip", || self.labs.iter().all(|lab| lab.control().tip() == self.tip(0)));
    }

    fn create_wallet(&self, number: usize) {
        let created = self.labs[number].post("/api/wallet/create", &json!({"password": PASSWORD}));
        assert_eq!(created.status, 200, "{}", created.body);
    }
}

/// The event stream of a daemon, from now on.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(lab: &Lab) -> Events {
        let mut stream = TcpStream::connect(&lab.client.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", lab.authorization());
        stream.write_all(head.as_bytes()).unwrap();
        let mut events = Events(BufReader::new(stream));
        assert!(events.next().starts_with("event: connected"));
        events
    }

    /// Name and data of the next one.
    fn next(&mut self) -> String {
        let mut line = String::new();
        while !line.starts_with("event: ") {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
        }
        self.0.read_line(&mut line).unwrap();
        line
    }
}

#[test]
fn a_gossiped_block_is_an_event_and_the_new_tip_of_both() {
    let net = Net::pair();
    let mut events = Events::of(&net.labs[1]);
    net.mine(0, 1);
    let told = events.next();
    assert!(told.starts_with("event: new_block") && told.contains(&net.tip(0).hash.to_string()), "{told}");
    assert_eq!(net.tip(1), net.tip(0));
    net.mine(1, 1);
    net.wait_agreed();
    assert_eq!(net.tip(0).height, 2);
}

#[test]
fn a_submitted_block_is_gossiped_while_wallets_and_templates_are_each_ones_own() {
    let net = Net::pair();
    let address = |number: usize| {
        net.create_wallet(number);
        net.labs[number].get("/api/wallet/address").json()["address"].as_str().unwrap().to_owned()
    };
    let addresses = [0, 1].map(address);
    assert_ne!(addresses[0], addresses[1]);
    // The first one's wallet is paid by the second one's template.
    let template = net.labs[1].get(&format!("/api/mining/blocktemplate?address={}", addresses[0])).json();
    let nonce = Solver::new().nonce(&header_base(&template), true);
    let compact = json!({"template_id": template["template_id"], "nonce": nonce});
    let foreign = net.labs[0].post("/api/mining/submitblock", &compact);
    assert_eq!((foreign.status, foreign.error().as_str()), (400, "unknown or expired template_id"));
    assert_eq!(net.labs[1].post("/api/mining/submitblock", &compact).status, 200);
    until("the block", || net.tip(0).height == 1);
    let total = |number: usize| net.labs[number].get("/api/wallet/balance").json()["total"].as_u64();
    assert!(total(0) > Some(0) && total(1) == Some(0), "{:?} {:?}", total(0), total(1));
}

#[test]
fn a_daemon_that_missed_blocks_serves_an_old_tip_until_it_knows_and_then_catches_up_in_silence() {
    let net = Net::start(2, |params| params.block_validation = Duration::from_millis(30));
    let late = &net.labs[1];
    net.create_wallet(1);
    net.cut(1);
    until("the cut", || net.peers(1) == 0);
    net.mine(0, 40);
    let next_height = || header_base(&late.get("/api/mining/blocktemplate").json()).height().get();
    let status = late.get("/api/status").json();
    assert_eq!((next_height(), &status["chain_height"], &status["syncing"]), (1, &json!(0), &json!(false)));
    let mut events = Events::of(late);
    net.heal(1);
    let mut syncing = Value::Null;
    until("a sync run", || {
        syncing = late.get("/api/status").json();
        syncing["syncing"] == true
    });
    assert_eq!(syncing["sync_target"], 40, "{syncing}");
    let refused = late.get("/api/mining/blocktemplate");
    assert_eq!((refused.status, refused.error().as_str()), (503, "node is syncing"));
    net.wait_agreed();
    until("the end of the run", || late.get("/api/status").json()["syncing"] == false);
    assert_eq!(next_height(), 41);
    let scanned = || late.get("/api/wallet/balance").json()["synced_height"].clone();
    assert_eq!(scanned(), 0, "the wallet reads with the next block that is announced");
    net.mine(0, 1);
    let told = events.next();
    assert!(told.contains("\"height\":41"), "of the blocks of a sync run nothing is told: {told}");
    assert_eq!(scanned(), 41);
}

#[test]
fn of_two_blocks_of_one_height_each_keeps_its_own_until_one_branch_has_more_work() {
    let net = Net::pair();
    net.mine(0, 3);
    net.wait_agreed();
    net.cut(0);
    net.mine(0, 1);
    net.mine(1, 1);
    let (ours, theirs) = (net.tip(0), net.tip(1));
    assert!(ours.hash != theirs.hash && ours.total_work == theirs.total_work);
    net.heal(0);
    net.wait_linked();
    assert_eq!((net.tip(0).hash, net.tip(1).hash), (ours.hash, theirs.hash), "a tie keeps the first");
    net.mine(1, 1);
    net.wait_agreed();
    assert_eq!(net.tip(0).height, 5);
    let left = net.labs[0].get(&format!("/api/block/{}", ours.hash)).json();
    assert_eq!(left["height"], 4, "a block that left the chain can still be looked up");
    let mut events = Events::of(&net.labs[0]);
    net.mine(1, 1);
    assert!(events.next().contains("\"height\":6"), "they gossip again");
}

#[test]
fn a_split_heals_to_the_branch_with_more_work_and_gives_transactions_back() {
    let net = Net::pair();
    net.mine(0, 20);
    net.wait_agreed();
    net.cut(0);
    net.labs[0].control().add_transactions(1).unwrap();
    net.mine(0, 2);
    net.mine(1, 5);
    let waiting = || net.labs[0].get("/api/mempool").json()["count"].clone();
    assert_eq!((net.tip(0).height, waiting()), (22, json!(0)));
    net.heal(0);
    net.wait_agreed();
    assert_eq!((net.tip(0).height, waiting()), (25, json!(1)));
}

#[test]
fn a_branch_that_leaves_the_chain_too_deep_is_never_followed() {
    let net = Net::pair();
    net.cut(0);
    net.mine(0, 105);
    net.mine(1, 110);
    let own = net.tip(0);
    net.heal(0);
    net.wait_linked();
    net.mine(1, 1);
    net.labs[0].control().restart(Duration::ZERO, true).unwrap();
    net.wait_linked();
    assert_eq!((net.tip(0), net.tip(1).height), (own, 111));
}

#[test]
fn transactions_are_passed_on_and_mempools_stay_apart() {
    let net = Net::start(3, |_| {});
    net.create_wallet(0);
    net.labs[0].mine_to_wallet(70);
    net.wait_agreed();
    net.labs[2].control().add_transactions(2).unwrap();
    let body = json!({"recipients": [{"address": SOMEBODY, "amount": 500_000_000}]});
    assert_eq!(net.labs[0].post("/api/wallet/send", &body).status, 200);
    let waiting = || [0, 1, 2].map(|number| net.labs[number].get("/api/mempool").json()["count"].as_u64().unwrap());
    until("the transaction everywhere", || waiting() == [1, 1, 3]);
    net.labs[1].control().mine(&MineOrder::default()).unwrap();
    until("its block everywhere", || waiting() == [0, 0, 2]);
    assert_eq!(net.labs[2].control().income(SOMEBODY).unwrap().len(), 1);
}

#[test]
fn a_daemon_that_was_killed_finds_its_chain_and_its_peers_again() {
    let net = Net::pair();
    net.mine(0, 2);
    net.wait_agreed();
    net.labs[0].control().restart(Duration::ZERO, false).unwrap();
    net.mine(1, 2);
    net.wait_agreed();
    net.wait_linked();
    net.mine(0, 1);
    net.wait_agreed();
    assert_eq!(net.tip(1).height, 5);
}

#[test]
fn peers_of_other_machines_are_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = Params::new(dir.path());
    params.peer_listen = Some("0.0.0.0:0".parse().unwrap());
    let refused = daemon_sim::SimulatedDaemon::start(params).err().unwrap();
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
