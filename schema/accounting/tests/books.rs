//! Entries, and what they do to balances.
#![expect(clippy::unwrap_used, reason = "a case that cannot be built fails its test")]

use std::collections::BTreeMap;

use accounting::{Account, AccountingError, Booked, Entry, EntryKind, Paid, gross_of_nets, pro_rata_fee};
use proptest::prelude::*;
use units::Amount;

fn atoms(number: u64) -> Amount {
    Amount::from_atoms(number).unwrap()
}

/// Balances as a database would keep them.
#[derive(Default, Clone, PartialEq, Debug)]
struct Books(BTreeMap<Account, i64>);

impl Books {
    fn post(&mut self, entry: &Entry) {
        for posting in entry.postings() {
            *self.0.entry(posting.account.clone()).or_default() += posting.amount;
        }
        self.0.retain(|_, balance| *balance != 0);
    }

    fn balance(&self, account: &Account) -> i64 {
        self.0.get(account).copied().unwrap_or(0)
    }

    /// What a database refuses to make negative.
    fn is_sound(&self) -> bool {
        let may_be_negative =
            |account: &Account| matches!(account, Account::ChainRewards | Account::OrphanLoss | Account::Adjustment);
        self.0.values().sum::<i64>() == 0
            && self.0.iter().all(|(account, balance)| *balance >= 0 || may_be_negative(account))
    }
}

fn credit(reference: &str, reward: u64, credits: &[(&str, u64)]) -> Entry {
    let credits: Vec<(&str, Amount)> = credits.iter().map(|(address, credit)| (*address, atoms(*credit))).collect();
    Entry::block_credited(reference, atoms(reward), &credits, Account::PoolFee).unwrap()
}

#[test]
fn the_credit_of_the_worked_example_is_one_balanced_entry() {
    let credits = [("A", 29_781_600_447), ("B", 18_295_197_392), ("D", 4_179_873_746), ("E", 156_745_265), ("C", 0)];
    let entry = credit("hash", 52_967_845_303, &credits);
    assert_eq!(entry.amount_of(&Account::ChainRewards), -52_967_845_303);
    assert_eq!(entry.amount_of(&Account::PoolFee), 554_428_453);
    assert_eq!(entry.amount_of(&Account::payable("B")), 18_295_197_392);
    assert_eq!(entry.postings().len(), 6, "a credit of nothing is no posting");
    assert!(entry.is_balanced());
}

#[test]
fn the_fee_may_go_to_an_address_that_also_mines() {
    let entry = Entry::block_credited("hash", atoms(100), &[("A", atoms(90))], Account::payable("A")).unwrap();
    assert_eq!(entry.amount_of(&Account::payable("A")), 100);
}

/// What an operator takes from the pool's fees.
fn adjustment(reference: &str, taken: u64) -> Entry {
    let taken = i64::try_from(taken).unwrap();
    Entry::new(EntryKind::Adjustment, reference, [(Account::PoolFee, -taken), (Account::Adjustment, taken)]).unwrap()
}

#[test]
fn more_credit_than_reward_is_refused() {
    let refused = Entry::block_credited("hash", atoms(10), &[("A", atoms(11))], Account::PoolFee).unwrap_err();
    assert_eq!(refused.to_string(), "0.00000011 cannot be taken from 0.00000010");
}

#[test]
fn what_does_not_balance_or_moves_nothing_is_no_entry() {
    let unnamed = Entry::new(EntryKind::Adjustment, "", [(Account::PoolFee, 5), (Account::Adjustment, -5)]);
    assert_eq!(unnamed.unwrap_err().to_string(), "entry adjustment has no reference");
    let off = Entry::new(EntryKind::Adjustment, "x", [(Account::PoolFee, 5), (Account::Adjustment, -4)]).unwrap_err();
    assert_eq!(off.to_string(), "entry adjustment x is off by 1 atoms");
    let empty = Entry::new(EntryKind::Adjustment, "x", [(Account::PoolFee, 5), (Account::PoolFee, -5)]).unwrap_err();
    assert!(matches!(empty, AccountingError::Empty { .. }));
    let extreme = [(Account::PoolFee, i64::MIN), (Account::PoolFee, i64::MIN), (Account::Adjustment, i64::MAX)];
    assert!(Entry::new(EntryKind::Adjustment, "x", extreme).is_err());
}

