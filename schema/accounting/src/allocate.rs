//! One block: from the work in its window to the credit of each miner.
use std::fmt::{self, Display, Write};

use sha2::{Digest, Sha256};
use units::{Amount, BasisPoints, Work};

use crate::error::AccountingError;
use crate::rules::{Rules, Scheme};
use crate::split::split_in_order;

/// Work in a block's window. Rejected and voided work is not in it.
///
/// One miner may appear several times, once per origin: trust belongs to the pair, so provisional work is capped
/// before it is summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerWork<K> {
    /// The miner: its payout address, or whatever names it.
    pub key: K,
    /// Work whose proof was checked.
    pub verified: Work,
    /// Work that was accepted and not judged.
    pub provisional: Work,
}

/// What one miner did and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationLine<K> {
    /// The miner.
    pub key: K,
    /// Its checked work.
    pub verified: Work,
    /// Its accepted, unjudged work, before any cap.
    pub provisional: Work,
    /// What the reward was split by: verified work and as much provisional work as counts beside it.
    pub weight: Work,
    /// Its share of the split, dust included.
    pub from_weight: Amount,
    /// Its bonus for finding the block.
    pub bonus: Amount,
    /// The sum of both: what its balance grows by.
    pub credit: Amount,
}

/// Why the lines get what they get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// By weight, and a bonus for the finder.
    Weight,
    /// All to the finder: a solo pool, or no work that counts.
    Finder,
    /// No work that counts and no finder: the distributable part is unallocated.
    Nobody,
}

/// Who gets what of one block. Computed once and stored; never recomputed with later rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation<K> {
    /// What the pool keeps.
    pub fee: Amount,
    /// What nobody could be given; it stays on the pool's fee account.
    pub unallocated: Amount,
    /// Why.
    pub basis: Basis,
    /// By weight descending, then key ascending; lines without credit are kept, so that one can see why.
    pub lines: Vec<AllocationLine<K>>,
    /// SHA-256 over a canonical text of rules, input and result.
    pub digest: [u8; 32],
}

impl<K> Allocation<K> {
    /// The digest as 64 lower-case hex digits.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        hex::encode(self.digest)
    }
}

/// Divides the reward of a block.
///
/// The fee comes first. What is left goes by weight, after the finder's bonus. Without weight, and in a solo pool, all of
/// it goes to the finder; without a finder too, it is unallocated, but never lost.
///
/// # Errors
/// When the work of one miner is beyond what a number holds.
///
/// # Panics
/// When the parts do not sum to the reward, which would be a fault in this function.
pub fn allocate<K: Ord + Clone + Display>(
    reward: Amount,
    finder: Option<&K>,
    works: &[MinerWork<K>],
    rules: &Rules,
) -> Result<Allocation<K>, AccountingError> {
    let fee = rules.fee(reward);
    let distributable = reward.checked_sub(fee).expect("a fee is a part of the reward");
    let mut lines = gather(works, rules)?;
    if let Some(finder) = finder
        && let Err(place) = lines.binary_search_by(|line| line.key.cmp(finder))
    {
        lines.insert(place, AllocationLine::idle(finder.clone()));
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.weight)); // Stable: equal weights stay ordered by key.

    let has_weight = lines.first().is_some_and(|line| line.weight > Work::ZERO);
    let basis = match finder {
        _ if has_weight && rules.scheme != Scheme::Solo => Basis::Weight,
        Some(_) => Basis::Finder,
        None => Basis::Nobody,
    };
    let (by_weight, to_finder) = match basis {
        Basis::Weight if finder.is_some() => {
            let bonus = distributable.portion(rules.finder_bonus_bps.get(), BasisPoints::WHOLE);
            (distributable.checked_sub(bonus).expect("a bonus is a part of it"), bonus)
        }
        Basis::Weight => (distributable, Amount::ZERO),
        Basis::Finder => (Amount::ZERO, distributable),
        Basis::Nobody => (Amount::ZERO, Amount::ZERO),
    };
    let shares = split_in_order(by_weight, lines.iter().map(|line| line.weight.get()));
    for (line, share) in lines.iter_mut().zip(shares) {
        line.from_weight = share;
        if finder == Some(&line.key) {
            line.bonus = to_finder;
        }
        line.credit = line.from_weight.checked_add(line.bonus).expect("parts of the reward sum to an amount");
    }
    lines.retain(|line| !line.is_empty());
    let credited = Amount::checked_sum(lines.iter().map(|line| line.credit)).expect("parts of the reward");
    let unallocated = if basis == Basis::Nobody { distributable } else { Amount::ZERO };
    let all = Amount::checked_sum([credited, fee, unallocated]);
    assert_eq!(all, Some(reward), "credits, fee and rest are the reward");
    let digest = digest(reward, finder, rules, fee, unallocated, &lines);
    Ok(Allocation { fee, unallocated, basis, lines, digest })
}

