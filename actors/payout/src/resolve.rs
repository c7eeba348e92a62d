//! What to do about a request whose outcome matters: one pure table.
//!
//! Two rules keep a payout from being sent twice. A request is repeated under its own key with its own bytes, which the
//! daemon answers from its records. And a key is given up only for another attempt that spends the same inputs, so the
//! chain takes one of them at most. Money becomes payable again only when no attempt can ever be mined: the daemon that
//! refuses a repeated request need not be the one that was asked first.
use chain::TxId;
use units::{Amount, Height};

/// Blocks during which nothing may show a transaction before it is replaced.
pub(crate) const QUIET_BLOCKS: u64 = 3;
/// The chain refuses deeper reorganisations: what another transaction has spent that long is gone for good.
pub(crate) const FINAL_BLOCKS: u64 = 100;

/// Whether the wallet is known to have sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SendKnowledge {
    /// It may have been asked.
    Asked,
    /// It said that it sent it.
    Sent,
}

/// What the daemon has stored under the newest attempt's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// It cannot be asked.
    Mute,
    /// Nothing.
    Nothing,
    /// It was running when the daemon died.
    Accepted,
    /// It is running.
    Running,
    /// It was sent.
    Done { txid: TxId, fee: Amount },
    /// It was refused. `definite`: by a check that comes before anything is sent, and not because its inputs are spent,
    /// which may be its own doing.
    Failed { definite: bool },
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TxLocation {
    /// In a block that so many blocks follow.
    Block { depth: u64 },
    /// In the mempool.
    Mempool,
    /// In neither, as far as this daemon knows.
    Nowhere,
}

/// A transaction of this payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundTransaction {
    pub(crate) txid: TxId,
    pub(crate) fee: Amount,
    pub(crate) place: TxLocation,
}

/// What became of the inputs, which all attempts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Inputs {
    /// The wallet chose them; nobody knows which.
    Unnamed,
    /// All can be spent.
    Unspent,
    /// One must mature again after a reorganisation.
    Immature,
    /// One is spent by what no block holds yet.
    Leaving,
    /// All were spent in this one block, and what came back there does not tell by what.
    Unclear { since: Height },
    /// Another transaction has one of them since this height, or (`None`) the wallet does not know it.
    Taken { since: Option<Height> },
}

