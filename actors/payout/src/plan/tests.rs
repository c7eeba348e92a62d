use proptest::prelude::*;

use super::*;
use chain::TxId;

fn atoms(atoms: u64) -> Amount {
    Amount::from_atoms(atoms).unwrap()
}

fn payee(n: u8, payable: u64) -> Payee {
    Payee { address: format!("A{n}"), keys: [[n; 32]; 2], payable: atoms(payable) }
}

fn output(n: u32, amount: u64) -> WalletOutput {
    let mut txid = TxId::ZERO;
    txid.0[28..].copy_from_slice(&n.to_be_bytes());
    WalletOutput { outpoint: (txid, n).into(), amount: atoms(amount) }
}

fn line(address: &str, gross: u64) -> IntentLine {
    IntentLine { address: address.into(), gross: atoms(gross), net: atoms(gross) }
}

fn room(funds: u64) -> Room {
    Room {
        recipients: usize::MAX,
        total: None,
        each: None,
        is_first: true,
        at_once: atoms(funds),
        spendable: atoms(funds),
    }
}

fn taken(queue: &[Payee], room: &Room) -> Vec<(usize, u64)> {
    batch(queue, room).unwrap().into_iter().map(|(place, amount)| (place, amount.atoms())).collect()
}

#[test]
fn a_large_payout_at_the_head_is_not_overtaken() {
    let queue = [payee(1, 500), payee(2, 10), payee(3, 10)];
    assert_eq!(batch(&queue, &room(400)), Err(Short { need: atoms(500), have: atoms(400) }));
    assert_eq!(taken(&queue, &room(500)), [(0, 500)]);
    assert_eq!(taken(&queue, &room(515)), [(0, 500), (1, 10)], "the third waits, at the head of what is left");
}

#[test]
fn what_no_single_transaction_can_hold_is_paid_in_parts() {
    let room = Room { at_once: atoms(300), spendable: atoms(600), ..room(0) };
    assert_eq!(taken(&[payee(1, 500), payee(2, 1)], &room), [(0, 300)]);
    let in_a_run = Room { is_first: false, ..room };
    assert_eq!(taken(&[payee(1, 500)], &in_a_run), [(0, 300)]);
}

#[test]
fn limits_of_a_run_cut_its_first_payout_and_stop_at_a_later_one() {
    let capped = |left, is_first| Room { total: Some(atoms(left)), is_first, ..room(10_000) };
    let queue = [payee(1, 500), payee(2, 10)];
    assert_eq!(taken(&queue, &capped(200, true)), [(0, 200)], "a payout above the limit would never be paid");
    assert_eq!(taken(&queue, &capped(200, false)), [], "it is the first of the next run");
    assert_eq!(taken(&queue, &capped(505, true)), [(0, 500)]);
    let poor = Room { total: Some(atoms(200)), ..room(150) };
    assert_eq!(batch(&queue, &poor), Err(Short { need: atoms(200), have: atoms(150) }));
    let each = Room { each: Some(atoms(30)), ..room(10_000) };
    assert_eq!(taken(&queue, &each), [(0, 30), (1, 10)]);
    let few = Room { recipients: 1, ..room(10_000) };
    assert_eq!(taken(&queue, &few), [(0, 500)]);
}

#[test]
fn two_texts_of_the_same_keys_are_not_paid_by_one_transaction() {
    let legacy = Payee { address: "other text".into(), ..payee(1, 20) };
    assert_eq!(taken(&[payee(1, 10), legacy, payee(2, 5)], &room(100)), [(0, 10), (2, 5)]);
}

#[test]
fn one_transaction_pays_fifty() {
    let queue: Vec<Payee> = (0..80).map(|n| payee(n, 10)).collect();
    assert_eq!(taken(&queue, &room(10_000)).len(), RECIPIENTS_MAX);
}

fn chosen(amounts: &[u64], need: u64) -> Option<Vec<u64>> {
    let outputs: Vec<WalletOutput> = (0..).zip(amounts).map(|(n, amount)| output(n, *amount)).collect();
    choose(&outputs, atoms(need)).map(|outputs| outputs.iter().map(|output| output.amount.atoms()).collect())
}

#[test]
fn the_smallest_output_that_suffices_is_spent_else_the_largest_together() {
    assert_eq!(chosen(&[10, 30, 20], 15), Some(vec![20]));
    assert_eq!(chosen(&[10, 30, 20], 35), Some(vec![30, 20]));
    assert_eq!(chosen(&[10, 30, 20], 61), None);
    assert_eq!(chosen(&[], 1), None);
}

#[test]
fn change_is_left_over_wherever_that_is_possible() {
    assert_eq!(chosen(&[20, 30], 20), Some(vec![30]));
    assert_eq!(chosen(&[20, 10], 20), Some(vec![20, 10]));
    assert_eq!(chosen(&[20, 10], 30), Some(vec![20, 10]), "all there is");
    assert_eq!(chosen(&[20], 20), Some(vec![20]));
}

#[test]
fn no_more_inputs_are_spent_than_a_send_can_carry() {
    let dust = vec![1; 200];
    assert_eq!(chosen(&dust, 63).unwrap().len(), INPUTS_MAX);
    assert_eq!(chosen(&dust, 65), None);
    let outputs: Vec<WalletOutput> = (0..200).map(|n| output(n, 1)).collect();
    assert_eq!(funds(&outputs), (atoms(64), atoms(200)));
}

