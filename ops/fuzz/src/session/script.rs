//! What happens in one run: every three bytes are a step, so any bytes are a script.

/// Steps of one script.
const STEPS_MAX: usize = 64;
/// Connections that a script can name; each is opened when it is first used, and again after its end.
pub const PEERS: usize = 4;

/// Something that a miner, the chain, the ledger or Validation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The template is renewed without a change of its identity.
    Renew,
    /// A new tip: everybody gets a job. The old one may be beyond its grace time at once.
    Tip {
        /// Whether it is.
        stale: bool,
    },
    /// How the ledger treats what comes from now on.
    Ledger(LedgerBehavior),
    /// How Validation proves what comes from now on.
    Prover(ProverBehavior),
    /// The ledger and Validation answer what they held back.
    Release,
    /// Whether the first address is to be proven before it is acknowledged.
    Force(bool),
    /// Whether the first address is refused.
    Quarantine(bool),
    /// Miners are told of a block.
    Announce,
    /// A miner does something.
    Peer(usize, Act),
}

/// What a miner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Sends a login.
    Login(Login),
    /// Sends a submit; waits for its first job before, if it has logged in.
    Submit(Job, Nonce, Claim),
    /// Sends the same submit many times.
    Burst(u8),
    /// Sends one of [`crate::session::LINES`].
    Line(u8),
    /// Holds its lines back until it flushes.
    Cork,
    /// Sends what it held back, but for so many bytes of the end.
    Flush {
        /// How many.
        keep: u8,
    },
    /// Sends what it held back byte by byte.
    Drip,
    /// Waits until everything is answered, unless something is held back.
    Await,
    /// Waits for the job of the tip, if it has had a job before.
    AwaitTip,
    /// Sends no more, but reads on.
    HalfClose,
    /// Goes away without a word.
    Reset,
}

/// Which login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Of one of two miners, as the real client does it, perhaps with a wish for a difficulty.
    Good(usize, Option<u64>),
    /// Protocol version 1.
    Old,
    /// Without the capability to claim hashes.
    NoClaims,
    /// An address that is none.
    BadAddress,
}

/// Which job a submit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// The last one.
    Current,
    /// One of those before it.
    Older(u8),
    /// The last one of the next peer.
    Foreign,
    /// None of the pool's.
    Nonsense,
}

/// Which nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce {
    /// Not used before.
    Fresh,
    /// One of the first of the range, used before or not.
    Low(u8),
    /// The last one.
    Last,
    /// One before the range.
    Before,
    /// One behind it.
    Behind,
}

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Just on the share target.
    Good,
    /// Zero: below every target.
    Block,
    /// Above the share target.
    Low,
    /// None.
    Missing,
    /// One of several texts that are no hash.
    Malformed(u8),
}

/// How the ledger treats a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerBehavior {
    /// Writes it and says so.
    Takes,
    /// Writes it and says so when released.
    Holds,
    /// Says that its budget is used up.
    Full,
    /// The disk fails; whether it is written or not.
    Disk(bool),
    /// Dies; whether it is written or not.
    Dies(bool),
    /// Has no place.
    Busy,
    /// Is not there.
    Down,
}

/// How Validation treats a share that is to be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProverBehavior {
    /// Finds it good.
    Proves,
    /// Finds it good when released.
    Holds,
    /// Refuses it, for one of three reasons.
    Refuses(u8),
    /// Dies.
    Dies,
    /// Has no place.
    Busy,
}

/// A script.
#[must_use]
pub fn decode(data: &[u8]) -> Vec<Step> {
    data.chunks_exact(3).take(STEPS_MAX).map(|bytes| step(bytes[0], bytes[1], bytes[2])).collect()
}

fn step(kind: u8, a: u8, b: u8) -> Step {
    let peer = usize::from(a) % PEERS;
    let which = a / 4;
    let odd = b % 2 == 1;
    // A third of all steps are submits, a sixth are logins.
    let act = match kind % 36 {
        0 => return Step::Renew,
        1 => return Step::Tip { stale: odd },
        2 | 3 => return Step::Ledger(ledger_mood(b)),
        4 => return Step::Prover(prover_mood(b)),
        5 | 6 => return Step::Release,
        7 => return Step::Force(odd),
        8 => return Step::Quarantine(odd),
        9 => return Step::Announce,
        10 => Act::Burst(b % 32),
        11 | 12 => Act::Line(b),
        13 => Act::Cork,
        14 | 15 => Act::Flush { keep: if odd { b } else { 0 } },
        16 => Act::Drip,
        17 if odd => Act::AwaitTip,
        17 => Act::Await,
        18 => Act::HalfClose,
        19 => Act::Reset,
        20..=25 => Act::Login(login(which, b)),
        _ => Act::Submit(job(which), nonce(b), claim(which, b)),
    };
    Step::Peer(peer, act)
}

fn ledger_mood(b: u8) -> LedgerBehavior {
    match b % 12 {
        0..=3 => LedgerBehavior::Takes,
        4 | 5 => LedgerBehavior::Holds,
        6 => LedgerBehavior::Full,
        7 => LedgerBehavior::Disk(b >= 128),
        8 => LedgerBehavior::Dies(b >= 128),
        9 | 10 => LedgerBehavior::Busy,
        _ => LedgerBehavior::Down,
    }
}

fn prover_mood(b: u8) -> ProverBehavior {
    match b % 8 {
        0..=2 => ProverBehavior::Proves,
        3 => ProverBehavior::Holds,
        4 | 5 => ProverBehavior::Refuses(b / 8),
        6 => ProverBehavior::Dies,
        _ => ProverBehavior::Busy,
    }
}

fn login(which: u8, b: u8) -> Login {
    match which % 16 {
        0..=11 => Login::Good(usize::from(which % 2), (b >= 128).then(|| u64::from(b) * u64::from(b))),
        12 => Login::Old,
        13 => Login::NoClaims,
        _ => Login::BadAddress,
    }
}

fn job(which: u8) -> Job {
    match which % 16 {
        0..=10 => Job::Current,
        11 | 12 => Job::Older(which / 16),
        13 => Job::Foreign,
        _ => Job::Nonsense,
    }
}

fn nonce(b: u8) -> Nonce {
    match b % 16 {
        0..=7 => Nonce::Fresh,
        8..=11 => Nonce::Low(b / 64),
        12 => Nonce::Last,
        13 => Nonce::Before,
        _ => Nonce::Behind,
    }
}

fn claim(which: u8, b: u8) -> Claim {
    match (which ^ (b / 16)) % 16 {
        0..=9 => Claim::Good,
        10 | 11 => Claim::Block,
        12 => Claim::Low,
        13 => Claim::Missing,
        _ => Claim::Malformed(b / 16),
    }
}
