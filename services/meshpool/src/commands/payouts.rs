//! `meshpool payouts`: what is being sent, what needs an operator, and what an operator may say about it.
//!
//! Only the payout actor moves money: what is said here is noted, and acted upon by whoever holds the money lease.
use chain::Outpoint;
use std::process::ExitCode;

use settings::Settings;
use store::payouts::{Attempt, Hold, Intent, IntentState, OperatorDecision};
use store::{Store, StoreError};
use units::{Amount, Timestamp};

use super::adopt;
use crate::database::with_store;
use crate::output::{fail, say};

/// Sends that the books do not know and that are listed one by one.
const UNKNOWN_LISTED: u32 = 100;

/// Prints whether payouts are sent and why not, sends that the books do not know, and open payouts, oldest first.
pub(crate) fn list(settings: &Settings) -> ExitCode {
    with_store(settings, async |store| {
        standing(store).await?.into_iter().for_each(|line| say(&line));
        let unknown = store.unknown_sends_open(UNKNOWN_LISTED).await?;
        unknown.iter().flat_map(adopt::lines).for_each(|line| say(&line));
        let all = store.unknown_totals().await?.open;
        if all > u64::from(UNKNOWN_LISTED) {
            say(&format!("... {all} unknown sends in all"));
        }
        let open = store.intent_list_open().await?;
        for intent in &open {
            say(&line(intent));
            if let Some(why) = &intent.attention {
                say(&format!("    needs an operator: {why}"));
            }
        }
        if open.is_empty() {
            say("no payout is open");
        }
        say(&pause(settings));
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints all that is known of one payout, and what can be done about it.
pub(crate) fn show(settings: &Settings, id: &str) -> ExitCode {
    with_store(settings, async |store| {
        let Some(intent) = find(store, id).await? else { return Ok(unknown(id)) };
        details(&intent).into_iter().for_each(|line| say(&line));
        if !intent.state.is_closed() {
            guidance(&intent).into_iter().for_each(|line| say(&line));
            say(&pause(settings));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Notes what an operator says about a payout.
pub(crate) fn tell(settings: &Settings, id: &str, word: &OperatorDecision) -> ExitCode {
    with_store(settings, async |store| {
        let Some(intent) = find(store, id).await? else { return Ok(unknown(id)) };
        if !store.intent_say(&intent.id, word).await? {
            // The running pool may have decided in the meantime.
            let Some(intent) = find(store, id).await? else { return Ok(unknown(id)) };
            let text = format!("payout {} is {}: nothing about it changes any more", intent.id, intent.state.as_str());
            return Ok(fail(boot::CONFIG, &text));
        }
        say(&match word {
            OperatorDecision::Sent { txid } => format!(
                "Noted: transaction {txid} has paid payout {}.\n\
                 The running pool looks for it in blocks; once one holds it, the payout is settled as usual.",
                intent.id
            ),
            OperatorDecision::Release { .. } => format!(
                "Noted: payout {} is given up, and its {} become payable again.\n\
                 The running pool does that only when nothing that was asked of the wallet can be mined any more: at once if \
                 nothing was asked yet, else 100 blocks after its inputs were spent, or after it was asked for.\n\
                 `meshpool payouts show` says when, or why not.",
                intent.id, intent.gross
            ),
        });
        Ok(ExitCode::SUCCESS)
    })
}

/// What whoever may send last said about it.
async fn standing(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut lines = match store.payout_books().await?.holds {
        None => vec!["Nobody has said yet whether payouts are sent: no pool has run on these books so far.".to_owned()],
        Some(holds) if holds.is_empty() => vec!["Payouts are sent.".to_owned()],
        Some(holds) => holds.iter().map(held).collect(),
    };
    if let Some(since) = store.money_lease_free_since().await? {
        lines.push(match since.ms() {
            0 => "Nothing is sent now: no pool holds the money lease.".to_owned(),
            _ => format!("Nothing is sent now: no pool holds the money lease since {since}."),
        });
    }
    Ok(lines)
}

fn held(hold: &Hold) -> String {
    let since = Timestamp::from_ms(hold.since_ms);
    match hold.text.strip_prefix("payouts ") {
        Some(rest) => format!("Payouts {rest} (since {since})"),
        None => format!("Payouts are held: {} (since {since})", hold.text),
    }
}

async fn find(store: &Store, id: &str) -> Result<Option<Intent>, StoreError> {
    if let Some(intent) = store.intent_find(id).await? {
        return Ok(Some(intent));
    }
    let mut open = store.intent_list_open().await?;
    open.retain(|intent| !id.is_empty() && intent.id.starts_with(id));
    Ok(if open.len() == 1 { open.pop() } else { None })
}

fn unknown(id: &str) -> ExitCode {
    fail(
        boot::CONFIG,
        &format!("there is no payout {id}, or several open ones begin like that; `meshpool payouts` lists them"),
    )
}

fn line(intent: &Intent) -> String {
    let net = Amount::checked_sum(intent.lines.iter().map(|line| line.net)).unwrap_or(Amount::MAX);
    let txid = intent.txid.map_or_else(|| "no transaction".to_owned(), |txid| txid.to_string());
    let (id, state, recipients) = (&intent.id, intent.state.as_str(), intent.lines.len());
    format!("{id}  {state}  {net} to {recipients} of {}  {txid}  since {}", intent.gross, intent.created_at)
}

fn details(intent: &Intent) -> Vec<String> {
    let mut lines = vec![
        format!("payout    {}", intent.id),
        format!("state     {}", intent.state.as_str()),
        format!("attention {}", intent.attention.as_deref().unwrap_or("none")),
        format!("wallet    {}", intent.wallet.as_deref().unwrap_or("not noted")),
        format!("planned   {} at height {}", intent.created_at, intent.created_height),
        format!("takes     {} from balances, network fee expected {}", intent.gross, intent.fee_expected),
    ];
    if let Some(at) = intent.adopted_at {
        lines.push(format!("adopted   {at}: the wallet had sent it without these books; it has no request"));
    }
    if let Some(txid) = &intent.txid {
        let fee = intent.fee_paid.map_or_else(|| "unknown".to_owned(), |fee| fee.to_string());
        lines.push(format!("sent as   {txid}, network fee {fee}"));
    }
    if let Some(height) = intent.absent_since {
        lines.push(format!("unseen    since height {height}: neither memo, mempool nor inputs show it"));
    }
    match &intent.word {
        Some(OperatorDecision::Sent { txid }) => lines.push(format!("operator  says that {txid} has paid it")),
        Some(OperatorDecision::Release { because }) => lines.push(format!("operator  has given it up: {because}")),
        None => {}
    }
    lines.extend(
        intent.lines.iter().map(|line| format!("recipient {} gets {} of {}", line.address, line.net, line.gross)),
    );
    intent.attempts.iter().for_each(|attempt| lines.extend(request(attempt)));
    lines
}

fn request(attempt: &Attempt) -> Vec<String> {
    let again = if attempt.repeated { ", asked for more than once" } else { "" };
    let outcome = attempt.outcome.as_deref().unwrap_or("open");
    let mut lines = vec![format!(
        "request {} to {} under key {} at height {}: {outcome}{again}",
        attempt.attempt, attempt.route, attempt.idempotency_key, attempt.created_height
    )];
    lines.extend(attempt.inputs.iter().map(|Outpoint { txid, index }| format!("    spends output {index} of {txid}")));
    lines
}

fn guidance(intent: &Intent) -> Vec<String> {
    let id = &intent.id;
    let mut lines = vec![String::new()];
    if intent.attention.is_none() {
        lines.push("The pool follows this payout by itself; nothing needs to be done.".to_owned());
        return lines;
    }
    lines.push("Look, in this order:".to_owned());
    lines.push(format!(
        "  1. Is it the right wallet? The daemon's address must be {}.",
        intent.wallet.as_deref().unwrap_or("the one that was asked")
    ));
    lines.push(format!("  2. The wallet's history (daemon: wallet/sends) for a send with the memo {id}."));
    lines.push(
        "  3. The inputs above in the wallet's outputs: spent at which height, and by what? A transaction that left no"
            .to_owned(),
    );
    lines.push("     change leaves no other trace.".to_owned());
    lines.push(
        "  4. Ask a recipient, or a block explorer, for a payment of exactly that amount at that height.".to_owned(),
    );
    if intent.state != IntentState::Confirmed {
        lines.push("You may:".to_owned());
        lines.push(format!("  meshpool payouts sent {id} --txid TXID        a transaction has paid it"));
        lines
            .push(format!("  meshpool payouts release {id} --because TEXT  it was never sent; TEXT says how you know"));
    }
    lines
}

fn pause(settings: &Settings) -> String {
    match &settings.payout.pause_file {
        _ if !settings.payout.enabled => "Payouts are off (payout.enabled).".to_owned(),
        Some(file) if file.exists() => format!("Sending is paused: {} exists. Remove it to go on.", file.display()),
        Some(file) => {
            format!("To stop all sending, make a file {}; what was sent is followed all the same.", file.display())
        }
        None => "No pause file is set (payout.pause_file).".to_owned(),
    }
}
