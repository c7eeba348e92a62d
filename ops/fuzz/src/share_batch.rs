//! The stored form of shares.
use arbitrary::Unstructured;
use store::batch::{ShareBatch, StoredShare};
use store::fold::IdentityKey;
use units::{Difficulty, Minute, Nonce, Seq, Timestamp};

use crate::draw;

/// Any bytes are a batch or damaged, taken as they are and as what was compressed; what was read, and what was made
/// up, is read back from its own encoding.
pub fn batch(data: &[u8]) {
    let mut wrapped = vec![1];
    wrapped.extend_from_slice(&lz4_flex::block::compress_prepend_size(data));
    for body in [data, &wrapped] {
        if let Ok(batch) = ShareBatch::decode(body) {
            again(&batch);
        }
    }
    again(&made_up(&mut Unstructured::new(data)));
}

fn again(batch: &ShareBatch) {
    let body = batch.encode();
    let read = ShareBatch::decode(&body).expect("an encoded batch");
    assert_eq!(&read, batch);
    assert_eq!(read.digest(), batch.digest());
    for share in &batch.shares {
        assert!((share.line as usize) < batch.lines.len() && (share.template as usize) < batch.templates.len());
    }
}

fn made_up(input: &mut Unstructured<'_>) -> ShareBatch {
    let lines: [(&str, &str, [u8; 16]); 2] = draw(input);
    let lines =
        lines.map(|(address, worker, origin)| IdentityKey { address: address.into(), worker: worker.into(), origin });
    let mut shares = Vec::new();
    while !input.is_empty() {
        let (seq, line, nonce, difficulty): (u64, bool, u64, u64) = draw(input);
        let (received_at, minute, flags): (i64, u32, u8) = draw(input);
        shares.push(StoredShare {
            seq: Seq(seq),
            line: line.into(),
            template: 0,
            nonce: Nonce::new(nonce),
            difficulty: Difficulty::new(difficulty).unwrap_or(Difficulty::MAX),
            received_at: Timestamp::from_ms(received_at),
            minute: Minute(minute),
            flags,
        });
    }
    ShareBatch { lines: lines.into(), templates: vec!["root".into()], shares }
}
