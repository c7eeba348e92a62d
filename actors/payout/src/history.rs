//! Reads the wallet's sends back to know whether the books have all of them.
//!
//! Each recipient of a payout is told the payout's id. So a send whose memo looks like one and is in no entry of the books
//! was made by somebody who knew more: these books are a copy from before. Until an operator has decided about it nothing
//! is sent, since its recipients still have what it paid as a balance.
//!
//! The wallet is read back to where everything fitted last time, which the database remembers: an older database reads
//! further. A few pages in each step, so that a long history holds nothing up.
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chain::{Address, Network, TxId};
use daemon::{ChainState, Sends, WalletSend};
use messages::facts::Clock;
use store::Store;
use store::payouts::{ReadMark, SendPlace, UnknownSend, UnknownTotals};
use tokio::time::Instant;
use tracing::info;
use units::{Height, Timestamp};

use crate::error::PayoutError;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::paying_daemon::PayingDaemon;
use crate::steps::StepCounts;
use crate::tip::WalletTip;

/// Sends per page: one of them that no block holds makes the daemon walk the whole chain.
const PAGE: u32 = 20;
const PAGES_PER_STEP: usize = 10;
/// A slow daemon gets fewer pages in a step.
const STEP: Duration = Duration::from_secs(4);
/// A send notes the tip as the daemon saw it, which may have been a little behind.
const HEIGHT_SLACK: u64 = 10;
/// Digits of an intent's id.
const ID_DIGITS: usize = 32;

/// How far the wallet was read.
pub(crate) struct History {
    daemon: Rc<PayingDaemon>,
    store: Store,
    metrics: Arc<PayoutMetrics>,
    clock: Clock,
    network: Network,
    /// Under which epoch all of it was read.
    read_under: Option<i64>,
    /// Somebody wants to know again.
    is_requested: bool,
    reading: Option<Reading>,
    /// Sends stop payouts, as far as is known.
    has_unknown: bool,
}

struct Reading {
    epoch: i64,
    wallet: String,
    /// Where everything fitted last time.
    mark: Option<ReadMark>,
    /// When it was begun.
    tip: Height,
    /// Sends when it was begun.
    total: u64,
    offset: u64,
    /// Sends read so far that may be younger than the mark.
    fresh: u64,
    /// Sends read so far that the next reading may take for younger than this one.
    near: u64,
    /// By payout, the transaction that a block holds.
    mined: HashMap<String, TxId>,
}

impl History {
    pub(crate) fn new(parts: &PayoutParts, daemon: &Rc<PayingDaemon>) -> History {
        History {
            daemon: Rc::clone(daemon),
            store: parts.store.clone(),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            network: parts.network,
            read_under: None,
            is_requested: false,
            reading: None,
            has_unknown: false,
        }
    }

    /// Something may be read that is not known yet.
    pub(crate) fn is_due(&self, epoch: i64) -> bool {
        self.is_requested || self.reading.is_some() || self.read_under != Some(epoch)
    }

    /// Somebody wants to know again.
    pub(crate) fn request(&mut self) {
        self.is_requested = true;
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.is_requested
    }

    /// Nothing more can be learned now.
    pub(crate) fn set_answered(&mut self) {
        self.is_requested = false;
    }

    /// Sends stop payouts, as far as is known.
    pub(crate) fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// Whether the wallet has sends that the books do not have; an error as long as that is so, or not known.
    pub(crate) async fn check(&mut self, tip: &WalletTip, steps: &StepCounts, epoch: i64) -> Result<(), PayoutError> {
        if !self.is_due(epoch) {
            return Ok(());
        }
        if !self.read_back(tip, steps, epoch).await? {
            let (read, total) = self.reading.as_ref().map_or((0, 0), |reading| (reading.offset, reading.total));
            return Err(PayoutError::Reading { read, total });
        }
        Ok(())
    }