#[test]
fn a_payout_borne_by_its_recipients_leaves_the_pool_alone() {
    let mut books = Books::default();
    books.post(&credit("hash", 1_000, &[("A", 600), ("B", 300)]));
    let gross = [("A", atoms(600)), ("B", atoms(300))];
    books.post(&Entry::payout_reserved("intent", &gross).unwrap());
    assert_eq!(books.balance(&Account::inflight("A")), 600);
    assert_eq!(books.balance(&Account::payable("A")), 0);
    let nets = pro_rata_fee(atoms(100), &gross).unwrap();
    let paid: Vec<Paid<'_>> = nets
        .iter()
        .zip(&gross)
        .map(|(line, (address, gross))| Paid { address, gross: *gross, net: line.net })
        .collect();
    books.post(&Entry::payout_settled("intent", &paid, atoms(100)).unwrap());
    assert_eq!(books.balance(&Account::paid_out("A")), 533);
    assert_eq!(books.balance(&Account::paid_out("B")), 267);
    assert_eq!(books.balance(&Account::NetworkFee), 100);
    assert_eq!(books.balance(&Account::PoolFee), 100);
    assert!(books.is_sound());
}

#[test]
fn a_payout_borne_by_the_pool_costs_its_fee_account() {
    let paid = [Paid { address: "A", gross: atoms(600), net: atoms(600) }];
    let entry = Entry::payout_settled("intent", &paid, atoms(40)).unwrap();
    assert_eq!(entry.amount_of(&Account::PoolFee), -40);
    assert_eq!(entry.amount_of(&Account::NetworkFee), 40);
}

#[test]
fn a_fee_that_turned_out_smaller_leaves_the_difference_to_the_pool() {
    let paid = [Paid { address: "A", gross: atoms(600), net: atoms(550) }];
    let entry = Entry::payout_settled("intent", &paid, atoms(47)).unwrap();
    assert_eq!(entry.amount_of(&Account::PoolFee), 3);
}

#[test]
fn a_released_payout_is_as_if_it_had_never_been_reserved() {
    let mut books = Books::default();
    books.post(&credit("hash", 1_000, &[("A", 600)]));
    let before = books.clone();
    books.post(&Entry::payout_reserved("intent", &[("A", atoms(500))]).unwrap());
    books.post(&Entry::payout_released("intent:1", &[("A", atoms(500))]).unwrap());
    assert_eq!(books, before);
}

#[test]
fn a_reversal_takes_unpaid_balances_then_fees_then_is_a_loss() {
    let mut books = Books::default();
    let orphan = credit("orphan", 1_000, &[("A", 600), ("B", 300)]);
    books.post(&orphan);
    // A has been paid all but 50 and is being sent nothing; the pool spent all but 70 of its fees.
    books.post(&Entry::payout_reserved("intent", &[("A", atoms(550))]).unwrap());
    books.post(&adjustment("rent", 30));
    let reversal = Entry::block_reversed("orphan", &orphan, |account| books.balance(account)).unwrap();
    assert_eq!(reversal.amount_of(&Account::payable("A")), -50);
    assert_eq!(reversal.amount_of(&Account::payable("B")), -300);
    assert_eq!(reversal.amount_of(&Account::PoolFee), -70);
    assert_eq!(reversal.amount_of(&Account::OrphanLoss), -580);
    assert_eq!(reversal.amount_of(&Account::inflight("A")), 0);
    books.post(&reversal);
    assert!(books.is_sound());
}

#[test]
fn accounts_of_one_text_or_without_money_are_not_joined() {
    let booked = Booked { payable: atoms(5), ..Booked::default() };
    assert!(matches!(Entry::accounts_joined("A", "A", &booked), Err(AccountingError::Empty { .. })));
    assert!(matches!(Entry::accounts_joined("A", "B", &Booked::default()), Err(AccountingError::Empty { .. })));
}

#[test]
fn only_the_credit_of_a_block_can_be_reversed() {
    let other = Entry::payout_reserved("intent", &[("A", atoms(1))]).unwrap();
    assert!(Entry::block_reversed("x", &other, |_| 0).is_err());
}

