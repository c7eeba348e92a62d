//! Double entry: what happens to money, as postings that sum to zero.
use std::collections::BTreeMap;

use units::Amount;

use crate::account::Account;
use crate::entry_kind::EntryKind;
use crate::error::AccountingError;

/// One side of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The account that changes.
    pub account: Account,
    /// Signed atoms, never 0.
    pub amount: i64,
}

/// Something that happened to money, once. Always balanced: nothing else can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: EntryKind,
    reference: String,
    postings: Vec<Posting>,
}

/// One recipient of a settled payout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid<'a> {
    /// Payout address.
    pub address: &'a str,
    /// What its balance gave.
    pub gross: Amount,
    /// What it received.
    pub net: Amount,
}

/// What is booked under one text of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// Owed.
    pub payable: Amount,
    /// Reserved by payouts that are not settled.
    pub inflight: Amount,
    /// Sent.
    pub paid_out: Amount,
}

impl Entry {
    /// Joins the postings of each account, leaves out zeros, orders them by account, and checks that they balance.
    ///
    /// # Errors
    /// Without a reference; when they do not sum to zero, fewer than two accounts change, or an amount is beyond what an
    /// account can hold.
    pub fn new(
        kind: EntryKind,
        reference: impl Into<String>,
        postings: impl IntoIterator<Item = (Account, i64)>,
    ) -> Result<Entry, AccountingError> {
        let reference = reference.into();
        if reference.is_empty() {
            return Err(AccountingError::Unnamed { kind });
        }
        let mut sums = BTreeMap::<Account, i128>::new();
        let mut off_by = 0_i128;
        for (account, amount) in postings {
            let sum = sums.entry(account).or_default();
            *sum = sum.saturating_add(i128::from(amount));
            off_by = off_by.saturating_add(i128::from(amount));
        }
        if off_by != 0 {
            return Err(AccountingError::Unbalanced { kind, reference, off_by });
        }
        let changed = sums.into_iter().filter(|(_, sum)| *sum != 0);
        let postings = changed.map(|(account, sum)| {
            let amount = i64::try_from(sum).map_err(|_| AccountingError::AmountOverflow("postings"))?;
            Ok(Posting { account, amount })
        });
        let postings = postings.collect::<Result<Vec<Posting>, AccountingError>>()?;
        if postings.is_empty() {
            return Err(AccountingError::Empty { kind, reference });
        }
        let entry = Entry { kind, reference, postings };
        assert!(entry.is_balanced(), "joined postings sum to what they summed to before");
        Ok(entry)
    }

    /// A block's reward: credits to the miners, and all that is not credited to `fee_to`, which is the pool's fee
    /// account or the payable account of the address that the pool's owner named.
    ///
    /// # Errors
    /// When the credits are more than the reward.
    pub fn block_credited<A: AsRef<str>>(
        reference: impl Into<String>,
        reward: Amount,
        credits: &[(A, Amount)],
        fee_to: Account,
    ) -> Result<Entry, AccountingError> {
        let overflow = AccountingError::AmountOverflow("credits");
        let credited = Amount::checked_sum(credits.iter().map(|(_, credit)| *credit)).ok_or(overflow)?;
        let overspent = AccountingError::Overspent { from: reward, out: credited };
        let fee = reward.checked_sub(credited).ok_or(overspent)?;
        let mut postings = vec![(Account::ChainRewards, minus(reward)), (fee_to, fee.to_i64())];
        postings.extend(credits.iter().map(|(to, credit)| (Account::payable(to.as_ref()), credit.to_i64())));
        Entry::new(EntryKind::BlockCredited, reference, postings)
    }

    /// Takes a credit back. What its payees have not been paid yet returns first; the rest comes from the pool's fees as
    /// far as they go, then it is a loss. `balance` says what an account holds now.
    ///
    /// # Errors
    /// When `credited` is not the credit of a block.
    pub fn block_reversed(
        reference: impl Into<String>,
        credited: &Entry,
        balance: impl Fn(&Account) -> i64,
    ) -> Result<Entry, AccountingError> {
        let reference = reference.into();
        let reward = credited.amount_of(&Account::ChainRewards).checked_neg().filter(|reward| *reward > 0);
        let (EntryKind::BlockCredited, Some(reward)) = (credited.kind, reward) else {
            return Err(AccountingError::Empty { kind: EntryKind::BlockReversed, reference });
        };
        let mut postings = vec![(Account::ChainRewards, reward)];
        let mut missing = reward;
        let mut take = |account: &Account, at_most: i64| {
            let taken = at_most.min(balance(account)).clamp(0, missing);
            missing = missing.saturating_sub(taken);
            postings.push((account.clone(), taken.saturating_neg()));
        };
        for posting in credited.postings.iter().filter(|posting| posting.account.owner().is_some()) {
            take(&posting.account, posting.amount);
        }
        take(&Account::PoolFee, i64::MAX);
        postings.push((Account::OrphanLoss, missing.saturating_neg()));
        Entry::new(EntryKind::BlockReversed, reference, postings)
    }

    /// Sets balances aside for a payout.
    ///
    /// # Errors
    /// When nothing is set aside.
    pub fn payout_reserved<A: AsRef<str>>(
        reference: impl Into<String>,
        gross: &[(A, Amount)],
    ) -> Result<Entry, AccountingError> {
        let moved = gross.iter().flat_map(|(address, gross)| {
            let address = address.as_ref();
            [(Account::payable(address), minus(*gross)), (Account::inflight(address), gross.to_i64())]
        });
        Entry::new(EntryKind::PayoutReserved, reference, moved)
    }