    /// A few pages; true when all that can be news was read.
    async fn read_back(&mut self, tip: &WalletTip, steps: &StepCounts, epoch: i64) -> Result<bool, PayoutError> {
        let own = self.daemon.wallet_address().await?.address;
        let begun = self.reading.take().filter(|reading| reading.epoch == epoch && reading.wallet == own);
        let mut reading = match begun {
            Some(reading) => reading,
            None => self.begin(own, tip.height, epoch).await?,
        };
        let started = Instant::now();
        let mut is_over = false;
        for _ in 0..PAGES_PER_STEP {
            let page = match self.daemon.client().wallet_sends(PAGE, reading.offset).await {
                Ok(page) => page,
                Err(error) => {
                    // The next step goes on here: what is sent meanwhile only makes it read something twice.
                    self.reading = Some(reading);
                    return Err(error.into());
                }
            };
            if page.total < reading.total {
                // Another file of the same wallet: from the beginning.
                return Ok(false);
            }
            if reading.offset == 0 {
                reading.total = page.total;
                reading.mark = reading.mark.filter(|mark| mark.sends <= page.total);
            }
            self.note(&mut reading, &page, tip, epoch).await?;
            is_over = reading.turn(&page);
            if is_over || started.elapsed() >= STEP {
                break;
            }
        }
        let now = self.daemon.client().wallet_address().await?.address;
        if now != reading.wallet {
            return Err(PayoutError::WalletChanged { before: reading.wallet, now });
        }
        if is_over {
            self.finish(reading, steps, epoch).await?;
        } else {
            self.reading = Some(reading);
        }
        Ok(is_over)
    }

    async fn begin(&self, wallet: String, tip: Height, epoch: i64) -> Result<Reading, PayoutError> {
        let mark = self.store.payout_books().await?.read.filter(|mark| mark.wallet == wallet);
        Ok(Reading { epoch, wallet, mark, tip, total: 0, offset: 0, fresh: 0, near: 0, mined: HashMap::new() })
    }

    async fn finish(&mut self, reading: Reading, steps: &StepCounts, epoch: i64) -> Result<(), PayoutError> {
        let totals = self.count_unknown().await?;
        if totals.open == 0 {
            let (height, sends) = (reading.tip, reading.total.saturating_sub(reading.near));
            let mark = ReadMark { wallet: reading.wallet, height, sends };
            if reading.mark.as_ref() != Some(&mark) {
                self.store.payout_read_mark(epoch, mark).await?;
            }
            steps.settle(epoch).await?;
        }
        if self.read_under != Some(epoch) {
            info!(sends = reading.offset, unknown = totals.open, "wallet sends reconciled with the books");
        }
        self.read_under = Some(epoch);
        self.is_requested = false;
        Ok(())
    }

    /// How many sends stop payouts, whoever has noticed them.
    pub(crate) async fn count_unknown(&mut self) -> Result<UnknownTotals, PayoutError> {
        let totals = self.store.unknown_totals().await?;
        self.has_unknown = totals.open > 0;
        self.metrics.payouts_unknown_sends.set(totals.open);
        Ok(totals)
    }

    /// Stores what of a page the books do not have.
    async fn note(&self, reading: &mut Reading, page: &Sends, tip: &WalletTip, epoch: i64) -> Result<(), PayoutError> {
        let memos: Vec<BTreeSet<String>> = page.sends.iter().map(memos_of).collect();
        let all: BTreeSet<String> = memos.iter().flatten().cloned().collect();
        let known = self.store.payouts_known(all.into_iter().collect()).await?;
        let mut unknown = Vec::new();
        for (send, memos) in page.sends.iter().zip(memos) {
            let mut defect = None;
            if send.chain_state == ChainState::Confirmed {
                for memo in &memos {
                    let other = reading.mined.insert(memo.clone(), send.txid).filter(|other| *other != send.txid);
                    if let Some(other) = other.filter(|_| known.contains(memo)) {
                        defect = Some(format!("blocks hold {other} as well, with the same memo: it was paid twice"));
                    }
                }
            }
            let Some(memo) = memos.iter().find(|memo| !known.contains(*memo)).or(memos.first()) else { continue };
            if defect.is_none() && known.contains(memo) {
                continue;
            }
            if memos.len() > 1 {
                defect = defect.or(Some("its recipients have different memos".to_owned()));
            }
            unknown.push(self.unknown(send, memo, defect, &reading.wallet, tip));
        }
        if !unknown.is_empty() {
            self.store.unknown_sends_note(epoch, unknown).await?;
        }
        Ok(())
    }

