//! Whoever is due is paid, once, to the atom.
use meshpool_devnet::MineOrder;
use settings::{NetworkFee, PayoutSettings};
use store::payouts::IntentState;
use units::Amount;

use crate::database::Kind;
use crate::stage::{COIN, Stage, address, atoms, settings};

#[actix_rt::test]
async fn miners_are_paid_by_one_transaction_and_the_books_close_when_it_is_deep() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = Stage::on(kind).await;
        stage.endow(3);
        let miners = [address(1), address(2), address(3)];
        for (miner, coins) in miners.iter().zip([500, 30, 1]) {
            stage.owe(miner, coins * COIN).await;
        }
        let reserved = stage.reserve().await;
        assert_eq!(stage.balance(&miners[0]).await.inflight, atoms(500 * COIN));
        stage.audit().await;
        stage.tick().await;
        assert_eq!(stage.only().await.state, IntentState::Broadcast);
        stage.audit().await;
        stage.mine(1);
        stage.tick().await;
        assert_eq!(stage.only().await.state, IntentState::Confirmed);
        stage.audit().await;
        stage.mine(2);
        stage.tick().await;
        assert_eq!(stage.only().await.state, IntentState::Confirmed, "two blocks follow it");
        stage.mine(1);
        stage.tick().await;
        assert!(stage.open().await.is_empty());

        let sends = stage.sends();
        assert_eq!(sends.len(), 1);
        let settled = stage.find(&reserved.id).await;
        assert_eq!((settled.state, settled.fee_paid), (IntentState::Settled, Some(atoms(sends[0].record.fee))));
        assert_eq!(settled.fee_expected, atoms(sends[0].record.fee), "the daemon was asked before");
        stage.check(&[(&miners[0], 1), (&miners[1], 1), (&miners[2], 1)]).await;
        let paid: u64 = miners.iter().flat_map(|miner| stage.income(miner)).sum();
        assert_eq!(paid + sends[0].record.fee, 531 * COIN);
        assert_eq!(stage.account("pool_fee").await, 0);
        let memo = hex::encode(&settled.id);
        assert!(sends[0].record.recipients.iter().all(|recipient| recipient.memo_hex == memo));
        let rows = stage.store.payout_list_of(&miners[1], 10).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].state, rows[0].net),
            (1, IntentState::Settled, settled.lines.iter().find(|line| line.address == miners[1]).unwrap().net)
        );
    }
}

#[actix_rt::test]
async fn a_crowd_is_paid_in_batches_and_nobody_twice() {
    let mut stage = Stage::new().await;
    stage.endow(4);
    for n in 0..120 {
        stage.owe(&address(n), COIN + n).await;
    }
    stage.sweep().await;
    stage.settle().await;
    assert_eq!(stage.sends().len(), 3);
    let miners: Vec<String> = (0..120).map(address).collect();
    stage.check(&miners.iter().map(|miner| (miner.as_str(), 1)).collect::<Vec<_>>()).await;
}