    /// Sets aside what a payout took that was sent without the books: each balance gives its part as far as it goes,
    /// what it lacks comes from the pool's fees, and what those lack is a loss. The fee account keeps what the pool bears
    /// of `network_fee`, so that [`Entry::payout_settled`] can follow. `balance` says what an account holds now.
    ///
    /// # Errors
    /// When the sums are beyond what an amount can hold, or nothing was paid.
    pub fn payout_adopted(
        reference: impl Into<String>,
        paid: &[Paid<'_>],
        network_fee: Amount,
        balance: impl Fn(&Account) -> i64,
    ) -> Result<Entry, AccountingError> {
        let overflow = || AccountingError::AmountOverflow("payments");
        let mut postings = Vec::new();
        let mut lacking = 0_i64;
        let (mut gross, mut spent) = (0_i64, network_fee.to_i64());
        // An address may have been paid more than once by one transaction.
        let mut by_address = BTreeMap::<&str, i64>::new();
        for line in paid {
            let sum = by_address.entry(line.address).or_default();
            *sum = sum.checked_add(line.gross.to_i64()).ok_or_else(overflow)?;
            gross = gross.checked_add(line.gross.to_i64()).ok_or_else(overflow)?;
            spent = spent.checked_add(line.net.to_i64()).ok_or_else(overflow)?;
        }
        for (address, gross) in by_address {
            let payable = Account::payable(address);
            let taken = balance(&payable).clamp(0, gross);
            lacking = lacking.checked_add(gross.saturating_sub(taken)).ok_or_else(overflow)?;
            postings.push((payable, taken.saturating_neg()));
            postings.push((Account::inflight(address), gross));
        }
        let borne = spent.saturating_sub(gross).max(0);
        let wanted = lacking.checked_add(borne).ok_or_else(overflow)?;
        let lost = wanted.saturating_sub(balance(&Account::PoolFee).max(0)).max(0);
        postings.push((Account::PoolFee, lost.saturating_sub(lacking)));
        postings.push((Account::OrphanLoss, lost.saturating_neg()));
        Entry::new(EntryKind::PayoutReserved, reference, postings)
    }

    /// Gives back what was set aside.
    ///
    /// # Errors
    /// When nothing is given back.
    pub fn payout_released<A: AsRef<str>>(
        reference: impl Into<String>,
        gross: &[(A, Amount)],
    ) -> Result<Entry, AccountingError> {
        let moved = gross.iter().flat_map(|(address, gross)| {
            let address = address.as_ref();
            [(Account::inflight(address), minus(*gross)), (Account::payable(address), gross.to_i64())]
        });
        Entry::new(EntryKind::PayoutReleased, reference, moved)
    }

    /// Closes a payout. The pool's fee account takes the difference between what the balances gave and what was received
    /// and burned: nothing when the recipients bore exactly the fee, the whole fee when the pool bears it, a few atoms
    /// when the fee turned out differently.
    ///
    /// # Errors
    /// When the sums are beyond what an amount can hold, or nothing was paid.
    pub fn payout_settled(
        reference: impl Into<String>,
        paid: &[Paid<'_>],
        network_fee: Amount,
    ) -> Result<Entry, AccountingError> {
        let overflow = || AccountingError::AmountOverflow("payments");
        let gross = Amount::checked_sum(paid.iter().map(|line| line.gross)).ok_or_else(overflow)?;
        let nets = paid.iter().map(|line| line.net).chain([network_fee]);
        let spent = Amount::checked_sum(nets).ok_or_else(overflow)?;
        let difference = gross.to_i64().checked_sub(spent.to_i64()).ok_or_else(overflow)?;
        let moved = paid.iter().flat_map(|line| {
            [(Account::inflight(line.address), minus(line.gross)), (Account::paid_out(line.address), line.net.to_i64())]
        });
        let fees = [(Account::NetworkFee, network_fee.to_i64()), (Account::PoolFee, difference)];
        Entry::new(EntryKind::PayoutSettled, reference, moved.chain(fees))
    }

    /// Moves all that is booked under the text `from` to the accounts of `to`, which names the same keys: nothing is left
    /// behind, and what was owed, under way and paid stays so. The reference is `from`, which is joined once.
    ///
    /// # Errors
    /// When nothing is booked under `from`, or both are the same text.
    pub fn accounts_joined(from: &str, to: &str, booked: &Booked) -> Result<Entry, AccountingError> {
        let both = |account: fn(&str) -> Account, amount: Amount| {
            [(account(from), minus(amount)), (account(to), amount.to_i64())]
        };
        let Booked { payable, inflight, paid_out } = *booked;
        let moved =
            [both(Account::payable, payable), both(Account::inflight, inflight), both(Account::paid_out, paid_out)];
        Entry::new(EntryKind::AccountsJoined, from, moved.into_iter().flatten())
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Unique per kind.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// At least two, one per account, ordered by account.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// True when the postings sum to zero, as those of every entry do.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.postings.iter().map(|posting| i128::from(posting.amount)).sum::<i128>() == 0
    }

    /// How an account changes; 0 when it does not.
    #[must_use]
    pub fn amount_of(&self, account: &Account) -> i64 {
        let posting = self.postings.iter().find(|posting| posting.account == *account);
        posting.map_or(0, |posting| posting.amount)
    }
}

fn minus(amount: Amount) -> i64 {
    amount.to_i64().checked_neg().expect("an amount is not negative")
}
