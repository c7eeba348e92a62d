//! Books what the wallet paid without these books, after an operator said that it was this pool's.
//!
//! It waits until
//! - a block holds the transaction as deep as payouts are settled;
//! - the share log of every host is folded up to the moment when the send was noticed, and every block that was deep
//!   enough then is credited: old books lack credits as well, and those come back from the log;
//! - of every payout that the old books hold open it is known whether it was sent: one that never was may have been paid
//!   by the very transaction that is to be booked, from the same balance.
//!
//! Booked earlier, a payment would find balances that are not there yet, take the difference from the pool's fees, and
//! what comes back afterwards would be paid out once more.
//!
//! Each recipient's balance gives what it received and its part of the network fee, as for any payout under the present
//! `payout.network_fee`; what a balance lacks comes from the pool's fees, then it is a loss. An adopted payout has neither
//! key nor inputs: nothing of it is ever asked for again.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use accounting::{Entry, Paid, gross_of_nets};
use messages::facts::Clock;
use settings::NetworkFee;
use store::Store;
use store::ledger::Balances;
use store::payouts::{Intent, IntentLine, IntentState, SendDecision, SendPlace, UnknownSend};
use tracing::warn;
use units::{Amount, Height};

use crate::error::PayoutError;
use crate::history::History;
use crate::intent::is_of_earlier_lease;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon};
use crate::tip::WalletTip;
use crate::tx_locator;

/// Payouts that one step looks at: each costs the daemon a block.
const LOOKED_AT_PER_STEP: usize = 8;
/// Sends that one step reads from the database.
const ROWS: u32 = 1_000;

/// Asks the wallet for nothing.
pub(crate) struct Adoption {
    daemon: Rc<PayingDaemon>,
    store: Store,
    metrics: Arc<PayoutMetrics>,
    clock: Clock,
    network_fee: NetworkFee,
    settle_depth: u64,
    credit_depth: u64,
    /// Adopted payouts that were looked at, and when.
    looked_at: HashMap<String, WalletTip>,
}

impl Adoption {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> Adoption {
        Adoption {
            daemon: Rc::clone(daemon),
            store: parts.store.clone(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            network_fee: parts.settings.network_fee,
            settle_depth: parts.settle_depth,
            credit_depth: parts.credit_depth,
            looked_at: HashMap::new(),
        }
    }

    /// Books adopted sends as far as they can be; an error as long as any send stops payouts.
    pub(crate) async fn adopt(
        &mut self,
        history: &mut History,
        tip: &WalletTip,
        open: &[Intent],
        epoch: i64,
    ) -> Result<(), PayoutError> {
        if !history.has_unknown() {
            return Ok(());
        }
        let sends = self.store.unknown_sends_open(ROWS).await?;
        let adopted: Vec<&UnknownSend> =
            sends.iter().filter(|send| send.decision == Some(SendDecision::Adopt)).collect();
        let waits_for = self.adoption_waits(&adopted, open, epoch).await?;
        if waits_for.is_none() {
            let mut seen = HashSet::new();
            let memos = adopted.iter().map(|send| send.memo.clone()).filter(|memo| seen.insert(memo.clone()));
            let fresh = memos.filter(|memo| self.looked_at.get(memo) != Some(tip));
            let fresh: Vec<String> = fresh.take(LOOKED_AT_PER_STEP).collect();
            for memo in fresh {
                self.adopt_one(&memo, history, tip, epoch).await?;
                self.looked_at.insert(memo, tip.clone());
            }
        }
        let totals = history.count_unknown().await?;
        if totals.open == 0 {
            self.looked_at.clear();
            // So far the wallet counts as read up to here.
            history.request();
            return Ok(());
        }
        Err(PayoutError::UnknownSends { open: totals.open, undecided: totals.undecided, waits_for })
    }

    /// Why none of them can be booked yet.
    async fn adoption_waits(
        &self,
        adopted: &[&UnknownSend],
        open: &[Intent],
        epoch: i64,
    ) -> Result<Option<String>, PayoutError> {
        let noted_at = adopted.iter().map(|send| send.noted_at).max();
        let noted_height = adopted.iter().map(|send| send.noted_height).max();
        let Some((at, height)) = noted_at.zip(noted_height) else { return Ok(None) };
        let in_doubt = |intent: &&Intent| match intent.state {
            IntentState::Unknown => intent.created_height <= height,
            IntentState::Reserved => self.daemon.known_mode() == Some(Mode::Full) && is_of_earlier_lease(intent, epoch),
            _ => false,
        };
        if let Some(intent) = open.iter().find(in_doubt) {
            return Ok(Some(format!("it is not known yet whether payout {} was sent", intent.id)));
        }
        Ok(self.store.books_lack(at, height, self.credit_depth).await?)
    }

