//! Dividing an amount so that no atom is lost.
use units::Amount;

use crate::error::AccountingError;

/// `amount * weight / total`, rounded down.
fn floor_share(amount: Amount, weight: u64, total: u128) -> u64 {
    let product = u128::from(amount.atoms()).checked_mul(u128::from(weight)).expect("two u64 fit a u128");
    let share = product.checked_div(total).expect("there is weight");
    u64::try_from(share).expect("a share is not more than the amount")
}

fn amount(atoms: u64) -> Amount {
    Amount::from_atoms(atoms).expect("a part of an amount is an amount")
}

/// One share per weight, in the order given: floors, and what remains to the first. All zero without weight.
pub(crate) fn split_in_order(whole: Amount, weights: impl Iterator<Item = u64> + Clone) -> Vec<Amount> {
    let total: u128 = weights.clone().map(u128::from).sum();
    if total == 0 {
        return weights.map(|_| Amount::ZERO).collect();
    }
    let mut shares: Vec<Amount> = weights.map(|weight| amount(floor_share(whole, weight, total))).collect();
    let given = Amount::checked_sum(shares.iter().copied()).expect("floors sum to no more than the whole");
    let rest = whole.checked_sub(given).expect("floors sum to no more than the whole");
    let first = shares.first_mut().expect("there is weight");
    *first = first.checked_add(rest).expect("a part of an amount is an amount");
    shares
}

/// What a recipient gets after its part of the network fee. `net + fee` is what its balance gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net<K> {
    /// The recipient.
    pub key: K,
    /// What is sent. May be zero when the fee eats everything: nothing should be sent then.
    pub net: Amount,
    /// What it bears.
    pub fee: Amount,
}

/// Divides a payout's network fee by what each recipient is paid, in the order given. Floors; the atoms that remain
/// are borne by the largest payment (then the smallest key), as far as it can, then by the next: nobody falls below zero.
///
/// # Errors
/// When the fee is more than all payments together, or those are more than an amount can hold.
pub fn pro_rata_fee<K: Ord + Clone>(fee: Amount, gross: &[(K, Amount)]) -> Result<Vec<Net<K>>, AccountingError> {
    let overflow = AccountingError::AmountOverflow("payments");
    let total = Amount::checked_sum(gross.iter().map(|(_, paid)| *paid)).ok_or(overflow)?;
    if fee > total {
        return Err(AccountingError::FeeTooLarge { fee, gross: total });
    }
    if total.is_zero() {
        return Ok(gross.iter().map(|(key, net)| Net { key: key.clone(), net: *net, fee: Amount::ZERO }).collect());
    }
    let mut nets: Vec<Net<K>> = Vec::with_capacity(gross.len());
    let mut rest = fee;
    for (key, paid) in gross {
        let part = amount(floor_share(fee, paid.atoms(), u128::from(total.atoms())));
        let net = paid.checked_sub(part).expect("a fee below the total takes less than all of a payment");
        rest = rest.checked_sub(part).expect("floors sum to no more than the whole");
        nets.push(Net { key: key.clone(), net, fee: part });
    }
    let mut order: Vec<usize> = (0..gross.len()).collect();
    order.sort_unstable_by(|a, b| gross[*b].1.cmp(&gross[*a].1).then_with(|| gross[*a].0.cmp(&gross[*b].0)));
    for index in order {
        let line = &mut nets[index];
        let more = rest.min(line.net);
        line.net = line.net.checked_sub(more).expect("no more than what is left");
        line.fee = line.fee.checked_add(more).expect("no more than the payment");
        rest = rest.checked_sub(more).expect("no more than the rest");
    }
    assert!(rest.is_zero(), "payments that cover a fee bear all of it");
    Ok(nets)
}