/// All that is known.
#[derive(Debug, Clone)]
pub(crate) struct PayoutEvidence {
    pub(crate) known: SendKnowledge,
    pub(crate) key: Key,
    pub(crate) seen: Option<FoundTransaction>,
    pub(crate) inputs: Inputs,
    /// Every attempt before the newest was definitely refused.
    pub(crate) others_refused: bool,
    /// The newest attempt was asked for again after an answer that is not known.
    pub(crate) repeated: bool,
    pub(crate) tip: Height,
    /// The tip when the newest attempt was stored.
    pub(crate) asked_at: Height,
    /// First tip at which nothing showed it.
    pub(crate) quiet_since: Option<Height>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing; remember since when nothing shows it, and what an operator must know.
    Wait { quiet_since: Option<Height>, attention: Option<&'static str> },
    /// Ask with the same bytes under the same key.
    Repeat,
    /// Ask with the same inputs under a new key; the present attempt gets this outcome.
    Replace { outcome: &'static str },
    /// Make the money payable again; the present attempt gets this outcome.
    Release { outcome: &'static str },
    /// It was sent.
    Sent(FoundTransaction),
}

/// Outcome of an attempt that was definitely not sent: later attempts need not spend its inputs.
pub(crate) const REFUSED: &str = "refused";
/// Outcome of an attempt that was refused when it was repeated: another daemon may have sent it before.
const REFUSED_AGAIN: &str = "refused when repeated";

const CANNOT_ASK: &str = "its outcome is unknown and this daemon cannot be asked: look into the wallet's history";
const CANNOT_TELL: &str = "its outcome is unknown and its inputs were the wallet's choice: look into its history";
const NOT_MINED: &str = "no block holds it, and this daemon cannot say whether it still waits";
const UNCLEAR: &str = "its inputs are spent, and neither memo nor change tells by what: look into the wallet's history";
const MISSING: &str = "the wallet does not list its inputs, so nothing is known of it: look into the wallet's history";
const TAKEN: &str = "an input was taken by another transaction; what it owes is payable again when that is final";

pub(crate) fn resolve(case: &PayoutEvidence) -> Verdict {
    if let Some(seen) = case.seen.as_ref().filter(|seen| seen.place != TxLocation::Nowhere) {
        return Verdict::Sent(seen.clone());
    }
    if case.known == SendKnowledge::Asked {
        match (&case.key, &case.seen) {
            (Key::Running, _) => return wait(None),
            (Key::Done { txid, fee }, _) => {
                return Verdict::Sent(FoundTransaction { txid: *txid, fee: *fee, place: TxLocation::Nowhere });
            }
            // The wallet has it in its history, so it was sent once; now nothing shows it.
            (_, Some(seen)) => return Verdict::Sent(seen.clone()),
            _ => {}
        }
    }
    match case.inputs {
        Inputs::Immature | Inputs::Leaving => wait(None),
        // All attempts were refused, so it was somebody else.
        Inputs::Unclear { since } if is_refused(case) => taken(case, Some(since)),
        Inputs::Unclear { .. } => wait(Some(UNCLEAR)),
        Inputs::Taken { since } => taken(case, since),
        Inputs::Unnamed => unnamed(case),
        Inputs::Unspent => unspent(case),
    }
}

/// Whether an operator may give a payout up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Nothing was ever asked for.
    Now,
    /// When the tip is there, nothing can bring it back any more.
    From(Height),
    /// Not as things are.
    Never(&'static str),
}

/// An operator knows that it was not sent; the pool still refuses what could pay twice. `never_asked`: the wallet cannot
/// have heard of it.
pub(crate) fn may_leave(case: &PayoutEvidence, never_asked: bool) -> Leave {
    let for_good = |since: Height| Leave::From(Height::new(since.get().saturating_add(FINAL_BLOCKS)));
    match (&case.seen, &case.key, case.inputs) {
        (Some(FoundTransaction { place: TxLocation::Block { .. }, .. }), ..) => Leave::Never("a block holds it"),
        (Some(FoundTransaction { place: TxLocation::Mempool, .. }), ..) => Leave::Never("it waits in the mempool"),
        (_, Key::Running, _) => Leave::Never("the daemon is about to send it"),
        (_, Key::Done { .. }, _) => Leave::Never("the daemon says that it was sent"),
        _ if never_asked => Leave::Now,
        (.., Inputs::Unspent | Inputs::Immature) => {
            Leave::Never("its inputs can still be spent by what was asked for: the pool asks again by itself")
        }
        (.., Inputs::Leaving) => Leave::Never("a transaction that spends its inputs waits for a block"),
        (.., Inputs::Unclear { since } | Inputs::Taken { since: Some(since) }) => for_good(since),
        (.., Inputs::Unnamed | Inputs::Taken { since: None }) => for_good(case.asked_at),
    }
}

/// Something shows it, or nothing needs to.
fn wait(attention: Option<&'static str>) -> Verdict {
    Verdict::Wait { quiet_since: None, attention }
}

fn passed(since: Height, tip: Height) -> u64 {
    tip.get().saturating_sub(since.get())
}

/// No attempt was ever sent.
fn is_refused(case: &PayoutEvidence) -> bool {
    let refused = case.known == SendKnowledge::Asked && case.key == Key::Failed { definite: true };
    refused && case.others_refused && !case.repeated
}

/// Counts blocks during which nothing shows it.
fn when_quiet(case: &PayoutEvidence, verdict: Verdict, attention: Option<&'static str>) -> Verdict {
    let since = case.quiet_since.unwrap_or(case.tip);
    if passed(since, case.tip) >= QUIET_BLOCKS {
        return verdict;
    }
    Verdict::Wait { quiet_since: Some(since), attention }
}

fn taken(case: &PayoutEvidence, since: Option<Height>) -> Verdict {
    let quiet_since = case.quiet_since.unwrap_or(case.tip);
    // What the wallet does not know proves nothing about a request that was not refused: it may be looking elsewhere.
    let since = since.or(is_refused(case).then_some(quiet_since));
    match since {
        Some(since) if passed(since, case.tip) >= FINAL_BLOCKS => Verdict::Release { outcome: "input taken" },
        Some(_) => Verdict::Wait { quiet_since: Some(quiet_since), attention: Some(TAKEN) },
        None => Verdict::Wait { quiet_since: Some(quiet_since), attention: Some(MISSING) },
    }
}

/// Nothing may be sent again: the wallet could spend other outputs.
fn unnamed(case: &PayoutEvidence) -> Verdict {
    let quiet_since = Some(case.quiet_since.unwrap_or(case.tip));
    match (case.known, &case.key) {
        _ if is_refused(case) => Verdict::Release { outcome: REFUSED },
        (SendKnowledge::Asked, Key::Mute) => Verdict::Wait { quiet_since, attention: Some(CANNOT_ASK) },
        (SendKnowledge::Asked, _) => Verdict::Wait { quiet_since, attention: Some(CANNOT_TELL) },
        (SendKnowledge::Sent, _) => when_quiet(case, Verdict::Wait { quiet_since, attention: Some(NOT_MINED) }, None),
    }
}

fn unspent(case: &PayoutEvidence) -> Verdict {
    match (case.known, &case.key) {
        _ if is_refused(case) => Verdict::Release { outcome: REFUSED },
        (SendKnowledge::Asked, Key::Nothing) => Verdict::Repeat,
        // An earlier attempt may still be mined: only its inputs may be spent. Once per block is often enough.
        (SendKnowledge::Asked, Key::Failed { definite: true }) if case.tip > case.asked_at => {
            Verdict::Replace { outcome: if case.repeated { REFUSED_AGAIN } else { REFUSED } }
        }
        (SendKnowledge::Asked, Key::Failed { definite: true }) => wait(None),
        (SendKnowledge::Asked, Key::Failed { definite: false }) => {
            when_quiet(case, Verdict::Replace { outcome: "failed" }, None)
        }
        (SendKnowledge::Asked, Key::Accepted) => when_quiet(case, Verdict::Replace { outcome: "accepted" }, None),
        (SendKnowledge::Asked, Key::Mute) => wait(Some(CANNOT_ASK)),
        (SendKnowledge::Sent, _) => when_quiet(case, Verdict::Replace { outcome: "gone" }, None),
        (SendKnowledge::Asked, Key::Running | Key::Done { .. }) => {
            unreachable!("decided before the inputs are looked at")
        }
    }
}

#[cfg(test)]
mod tests;
