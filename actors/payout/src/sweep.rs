//! A payout run: who is due, in which transactions.
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use chain::{Address, Network, Outpoint};
use daemon::DaemonError;
use messages::facts::Clock;
use settings::{NetworkFee, PayoutSettings};
use store::Store;
use store::payouts::{Attempt, Intent, IntentLine, IntentState};
use tracing::{info, warn};
use units::Amount;

use crate::body;
use crate::error::PayoutError;
use crate::funds::SpendableFunds;
use crate::intent::{ADVANCED, PLAIN, key_of};
use crate::metrics::PayoutMetrics;
use crate::parts::{PayoutParts, RandomId};
use crate::paying_daemon::PayingDaemon;
use crate::plan::{self, Payee, Room, WalletOutput};
use crate::tip::StepContext;

/// Due balances that one run looks at.
const DUE_MAX: u32 = 10_000;

/// What is left of a run.
pub(crate) struct PayoutRun {
    /// The wallet's address at its begin.
    wallet: String,
    /// Longest waiting first.
    queue: Vec<Payee>,
    recipients_left: Option<usize>,
    total_left: Option<Amount>,
    is_first: bool,
}

/// A transaction that is about to be reserved.
struct PlannedTransaction {
    places: Vec<usize>,
    lines: Vec<IntentLine>,
    fee: Amount,
    inputs: Vec<WalletOutput>,
    change_split: u64,
}

fn limit(amount: Amount) -> Option<Amount> {
    (!amount.is_zero()).then_some(amount)
}

fn keys(address: &Address) -> [[u8; 32]; 2] {
    [*address.spend_key(), *address.view_key()]
}

impl PayoutRun {
    pub(crate) fn is_over(&self) -> bool {
        self.queue.is_empty() || self.recipients_left == Some(0) || self.total_left == Some(Amount::ZERO)
    }

    /// Takes those at these positions out of the queue.
    fn remove(&mut self, places: &[usize]) {
        let places: HashSet<usize> = places.iter().copied().collect();
        let mut place = 0..;
        self.queue.retain(|_| place.next().is_some_and(|place| !places.contains(&place)));
    }
}

/// Reserves payouts; it asks the wallet what they would cost, never to send them.
pub(crate) struct RunPlanner {
    daemon: Rc<PayingDaemon>,
    store: Store,
    settings: PayoutSettings,
    network: Network,
    reward_address: Option<String>,
    metrics: Arc<PayoutMetrics>,
    clock: Clock,
    random_id: RandomId,
    /// Due addresses that are not paid.
    skipped: HashSet<String>,
    /// Outputs that the daemon would not spend at this tip.
    excluded_outputs: HashSet<Outpoint>,
}

impl RunPlanner {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> RunPlanner {
        RunPlanner {
            daemon: Rc::clone(daemon),
            store: parts.store.clone(),
            settings: parts.settings.clone(),
            network: parts.network,
            reward_address: parts.reward_address.clone(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            random_id: Arc::clone(&parts.random_id),
            skipped: HashSet::new(),
            excluded_outputs: HashSet::new(),
        }
    }

    /// At another tip the daemon may spend what it would not before.
    pub(crate) fn forget_excluded_outputs(&mut self) {
        self.excluded_outputs.clear();
    }

    /// Looks up who is due, leaving out, visibly, who cannot be paid.
    pub(crate) async fn begin(&mut self) -> Result<PayoutRun, PayoutError> {
        let own = self.daemon.wallet_address().await?;
        if own.view_only {
            return Err(PayoutError::ViewOnly);
        }
        let network = self.network;
        let wallet = own.address;
        let own =
            Address::parse(&wallet, &network).map_err(|error| PayoutError::ForeignWallet { why: error.to_string() })?;
        let pinned = self.reward_address.as_deref().and_then(|text| Address::parse(text, &network).ok());
        let own: Vec<_> = std::iter::once(own).chain(pinned).map(|address| keys(&address)).collect();
        let due = self.store.payout_list_due(self.settings.min_amount.max(ATOM), DUE_MAX).await?;
        let mut queue = Vec::with_capacity(due.len());
        let mut skipped = Vec::new();
        for due in due {
            match Address::parse(&due.address, &network) {
                Ok(address) if own.contains(&keys(&address)) => skipped.push((due.address, "it is the pool's own")),
                Ok(address) => {
                    queue.push(Payee { keys: keys(&address), address: due.address, payable: due.payable });
                }
                Err(_) => skipped.push((due.address, "it is no address of this network")),
            }
        }
        self.skip_all(skipped);
        let recipients = usize::try_from(self.settings.max_recipients_per_tick).unwrap_or(usize::MAX);
        Ok(PayoutRun {
            wallet,
            queue,
            recipients_left: (recipients > 0).then_some(recipients),
            total_left: limit(self.settings.max_total_per_tick),
            is_first: true,
        })
    }

