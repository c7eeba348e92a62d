use daemon::SendRecipient;
use store::payouts::{Attempt, IntentLine};
use units::Timestamp;

use super::*;

const TIP: u64 = 500;

fn atoms(atoms: u64) -> Amount {
    Amount::from_atoms(atoms).unwrap()
}

fn txid(n: u8) -> TxId {
    TxId([n; 32])
}

/// An output that was made at height 10.
fn output(n: u8, amount: u64, status: OutputState, spent_height: Option<u64>) -> Output {
    Output {
        txid: txid(n),
        output_index: 0,
        amount: atoms(amount),
        status,
        coinbase: true,
        confirmations: TIP - 10,
        block_height: Height::new(10),
        spent_height: spent_height.map(Height::new),
        memo_hex: None,
    }
}

fn spent(n: u8, height: u64) -> Output {
    output(n, 100, OutputState::Spent, Some(height))
}

fn change(n: u8, amount: u64, height: u64) -> Output {
    Output { coinbase: false, block_height: Height::new(height), ..output(n, amount, OutputState::Unspent, None) }
}

fn look(outputs: Vec<Output>, sends: Vec<WalletSend>) -> WalletSnapshot {
    let tip = Height::new(TIP);
    WalletSnapshot::new(
        "own".to_owned(),
        WalletOutputs { chain_height: tip, synced_height: tip, outputs },
        Amount::ZERO,
        sends,
    )
}

/// From outputs 1 and 2 of 100 each: 150 net, a fee of 20, 30 left over.
fn payout() -> Intent {
    let at = Timestamp::from_ms(0);
    Intent {
        id: "aa".into(),
        state: IntentState::Unknown,
        gross: atoms(170),
        fee_expected: atoms(20),
        fee_paid: None,
        txid: None,
        created_at: at,
        created_height: Height::new(400),
        sent_at: None,
        absent_since: None,
        attention: None,
        wallet: None,
        word: None,
        reserved_epoch: None,
        adopted_at: None,
        lines: vec![IntentLine { address: "A".into(), gross: atoms(170), net: atoms(150) }],
        attempts: vec![Attempt {
            attempt: 1,
            route: "advanced",
            idempotency_key: "aa-1".into(),
            body: Vec::new(),
            inputs: vec![(txid(1), 0).into(), (txid(2), 0).into()],
            created_at: at,
            created_height: Height::new(400),
            outcome: None,
            repeated: false,
        }],
    }
}

fn inputs(outputs: Vec<Output>) -> (Inputs, Option<FoundTransaction>) {
    look(outputs, Vec::new()).inputs(&payout())
}

#[test]
fn inputs_are_unspent_only_when_all_are() {
    use OutputState::{Pending, Spent, Unspent};
    let of = |one, two| inputs(vec![output(1, 100, one, None), output(2, 100, two, None)]).0;
    assert_eq!(of(Unspent, Unspent), Inputs::Unspent);
    assert_eq!(of(Unspent, Pending), Inputs::Immature);
    assert_eq!(of(Unspent, Spent), Inputs::Leaving);
    assert_eq!(of(Spent, Pending), Inputs::Leaving);
    assert_eq!(inputs(vec![output(1, 100, Unspent, None)]).0, Inputs::Taken { since: None }, "the chain lost one");
}

#[test]
fn a_block_that_spends_all_and_gives_back_what_is_left_over_holds_the_payout() {
    let outputs = vec![spent(1, 450), spent(2, 450), change(3, 10, 450), change(4, 10, 450)];
    // The change in two parts, beside income from elsewhere.
    let mut split = change(3, 20, 450);
    split.output_index = 1;
    let ours = [outputs.clone(), vec![split]].concat();
    let (_, seen) = inputs(ours);
    let expected = FoundTransaction { txid: txid(3), fee: atoms(20), place: TxLocation::Block { depth: 50 } };
    assert_eq!(seen, Some(expected));
    assert_eq!(inputs(outputs), (Inputs::Unclear { since: Height::new(450) }, None), "another sum says nothing");
}

#[test]
fn inputs_are_taken_when_no_transaction_of_ours_can_have_spent_them() {
    let since = Some(Height::new(440));
    // In two blocks; one only; all, and nothing came back.
    let apart = vec![spent(1, 440), spent(2, 450), change(3, 30, 450)];
    assert_eq!(inputs(apart), (Inputs::Taken { since }, None));
    let one = vec![spent(1, 440), output(2, 100, OutputState::Unspent, None), change(3, 30, 440)];
    assert_eq!(inputs(one), (Inputs::Taken { since }, None));
    assert_eq!(inputs(vec![spent(1, 440), spent(2, 440)]), (Inputs::Taken { since }, None));
}

#[test]
fn a_payout_without_change_leaves_no_trace_to_judge_by() {
    let mut payout = payout();
    payout.lines[0].net = atoms(180);
    let look = look(vec![spent(1, 440), spent(2, 440)], Vec::new());
    assert_eq!(look.inputs(&payout), (Inputs::Unclear { since: Height::new(440) }, None));
}

fn send(n: u8, chain_state: ChainState, memo: &str) -> WalletSend {
    WalletSend {
        txid: txid(n),
        timestamp: 0,
        recorded_height: Height::new(400),
        chain_state,
        confirmations: u64::from(chain_state == ChainState::Confirmed) * 4,
        fee: atoms(21),
        total_amount: atoms(150),
        recipients: vec![SendRecipient { address: "A".into(), amount: atoms(150), memo_hex: Some(memo_hex(memo)) }],
    }
}

#[test]
fn of_several_transactions_with_the_memo_the_one_in_a_block_counts() {
    use ChainState::{Confirmed, Mempool, NotFound};
    let of = |sends| look(Vec::new(), sends).send_of("aa").map(|seen| seen.map(|seen| (seen.txid, seen.place)));
    let is = |n, place| Some((txid(n), place));
    assert_eq!(of(vec![send(1, Confirmed, "ab")]).unwrap(), None);
    assert_eq!(of(vec![send(1, NotFound, "aa"), send(2, NotFound, "aa")]).unwrap(), is(1, TxLocation::Nowhere));
    assert_eq!(of(vec![send(1, NotFound, "aa"), send(2, Mempool, "aa")]).unwrap(), is(2, TxLocation::Mempool));
    let mined = vec![send(1, Mempool, "aa"), send(2, NotFound, "aa"), send(3, Confirmed, "aa")];
    assert_eq!(of(mined).unwrap(), is(3, TxLocation::Block { depth: 3 }));
    let twice = of(vec![send(1, Confirmed, "aa"), send(2, Confirmed, "aa")]).unwrap_err();
    assert_eq!(twice.to_string(), "payout aa: 2 transactions with its memo are in blocks");
}

#[test]
fn money_has_left_when_an_input_is_spent() {
    let unspent = |n| output(n, 100, OutputState::Unspent, None);
    assert!(look(vec![unspent(1), unspent(2)], Vec::new()).still_holds(&payout()));
    let leaving = output(1, 100, OutputState::Spent, None);
    assert!(!look(vec![leaving, unspent(2)], Vec::new()).still_holds(&payout()));
}
