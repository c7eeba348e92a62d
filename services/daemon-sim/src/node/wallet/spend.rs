//! Which outputs a send spends, what it costs, and why it cannot be made.
use std::collections::HashMap;

use chain::{TxId, send_fee};
use devnet_accounts::Keys;
use serde::{Deserialize, Serialize};

use super::{Maturity, Owned, SentTo, Wallet};
use crate::coins::Payment;
use crate::node::mempool::{Mempool, MempoolRefusal};

const INPUTS_MAX: usize = 256;
const FEE_ROUNDS: usize = 4;

/// Names one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Outpoint {
    pub(crate) txid: TxId,
    pub(crate) output_index: u32,
}

/// One recipient of a send, checked.
#[derive(Clone, Debug)]
pub(crate) struct SendRecipient {
    pub(crate) shown: SentTo,
    pub(crate) payment: Payment,
}

/// How the inputs are chosen.
#[derive(Clone, Debug)]
pub(crate) enum InputChoice {
    /// By the wallet.
    Wallet,
    /// By the caller, who also says into how many parts the change is split. The positions are those of the request.
    Caller { inputs: Vec<Outpoint>, change_split: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedInput {
    pub(crate) outpoint: Outpoint,
    pub(crate) one_time_key: [u8; 32],
    amount: u64,
}

/// What a send will spend.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) inputs: Vec<PlannedInput>,
    pub(crate) input_total: u64,
    pub(crate) amount: u64,
    pub(crate) fee: u64,
    pub(crate) change: u64,
    change_split: u64,
}

/// Why a send is not made. The texts are the daemon's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpendRefusal {
    #[error("recipient amount sum overflows")]
    SumOverflow,
    #[error("insufficient spendable balance: have {have}, need {need}")]
    Balance { have: u64, need: u64 },
    #[error("insufficient funds: insufficient funds")]
    Funds,
    #[error("insufficient funds: no spendable outputs")]
    NoOutputs,
    #[error("insufficient funds: input limit exceeded")]
    InputLimit,
    #[error("insufficient funds after fee adjustment: have {have} need {need}")]
    AfterFee { have: u64, need: u64 },
    #[error("insufficient input amount: inputs total {have}, need at least {need} (amount {amount} + fee {fee})")]
    InputAmount { have: u64, need: u64, amount: u64, fee: u64 },
    #[error("input {at}: {what} (txid {}, index {})", outpoint.txid, outpoint.output_index)]
    Input { at: usize, what: String, outpoint: Outpoint },
    #[error("failed to select ring members: not enough outputs for ring (need 15, have {have})")]
    Ring { have: usize },
    #[error("failed to compute tx ID: output count {count} exceeds 256")]
    OutputCount { count: usize },
    #[error("{0}")]
    Mempool(#[from] MempoolRefusal),
}

impl SpendRefusal {
    /// The HTTP status that the daemon answers.
    pub(crate) fn status(&self) -> u16 {
        match self {
            SpendRefusal::Ring { .. } | SpendRefusal::OutputCount { .. } => 500,
            SpendRefusal::Mempool(refusal) if refusal.is_double_spend() => 409,
            SpendRefusal::Mempool(_) => 422,
            _ => 400,
        }
    }
}

impl Plan {
    /// The outputs to make: the recipients', then the change, evenly split with the rest on the first part.
    pub(crate) fn payments(&self, recipients: &[SendRecipient], wallet: Keys) -> Vec<Payment> {
        let mut payments: Vec<Payment> = recipients.iter().map(|recipient| recipient.payment.clone()).collect();
        if self.change > 0 {
            let parts = self.change_split.max(1);
            let (each, rest) = (self.change / parts, self.change % parts);
            for part in 0..parts {
                let amount = if part == 0 { each + rest } else { each };
                payments.push(Payment { to: wallet, amount, memo: Vec::new() });
            }
        }
        payments
    }