proptest! {
    #[test]
    fn a_reversal_never_makes_a_balance_negative_and_returns_the_whole_reward(
        credits in prop::collection::vec(0_u64..1_000_000, 1..20), fee in 0_u64..1_000_000,
        paid in prop::collection::vec(0_u64..1_000_000, 20), spent in 0_u64..2_000_000, other in 0_u64..1_000_000,
    ) {
        let names: Vec<String> = (0..credits.len()).map(|index| format!("miner{index}")).collect();
        let lines: Vec<(&str, Amount)> = names.iter().map(String::as_str).zip(credits.iter().map(|c| atoms(*c))).collect();
        let reward = credits.iter().sum::<u64>() + fee;
        prop_assume!(reward > 0);
        let entry = Entry::block_credited("b", atoms(reward), &lines, Account::PoolFee).unwrap();
        let mut books = Books::default();
        books.post(&credit("other", other + 1, &[("miner0", other)]));
        books.post(&entry);
        for (name, paid) in names.iter().zip(&paid) {
            let payable = u64::try_from(books.balance(&Account::payable(name))).unwrap();
            let gross = atoms((*paid).min(payable));
            if !gross.is_zero() {
                books.post(&Entry::payout_reserved(name, &[(name, gross)]).unwrap());
                let paid = [Paid { address: name, gross, net: gross }];
                books.post(&Entry::payout_settled(name, &paid, Amount::ZERO).unwrap());
            }
        }
        let spent = spent.min(u64::try_from(books.balance(&Account::PoolFee)).unwrap());
        if spent > 0 {
            books.post(&adjustment("s", spent));
        }
        prop_assert!(books.is_sound());

        let before = books.clone();
        let reversal = Entry::block_reversed("b", &entry, |account| books.balance(account)).unwrap();
        books.post(&reversal);
        prop_assert!(books.is_sound());
        prop_assert_eq!(reversal.amount_of(&Account::ChainRewards).unsigned_abs(), reward);
        let loss = reversal.amount_of(&Account::OrphanLoss);
        prop_assert!(loss <= 0);
        prop_assert!(loss == 0 || books.balance(&Account::PoolFee) == 0, "no loss while there are fees");
        for (name, credit) in names.iter().zip(&credits) {
            let payable = Account::payable(name);
            let taken = before.balance(&payable) - books.balance(&payable);
            prop_assert_eq!(taken, before.balance(&payable).min(i64::try_from(*credit).unwrap()));
        }
    }

    #[test]
    fn an_adopted_payout_takes_balances_then_fees_then_a_loss_and_makes_nothing_negative(
        payments in prop::collection::vec((0_usize..6, 1_u64..1_000_000, 0_u64..1_500_000), 1..12),
        fees in 0_u64..2_000_000, fee in 0_u64..100_000, pool_bears: bool,
    ) {
        let names: Vec<String> = (0..6).map(|index| format!("miner{index}")).collect();
        let mut books = Books::default();
        let held: Vec<(&str, u64)> = payments.iter().map(|(to, _, held)| (names[*to].as_str(), *held)).collect();
        let reward = fees + held.iter().map(|(_, held)| held).sum::<u64>();
        if reward > 0 {
            books.post(&credit("b", reward, &held));
        }
        let before = books.clone();
        let nets: Vec<(&str, Amount)> = payments.iter().map(|(to, net, _)| (names[*to].as_str(), atoms(*net))).collect();
        let lines = gross_of_nets(if pool_bears { Amount::ZERO } else { atoms(fee) }, &nets).unwrap();
        let gross = |line: &accounting::Net<&str>| line.net.checked_add(line.fee).unwrap();
        let paid: Vec<Paid<'_>> =
            lines.iter().map(|line| Paid { address: line.key, gross: gross(line), net: line.net }).collect();

        let reserved = Entry::payout_adopted("m", &paid, atoms(fee), |account| books.balance(account)).unwrap();
        prop_assert!(reserved.is_balanced());
        books.post(&reserved);
        prop_assert!(books.is_sound(), "{books:?}");
        let settled = Entry::payout_settled("m", &paid, atoms(fee)).unwrap();
        books.post(&settled);
        prop_assert!(books.is_sound(), "{books:?}");

        let (mut lacking, mut sent) = (0_i64, 0_i64);
        for name in &names {
            let of = |amount: fn(&Paid<'_>) -> Amount| -> i64 {
                paid.iter().filter(|line| line.address == name).map(|line| amount(line).to_i64()).sum()
            };
            let (gross, had) = (of(|line| line.gross), before.balance(&Account::payable(name)));
            prop_assert_eq!(had - books.balance(&Account::payable(name)), gross.min(had));
            prop_assert_eq!(books.balance(&Account::inflight(name)), 0);
            prop_assert_eq!(books.balance(&Account::paid_out(name)), of(|line| line.net));
            lacking += gross - gross.min(had);
            sent += of(|line| line.net);
        }
        prop_assert_eq!(books.balance(&Account::NetworkFee), i64::try_from(fee).unwrap());
        let borne = if pool_bears { i64::try_from(fee).unwrap() } else { 0 };
        let had = before.balance(&Account::PoolFee);
        prop_assert_eq!(books.balance(&Account::PoolFee), (had - lacking - borne).max(0));
        prop_assert_eq!(books.balance(&Account::OrphanLoss), (had - lacking - borne).min(0), "fees come first");
        prop_assert_eq!(sent, i64::try_from(payments.iter().map(|(_, net, _)| net).sum::<u64>()).unwrap());
    }

    #[test]
    fn what_balances_gave_is_found_from_what_was_received(
        gross in prop::collection::vec(10_000_000_u64..1_000_000_000_000, 1..50), fee in 0_u64..700_000,
    ) {
        let names: Vec<String> = (0..gross.len()).map(|index| format!("miner{index}")).collect();
        let lines: Vec<(&str, Amount)> = names.iter().map(String::as_str).zip(gross.iter().map(|g| atoms(*g))).collect();
        let nets: Vec<(&str, Amount)> =
            pro_rata_fee(atoms(fee), &lines).unwrap().into_iter().map(|line| (line.key, line.net)).collect();
        let found = gross_of_nets(atoms(fee), &nets).unwrap();
        let sum: u64 = found.iter().map(|line| line.net.atoms() + line.fee.atoms()).sum();
        prop_assert_eq!(sum, gross.iter().sum::<u64>());
        for (line, gross) in found.iter().zip(&gross) {
            // Of balances that are all but equal, another one may have borne the last atoms.
            let off = (line.net.atoms() + line.fee.atoms()).abs_diff(*gross);
            prop_assert!(off <= u64::try_from(names.len()).unwrap(), "off by {off}");
        }
    }

    #[test]
    fn joined_accounts_hold_what_both_held_and_nothing_is_left_behind(
        one in prop::array::uniform3(0_u64..=1 << 60), other in prop::array::uniform3(0_u64..=1 << 60),
    ) {
        prop_assume!(one != [0; 3]);
        let accounts = |text: &str| [Account::payable(text), Account::inflight(text), Account::paid_out(text)];
        let mut books = Books::default();
        for (text, sums) in [("one", one), ("other", other)] {
            for (account, sum) in accounts(text).into_iter().zip(sums) {
                let sum = i64::try_from(sum).unwrap();
                let given = Entry::new(EntryKind::Adjustment, text, [(account, sum), (Account::Adjustment, -sum)]);
                given.into_iter().for_each(|entry| books.post(&entry));
            }
        }
        let [payable, inflight, paid_out] = one.map(atoms);
        let entry = Entry::accounts_joined("one", "other", &Booked { payable, inflight, paid_out }).unwrap();
        prop_assert!(entry.is_balanced());
        prop_assert_eq!((entry.kind(), entry.reference()), (EntryKind::AccountsJoined, "one"));
        books.post(&entry);
        prop_assert!(books.is_sound());
        for (n, (left, joined)) in accounts("one").into_iter().zip(accounts("other")).enumerate() {
            prop_assert_eq!(books.balance(&left), 0);
            prop_assert_eq!(books.balance(&joined).unsigned_abs(), one[n] + other[n]);
        }
    }

    #[test]
    fn credit_and_reversal_without_payouts_cancel(credits in prop::collection::vec(0_u64..1_000_000, 1..20), fee in 1_u64..9_999) {
        let names: Vec<String> = (0..credits.len()).map(|index| format!("miner{index}")).collect();
        let lines: Vec<(&str, Amount)> = names.iter().map(String::as_str).zip(credits.iter().map(|c| atoms(*c))).collect();
        let entry = Entry::block_credited("b", atoms(credits.iter().sum::<u64>() + fee), &lines, Account::PoolFee).unwrap();
        let mut books = Books::default();
        books.post(&entry);
        let reversal = Entry::block_reversed("b", &entry, |account| books.balance(account)).unwrap();
        books.post(&reversal);
        prop_assert_eq!(books, Books::default());
    }
}