    /// Books one payout, or notes what it waits for.
    async fn adopt_one(
        &self,
        memo: &str,
        history: &mut History,
        tip: &WalletTip,
        epoch: i64,
    ) -> Result<(), PayoutError> {
        let sends = self.store.unknown_sends_of(memo).await?;
        let ours = |send: &&UnknownSend| !matches!(send.decision, Some(SendDecision::Foreign | SendDecision::GivenUp));
        let ours: Vec<&UnknownSend> = sends.iter().filter(ours).collect();
        let mut mined: Vec<(&UnknownSend, Height)> = Vec::new();
        for send in &ours {
            match send.place {
                SendPlace::Block(height) if tx_locator::holds(self.daemon.client(), height, send.txid).await? => {
                    mined.push((send, height));
                }
                // The wallet knows better where it is now.
                _ => history.request(),
            }
        }
        let why = match mined.as_slice() {
            [] => "no block holds it yet".to_owned(),
            [(send, height)] => {
                let depth = tip.height.get().saturating_sub(height.get());
                if send.decision != Some(SendDecision::Adopt) {
                    format!("{} has the same memo and is undecided", send.txid)
                } else if depth < self.settle_depth {
                    format!("block {height} holds it; it is booked {} blocks later", self.settle_depth)
                } else {
                    return self.book(send, epoch).await;
                }
            }
            [(one, _), (other, _), ..] => format!(
                "blocks hold both {} and {} with its memo: mark the one that is not this payout as foreign",
                one.txid, other.txid
            ),
        };
        for send in ours.iter().filter(|send| send.decision == Some(SendDecision::Adopt)) {
            if send.waits_for.as_ref() != Some(&why) {
                self.store.unknown_send_waits(epoch, &send.txid, Some(why.clone())).await?;
            }
        }
        Ok(())
    }

    async fn book(&self, send: &UnknownSend, epoch: i64) -> Result<(), PayoutError> {
        let books =
            |error: accounting::AccountingError| PayoutError::Books { id: send.memo.clone(), why: error.to_string() };
        let borne = match self.network_fee {
            NetworkFee::Recipients => send.fee,
            NetworkFee::Pool => Amount::ZERO,
        };
        let lines = lines(send, borne).map_err(books)?;
        let settle = Entry::payout_settled(&send.memo, &paid(&lines), send.fee).map_err(books)?;
        // With nothing in any account, every sum is as large as it can get.
        Entry::payout_adopted(&send.memo, &paid(&lines), send.fee, |_| 0).map_err(books)?;
        let intent = Intent {
            id: send.memo.clone(),
            state: IntentState::Settled,
            gross: Amount::checked_sum(lines.iter().map(|line| line.gross)).unwrap_or(Amount::MAX),
            fee_expected: send.fee,
            fee_paid: Some(send.fee),
            txid: Some(send.txid),
            created_at: send.sent_at,
            created_height: send.sent_height,
            sent_at: Some(send.sent_at),
            absent_since: None,
            attention: None,
            wallet: Some(send.wallet.clone()),
            word: None,
            reserved_epoch: None,
            adopted_at: None,
            lines: lines.clone(),
            attempts: Vec::new(),
        };
        let (memo, fee) = (send.memo.clone(), send.fee);
        let reserve = move |balances: &Balances| {
            let entry = Entry::payout_adopted(&memo, &paid(&lines), fee, |account| balances.of(account));
            entry.expect("sums that fit empty accounts fit all others")
        };
        let at = (self.clock)();
        self.store.payout_adopt(epoch, intent, reserve, settle, at).await?;
        self.metrics.payouts_adopted_total.add(1);
        warn!(payout = send.memo, txid = %send.txid, sum = %send.total(), "payout adopted: it was sent without these books");
        Ok(())
    }
}

/// What each address received and gave, one line per address.
fn lines(send: &UnknownSend, borne: Amount) -> Result<Vec<IntentLine>, accounting::AccountingError> {
    let mut nets = BTreeMap::<&str, Amount>::new();
    for (address, amount) in &send.recipients {
        let sum = nets.entry(address).or_insert(Amount::ZERO);
        *sum = sum.checked_add(*amount).ok_or(accounting::AccountingError::AmountOverflow("payments"))?;
    }
    let nets: Vec<(&str, Amount)> = nets.into_iter().collect();
    let lines = gross_of_nets(borne, &nets)?.into_iter().map(|line| {
        let gross = line.net.checked_add(line.fee).unwrap_or(Amount::MAX);
        IntentLine { address: line.key.to_owned(), gross, net: line.net }
    });
    Ok(lines.collect())
}

fn paid(lines: &[IntentLine]) -> Vec<Paid<'_>> {
    lines.iter().map(|line| Paid { address: &line.address, gross: line.gross, net: line.net }).collect()
}