    fn new(inputs: Vec<PlannedInput>, amount: u64, fee: u64, change_split: u64) -> Plan {
        let input_total: u64 = inputs.iter().map(|input| input.amount).sum();
        Plan { input_total, change: input_total - amount - fee, inputs, amount, fee, change_split }
    }
}

fn fee_of(inputs: usize, outputs: usize) -> u64 {
    let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
    send_fee(count(inputs), count(outputs)).atoms()
}

impl From<&Owned> for PlannedInput {
    fn from(owned: &Owned) -> PlannedInput {
        PlannedInput { outpoint: owned.outpoint, one_time_key: owned.one_time_key, amount: owned.amount }
    }
}

/// An exact single or pair, else the smallest first, else, where those are too many, the largest first.
fn select(candidates: &[PlannedInput], need: u64) -> Result<Vec<PlannedInput>, SpendRefusal> {
    if candidates.is_empty() {
        return Err(SpendRefusal::NoOutputs);
    }
    if let Some(exact) = candidates.iter().find(|input| input.amount == need) {
        return Ok(vec![*exact]);
    }
    let mut seen: HashMap<u64, PlannedInput> = HashMap::new();
    for input in candidates {
        if let Some(other) = need.checked_sub(input.amount).and_then(|rest| seen.get(&rest)) {
            return Ok(vec![*other, *input]);
        }
        seen.insert(input.amount, *input);
    }
    // Among equal amounts the daemon does not take the oldest.
    let mut order: Vec<PlannedInput> = candidates.iter().rev().copied().collect();
    order.sort_by_key(|input| input.amount);
    let smallest = take_until(order.iter(), need).ok_or(SpendRefusal::Funds)?;
    if smallest.len() <= INPUTS_MAX {
        return Ok(smallest);
    }
    let largest = take_until(order.iter().rev(), need).ok_or(SpendRefusal::Funds)?;
    if largest.len() <= INPUTS_MAX { Ok(largest) } else { Err(SpendRefusal::InputLimit) }
}

fn take_until<'a>(inputs: impl Iterator<Item = &'a PlannedInput>, need: u64) -> Option<Vec<PlannedInput>> {
    let mut total = 0_u64;
    let mut taken = Vec::new();
    for input in inputs {
        taken.push(*input);
        total = total.saturating_add(input.amount);
        if total >= need {
            return Some(taken);
        }
    }
    None
}

impl Wallet {
    /// Decides what a send spends. A dry run words a lack of money in its own way.
    pub(crate) fn plan(
        &self,
        choice: &InputChoice,
        recipients: &[SendRecipient],
        is_dry_run: bool,
        view: &View<'_>,
    ) -> Result<Plan, SpendRefusal> {
        let amounts = recipients.iter().map(|recipient| recipient.payment.amount);
        let amount = amounts.into_iter().try_fold(0_u64, u64::checked_add).ok_or(SpendRefusal::SumOverflow)?;
        match choice {
            InputChoice::Wallet => self.plan_by_wallet(recipients.len(), amount, view),
            InputChoice::Caller { inputs, change_split } => {
                let inputs = self.look_up(inputs, view)?;
                let outputs = recipients.len() + usize::try_from(*change_split).unwrap_or(1);
                let fee = fee_of(inputs.len(), outputs);
                let have: u64 = inputs.iter().map(|input| input.amount).sum();
                let need = amount.saturating_add(fee);
                if have < need && is_dry_run {
                    return Err(SpendRefusal::InputAmount { have, need, amount, fee });
                }
                if have < need {
                    return Err(SpendRefusal::AfterFee { have, need });
                }
                Ok(Plan::new(inputs, amount, fee, *change_split))
            }
        }
    }

