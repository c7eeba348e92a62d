use chain::TxId;
use daemon::SendRecipient;
use proptest::prelude::*;
use units::Amount;

use super::*;

fn send(n: u64, height: u64) -> WalletSend {
    let mut txid = [0; 32];
    txid[..8].copy_from_slice(&n.to_le_bytes());
    WalletSend {
        txid: TxId(txid),
        timestamp: 0,
        recorded_height: Height::new(height),
        chain_state: ChainState::Confirmed,
        confirmations: 1,
        fee: Amount::ZERO,
        total_amount: Amount::ZERO,
        recipients: Vec::new(),
    }
}

fn reading(mark: Option<(u64, u64)>) -> Reading {
    let mark = mark.map(|(height, sends)| ReadMark { wallet: "own".into(), height: Height::new(height), sends });
    let (epoch, wallet, tip) = (1, "own".to_owned(), Height::new(0));
    Reading { epoch, wallet, mark, tip, total: 0, offset: 0, fresh: 0, near: 0, mined: HashMap::new() }
}

/// How many of these sends, newest first, are read before the reading is over.
fn read(heights: &[u64], mark: Option<(u64, u64)>) -> usize {
    let sends: Vec<WalletSend> = (0..).zip(heights).map(|(n, height)| send(n, *height)).collect();
    let total = u64::try_from(sends.len()).unwrap();
    let mut reading = reading(mark);
    loop {
        let offset = usize::try_from(reading.offset).unwrap();
        let page = sends[offset..].iter().take(usize::try_from(PAGE).unwrap()).cloned().collect();
        if reading.turn(&Sends { total, sends: page }) {
            return usize::try_from(reading.offset).unwrap();
        }
    }
}

#[test]
fn memos_of_payouts_are_told_from_all_others() {
    let of = |text: &str| intent_id(&hex::encode(text));
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(of(id).as_deref(), Some(id));
    for other in ["", "rent", &id[1..], &format!("{id}0"), &id.to_uppercase(), &id.replace('f', "g")] {
        assert_eq!(of(other), None, "{other}");
    }
    assert_eq!(intent_id("zz"), None);
    assert_eq!(intent_id(&hex::encode([0xff; 32])), None);
    let recipient = |memo: &str| SendRecipient {
        address: "a".into(),
        amount: Amount::ZERO,
        memo_hex: (!memo.is_empty()).then(|| hex::encode(memo)),
    };
    let mixed = WalletSend { recipients: vec![recipient(""), recipient(id), recipient("x")], ..send(1, 1) };
    assert_eq!(memos_of(&mixed).into_iter().collect::<Vec<_>>(), [id]);
}

#[test]
fn a_wallet_is_read_to_where_everything_fitted_and_not_beyond() {
    let old: Vec<u64> = (0..1_000).rev().collect();
    assert_eq!(read(&old, None), 1_000);
    // Nothing new: two pages, since the first one reaches a little below the mark.
    assert_eq!(read(&old, Some((999, 989))), 40);
    assert_eq!(read(&old, Some((900, 890))), 120 + 20);
    assert_eq!(read(&[], Some((5, 0))), 0);
}

#[test]
fn a_mark_that_does_not_fit_the_number_of_sends_makes_it_read_on() {
    // The chain was put back by a hundred blocks after the mark, so new sends look older than it.
    let heights: Vec<u64> = (0..500).rev().collect();
    assert_eq!(read(&heights, Some((800, 460))), 500);
}

#[test]
fn a_reading_says_how_many_sends_were_clearly_older() {
    let page = Sends { total: 3, sends: vec![send(3, 100), send(2, 95), send(1, 80)] };
    let mut reading = Reading { tip: Height::new(100), ..reading(None) };
    assert!(reading.turn(&page));
    assert_eq!((reading.fresh, reading.near), (3, 2));
}

proptest! {
    /// Whatever clocks did to the order: what was sent after the mark is read.
    #[test]
    fn no_send_after_the_mark_is_missed(
        old in prop::collection::vec(0_u64..500, 0..200),
        new in prop::collection::vec((500_u64..600, 0_usize..200), 0..60),
    ) {
        let mut heights: Vec<u64> = old.clone();
        heights.sort_unstable_by(|one, other| other.cmp(one));
        for (height, place) in &new {
            heights.insert((*place).min(heights.len()), *height);
        }
        let last_new = heights.iter().rposition(|height| *height >= 500).map_or(0, |place| place + 1);
        let clearly_older = old.iter().filter(|height| **height + HEIGHT_SLACK < 500).count();
        let mark = (500, u64::try_from(clearly_older).unwrap());
        prop_assert!(read(&heights, Some(mark)) >= last_new);
    }
}