    fn unknown(
        &self,
        send: &WalletSend,
        memo: &str,
        defect: Option<String>,
        wallet: &str,
        tip: &WalletTip,
    ) -> UnknownSend {
        let network = self.network;
        let is_foreign = |address: &&String| Address::parse(address, &network).is_err();
        // Older programs paid to addresses as they were given; books know them by one text.
        let account = |address: &str| Address::account_text(address, &network).into_owned();
        let recipients: Vec<_> = send.recipients.iter().map(|to| (account(&to.address), to.amount)).collect();
        let foreign = recipients.iter().map(|(address, _)| address).find(is_foreign);
        let defect = defect.or_else(|| foreign.map(|address| format!("{address} is no address of this network")));
        let mined = tip.height.get().saturating_add(1).checked_sub(send.confirmations);
        UnknownSend {
            txid: send.txid,
            memo: memo.to_owned(),
            wallet: wallet.to_owned(),
            sent_at: Timestamp::from_ms(send.timestamp.saturating_mul(1000)),
            sent_height: send.recorded_height,
            fee: send.fee,
            recipients,
            defect,
            place: match send.chain_state {
                ChainState::Confirmed => SendPlace::Block(Height::new(mined.unwrap_or_default())),
                ChainState::Mempool => SendPlace::Mempool,
                ChainState::NotFound => SendPlace::Nowhere,
            },
            seen_height: tip.height,
            noted_at: (self.clock)(),
            noted_height: tip.height,
            decision: None,
            because: None,
            waits_for: None,
        }
    }
}

impl Reading {
    /// Takes a page in; true when nothing further back can be news. The mark says how many sends were clearly older than
    /// it, so all others must have been met: a clock or a chain that went back in between only makes it read on.
    fn turn(&mut self, page: &Sends) -> bool {
        let since = self.mark.as_ref().map_or(0, |mark| mark.height.get());
        let young = young(page, since);
        self.fresh = self.fresh.saturating_add(young);
        self.near = self.near.saturating_add(self::young(page, self.tip.get()));
        self.offset = self.offset.saturating_add(u64::try_from(page.sends.len()).unwrap_or(u64::MAX));
        let more = self.mark.as_ref().map(|mark| page.total.saturating_sub(mark.sends));
        let is_known = young == 0 && more.is_some_and(|more| self.fresh >= more);
        page.sends.is_empty() || self.offset >= page.total || is_known
    }
}

/// How many sends of a page may be younger than a height.
fn young(page: &Sends, since: u64) -> u64 {
    let is_young = |send: &&WalletSend| send.recorded_height.get().saturating_add(HEIGHT_SLACK) >= since;
    u64::try_from(page.sends.iter().filter(is_young).count()).unwrap_or(u64::MAX)
}

/// Ids of payouts that the recipients of a send were told.
fn memos_of(send: &WalletSend) -> BTreeSet<String> {
    send.recipients.iter().filter_map(|to| to.memo_hex.as_deref().and_then(intent_id)).collect()
}

/// The id that a memo is, if it looks like one: 32 lower-case hex digits.
fn intent_id(memo_hex: &str) -> Option<String> {
    let text = String::from_utf8(hex::decode(memo_hex).ok()?).ok()?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == ID_DIGITS && text.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests;