#[actix_rt::test]
async fn the_head_of_the_queue_waits_for_funds_and_nobody_overtakes_it() {
    let mut stage = Stage::new().await;
    stage.endow(1);
    stage.owe(&address(1), 1_000 * COIN).await;
    stage.owe(&address(2), COIN).await;
    // Half of the wallet's money must mature.
    stage.mine_as(MineOrder { to: "wallet".to_owned(), ..MineOrder::default() });
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(stage.open().await.is_empty() && stage.sends().is_empty());
    stage.mine(3);
    stage.ticks(2).await;
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn caps_hold_for_a_run_and_the_next_one_goes_on() {
    let caps = PayoutSettings {
        max_recipients_per_tick: 2,
        max_total_per_tick: atoms(50 * COIN),
        max_per_recipient: atoms(30 * COIN),
        ..settings()
    };
    let mut stage = Stage::with(Kind::Sqlite, caps, |_| {}).await;
    stage.endow(6);
    for (n, coins) in [(1, 40), (2, 20), (3, 5)] {
        stage.owe(&address(n), coins * COIN).await;
    }
    stage.sweep().await;
    stage.settle().await;
    let gross = async |stage: &Stage, n| stage.store.payout_list_of(&address(n), 9).await.unwrap().len();
    assert_eq!([gross(&stage, 1).await, gross(&stage, 2).await, gross(&stage, 3).await], [1, 1, 0]);
    assert_eq!(stage.balance(&address(1)).await.payable, atoms(10 * COIN), "30 is the most at once");
    stage.sweep().await;
    stage.settle().await;
    stage.sweep().await;
    stage.settle().await;
    for n in [1, 2, 3] {
        assert_eq!(stage.balance(&address(n)).await.payable, Amount::ZERO);
    }
    stage.check(&[(&address(1), 2), (&address(2), 1), (&address(3), 1)]).await;
}

#[actix_rt::test]
async fn a_long_run_is_sent_a_few_transactions_a_step() {
    let mut stage = Stage::new().await;
    stage.endow(30);
    // Fifty to a transaction: ten of them.
    let owed: u64 = 500;
    let mut postings = vec![("chain_rewards".to_owned(), -i64::try_from(owed * COIN).unwrap())];
    postings.extend((1..=owed).map(|n| (format!("payable:{}", address(n)), i64::try_from(COIN).unwrap())));
    stage.post(&postings).await;
    let fast = stage.let_the_daemons_clock_race();
    stage.sweep().await;
    assert_eq!(stage.sends().len(), 8, "the rest is for the next step");
    stage.tick().await;
    assert_eq!(stage.sends().len(), 10);
    drop(fast);
    stage.settle().await;
    stage.check(&[(&address(1), 1), (&address(owed), 1)]).await;
}

#[actix_rt::test]
async fn a_payout_above_the_cap_of_a_run_is_paid_in_parts() {
    let caps = PayoutSettings { max_total_per_tick: atoms(50 * COIN), ..settings() };
    let mut stage = Stage::with(Kind::Sqlite, caps, |_| {}).await;
    stage.endow(6);
    stage.owe(&address(1), 120 * COIN).await;
    for _ in 0..3 {
        stage.sweep().await;
        stage.settle().await;
    }
    assert_eq!(stage.balance(&address(1)).await.payable, Amount::ZERO);
    stage.check(&[(&address(1), 3)]).await;
}

#[actix_rt::test]
async fn the_pool_bears_the_fee_only_when_its_account_can() {
    let bears = PayoutSettings { network_fee: NetworkFee::Pool, ..settings() };
    let mut stage = Stage::with(Kind::Sqlite, bears, |_| {}).await;
    stage.endow(3);
    stage.owe(&address(1), 10 * COIN).await;
    stage.post(&[("pool_fee".to_owned(), 47_209), ("chain_rewards".to_owned(), -47_209)]).await;
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(stage.open().await.is_empty() && stage.sends().is_empty(), "an atom is missing");
    stage.post(&[("pool_fee".to_owned(), 1), ("chain_rewards".to_owned(), -1)]).await;
    stage.mine(1);
    stage.settle().await;
    assert_eq!(stage.income(&address(1)), [10 * COIN]);
    assert_eq!([stage.account("pool_fee").await, stage.account("network_fee").await], [0, 47_210]);
    stage.check(&[(&address(1), 1)]).await;
}

#[actix_rt::test]
async fn who_cannot_be_paid_is_left_out_visibly_and_the_others_are_paid() {
    let mut stage = Stage::new().await;
    stage.endow(3);
    let wallet = stage.wallet_address();
    for address in ["no address", wallet.as_str(), &address(1)] {
        stage.owe(address, COIN).await;
    }
    // A minimum of nothing would send less than its own fee.
    stage.owe(&address(2), COIN / 10).await;
    stage.sweep().await;
    stage.settle().await;
    assert_eq!(stage.counters.payouts_skipped.get(), 2);
    assert_eq!(stage.balance("no address").await.payable, atoms(COIN));
    assert_eq!(stage.balance(&wallet).await.payable, atoms(COIN));
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn what_is_less_than_its_fee_is_not_sent() {
    let all = PayoutSettings { min_amount: Amount::ZERO, ..settings() };
    let mut stage = Stage::with(Kind::Sqlite, all, |_| {}).await;
    stage.endow(3);
    stage.owe(&address(1), 1).await;
    stage.sweep().await;
    stage.ticks(2).await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.counters.payouts_skipped.get(), 1);
    stage.owe(&address(2), COIN).await;
    stage.owe(&address(1), COIN).await;
    stage.sweep().await;
    stage.settle().await;
    assert_eq!(stage.counters.payouts_skipped.get(), 0);
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn two_forms_of_one_address_are_two_accounts_and_two_transactions() {
    let mut stage = Stage::new().await;
    stage.endow(4);
    let with_checksum = address(1);
    let keys = bs58::decode(&with_checksum).into_vec().unwrap();
    let legacy = bs58::encode(&keys[..64]).into_string();
    stage.owe(&with_checksum, 2 * COIN).await;
    stage.owe(&legacy, COIN).await;
    stage.sweep().await;
    stage.settle().await;
    stage.audit().await;
    assert_eq!(stage.sends().len(), 2);
    assert_eq!(stage.income(&legacy).len(), 2, "the chain knows keys, not texts");
    for text in [&with_checksum, &legacy] {
        assert_eq!(stage.balance(text).await.payable, Amount::ZERO);
    }
}
