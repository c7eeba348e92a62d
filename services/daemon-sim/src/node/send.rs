//! A send, step by step: read and check the request, reserve the inputs, make the transaction.
//!
//! The steps are apart because time passes between them, in which the daemon can be asked, locked or killed.
use chain::tx::Transaction;
use chain::{Address, Network};
use devnet_accounts::Keys;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Node;
use super::idempotency::Namespace;
use super::wallet::{InputChoice, Outpoint, Plan, SendRecipient, SendRecord, SentTo, SpendRefusal, View};
use crate::coins::{self, MEMO_BYTES_MAX, Payment, RING_SIZE};
use crate::gossip::News;

const INPUTS_MAX: usize = 256;
const OUTPUTS_MAX: usize = 256;
const CHANGE_SPLIT_MAX: i64 = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SendBody {
    recipients: Option<Vec<RecipientBody>>,
    dry_run: bool,
    inputs: Option<Vec<InputBody>>,
    change_split: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RecipientBody {
    address: String,
    amount: u64,
    memo_text: String,
    memo_hex: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputBody {
    txid: String,
    output_index: u32,
}

/// A send request that was read and checked.
#[derive(Debug)]
pub(crate) struct SendRequest {
    pub(crate) recipients: Vec<SendRecipient>,
    pub(crate) is_dry_run: bool,
    pub(crate) choice: InputChoice,
}

/// What a send answers; keys are sorted as the daemon sorts them.
#[derive(Debug, Serialize)]
pub(crate) struct SendAnswer {
    change: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_split: Option<u64>,
    dry_run: bool,
    fee: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_total: Option<u64>,
    recipients: Vec<SentTo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<String>,
}

impl SendAnswer {
    pub(crate) fn new(request: &SendRequest, plan: &Plan, txid: Option<String>) -> SendAnswer {
        let change_split = match request.choice {
            InputChoice::Wallet => None,
            InputChoice::Caller { change_split, .. } => Some(change_split),
        };
        // The plain route tells about inputs only when it does not spend them.
        let shows_inputs = request.is_dry_run || change_split.is_some();
        SendAnswer {
            change: plan.change,
            change_split,
            dry_run: request.is_dry_run,
            fee: plan.fee,
            input_count: shows_inputs.then_some(plan.inputs.len()),
            input_total: shows_inputs.then_some(plan.input_total),
            recipients: request.recipients.iter().map(|recipient| recipient.shown.clone()).collect(),
            txid,
        }
    }
}

impl SendRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// The daemon's text for the first rule that it breaks; all of them are answered 400.
    pub(crate) fn read(namespace: Namespace, body: &[u8]) -> Result<SendRequest, String> {
        // The daemon decodes a stream and does not look at what follows the first value.
        let mut values = serde_json::Deserializer::from_slice(body).into_iter::<SendBody>();
        let body = values.next().and_then(Result::ok).ok_or("invalid JSON body")?;
        let recipients = body.recipients.unwrap_or_default();
        if recipients.is_empty() {
            return Err("recipients array is required".to_owned());
        }
        let recipients = recipients
            .iter()
            .enumerate()
            .map(|(at, recipient)| read_recipient(recipient).map_err(|text| format!("recipient {at}: {text}")))
            .collect::<Result<_, _>>()?;
        let choice = match namespace {
            Namespace::Send => InputChoice::Wallet,
            Namespace::Advanced => read_inputs(body.inputs.unwrap_or_default(), body.change_split)?,
        };
        Ok(SendRequest { recipients, is_dry_run: body.dry_run, choice })
    }
}

fn read_recipient(body: &RecipientBody) -> Result<SendRecipient, String> {
    if body.address.trim().is_empty() {
        return Err("address is required".to_owned());
    }
    let address = Address::parse(&body.address, &Network::Testnet).map_err(|_| "invalid address")?;
    if body.amount == 0 {
        return Err("amount must be greater than 0".to_owned());
    }
    if !body.memo_text.is_empty() && !body.memo_hex.is_empty() {
        return Err("provide either memo_text or memo_hex, not both".to_owned());
    }
    let memo = if body.memo_hex.is_empty() {
        body.memo_text.as_bytes().to_vec()
    } else {
        hex::decode(&body.memo_hex).map_err(|_| "invalid memo_hex")?
    };
    if memo.len() > MEMO_BYTES_MAX {
        return Err(format!("memo too long (max {MEMO_BYTES_MAX} bytes)"));
    }
    let shown = SentTo { address: body.address.clone(), amount: body.amount, memo_hex: hex::encode(&memo) };
    Ok(SendRecipient { shown, payment: Payment { to: Keys::from(&address), amount: body.amount, memo } })
}

fn read_inputs(inputs: Vec<InputBody>, change_split: i64) -> Result<InputChoice, String> {
    if inputs.is_empty() {
        return Err("inputs array is required for coin control".to_owned());
    }
    if inputs.len() > INPUTS_MAX {
        return Err(format!("too many inputs (max {INPUTS_MAX})"));
    }
    if change_split > CHANGE_SPLIT_MAX {
        return Err(format!("change_split must be 1-{CHANGE_SPLIT_MAX}"));
    }
    let change_split = u64::try_from(change_split.max(1)).unwrap_or(1);
    let read = |(at, input): (usize, &InputBody)| {
        if input.txid.len() != 64 {
            return Err(format!("input {at}: txid must be 64 hex characters"));
        }
        let txid = input.txid.parse().map_err(|_| format!("input {at}: invalid txid hex"))?;
        Ok(Outpoint { txid, output_index: input.output_index })
    };
    let inputs = inputs.iter().enumerate().map(read).collect::<Result<_, String>>()?;
    Ok(InputChoice::Caller { inputs, change_split })
}

impl Node {
    /// Chooses the inputs and, unless it is a dry run, keeps them from other sends.
    pub(crate) fn plan_send(&mut self, request: &SendRequest) -> Result<Plan, SpendRefusal> {
        let view = View { tip_height: self.tree.tip_height(), maturity: self.maturity(), mempool: &self.mempool };
        let wallet = self.wallet.as_mut().expect("the gate of the route has seen a wallet");
        let plan = wallet.plan(&request.choice, &request.recipients, request.is_dry_run, &view)?;
        if request.is_dry_run {
            return Ok(plan);
        }
        let outputs = plan.payments(&request.recipients, *wallet.keys()).len();
        if outputs > OUTPUTS_MAX {
            return Err(SpendRefusal::OutputCount { count: outputs });
        }
        let others = self.tree.output_count().saturating_sub(1);
        if others < RING_SIZE - 1 {
            return Err(SpendRefusal::Ring { have: others });
        }
        wallet.reserve(&plan);
        Ok(plan)
    }

    /// Makes the transaction of a plan, gives it to the mempool and the network, and notes it in the wallet. The
    /// wallet is not saved yet. `None` when the wallet was unloaded meanwhile.
    pub(crate) fn broadcast_send(
        &mut self,
        request: &SendRequest,
        plan: &Plan,
    ) -> Result<Option<chain::TxId>, SpendRefusal> {
        let decoys = self.decoys();
        let (now_ms, timestamp) = (self.clock.now_ms(), self.clock.now_secs());
        let Some(wallet) = &mut self.wallet else { return Ok(None) };
        wallet.release(plan);
        let spends: Vec<[u8; 32]> = plan.inputs.iter().map(|input| input.one_time_key).collect();
        let payments = plan.payments(&request.recipients, *wallet.keys());
        let tx: Transaction = coins::make_transaction(&spends, &payments, plan.fee, &decoys, &mut self.rng);
        let txid = self.mempool.add(&self.tree, tx.clone(), now_ms)?;
        self.peers.tell(News::Transaction(Box::new(tx.clone())));
        self.broadcast.push(tx);
        let record = SendRecord {
            txid,
            timestamp,
            recorded_height: self.tree.tip_height(),
            fee: plan.fee,
            total_amount: plan.amount,
            recipients: request.recipients.iter().map(|recipient| recipient.shown.clone()).collect(),
            inputs: plan.inputs.iter().map(|input| input.outpoint).collect(),
            change: plan.change,
            is_unconfirmed: true,
        };
        wallet.record_send(record);
        Ok(Some(txid))
    }

    /// Outputs of random blocks, to hide among.
    fn decoys(&mut self) -> Vec<([u8; 32], [u8; 32])> {
        let main = self.tree.main();
        (0..RING_SIZE * 4)
            .filter_map(|_| main[self.rng.random_range(0..main.len())].transactions.first())
            .filter_map(|tx| tx.outputs.first())
            .take(RING_SIZE - 1)
            .map(|output| (output.public_key.0, output.commitment.0))
            .collect()
    }
}
