//! The stateful session: scripts of valid and broken lines over real sockets, while jobs change, the ledger is busy,
//! late or dead, and miners split, pipeline, half close and vanish.
//!
//! What must hold, whatever the script: no panic; every request with an id is answered once while the connection
//! lives, and a connection ends only for a stated reason; nothing is read behind a line that ends it; what is accepted
//! is in the ledger, once, under the right miner, inside its range and worth what its job said; no connection or
//! session is left in the counters.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use chain::{Address, Network};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;

pub mod books;
pub mod peer;
pub mod script;
mod verdict;
pub mod world;

use peer::{Job, Peer, Submitted};
use script::{Act, Claim, PEERS, Step};
use world::World;

/// Lines that are not the protocol's, or not quite.
pub const LINES: [&[u8]; 18] = [
    b"\n",
    b" \t\r\n",
    b"{}\n",
    b"[1,\"login\",{}]\n",
    b"GET / HTTP/1.1\n",
    b"{\"id\":0,\"method\":\"login\"}\n",
    b"{\"id\":-1,\"method\":\"login\",\"params\":{}}\n",
    b"{\"id\":7,\"method\":\"getjob\"}\n",
    b"{\"id\":7,\"method\":\"submit\",\"params\":{\"job_id\":5}}\n",
    b"{\"id\":8,\"method\":\"login\",\"params\":[]}\n",
    b"{\"id\":18446744073709551615,\"method\":\"\"}\n",
    b"{\"id\":18446744073709551616,\"method\":\"x\"}\n",
    b"{\"id\":9,\"method\":\"x\",\"id\":9}\n",
    b"{\"id\":9,\"method\":\"x\"}\r\n\r\n{\"id\":9,\"method\":\"x\"}\n",
    b"\xff\xfe\n",
    b" \x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    b"{\"id\":9,\"method\":\"\xc3\xa4\xe2\x82\xac\"}\n",
    // Half a line, which the next one completes.
    b"{\"id\":9,",
];
/// Two more, which are long: at the limit and beyond it.
const LONG: [usize; 2] = [wire::LINE_MAX, wire::LINE_MAX + 1];

/// The two miners.
fn address(miner: usize) -> &'static str {
    static ADDRESSES: OnceLock<[String; 2]> = OnceLock::new();
    &ADDRESSES.get_or_init(|| {
        let base = RISTRETTO_BASEPOINT_POINT;
        let (one, two) = (base.compress().to_bytes(), (base + base).compress().to_bytes());
        [(one, two), (two, one)].map(|(spend, view)| Address::encode(&spend, &view, Network::Testnet))
    })[miner % 2]
}

/// A script on one of two fronts that live as long as the process: one demands claimed hashes, one does not. The first
/// byte says which.
pub fn session(data: &[u8]) {
    static WORLDS: OnceLock<[Mutex<World>; 2]> = OnceLock::new();
    let Some((which, script)) = data.split_first() else { return };
    let worlds = WORLDS.get_or_init(|| [true, false].map(|required| Mutex::new(World::start(required))));
    let world = worlds[usize::from(which % 2)].lock().unwrap_or_else(PoisonError::into_inner);
    run(&world, &script::decode(script));
}

/// Runs a script from a clean state to its end and judges it. Returns how many shares were accepted.
pub fn run(world: &World, steps: &[Step]) -> usize {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // Each run comes from another address, so that neither limits nor closed connections of one reach the next.
    let number = RUNS.fetch_add(1, Ordering::Relaxed) % 0x00ff_fff0 + 2;
    let client = IpAddr::V4(Ipv4Addr::from(0x7f00_0000 | number));
    world.begin();
    let mut stage = Stage { world, client, peers: [const { None }; PEERS], over: Vec::new(), fresh: 100 };
    steps.iter().for_each(|step| stage.step(*step));
    stage.end()
}

struct Stage<'a> {
    world: &'a World,
    client: IpAddr,
    peers: [Option<Peer>; PEERS],
    over: Vec<Peer>,
    /// Offset of the next nonce that nobody has used.
    fresh: u64,
}