/// What balances must have given for these payments when their recipients bore `fee` together, in the order given: the
/// reverse of [`pro_rata_fee`], to the atom where the fee is small beside the payments. The sum is always that of the
/// payments and the fee.
///
/// # Errors
/// When payments and fee are more than an amount can hold.
pub fn gross_of_nets<K: Ord + Clone>(fee: Amount, nets: &[(K, Amount)]) -> Result<Vec<Net<K>>, AccountingError> {
    let overflow = || AccountingError::AmountOverflow("payments");
    let net = Amount::checked_sum(nets.iter().map(|(_, paid)| *paid)).ok_or_else(overflow)?;
    let gross = net.checked_add(fee).ok_or_else(overflow)?;
    let Some(largest) = (0..nets.len()).max_by(|a, b| {
        let ((key, paid), (other, others)) = (&nets[*a], &nets[*b]);
        paid.cmp(others).then_with(|| other.cmp(key))
    }) else {
        return Ok(Vec::new());
    };
    let mut rest = fee;
    let mut lines: Vec<Net<K>> = Vec::with_capacity(nets.len());
    for (index, (key, paid)) in nets.iter().enumerate() {
        let mut part = Amount::ZERO;
        if index != largest && !net.is_zero() {
            let whole = amount(floor_share(gross, paid.atoms(), u128::from(net.atoms())));
            part = whole.checked_sub(*paid).expect("what is paid is no more than what is taken for it");
        }
        rest = rest.checked_sub(part).expect("floors sum to no more than the whole");
        lines.push(Net { key: key.clone(), net: *paid, fee: part });
    }
    lines[largest].fee = rest;
    Ok(lines)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn atoms(number: u64) -> Amount {
        Amount::from_atoms(number).unwrap()
    }

    #[test]
    fn nobody_falls_below_zero_over_the_dust_of_a_fee() {
        let nets = pro_rata_fee(atoms(2), &[("a", atoms(1)), ("b", atoms(1)), ("c", atoms(1))]).unwrap();
        let fees: Vec<u64> = nets.iter().map(|line| line.fee.atoms()).collect();
        assert_eq!(fees, [1, 1, 0]);
        let refused = pro_rata_fee(atoms(4), &[("a", atoms(3))]).unwrap_err();
        assert_eq!(refused.to_string(), "network fee 0.00000004 is more than the 0.00000003 to be paid");
    }

    proptest! {
        #[test]
        fn a_split_gives_away_exactly_the_whole_and_all_but_the_first_get_floors(
            whole in 0..=Amount::MAX.atoms(), weights in prop::collection::vec(any::<u64>(), 1..40),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let total: u128 = weights.iter().copied().map(u128::from).sum();
            let shares = split_in_order(atoms(whole), weights.iter().copied());
            prop_assert_eq!(shares.iter().map(|share| u128::from(share.atoms())).sum::<u128>(), u128::from(whole));
            for (weight, share) in weights.iter().zip(&shares).skip(1) {
                prop_assert_eq!(u128::from(share.atoms()), u128::from(whole) * u128::from(*weight) / total);
            }
        }

        #[test]
        fn a_fee_is_borne_exactly_and_in_proportion(
            gross in prop::collection::vec(0_u64..1 << 50, 1..60), cut in any::<u64>(),
        ) {
            let total: u64 = gross.iter().sum();
            let fee = cut % (total + 1);
            let lines: Vec<(usize, Amount)> = gross.iter().map(|paid| atoms(*paid)).enumerate().collect();
            let nets = pro_rata_fee(atoms(fee), &lines).unwrap();
            prop_assert_eq!(nets.iter().map(|line| line.fee.atoms()).sum::<u64>(), fee);
            for (line, paid) in nets.iter().zip(&gross) {
                prop_assert_eq!(line.net.atoms() + line.fee.atoms(), *paid);
                let floor = u128::from(fee) * u128::from(*paid) / u128::from(total.max(1));
                prop_assert!(u128::from(line.fee.atoms()) >= floor);
                prop_assert!(u128::from(line.fee.atoms()) <= floor + gross.len() as u128);
            }
        }
    }
}
