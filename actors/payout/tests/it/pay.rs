//! Whoever is due is paid, once, to the atom.
use daemon_sim::MineOrder;
use settings::{NetworkFee, PayoutSettings};
use store::payouts::IntentState;
use units::Amount;

use crate::database::Kind;
use crate::harness::{COIN, Harness, address, atoms, settings};

#[actix_rt::test]
async fn miners_are_paid_by_one_transaction_and_the_books_close_when_it_is_deep() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = Harness::on(kind).await;
        harness.endow(3);
        let miners = [address(1), address(2), address(3)];
        for (miner, coins) in miners.iter().zip([500, 30, 1]) {
            harness.owe(miner, coins * COIN).await;
        }
        let reserved = harness.reserve().await;
        assert_eq!(harness.balance(&miners[0]).await.inflight, atoms(500 * COIN));
        harness.audit().await;
        harness.tick().await;
        assert_eq!(harness.only().await.state, IntentState::Broadcast);
        harness.audit().await;
        harness.mine(1);
        harness.tick().await;
        assert_eq!(harness.only().await.state, IntentState::Confirmed);
        harness.audit().await;
        harness.mine(2);
        harness.tick().await;
        assert_eq!(harness.only().await.state, IntentState::Confirmed, "two blocks follow it");
        harness.mine(1);
        harness.tick().await;
        assert!(harness.open().await.is_empty());

        let sends = harness.sends();
        assert_eq!(sends.len(), 1);
        let settled = harness.find(&reserved.id).await;
        assert_eq!((settled.state, settled.fee_paid), (IntentState::Settled, Some(atoms(sends[0].record.fee))));
        assert_eq!(settled.fee_expected, atoms(sends[0].record.fee), "the daemon was asked before");
        harness.check(&[(&miners[0], 1), (&miners[1], 1), (&miners[2], 1)]).await;
        let paid: u64 = miners.iter().flat_map(|miner| harness.income(miner)).sum();
        assert_eq!(paid + sends[0].record.fee, 531 * COIN);
        assert_eq!(harness.account("pool_fee").await, 0);
        let memo = hex::encode(&settled.id);
        assert!(sends[0].record.recipients.iter().all(|recipient| recipient.memo_hex == memo));
        let rows = harness.store.payout_list_of(&miners[1], 10).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].state, rows[0].net),
            (1, IntentState::Settled, settled.lines.iter().find(|line| line.address == miners[1]).unwrap().net)
        );
    }
}

#[actix_rt::test]
async fn a_crowd_is_paid_in_batches_and_nobody_twice() {
    let mut harness = Harness::new().await;
    harness.endow(4);
    for n in 0..120 {
        harness.owe(&address(n), COIN + n).await;
    }
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(harness.sends().len(), 3);
    let miners: Vec<String> = (0..120).map(address).collect();
    harness.check(&miners.iter().map(|miner| (miner.as_str(), 1)).collect::<Vec<_>>()).await;
}