impl Stage<'_> {
    fn step(&mut self, step: Step) {
        let pair = || [World::pair(address(0), self.client)].into();
        match step {
            Step::Renew => self.world.renew(),
            Step::Tip { stale } => self.world.tip(stale),
            Step::Ledger(behavior) => self.world.books().behave(Some(behavior), None),
            Step::Prover(behavior) => self.world.books().behave(None, Some(behavior)),
            Step::Release => self.world.books().release(),
            Step::Force(true) => self.world.restrict(pair(), [].into()),
            Step::Quarantine(true) => self.world.restrict([].into(), pair()),
            Step::Force(false) | Step::Quarantine(false) => self.world.restrict([].into(), [].into()),
            Step::Announce => self.world.announce(),
            Step::Peer(peer, act) => self.act(peer, act),
        }
    }

    fn act(&mut self, which: usize, act: Act) {
        let foreign = self.peers[(which + 1) % PEERS].as_ref().and_then(|peer| peer.jobs.last().cloned());
        let peer = self.peers[which].get_or_insert_with(|| Peer::open(self.world.address, self.client));
        peer.take_in();
        match act {
            Act::Login(login) => log_in(peer, login),
            Act::Submit(job, nonce, claim) => {
                let submitted = submitted(peer, foreign, job, nonce, &mut self.fresh);
                send_submit(peer, submitted, claim);
            }
            Act::Burst(count) => {
                let submitted = submitted(peer, foreign, script::Job::Current, script::Nonce::Low(0), &mut self.fresh);
                (0..count).for_each(|_| send_submit(peer, submitted.clone(), Claim::Good));
            }
            Act::Line(line) => match LINES.get(usize::from(line) % (LINES.len() + LONG.len())) {
                Some(line) => peer.say(line),
                None => {
                    let mut long = vec![b' '; LONG[usize::from(line) % LONG.len()]];
                    let request = br#"{"id":7,"method":"long"}"#;
                    long[..request.len()].copy_from_slice(request);
                    long.push(b'\n');
                    peer.say(&long);
                }
            },
            Act::Cork => peer.corked = true,
            Act::Flush { keep } => {
                peer.corked = keep != 0;
                peer.flush(usize::from(keep), usize::MAX);
            }
            Act::Drip => {
                peer.corked = false;
                peer.flush(0, 1);
            }
            Act::Await if !self.world.books().holds() => peer.wait("an answer", Peer::is_settled),
            Act::Await => {}
            Act::AwaitTip if !peer.jobs.is_empty() => {
                let height = self.world.height();
                peer.wait("a new tip", |peer| peer.jobs.last().is_some_and(|job| job.height == height));
            }
            Act::AwaitTip => {}
            Act::HalfClose => peer.half_close(),
            Act::Reset => peer.reset(),
        }
        if matches!(act, Act::HalfClose | Act::Reset) || peer.end.is_some() {
            self.over.extend(self.peers[which].take());
        }
    }

    /// Lets everything come to an end, and judges.
    fn end(mut self) -> usize {
        self.world.books().behave(Some(script::LedgerBehavior::Takes), Some(script::ProverBehavior::Proves));
        self.world.books().release();
        self.over.extend(self.peers.iter_mut().filter_map(Option::take));
        for peer in &mut self.over {
            peer.half_close();
        }
        for peer in &mut self.over {
            peer.wait("the end of the connection", |_| false);
        }
        self.world.settle();
        verdict::judge(self.world, &self.over)
    }
}

fn log_in(peer: &mut Peer, login: script::Login) {
    let id = peer.take_id();
    let mut line = Vec::new();
    let (miner, hint) = match login {
        script::Login::Good(miner, hint) => (miner, hint),
        _ => (0, None),
    };
    peer.addresses.push(address(miner).to_owned());
    wire::write_login(&mut line, id, address(miner), "rig", hint);
    let text = String::from_utf8(line).expect("UTF-8");
    peer.say(
        match login {
            script::Login::Good(..) => text,
            script::Login::Old => text.replace("\"protocol_version\":2", "\"protocol_version\":1"),
            script::Login::NoClaims => text.replace("submit_claimed_hash", "x"),
            script::Login::BadAddress => text.replace(address(miner), "nobody"),
        }
        .as_bytes(),
    );
}

/// Chooses job and nonce.
fn submitted(
    peer: &mut Peer,
    foreign: Option<Job>,
    job: script::Job,
    nonce: script::Nonce,
    fresh: &mut u64,
) -> Submitted {
    let asked_in = peer.answers.iter().any(peer::Answer::is_login) || !peer.addresses.is_empty() && !peer.corked;
    if peer.jobs.is_empty() && asked_in {
        peer.wait("the answer to a login and its job", Peer::is_settled);
    }
    let job = match job {
        script::Job::Current => peer.jobs.last().cloned(),
        script::Job::Older(back) => peer.jobs.iter().rev().nth(usize::from(back) + 1).cloned(),
        script::Job::Foreign => foreign,
        script::Job::Nonsense => None,
    };
    let (first, last) = job.as_ref().map_or((0, u64::MAX), |job| job.nonces);
    let nonce = match nonce {
        script::Nonce::Fresh => {
            *fresh += 1;
            first + *fresh
        }
        script::Nonce::Low(offset) => first + u64::from(offset),
        script::Nonce::Last => last,
        script::Nonce::Before => first.wrapping_sub(1),
        script::Nonce::Behind => last.wrapping_add(1),
    };
    Submitted { job, nonce, claim: None }
}

fn send_submit(peer: &mut Peer, mut submitted: Submitted, claim: Claim) {
    let (target, _) = submitted.job.as_ref().map_or(([0xff; 32], [0; 32]), |job| job.targets);
    submitted.claim = match claim {
        Claim::Good => Some(target),
        Claim::Block => Some([0; 32]),
        Claim::Low => Some([0xff; 32]),
        Claim::Missing | Claim::Malformed(_) => None,
    };
    let job_id = submitted.job.as_ref().map_or("0123456789abcdeF", |job| &job.id).to_owned();
    let (nonce, hash) = (submitted.nonce, submitted.claim);
    let id = peer.submit(submitted);
    let mut line = Vec::new();
    wire::write_submit(&mut line, id, &job_id, nonce, hash.as_ref());
    if let Claim::Malformed(which) = claim {
        let texts = ["\"abc\"", "\"zz\"", "\"00\"", "7", "\" \""];
        let claim = format!(",\"claimed_hash\":{}}}}}\n", texts[usize::from(which) % texts.len()]);
        line.truncate(line.len() - 3);
        line.extend_from_slice(claim.as_bytes());
    }
    peer.say(&line);
}