    fn plan_by_wallet(&self, recipients: usize, amount: u64, view: &View<'_>) -> Result<Plan, SpendRefusal> {
        let have = self.balance(view.tip_height, view.maturity).spendable;
        if have < amount {
            return Err(SpendRefusal::Balance { have, need: amount });
        }
        let candidates: Vec<PlannedInput> = self
            .owned
            .iter()
            .filter(|owned| owned.spent.is_none() && owned.is_mature(view.tip_height, view.maturity))
            .filter(|owned| !self.reserved.contains(&owned.outpoint) && !view.mempool.spends(&owned.key_image))
            .map(PlannedInput::from)
            .collect();
        let outputs = recipients + 1;
        let mut fee = fee_of(1, outputs);
        let mut have = 0;
        for _ in 0..FEE_ROUNDS {
            let inputs = select(&candidates, amount.saturating_add(fee))?;
            have = inputs.iter().map(|input| input.amount).sum();
            fee = fee_of(inputs.len(), outputs);
            if have >= amount.saturating_add(fee) {
                return Ok(Plan::new(inputs, amount, fee, 1));
            }
        }
        Err(SpendRefusal::AfterFee { have, need: amount.saturating_add(fee) })
    }

    fn look_up(&self, wanted: &[Outpoint], view: &View<'_>) -> Result<Vec<PlannedInput>, SpendRefusal> {
        let mut found = Vec::with_capacity(wanted.len());
        for (at, outpoint) in wanted.iter().enumerate() {
            let refuse = |what: &str| SpendRefusal::Input { at, what: what.to_owned(), outpoint: *outpoint };
            if let Some(first) = wanted[..at].iter().position(|earlier| earlier == outpoint) {
                return Err(refuse(&format!("duplicate of input {first}")));
            }
            let owned = self.owned.iter().find(|owned| owned.outpoint == *outpoint);
            let owned = owned.ok_or_else(|| refuse("output not found"))?;
            if owned.spent.is_some() {
                return Err(refuse("output already spent"));
            }
            if !owned.is_mature(view.tip_height, view.maturity) {
                let has = owned.confirmations(view.tip_height);
                let needs = view.maturity.of(owned.is_coinbase);
                return Err(refuse(&format!("immature, has {has} confirmations, needs {needs}")));
            }
            if self.reserved.contains(outpoint) {
                return Err(refuse("reserved by another in-flight transaction"));
            }
            if view.mempool.spends(&owned.key_image) {
                return Err(refuse("key image already in mempool"));
            }
            found.push(PlannedInput::from(owned));
        }
        Ok(found)
    }
}

/// What a plan depends on beside the wallet.
pub(crate) struct View<'a> {
    pub(crate) tip_height: u64,
    pub(crate) maturity: Maturity,
    pub(crate) mempool: &'a Mempool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::TxId;

    fn inputs(amounts: &[u64]) -> Vec<PlannedInput> {
        let outpoint = |at| Outpoint { txid: TxId::ZERO, output_index: at };
        let input =
            |(at, amount): (u32, &u64)| PlannedInput { outpoint: outpoint(at), one_time_key: [0; 32], amount: *amount };
        (0..).zip(amounts).map(input).collect()
    }

    fn chosen(amounts: &[u64], need: u64) -> Result<Vec<u64>, String> {
        let chosen = select(&inputs(amounts), need).map_err(|refusal| refusal.to_string())?;
        Ok(chosen.iter().map(|input| input.amount).collect())
    }

    #[test]
    fn an_exact_single_or_pair_goes_before_the_smallest_first() {
        assert_eq!(chosen(&[5, 9, 3], 9), Ok(vec![9]));
        assert_eq!(chosen(&[5, 9, 3], 12), Ok(vec![9, 3]));
        assert_eq!(chosen(&[5, 9, 3], 7), Ok(vec![3, 5]));
    }

    #[test]
    fn dust_gives_way_to_the_largest_when_it_would_be_too_many() {
        let mut amounts = vec![1; 300];
        amounts.push(500);
        assert_eq!(chosen(&amounts, 400), Ok(vec![500]));
        assert_eq!(chosen(&vec![1; 300], 299).unwrap_err(), "insufficient funds: input limit exceeded");
        assert_eq!(chosen(&[], 1).unwrap_err(), "insufficient funds: no spendable outputs");
        assert_eq!(chosen(&[1, 2], 4).unwrap_err(), "insufficient funds: insufficient funds");
    }
}