#[test]
fn change_is_split_only_while_outputs_are_few_and_where_that_burns_nothing() {
    assert_eq!(change_split(Height::new(6_499), 1), 1, "two outputs to the same keys would share a key");
    assert_eq!(change_split(Height::new(6_500), 15), 4);
    assert_eq!(change_split(Height::new(6_500), 16), 1);
}

#[test]
fn the_atoms_that_remain_of_a_fee_are_borne_by_the_largest() {
    let nets = |lines: &[(&str, u64)], fee| {
        let lines = lines.iter().map(|(address, gross)| line(address, *gross)).collect();
        bear(lines, atoms(fee)).map(|lines| lines.iter().map(|line| line.net.atoms()).collect::<Vec<_>>())
    };
    // 10 * 1/3 = 3, 10 * 2/3 = 6, one is left.
    assert_eq!(nets(&[("A", 100), ("B", 200)], 10), Ok(vec![97, 193]));
    assert_eq!(nets(&[("B", 100), ("A", 100)], 5), Ok(vec![98, 97]));
    assert_eq!(nets(&[("A", 1_000), ("B", 1)], 1_000), Err(vec![0]));
    assert_eq!(nets(&[("A", 3), ("B", 3)], 6), Err(vec![0, 1]), "nobody is sent nothing");
}

proptest! {
    #[test]
    fn what_recipients_get_and_the_fee_add_up_to_the_atom(
        gross in prop::collection::vec(1_u64..1_000_000_000_000, 1..60), fee in 0_u64..3_000_000,
    ) {
        let lines: Vec<IntentLine> = gross.iter().enumerate().map(|(n, gross)| line(&format!("A{n:02}"), *gross)).collect();
        match bear(lines.clone(), atoms(fee)) {
            Ok(nets) => {
                let sum: u64 = nets.iter().map(|line| line.net.atoms()).sum();
                prop_assert_eq!(sum + fee, gross.iter().sum::<u64>());
                let total: u128 = gross.iter().map(|gross| u128::from(*gross)).sum();
                for line in &nets {
                    let share = u128::from(fee) * u128::from(line.gross.atoms()) / total;
                    let borne = u128::from(line.gross.atoms() - line.net.atoms());
                    prop_assert!(borne >= share && borne < share + 60);
                }
            }
            Err(places) => prop_assert!(!places.is_empty() && places.iter().all(|place| *place < lines.len())),
        }
    }

    #[test]
    fn a_batch_serves_the_queue_in_order_within_every_limit(
        payable in prop::collection::vec(1_u64..10_000, 1..120),
        funds in 1_u64..200_000,
        more in 0_u64..100_000,
        total in prop::option::of(1_u64..100_000),
        each in prop::option::of(1_u64..10_000),
        recipients in 1_usize..80,
        is_first in any::<bool>(),
    ) {
        let queue: Vec<Payee> = (0_u8..).zip(&payable).map(|(n, payable)| payee(n, *payable)).collect();
        let room = Room {
            recipients,
            total: total.map(atoms),
            each: each.map(atoms),
            is_first,
            at_once: atoms(funds),
            spendable: atoms(funds + more),
        };
        let Ok(batch) = batch(&queue, &room) else {
            let want = payable[0].min(each.unwrap_or(u64::MAX)).min(total.unwrap_or(u64::MAX));
            prop_assert!(want > funds + more, "only a head beyond all funds waits for more");
            return Ok(());
        };
        prop_assert!(batch.len() <= recipients.min(RECIPIENTS_MAX));
        prop_assert!(batch.iter().enumerate().all(|(at, (place, _))| at == *place), "nobody is skipped");
        let sum: u64 = batch.iter().map(|(_, amount)| amount.atoms()).sum();
        prop_assert!(sum <= funds.min(total.unwrap_or(u64::MAX)));
        for (at, (place, amount)) in batch.iter().enumerate() {
            let want = payable[*place].min(each.unwrap_or(u64::MAX));
            prop_assert!(amount.atoms() == want || (at == 0 && batch.len() == 1 && amount.atoms() < want));
            prop_assert!(!amount.is_zero());
        }
    }

    #[test]
    fn chosen_outputs_hold_enough_and_are_found_whenever_they_exist(
        amounts in prop::collection::vec(1_u64..1_000, 0..90), need in 1_u64..40_000,
    ) {
        let outputs: Vec<WalletOutput> = (0..).zip(&amounts).map(|(n, amount)| output(n, *amount)).collect();
        let (at_once, _) = funds(&outputs);
        match choose(&outputs, atoms(need)) {
            Some(chosen) => {
                let sum: u64 = chosen.iter().map(|output| output.amount.atoms()).sum();
                prop_assert!(sum >= need && chosen.len() <= INPUTS_MAX);
                let without_change = sum == need;
                prop_assert!(!without_change || at_once.atoms() == need, "change was possible");
                let mut outpoints: Vec<u32> = chosen.iter().map(|output| output.outpoint.index).collect();
                outpoints.sort_unstable();
                outpoints.dedup();
                prop_assert_eq!(outpoints.len(), chosen.len());
            }
            None => prop_assert!(at_once.atoms() < need),
        }
    }
}
