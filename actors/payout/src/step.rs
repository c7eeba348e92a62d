//! Moves one payout as far as it goes now.
use std::collections::HashSet;
use std::rc::Rc;

use chain::{Network, TxId};
use daemon::{Conflict, DaemonError, SendStatus, Sent, WalletState};
use store::payouts::{Intent, IntentChange, IntentState, OperatorDecision};
use tracing::warn;
use units::{Amount, Height};

use crate::error::PayoutError;
use crate::evidence::WalletSnapshot;
use crate::intent::{ADVANCED, newest, to};
use crate::intent_books::IntentBooks;
use crate::parts::PayoutParts;
use crate::paying_daemon::{Mode, PayingDaemon, is_same_wallet};
use crate::resolve::{
    self, FoundTransaction, Inputs, Key, PayoutEvidence, REFUSED, SendKnowledge, TxLocation, Verdict,
};
use crate::steps_file::StepsFile;
use crate::tip::StepContext;
use crate::tx_locator::TxLocator;

/// Attention of a payout under whose key the daemon knows another request.
const KEY_REUSED: &str = "the daemon knows another request under its key";

/// The only part that asks the wallet to send.
pub(crate) struct IntentStepper {
    daemon: Rc<PayingDaemon>,
    books: IntentBooks,
    steps: StepsFile,
    network: Network,
    locator: TxLocator,
    /// Keys of requests whose refusal was said.
    refusals: HashSet<String>,
}

impl IntentStepper {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> IntentStepper {
        IntentStepper {
            daemon: Rc::clone(daemon),
            books: IntentBooks::new(parts),
            steps: StepsFile::new(parts.steps_file.clone()),
            network: parts.network,
            locator: TxLocator::default(),
            refusals: HashSet::new(),
        }
    }