#[actix_rt::test]
async fn the_head_of_the_queue_waits_for_funds_and_nobody_overtakes_it() {
    let mut harness = Harness::new().await;
    harness.endow(1);
    harness.owe(&address(1), 1_000 * COIN).await;
    harness.owe(&address(2), COIN).await;
    // Half of the wallet's money must mature.
    harness.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(harness.open().await.is_empty() && harness.sends().is_empty());
    harness.mine(3);
    harness.ticks(2).await;
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn caps_hold_for_a_run_and_the_next_one_goes_on() {
    let caps = PayoutSettings {
        max_recipients_per_tick: 2,
        max_total_per_tick: atoms(50 * COIN),
        max_per_recipient: atoms(30 * COIN),
        ..settings()
    };
    let mut harness = Harness::with(Kind::Sqlite, caps, |_| {}).await;
    harness.endow(6);
    for (n, coins) in [(1, 40), (2, 20), (3, 5)] {
        harness.owe(&address(n), coins * COIN).await;
    }
    harness.sweep().await;
    harness.settle().await;
    let gross = async |harness: &Harness, n| harness.store.payout_list_of(&address(n), 9).await.unwrap().len();
    assert_eq!([gross(&harness, 1).await, gross(&harness, 2).await, gross(&harness, 3).await], [1, 1, 0]);
    assert_eq!(harness.balance(&address(1)).await.payable, atoms(10 * COIN), "30 is the most at once");
    harness.sweep().await;
    harness.settle().await;
    harness.sweep().await;
    harness.settle().await;
    for n in [1, 2, 3] {
        assert_eq!(harness.balance(&address(n)).await.payable, Amount::ZERO);
    }
    harness.check(&[(&address(1), 2), (&address(2), 1), (&address(3), 1)]).await;
}

#[actix_rt::test]
async fn a_long_run_is_sent_a_few_transactions_a_step() {
    let mut harness = Harness::new().await;
    harness.endow(30);
    // Fifty to a transaction: ten of them.
    let owed: u64 = 500;
    let mut postings = vec![("chain_rewards".to_owned(), -i64::try_from(owed * COIN).unwrap())];
    postings.extend((1..=owed).map(|n| (format!("payable:{}", address(n)), i64::try_from(COIN).unwrap())));
    harness.post(&postings).await;
    let fast = harness.let_the_daemons_clock_race();
    harness.sweep().await;
    assert_eq!(harness.sends().len(), 8, "the rest is for the next step");
    harness.tick().await;
    assert_eq!(harness.sends().len(), 10);
    drop(fast);
    harness.settle().await;
    harness.check(&[(&address(1), 1), (&address(owed), 1)]).await;
}

#[actix_rt::test]
async fn a_payout_above_the_cap_of_a_run_is_paid_in_parts() {
    let caps = PayoutSettings { max_total_per_tick: atoms(50 * COIN), ..settings() };
    let mut harness = Harness::with(Kind::Sqlite, caps, |_| {}).await;
    harness.endow(6);
    harness.owe(&address(1), 120 * COIN).await;
    for _ in 0..3 {
        harness.sweep().await;
        harness.settle().await;
    }
    assert_eq!(harness.balance(&address(1)).await.payable, Amount::ZERO);
    harness.check(&[(&address(1), 3)]).await;
}

#[actix_rt::test]
async fn the_pool_bears_the_fee_only_when_its_account_can() {
    let bears = PayoutSettings { network_fee: NetworkFee::Pool, ..settings() };
    let mut harness = Harness::with(Kind::Sqlite, bears, |_| {}).await;
    harness.endow(3);
    harness.owe(&address(1), 10 * COIN).await;
    harness.post(&[("pool_fee".to_owned(), 47_209), ("chain_rewards".to_owned(), -47_209)]).await;
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(harness.open().await.is_empty() && harness.sends().is_empty(), "an atom is missing");
    harness.post(&[("pool_fee".to_owned(), 1), ("chain_rewards".to_owned(), -1)]).await;
    harness.mine(1);
    harness.settle().await;
    assert_eq!(harness.income(&address(1)), [10 * COIN]);
    assert_eq!([harness.account("pool_fee").await, harness.account("network_fee").await], [0, 47_210]);
    harness.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn who_cannot_be_paid_is_left_out_visibly_and_the_others_are_paid() {
    let mut harness = Harness::new().await;
    harness.endow(3);
    let wallet = harness.wallet_address();
    for address in ["no address", wallet.as_str(), &address(1)] {
        harness.owe(address, COIN).await;
    }
    // A minimum of nothing would send less than its own fee.
    harness.owe(&address(2), COIN / 10).await;
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(harness.metrics.payouts_skipped.get(), 2);
    assert_eq!(harness.balance("no address").await.payable, atoms(COIN));
    assert_eq!(harness.balance(&wallet).await.payable, atoms(COIN));
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn what_is_less_than_its_fee_is_not_sent() {
    let all = PayoutSettings { min_amount: Amount::ZERO, ..settings() };
    let mut harness = Harness::with(Kind::Sqlite, all, |_| {}).await;
    harness.endow(3);
    harness.owe(&address(1), 1).await;
    harness.sweep().await;
    harness.ticks(2).await;
    assert!(harness.open().await.is_empty());
    assert_eq!(harness.metrics.payouts_skipped.get(), 1);
    harness.owe(&address(2), COIN).await;
    harness.owe(&address(1), COIN).await;
    harness.sweep().await;
    harness.settle().await;
    assert_eq!(harness.metrics.payouts_skipped.get(), 0);
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn two_forms_of_one_address_are_two_accounts_and_two_transactions() {
    let mut harness = Harness::new().await;
    harness.endow(4);
    let with_checksum = address(1);
    let keys = bs58::decode(&with_checksum).into_vec().unwrap();
    let legacy = bs58::encode(&keys[..64]).into_string();
    harness.owe(&with_checksum, 2 * COIN).await;
    harness.owe(&legacy, COIN).await;
    harness.sweep().await;
    harness.settle().await;
    harness.audit().await;
    assert_eq!(harness.sends().len(), 2);
    assert_eq!(harness.income(&legacy).len(), 2, "the chain knows keys, not texts");
    for text in [&with_checksum, &legacy] {
        assert_eq!(harness.balance(text).await.payable, Amount::ZERO);
    }
}