impl<K> AllocationLine<K> {
    fn idle(key: K) -> AllocationLine<K> {
        AllocationLine {
            key,
            verified: Work::ZERO,
            provisional: Work::ZERO,
            weight: Work::ZERO,
            from_weight: Amount::ZERO,
            bonus: Amount::ZERO,
            credit: Amount::ZERO,
        }
    }

    fn is_empty(&self) -> bool {
        self.verified == Work::ZERO && self.provisional == Work::ZERO && self.credit.is_zero()
    }
}

/// One line per miner, with its weight, by key ascending.
fn gather<K: Ord + Clone + Display>(
    works: &[MinerWork<K>],
    rules: &Rules,
) -> Result<Vec<AllocationLine<K>>, AccountingError> {
    let mut ordered: Vec<&MinerWork<K>> = works.iter().collect();
    ordered.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let mut lines: Vec<AllocationLine<K>> = Vec::with_capacity(ordered.len());
    for origins in ordered.chunk_by(|a, b| a.key == b.key) {
        let mut line = AllocationLine::idle(origins[0].key.clone());
        let overflow = || AccountingError::WorkOverflow(origins[0].key.to_string());
        let add = |sum: Work, more: Work| sum.checked_add(more).ok_or_else(overflow);
        for work in origins {
            let counted = rules.counted_provisional(work.verified, work.provisional);
            line.verified = add(line.verified, work.verified)?;
            line.provisional = add(line.provisional, work.provisional)?;
            line.weight = add(add(line.weight, work.verified)?, counted)?;
        }
        lines.push(line);
    }
    Ok(lines)
}

/// A text that two programs write alike is hashed, so that an audit can compare without storing the text.
fn digest<K: Display>(
    reward: Amount,
    finder: Option<&K>,
    rules: &Rules,
    fee: Amount,
    unallocated: Amount,
    lines: &[AllocationLine<K>],
) -> [u8; 32] {
    let mut text = String::from("meshpool allocation 1\n");
    let written = (|| {
        writeln!(text, "scheme {}", rules.scheme.as_str())?;
        writeln!(text, "fee_bps {} fee_flat {}", rules.fee_bps.get(), rules.fee_flat.atoms())?;
        writeln!(text, "finder_bonus_bps {}", rules.finder_bonus_bps.get())?;
        match rules.provisional_cap_multiplier {
            Some(multiplier) => writeln!(text, "provisional_cap_multiplier {multiplier}")?,
            None => writeln!(text, "provisional_cap_multiplier none")?,
        }
        if let Some(finder) = finder {
            writeln!(text, "finder {finder}")?;
        }
        writeln!(text, "reward {} fee {} unallocated {}", reward.atoms(), fee.atoms(), unallocated.atoms())?;
        for line in lines {
            let (verified, provisional, weight) = (line.verified.get(), line.provisional.get(), line.weight.get());
            let (from_weight, bonus) = (line.from_weight.atoms(), line.bonus.atoms());
            writeln!(text, "line {} {verified} {provisional} {weight} {from_weight} {bonus}", line.key)?;
        }
        fmt::Result::Ok(())
    })();
    written.expect("a string takes all that is written to it");
    Sha256::digest(text).into()
}