    /// Says of each address once why it is not paid.
    fn skip_all(&mut self, skipped: Vec<(String, &'static str)>) {
        self.skipped.retain(|address| skipped.iter().any(|(other, _)| other == address));
        for (address, why) in skipped {
            self.skip(address, why);
        }
        self.count_skipped();
    }

    fn skip(&mut self, address: String, why: &'static str) {
        if self.skipped.insert(address.clone()) {
            warn!(address, why, "due balance not paid");
        }
        self.count_skipped();
    }

    fn count_skipped(&self) {
        self.metrics.payouts_skipped.set(u64::try_from(self.skipped.len()).unwrap_or(u64::MAX));
    }

    /// Reserves the next transaction of the run; `None` when nothing more fits.
    pub(crate) async fn reserve_next(
        &mut self,
        run: &mut PayoutRun,
        funds: &SpendableFunds<'_>,
        open: &[Intent],
        now: StepContext,
    ) -> Result<Option<Intent>, PayoutError> {
        while !run.is_over() {
            let Some(draft) = self.draft(run, funds).await? else { return Ok(None) };
            let Some(draft) = self.price(run, draft).await? else { continue };
            self.check_fee_account(&draft, open).await?;
            let wallet = match funds {
                SpendableFunds::Outputs(look, _) => &look.wallet,
                SpendableFunds::Sum(_) => &run.wallet,
            };
            let intent = self.intent(&draft, wallet, now);
            let gross: Vec<(&str, Amount)> =
                draft.lines.iter().map(|line| (line.address.as_str(), line.gross)).collect();
            let entry = accounting::Entry::payout_reserved(&intent.id, &gross)
                .map_err(|error| PayoutError::Books { id: intent.id.clone(), why: error.to_string() })?;
            let at = intent.created_at;
            self.store.intent_reserve(now.epoch, intent.clone(), entry, at).await?;
            run.recipients_left = run.recipients_left.map(|left| left.saturating_sub(draft.lines.len()));
            run.total_left = run.total_left.map(|left| left.checked_sub(intent.gross).unwrap_or(Amount::ZERO));
            run.is_first = false;
            run.remove(&draft.places);
            info!(payout = intent.id, recipients = draft.lines.len(), gross = %intent.gross, "payout reserved");
            return Ok(Some(intent));
        }
        Ok(None)
    }

    /// Recipients, inputs and what the fee should be.
    async fn draft(
        &mut self,
        run: &mut PayoutRun,
        funds: &SpendableFunds<'_>,
    ) -> Result<Option<PlannedTransaction>, PayoutError> {
        let pool_bears = self.settings.network_fee == NetworkFee::Pool;
        let outputs: Vec<WalletOutput> = match funds {
            SpendableFunds::Outputs(_, outputs) => {
                outputs.iter().filter(|output| !self.is_excluded(output)).cloned().collect()
            }
            SpendableFunds::Sum(_) => Vec::new(),
        };
        let (at_once, spendable) = match funds {
            SpendableFunds::Outputs(..) => plan::funds(&outputs),
            SpendableFunds::Sum(spendable) => (*spendable, *spendable),
        };
        // What the pool adds must be spendable too.
        let spared = if pool_bears { plan::fee_max(plan::RECIPIENTS_MAX) } else { Amount::ZERO };
        let spare = |funds: Amount| funds.checked_sub(spared).unwrap_or(Amount::ZERO);
        let room = Room {
            recipients: run.recipients_left.unwrap_or(usize::MAX),
            total: run.total_left,
            each: limit(self.settings.max_per_recipient),
            is_first: run.is_first,
            at_once: spare(at_once),
            spendable: spare(spendable),
        };
        let batch = plan::batch(&run.queue, &room).map_err(PayoutError::Short)?;
        if batch.is_empty() {
            return Ok(None);
        }
        let lines: Vec<IntentLine> = batch
            .iter()
            .map(|(place, gross)| IntentLine { address: run.queue[*place].address.clone(), gross: *gross, net: *gross })
            .collect();
        let gross = Amount::checked_sum(lines.iter().map(|line| line.gross)).unwrap_or(Amount::MAX);
        let need = gross.checked_add(spared).unwrap_or(Amount::MAX);
        let places = batch.into_iter().map(|(place, _)| place).collect();
        Ok(Some(match funds {
            SpendableFunds::Outputs(look, _) => {
                let change_split = plan::change_split(look.tip, outputs.len());
                let short = PayoutError::Short(plan::Short { need, have: at_once });
                let inputs = plan::choose(&outputs, need).ok_or(short)?;
                let fee = plan::fee(inputs.len(), lines.len(), change_split);
                PlannedTransaction { places, lines, fee, inputs, change_split }
            }
            SpendableFunds::Sum(_) => {
                let fee = plan::fee(1, lines.len(), 1);
                PlannedTransaction { places, lines, fee, inputs: Vec::new(), change_split: 1 }
            }
        }))
    }

    fn is_excluded(&self, output: &WalletOutput) -> bool {
        self.excluded_outputs.contains(&output.outpoint)
    }

    /// Asks the daemon what the draft would cost and lets the recipients bear it. `None` when somebody or some output
    /// was taken out of the run instead, so that another draft is due.
    async fn price(
        &mut self,
        run: &mut PayoutRun,
        mut draft: PlannedTransaction,
    ) -> Result<Option<PlannedTransaction>, PayoutError> {
        if !self.bear(run, &mut draft) {
            return Ok(None);
        }
        let request = body::dry_run(&draft.lines, &draft.inputs, draft.change_split);
        let asked = self.daemon.with_wallet(async || match draft.inputs.is_empty() {
            true => self.daemon.client().send_dry_run(request.clone()).await,
            false => self.daemon.client().send_advanced_dry_run(request.clone()).await,
        });
        let fee = match asked.await {
            Ok(answer) => answer.fee,
            Err(PayoutError::Daemon(DaemonError::Refused { route, status, text })) => {
                if let Some(place) = named(&text, "recipient ").and_then(|at| draft.places.get(at)) {
                    let address = run.queue[*place].address.clone();
                    self.skip(address, "the daemon refuses it");
                    run.remove(&[*place]);
                    return Ok(None);
                }
                if let Some(output) = named(&text, "input ").and_then(|at| draft.inputs.get(at)) {
                    info!(txid = %output.outpoint.txid, index = output.outpoint.index, text, "output not spendable now");
                    self.excluded_outputs.insert(output.outpoint);
                    return Ok(None);
                }
                return Err(DaemonError::Refused { route, status, text }.into());
            }
            Err(trouble) => return Err(trouble),
        };
        if fee != draft.fee {
            draft.fee = fee;
            if !self.bear(run, &mut draft) {
                return Ok(None);
            }
        }
        Ok(Some(draft))
    }

    /// `false` when somebody has nothing left after the fee; they are out of the run.
    fn bear(&mut self, run: &mut PayoutRun, draft: &mut PlannedTransaction) -> bool {
        if self.settings.network_fee == NetworkFee::Pool {
            return true;
        }
        match plan::bear(std::mem::take(&mut draft.lines), draft.fee) {
            Ok(lines) => {
                draft.lines = lines;
                true
            }
            Err(too_small) => {
                let places: Vec<usize> = too_small.iter().map(|at| draft.places[*at]).collect();
                for place in &places {
                    let address = run.queue[*place].address.clone();
                    self.skip(address, "it is less than its part of the network fee");
                }
                run.remove(&places);
                false
            }
        }
    }

    /// Where the pool bears network fees, its fee account must hold this one and those of open payouts.
    async fn check_fee_account(&self, draft: &PlannedTransaction, open: &[Intent]) -> Result<(), PayoutError> {
        if self.settings.network_fee == NetworkFee::Recipients {
            return Ok(());
        }
        let balance = self.store.account_balance("pool_fee").await?;
        let promised = open.iter().map(|intent| {
            let net = Amount::checked_sum(intent.lines.iter().map(|line| line.net)).unwrap_or(Amount::MAX);
            let spent = net.checked_add(intent.fee_paid.unwrap_or(intent.fee_expected)).unwrap_or(Amount::MAX);
            spent.checked_sub(intent.gross).unwrap_or(Amount::ZERO)
        });
        let promised = Amount::checked_sum(promised).unwrap_or(Amount::MAX);
        let have = Amount::from_i64(balance).and_then(|balance| balance.checked_sub(promised)).unwrap_or(Amount::ZERO);
        if have >= draft.fee { Ok(()) } else { Err(PayoutError::FeeAccount { have, fee: draft.fee }) }
    }

    fn intent(&self, draft: &PlannedTransaction, wallet: &str, now: StepContext) -> Intent {
        let id = hex::encode((self.random_id)());
        let (route, bytes) = match draft.inputs.is_empty() {
            true => (PLAIN, body::plain(&draft.lines, &id)),
            false => (ADVANCED, body::advanced(&draft.lines, &id, &draft.inputs, draft.change_split)),
        };
        let (at, height) = ((self.clock)(), now.height);
        Intent {
            state: IntentState::Reserved,
            gross: Amount::checked_sum(draft.lines.iter().map(|line| line.gross)).unwrap_or(Amount::MAX),
            fee_expected: draft.fee,
            fee_paid: None,
            txid: None,
            created_at: at,
            created_height: height,
            sent_at: None,
            absent_since: None,
            attention: None,
            wallet: Some(wallet.to_owned()),
            word: None,
            reserved_epoch: Some(now.epoch),
            adopted_at: None,
            lines: draft.lines.clone(),
            attempts: vec![Attempt {
                attempt: 1,
                route,
                idempotency_key: key_of(&id, 1),
                body: bytes,
                inputs: draft.inputs.iter().map(|output| output.outpoint).collect(),
                created_at: at,
                created_height: height,
                outcome: None,
                repeated: false,
            }],
            id,
        }
    }
}

const ATOM: Amount = match Amount::from_atoms(1) {
    Some(atom) => atom,
    None => Amount::ZERO,
};

/// The number behind `prefix` in a refusal that names a recipient or an input.
fn named(text: &str, prefix: &str) -> Option<usize> {
    text.strip_prefix(prefix)?.split(':').next()?.parse().ok()
}
