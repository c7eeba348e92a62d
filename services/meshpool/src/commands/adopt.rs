//! `meshpool payouts adopt` and `accept-books`: what an operator decides when the books are older than the wallet.
use std::process::ExitCode;
use std::time::SystemTime;

use chain::TxId;
use clap::Args;
use settings::Settings;
use store::payouts::{Intent, IntentState, SendDecision, SendPlace, UnknownSend};
use store::{Store, StoreError};
use units::{Amount, Timestamp};

use crate::database::with_store;
use crate::output::{confirmed, fail, say};

/// Blocks after which a send that no block holds may be given up.
const GIVE_UP_BLOCKS: u64 = 100;
/// Sends that one command lists and decides.
const LISTED_MAX: u32 = 10_000;

/// What to decide, and about which sends.
#[derive(Args)]
pub(crate) struct Adopt {
    /// They are no payouts of this pool: nothing is booked, and they never stop payouts again.
    #[arg(long, requires = "because", conflicts_with = "give_up")]
    foreign: bool,
    /// No block will ever hold them: nothing is booked. Only 100 blocks after they were sent.
    #[arg(long, requires = "because")]
    give_up: bool,
    /// How you know; kept with the send.
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    /// Only sends with this memo (the payout's id); may be given more than once.
    #[arg(long, value_name = "ID")]
    memo: Vec<String>,
    /// Only this transaction; may be given more than once.
    #[arg(long, value_name = "TXID")]
    txid: Vec<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Lists what the wallet has sent without these books, asks, and notes the decision.
pub(crate) fn adopt(settings: &Settings, order: &Adopt) -> ExitCode {
    with_store(settings, async |store| {
        let open = store.unknown_sends_open(LISTED_MAX).await?;
        if open.is_empty() {
            say("The books know every send of the wallet that looks like a payout, as far as it was read.");
            return Ok(ExitCode::SUCCESS);
        }
        let chosen: Vec<&UnknownSend> = open.iter().filter(|send| is_chosen(send, order)).collect();
        if chosen.is_empty() {
            return Ok(fail(
                boot::CONFIG,
                "no undecided send has such a memo or transaction; `meshpool payouts` lists them",
            ));
        }
        chosen.iter().for_each(|send| lines(send).iter().for_each(|line| say(line)));
        let (decision, question) = match words(order, &chosen) {
            Ok(words) => words,
            Err(code) => return Ok(code),
        };
        say("");
        say(&question);
        let unsent = store.intent_list_open().await?;
        let is_unsent = |intent: &&Intent| matches!(intent.state, IntentState::Reserved | IntentState::Unknown);
        for intent in unsent.iter().filter(is_unsent) {
            say(&format!(
                "Payout {} of these books, {}, may still be sent afterwards: if it was given up after this copy was made, give \
                 it up again first (meshpool payouts release).",
                intent.id, intent.gross
            ));
        }
        if let Err(code) = confirmed("Note this decision?", order.yes) {
            return Ok(code);
        }
        decide(store, &chosen, decision, order.because.as_deref()).await
    })
}

fn is_chosen(send: &UnknownSend, order: &Adopt) -> bool {
    let all = order.memo.is_empty() && order.txid.is_empty();
    all || order.memo.contains(&send.memo) || order.txid.contains(&send.txid.to_string())
}

fn refused(why: &str) -> ExitCode {
    fail(boot::CONFIG, why)
}

/// The decision, and what an operator must know before it. Says why where there is none.
fn words(order: &Adopt, chosen: &[&UnknownSend]) -> Result<(SendDecision, String), ExitCode> {
    let sum = Amount::checked_sum(chosen.iter().map(|send| send.total())).unwrap_or(Amount::MAX);
    let count = chosen.len();
    if order.foreign {
        let question = format!(
            "{count} sends, {sum} in all, are marked as none of this pool's. Nothing is booked: if they were payouts of this \
             pool, their recipients keep their balances and are paid once more."
        );
        return Ok((SendDecision::Foreign, question));
    }
    if order.give_up {
        if let Some(send) = chosen.iter().find(|send| matches!(send.place, SendPlace::Block(_))) {
            return Err(refused(&format!("block holds {}: it cannot be given up", send.txid)));
        }
        if let Some(send) = chosen.iter().find(|send| send.place == SendPlace::Mempool) {
            return Err(refused(&format!("{} waits in the mempool: it cannot be given up", send.txid)));
        }
        let age = |send: &UnknownSend| send.seen_height.get().saturating_sub(send.sent_height.get());
        if let Some(send) = chosen.iter().find(|send| age(send) < GIVE_UP_BLOCKS) {
            return Err(refused(&format!(
                "{} was sent {} blocks ago; it can be given up after {GIVE_UP_BLOCKS}",
                send.txid,
                age(send)
            )));
        }
        let question = format!(
            "{count} sends, {sum} in all, are given up: no block holds them, and none ever will. Nothing is booked, their \
             recipients keep their balances. If a block takes one of them all the same, its recipients are paid twice."
        );
        return Ok((SendDecision::GivenUp, question));
    }
    if let Some(send) = chosen.iter().find(|send| send.defect.is_some()) {
        let why = send.defect.as_deref().unwrap_or_default();
        return Err(refused(&format!(
            "{} cannot be adopted: {why}; choose others with --memo or --txid, or mark it with --foreign",
            send.txid
        )));
    }
    let question = format!(
        "{count} sends, {sum} in all, are taken into the books as payouts of this pool. The running pool books each one when \
         a block holds it deep enough, and when it has folded its share log and credited its blocks. Each recipient's \
         balance gives what it received and its part of the network fee; what a balance lacks comes from the pool's fees, \
         then it is a loss. Payouts go on when all are booked. Start every host that has a share log first: what is not \
         folded is not credited."
    );
    Ok((SendDecision::Adopt, question))
}

async fn decide(
    store: &Store,
    chosen: &[&UnknownSend],
    decision: SendDecision,
    because: Option<&str>,
) -> Result<ExitCode, StoreError> {
    let txids: Vec<TxId> = chosen.iter().map(|send| send.txid).collect();
    let now = Timestamp::from_system(SystemTime::now());
    let noted = store.unknown_sends_decide(&txids, decision, because, now).await?;
    say(&format!("Noted for {noted} sends. `meshpool payouts` shows what they wait for."));
    Ok(ExitCode::SUCCESS)
}

/// Lets payouts go on although the data directory has counted more of their steps than the books.
pub(crate) fn accept_books(settings: &Settings, yes: bool) -> ExitCode {
    with_store(settings, async |store| {
        let books = store.payout_books().await?;
        let Some(ahead) = books.steps_ahead else {
            say("The books have as many payout steps as the data directory: there is nothing to accept.");
            return Ok(ExitCode::SUCCESS);
        };
        let missing = ahead.saturating_sub(books.steps);
        say(&format!(
            "The data directory has counted {ahead} payout steps, the books have {}: they are older than the wallet, and this \
             daemon cannot list what it sent.",
            books.steps
        ));
        say(&format!(
            "So up to {missing} payouts were sent that these books do not know. Whoever accepts the books gives up what they \
             sent: their recipients still have a balance and are paid once more."
        ));
        say(
            "Better: put back newer books, or use a daemon that lists its sends (0.13.3 or newer): the pool then finds them by \
             itself, and `meshpool payouts adopt` books them.",
        );
        if let Err(code) = confirmed("Accept the books?", yes) {
            return Ok(code);
        }
        if !store.payout_steps_accept(ahead).await? {
            return Ok(fail(1, "the counts have changed meanwhile: look again"));
        }
        say("Noted: payouts go on with these books.");
        Ok(ExitCode::SUCCESS)
    })
}

/// One send, as an operator compares it with the wallet.
pub(crate) fn lines(send: &UnknownSend) -> Vec<String> {
    let place = match send.place {
        SendPlace::Block(height) => format!("in block {height}"),
        SendPlace::Mempool => "waits in the mempool".to_owned(),
        SendPlace::Nowhere => {
            format!("neither in a block nor in the mempool, seen at height {}", send.seen_height)
        }
    };
    let mut lines = vec![format!(
        "unknown send {}  memo {}  {} to {} recipients, network fee {}, sent at {} (height {}), {place}",
        send.txid,
        send.memo,
        send.total(),
        send.recipients.len(),
        send.fee,
        send.sent_at,
        send.sent_height
    )];
    lines.extend(send.recipients.iter().map(|(address, amount)| format!("    {amount} to {address}")));
    if let Some(defect) = &send.defect {
        lines.push(format!("    cannot be adopted: {defect}"));
    }
    lines.push(match (send.decision, &send.waits_for) {
        (None, _) => "    undecided: `meshpool payouts adopt` takes it into the books".to_owned(),
        (Some(_), Some(why)) => format!("    adopted, not booked yet: {why}"),
        (Some(_), None) => "    adopted, not booked yet".to_owned(),
    });
    lines
}
