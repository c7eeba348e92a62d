use proptest::prelude::*;

use super::*;

fn batches() -> impl Strategy<Value = ShareBatch> {
    let line = (".{0,9}", ".{0,5}", any::<[u8; 16]>());
    let line = line.prop_map(|(address, worker, origin)| IdentityKey { address, worker, origin });
    let tables = (prop::collection::vec(line, 1..5), prop::collection::vec("[0-9a-f]{64}", 1..4));
    tables.prop_flat_map(|(lines, templates)| {
        let (line, template) = (0..lines.len(), 0..templates.len());
        let share = (any::<u64>(), line, template, any::<u64>(), any::<u64>(), any::<i64>(), any::<(u32, u8)>());
        let share = share.prop_map(|(seq, line, template, nonce, difficulty, at, (minute, flags))| StoredShare {
            seq: Seq(seq),
            line: u32::try_from(line).unwrap(),
            template: u32::try_from(template).unwrap(),
            nonce: Nonce::new(nonce),
            difficulty: Difficulty::new(difficulty >> 1).unwrap_or(Difficulty::ONE),
            received_at: Timestamp::from_ms(at),
            minute: Minute(minute),
            flags,
        });
        prop::collection::vec(share, 0..40).prop_map(move |shares| ShareBatch {
            lines: lines.clone(),
            templates: templates.clone(),
            shares,
        })
    })
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(batch in batches()) {
        prop_assert_eq!(ShareBatch::decode(&batch.encode()).unwrap(), batch);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let decoded = ShareBatch::decode(&bytes);
        let mut columns = vec![VERSION];
        columns.extend_from_slice(&lz4_flex::block::compress_prepend_size(&bytes));
        let inner = ShareBatch::decode(&columns);
        // Only an encoder's bytes are a batch, so a batch that was read anyway says the same when read again.
        for batch in [decoded, inner].into_iter().flatten() {
            prop_assert_eq!(ShareBatch::decode(&batch.encode()).unwrap(), batch);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_or_changes_the_digest(batch in batches(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut body = batch.encode();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        if let Ok(read) = ShareBatch::decode(&body) {
            prop_assert!(read == batch || read.digest() != batch.digest());
        }
    }
}

#[test]
fn a_length_is_not_believed() {
    let mut body = vec![VERSION];
    body.extend_from_slice(&u32::MAX.to_le_bytes());
    body.extend_from_slice(&[0; 20]);
    assert_eq!(ShareBatch::decode(&body).unwrap_err().to_string(), "share batch is damaged: its length is impossible");
    assert!(ShareBatch::decode(&[]).is_err());
    assert!(ShareBatch::decode(&[VERSION + 1, 0, 0, 0, 0]).is_err());
}

/// 200 miners, two seconds of one share each every two seconds per line, nonces that walk.
#[test]
fn a_share_of_a_busy_batch_takes_a_few_bytes() {
    let line = |n: u32| IdentityKey {
        address: hex::encode(Sha256::digest(n.to_le_bytes())) + "0123456789abcdefghijklmnopq",
        worker: format!("rig{n}"),
        origin: [u8::try_from(n % 251).unwrap(); 16],
    };
    let lines = (0..200).map(line).collect();
    let mut seed = 7u64;
    let mut chance = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut at = 1_795_417_478_123i64;
    let mut nonces: Vec<u64> = (0..200).map(|n| n << 40).collect();
    let shares = (0..10_000u64).map(|n| {
        let line = usize::try_from(chance(200)).unwrap();
        nonces[line] += chance(4_000);
        at += chance(3).cast_signed();
        StoredShare {
            seq: Seq(1_000_000 + n),
            line: u32::try_from(line).unwrap(),
            template: 0,
            nonce: Nonce::new(nonces[line]),
            difficulty: Difficulty::new(2_000).unwrap(),
            received_at: Timestamp::from_ms(at),
            minute: Timestamp::from_ms(at).minute(),
            flags: 0,
        }
    });
    let batch = ShareBatch { lines, templates: vec!["5d".repeat(32)], shares: shares.collect() };
    let body = batch.encode();
    println!("{} shares in {} bytes", batch.shares.len(), body.len());
    assert!(body.len() < batch.shares.len() * 8, "{} bytes", body.len());
    assert_eq!(ShareBatch::decode(&body).unwrap(), batch);
}