    /// Asks the wallet to send a reserved payout. The state says that it may have been asked before it is.
    pub(crate) async fn send(&mut self, intent: &mut Intent, now: StepContext) -> Result<(), PayoutError> {
        let epoch = now.epoch;
        let own = self.daemon.wallet_address().await?;
        if own.view_only {
            return Err(PayoutError::ViewOnly);
        }
        self.check_wallet(intent, &own.address)?;
        let attempt = newest(intent)?;
        let (key, body, route) = (attempt.idempotency_key.clone(), attempt.body.clone().into(), attempt.route);
        let steps = self.books.ask(intent, epoch).await?;
        if let Err(trouble) = self.steps.write(steps).await {
            // The wallet was not asked.
            self.books.change(intent, epoch, to(IntentState::Reserved)).await?;
            return Err(trouble);
        }
        let answer = match route {
            ADVANCED => self.daemon.client().send_advanced(body, &key).await,
            _ => self.daemon.client().send(body, &key).await,
        };
        match answer {
            Ok(Sent { txid, fee, .. }) => {
                let seen = FoundTransaction { txid, fee, place: TxLocation::Nowhere };
                self.books.sent(intent, seen, epoch).await
            }
            Err(DaemonError::Conflict(Conflict::InProgress)) => Ok(()),
            Err(DaemonError::Conflict(Conflict::KeyReuse)) => {
                self.books.set_attention(intent, Some(KEY_REUSED), epoch).await
            }
            // Where the daemon can be asked, what it has stored decides.
            Err(DaemonError::Refused { .. }) if self.daemon.known_mode() == Some(Mode::Full) => Ok(()),
            Err(DaemonError::Refused { status, text, .. }) => {
                warn!(payout = intent.id, status, text, "payout refused");
                let key = Key::Failed { definite: is_definite(status, &text) };
                let case = case(intent, key, None, Inputs::Unnamed, intent.created_height);
                self.apply(intent, resolve::resolve(&case), now).await
            }
            Err(error) if error.is_definitely_not_done() => {
                self.books.change(intent, epoch, to(IntentState::Reserved)).await?;
                if let Some(state @ (WalletState::NotLoaded | WalletState::Locked)) = error.wallet_state() {
                    self.daemon.open_wallet(state).await?;
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Follows a payout that the wallet may have sent.
    /// Without a look only its key and the blocks tell of it.
    pub(crate) async fn follow(
        &mut self,
        intent: &mut Intent,
        key: Key,
        look: Option<&WalletSnapshot>,
        now: StepContext,
    ) -> Result<(), PayoutError> {
        let case = match look {
            Some(look) => {
                self.check_wallet(intent, &look.wallet)?;
                let (inputs, by_change) = look.inputs(intent);
                let by_memo = look.send_of(&intent.id)?;
                // The chain knows better than a history that lost it.
                let seen = by_change.or(by_memo);
                case(intent, key, seen, inputs, look.tip)
            }
            None => {
                let seen = self.in_blocks(intent, now.height).await?;
                case(intent, key, seen, Inputs::Unnamed, now.height)
            }
        };
        let verdict = resolve::resolve(&case);
        self.apply(intent, verdict, now).await
    }

    /// What the daemon has stored under the newest attempt's key.
    pub(crate) async fn key(&mut self, intent: &Intent) -> Result<Key, PayoutError> {
        let attempt = newest(intent)?;
        Ok(match self.daemon.client().send_status(&attempt.idempotency_key, attempt.route == ADVANCED).await {
            Ok(SendStatus::NotFound) => Key::Nothing,
            Ok(SendStatus::Accepted) => Key::Accepted,
            Ok(SendStatus::InProgress) => Key::Running,
            Ok(SendStatus::Completed(sent)) => Key::Done { txid: sent.txid, fee: sent.fee },
            Ok(SendStatus::Failed { status, error }) => {
                // Asked again and again, it says the same each time.
                if self.refusals.insert(attempt.idempotency_key.clone()) {
                    warn!(payout = intent.id, status, error, "payout rejected by the daemon");
                }
                Key::Failed { definite: is_definite(status, &error) }
            }
            Err(DaemonError::NoSuchRoute { .. }) => Key::Mute,
            Err(error) => return Err(error.into()),
        })
    }

    /// Another wallet's word on this payout means nothing, and it must not send it either.
    pub(crate) fn check_wallet(&self, intent: &Intent, own: &str) -> Result<(), PayoutError> {
        match &intent.wallet {
            Some(wallet) if !is_same_wallet(wallet, own, &self.network) => {
                Err(PayoutError::OtherWallet { id: intent.id.clone(), ours: wallet.clone(), there: own.to_owned() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn in_blocks(
        &mut self,
        intent: &Intent,
        tip: Height,
    ) -> Result<Option<FoundTransaction>, PayoutError> {
        let (Some(txid), Some(fee)) = (intent.txid, intent.fee_paid) else { return Ok(None) };
        let since = newest(intent)?.created_height;
        self.block_of(txid, fee, since, tip).await
    }

    /// Where a transaction is that was sent when the tip was `since` or later, if a block holds it.
    pub(crate) async fn block_of(
        &mut self,
        txid: TxId,
        fee: Amount,
        since: Height,
        tip: Height,
    ) -> Result<Option<FoundTransaction>, PayoutError> {
        let found = self.locator.find(self.daemon.client(), txid, since, tip).await?;
        Ok(found.and_then(|height| height.depth_below(tip)).map(|depth| FoundTransaction {
            txid,
            fee,
            place: TxLocation::Block { depth },
        }))
    }

    async fn apply(&self, intent: &mut Intent, verdict: Verdict, now: StepContext) -> Result<(), PayoutError> {
        let epoch = now.epoch;
        match verdict {
            Verdict::Wait { quiet_since, attention } => {
                if intent.absent_since != quiet_since {
                    let change = IntentChange { absent_since: Some(quiet_since), ..IntentChange::default() };
                    self.books.change(intent, epoch, change).await?;
                }
                self.books.set_attention(intent, attention, epoch).await
            }
            Verdict::Repeat => self.books.repeat(intent, epoch).await,
            Verdict::Replace { outcome } => self.books.replace(intent, outcome, now).await,
            Verdict::Release { outcome } => self.books.release(intent, outcome, epoch).await,
            Verdict::Sent(seen) => self.books.sent(intent, seen, epoch).await,
        }
    }

    /// Forgets what is not open any more.
    pub(crate) fn keep(&mut self, open: &[Intent]) {
        self.refusals.retain(|key| open.iter().any(|intent| key.starts_with(&intent.id)));
        let named = open.iter().filter_map(|intent| match &intent.word {
            Some(OperatorDecision::Sent { txid }) => Some(*txid),
            _ => None,
        });
        let sent = open.iter().filter_map(|intent| intent.txid);
        self.locator.keep(&sent.chain(named).collect::<Vec<_>>());
    }
}

/// `tip`: of the evidence.
pub(crate) fn case(
    intent: &Intent,
    key: Key,
    seen: Option<FoundTransaction>,
    inputs: Inputs,
    tip: Height,
) -> PayoutEvidence {
    let others = intent.attempts.split_last().map_or(&[][..], |(_, others)| others);
    PayoutEvidence {
        known: match intent.state {
            IntentState::Broadcast | IntentState::Confirmed => SendKnowledge::Sent,
            _ => SendKnowledge::Asked,
        },
        key,
        seen,
        inputs,
        repeated: intent.attempts.last().is_some_and(|attempt| attempt.repeated),
        others_refused: others.iter().all(|attempt| attempt.outcome.as_deref() == Some(REFUSED)),
        tip,
        asked_at: intent.attempts.last().map_or(intent.created_height, |attempt| attempt.created_height),
        quiet_since: intent.absent_since,
    }
}

/// A refusal that comes before anything is sent. Inputs that are spent already may have been spent by this very payout,
/// through another daemon.
fn is_definite(status: u16, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    status < 500
        && !["key image", "double-spend", "double spend", "already spent"].iter().any(|sign| text.contains(sign))
}
