//! Who is paid next, from which outputs, and what each gets: pure.
//!
//! The queue is served from its head. What does not fit now waits at the head, so nobody is overtaken because its
//! payout is large.
use std::collections::HashSet;
use std::fmt;

use accounting::pro_rata_fee;
use chain::{Outpoint, send_fee};
use store::payouts::IntentLine;
use units::{Amount, Height};

/// Recipients of one transaction. The daemon's limit is 255; a batch must be built well inside its 30 s.
pub(crate) const RECIPIENTS_MAX: usize = 50;
/// Inputs of one transaction: each one costs the daemon time and the recipients a fee.
pub(crate) const INPUTS_MAX: usize = 64;
/// Below this height of either network, outputs of one transaction to the same keys burn all but one of them.
const INDEXED_OUTPUTS: u64 = 6_500;
/// Change is split while the wallet has fewer spendable outputs than this: every send locks its change for a while.
const COINS_WANTED: usize = 16;
const CHANGE_PARTS: u64 = 4;

/// An output that can be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalletOutput {
    pub(crate) outpoint: Outpoint,
    pub(crate) amount: Amount,
}

/// Somebody who is owed enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payee {
    pub(crate) address: String,
    /// Spend and view key: two texts may name the same ones.
    pub(crate) keys: [[u8; 32]; 2],
    pub(crate) payable: Amount,
}

/// What one transaction may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Recipients.
    pub(crate) recipients: usize,
    /// Sum; `None` without limit.
    pub(crate) total: Option<Amount>,
    /// For each; `None` without limit.
    pub(crate) each: Option<Amount>,
    /// Nothing was sent in this run yet, so a limit may cut the head down instead of making it wait.
    pub(crate) is_first: bool,
    /// What one transaction can spend.
    pub(crate) at_once: Amount,
    /// What the wallet can spend in all.
    pub(crate) spendable: Amount,
}

/// The head of the queue is owed more than the wallet can spend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) need: Amount,
    pub(crate) have: Amount,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the next one needs {}, the wallet can spend {} now", self.need, self.have)
    }
}

/// Takes recipients from the head of the queue: positions in it, and amounts. Empty when a limit of the run is
/// reached.
pub(crate) fn batch(queue: &[Payee], room: &Room) -> Result<Vec<(usize, Amount)>, Short> {
    let mut taken = Vec::new();
    let mut keys = HashSet::new();
    let limit = room.total.unwrap_or(Amount::MAX);
    let mut left = limit.min(room.at_once);
    for (place, payee) in queue.iter().enumerate() {
        if taken.len() == room.recipients.min(RECIPIENTS_MAX) {
            break;
        }
        let want = room.each.map_or(payee.payable, |each| each.min(payee.payable));
        if !keys.insert(payee.keys) {
            continue; // The same keys under another text: in the next transaction.
        }
        if let Some(rest) = left.checked_sub(want) {
            left = rest;
            taken.push((place, want));
            continue;
        }
        if taken.is_empty() {
            let part = want.min(limit);
            if part > room.spendable {
                return Err(Short { need: part, have: room.spendable });
            }
            // What no single transaction can hold is paid in parts.
            let may_cut = room.is_first || limit >= want;
            taken.extend(may_cut.then_some((place, part.min(room.at_once))).filter(|(_, part)| !part.is_zero()));
        }
        break;
    }
    Ok(taken)
}

/// Outputs that hold at least `need`: the smallest that does alone, else the largest together. Something is left over
/// whenever that is possible, because change is a trace that the transaction leaves in the wallet.
pub(crate) fn choose(outputs: &[WalletOutput], need: Amount) -> Option<Vec<WalletOutput>> {
    let mut outputs: Vec<&WalletOutput> = outputs.iter().collect();
    outputs.sort_by(|one, other| other.amount.cmp(&one.amount).then_with(|| one.outpoint.cmp(&other.outpoint)));
    if let Some(single) = outputs.iter().rev().find(|output| output.amount > need) {
        return Some(vec![(*single).clone()]);
    }
    let mut exact = None;
    let (mut chosen, mut total) = (Vec::new(), Amount::ZERO);
    for output in outputs.into_iter().take(INPUTS_MAX) {
        chosen.push(output.clone());
        total = total.checked_add(output.amount)?;
        if total > need {
            return Some(chosen);
        }
        if total == need {
            exact = Some(chosen.clone());
        }
    }
    exact
}

/// What the largest outputs hold that one transaction may spend, and what all hold.
pub(crate) fn funds(outputs: &[WalletOutput]) -> (Amount, Amount) {
    let mut amounts: Vec<Amount> = outputs.iter().map(|output| output.amount).collect();
    amounts.sort_unstable_by(|one, other| other.cmp(one));
    let sum = |amounts: &[Amount]| Amount::checked_sum(amounts.iter().copied()).unwrap_or(Amount::MAX);
    (sum(&amounts[..amounts.len().min(INPUTS_MAX)]), sum(&amounts))
}

/// Into how many outputs the change goes.
pub(crate) fn change_split(tip: Height, outputs: usize) -> u64 {
    if tip.get() >= INDEXED_OUTPUTS && outputs < COINS_WANTED { CHANGE_PARTS } else { 1 }
}

/// The dearest transaction to so many recipients.
pub(crate) fn fee_max(recipients: usize) -> Amount {
    send_fee(count(INPUTS_MAX), count(recipients).saturating_add(CHANGE_PARTS))
}

/// What the daemon is known to take.
pub(crate) fn fee(inputs: usize, recipients: usize, change_split: u64) -> Amount {
    send_fee(count(inputs), count(recipients).saturating_add(change_split))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Lets the recipients bear `fee`. `Err` holds the positions of those to whom nothing would be left.
pub(crate) fn bear(mut lines: Vec<IntentLine>, fee: Amount) -> Result<Vec<IntentLine>, Vec<usize>> {
    let gross: Vec<(&str, Amount)> = lines.iter().map(|line| (line.address.as_str(), line.gross)).collect();
    let Ok(nets) = pro_rata_fee(fee, &gross) else { return Err((0..lines.len()).collect()) };
    let nets: Vec<Amount> = nets.into_iter().map(|line| line.net).collect();
    let too_small: Vec<usize> = (0..nets.len()).filter(|place| nets[*place].is_zero()).collect();
    if !too_small.is_empty() {
        return Err(too_small);
    }
    lines.iter_mut().zip(nets).for_each(|(line, net)| line.net = net);
    Ok(lines)
}

#[cfg(test)]
mod tests;
