//! The bytes of a send request: made once, stored, and sent as they are.
use bytes::Bytes;
use chain::TxId;
use serde::Serialize;
use store::payouts::IntentLine;

use crate::plan::WalletOutput;

#[derive(Serialize)]
struct Request<'a> {
    recipients: Vec<Recipient<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<Input>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_split: Option<u64>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Recipient<'a> {
    address: &'a str,
    amount: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo_text: Option<&'a str>,
}

#[derive(Serialize)]
struct Input {
    txid: TxId,
    output_index: u32,
}

fn recipients<'a>(lines: &'a [IntentLine], memo: Option<&'a str>) -> Vec<Recipient<'a>> {
    let recipient =
        |line: &'a IntentLine| Recipient { address: &line.address, amount: line.net.atoms(), memo_text: memo };
    lines.iter().map(recipient).collect()
}

fn bytes(request: &Request<'_>) -> Vec<u8> {
    serde_json::to_vec(request).expect("texts and numbers are JSON")
}

/// A send for which the wallet chooses the inputs.
pub(crate) fn plain(lines: &[IntentLine], memo: &str) -> Vec<u8> {
    bytes(&Request { recipients: recipients(lines, Some(memo)), inputs: None, change_split: None, dry_run: false })
}

/// A send from these inputs.
pub(crate) fn advanced(lines: &[IntentLine], memo: &str, inputs: &[WalletOutput], change_split: u64) -> Vec<u8> {
    let recipients = recipients(lines, Some(memo));
    let inputs = Some(outpoints(inputs));
    bytes(&Request { recipients, inputs, change_split: Some(change_split), dry_run: false })
}

/// Asks what a send would cost: from these inputs, or from the wallet's choice when there are none.
pub(crate) fn dry_run(lines: &[IntentLine], inputs: &[WalletOutput], change_split: u64) -> Bytes {
    let named = (!inputs.is_empty()).then(|| outpoints(inputs));
    let change_split = named.as_ref().map(|_| change_split);
    bytes(&Request { recipients: recipients(lines, None), inputs: named, change_split, dry_run: true }).into()
}

fn outpoints(inputs: &[WalletOutput]) -> Vec<Input> {
    inputs.iter().map(|output| Input { txid: output.outpoint.txid, output_index: output.outpoint.index }).collect()
}

/// How the wallet shows the memo of an intent.
pub(crate) fn memo_hex(id: &str) -> String {
    hex::encode(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Amount;

    #[test]
    fn the_bytes_are_those_that_the_daemon_reads() {
        let amount = |atoms| Amount::from_atoms(atoms).unwrap();
        let lines = [IntentLine { address: "Sw9Z".into(), gross: amount(9), net: amount(7) }];
        let output = WalletOutput { outpoint: (TxId([0xab; 32]), 3).into(), amount: amount(20) };
        let expected = r#"{"recipients":[{"address":"Sw9Z","amount":7,"memo_text":"m"}],"inputs":[{"txid":"TXID","output_index":3}],"change_split":2,"dry_run":false}"#;
        assert_eq!(
            String::from_utf8(advanced(&lines, "m", &[output], 2)).unwrap(),
            expected.replace("TXID", &"ab".repeat(32))
        );
        assert_eq!(
            String::from_utf8(plain(&lines, "m")).unwrap(),
            r#"{"recipients":[{"address":"Sw9Z","amount":7,"memo_text":"m"}],"dry_run":false}"#
        );
        assert_eq!(dry_run(&lines, &[], 1), r#"{"recipients":[{"address":"Sw9Z","amount":7}],"dry_run":true}"#);
        assert_eq!(memo_hex("a1"), "6131");
    }
}
