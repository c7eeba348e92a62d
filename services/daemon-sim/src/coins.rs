//! Simulated money: keys, one-time outputs, key images.
//!
//! The real chain hides owner and amount behind curve arithmetic. Here hashes of public values take that place:
//! an output still belongs to exactly one address, carries its amount and memo, has one key image, and has the
//! real sizes in bytes; but nobody's secrets are safe. A pool sees no difference.
use chain::sha3_256;
use chain::tx::{Blob, Bytes, Input, Output, Transaction};
use devnet_accounts::Keys;
use rand::Rng;

/// Members of a ring, the spent output included.
pub(crate) const RING_SIZE: usize = 16;
/// Longest memo of an output.
pub(crate) const MEMO_BYTES_MAX: usize = 124;
const RANGE_PROOF_BYTES: usize = 672;
const RING_SIGNATURE_BYTES: usize = 1120;

/// What the owner of an output learns from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) amount: u64,
    pub(crate) memo: Vec<u8>,
}

/// One payment of a transaction to be made.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) to: Keys,
    pub(crate) amount: u64,
    pub(crate) memo: Vec<u8>,
}

/// The key under which `owner` gets output `index` of a transaction.
fn one_time_key(owner: &Keys, tx_public_key: &[u8; 32], index: usize) -> [u8; 32] {
    let index = u64::try_from(index).unwrap_or(u64::MAX).to_le_bytes();
    sha3_256(&[b"devnet one-time key", owner.spend_key(), owner.view_key(), tx_public_key, &index])
}

/// The mark that spending an output leaves on the chain.
pub(crate) fn key_image(one_time_key: &[u8; 32]) -> [u8; 32] {
    sha3_256(&[b"devnet key image", one_time_key])
}

fn amount_mask(one_time_key: &[u8; 32]) -> u64 {
    let mut mask = [0; 8];
    mask.copy_from_slice(&sha3_256(&[b"devnet amount", one_time_key])[..8]);
    u64::from_le_bytes(mask)
}

/// The amount of an output, readable by anybody here, so that a block's coinbase can be checked.
pub(crate) fn amount_of(output: &Output) -> u64 {
    u64::from_le_bytes(output.encrypted_amount.0) ^ amount_mask(&output.public_key.0)
}

fn memo_stream(one_time_key: &[u8; 32]) -> [u8; 128] {
    let mut stream = [0; 128];
    for (at, block) in (0_u32..).zip(stream.chunks_exact_mut(32)) {
        block.copy_from_slice(&sha3_256(&[b"devnet memo", one_time_key, &at.to_le_bytes()]));
    }
    stream
}

fn random_bytes<const N: usize>(rng: &mut impl Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn random_blob(rng: &mut impl Rng, length: usize) -> Blob {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    Blob(bytes)
}

fn make_output(payment: &Payment, tx_public_key: &[u8; 32], index: usize, rng: &mut impl Rng) -> Output {
    let public_key = one_time_key(&payment.to, tx_public_key, index);
    let mut memo: [u8; 128] = random_bytes(rng);
    let length = payment.memo.len().min(MEMO_BYTES_MAX);
    memo[0] = 1;
    memo[1] = u8::try_from(length).unwrap_or(u8::MAX);
    memo[2..4].copy_from_slice(&sha3_256(&[b"devnet memo checksum", &payment.memo])[..2]);
    memo[4..4 + length].copy_from_slice(&payment.memo[..length]);
    for (byte, mask) in memo.iter_mut().zip(memo_stream(&public_key)) {
        *byte ^= mask;
    }
    Output {
        commitment: Bytes(random_bytes(rng)),
        public_key: Bytes(public_key),
        range_proof: random_blob(rng, RANGE_PROOF_BYTES),
        encrypted_amount: Bytes((payment.amount ^ amount_mask(&public_key)).to_le_bytes()),
        encrypted_memo: Bytes(memo),
    }
}

/// What `owner` got in output `index` of `tx`; `None` when it is somebody else's.
pub(crate) fn receive(owner: &Keys, tx: &Transaction, index: usize) -> Option<Received> {
    let output = tx.outputs.get(index)?;
    if one_time_key(owner, &tx.tx_public_key.0, index) != output.public_key.0 {
        return None;
    }
    let mut memo = output.encrypted_memo.0;
    for (byte, mask) in memo.iter_mut().zip(memo_stream(&output.public_key.0)) {
        *byte ^= mask;
    }
    let length = usize::from(memo[1]).min(MEMO_BYTES_MAX);
    Some(Received { amount: amount_of(output), memo: memo[4..4 + length].to_vec() })
}

/// A transaction that spends the outputs with these one-time keys.
pub(crate) fn make_transaction(
    spends: &[[u8; 32]],
    payments: &[Payment],
    fee: u64,
    decoys: &[([u8; 32], [u8; 32])],
    rng: &mut impl Rng,
) -> Transaction {
    let tx_public_key: [u8; 32] = random_bytes(rng);
    let inputs = spends
        .iter()
        .map(|spent| {
            let mut ring: Vec<([u8; 32], [u8; 32])> =
                (1..RING_SIZE).map(|at| decoys.get(at % decoys.len().max(1)).copied().unwrap_or_default()).collect();
            ring.insert(rng.random_range(0..RING_SIZE), (*spent, random_bytes(rng)));
            Input {
                key_image: Bytes(key_image(spent)),
                ring_members: ring.iter().map(|(key, _)| Bytes(*key)).collect(),
                ring_commitments: ring.iter().map(|(_, commitment)| Bytes(*commitment)).collect(),
                pseudo_output: Bytes(random_bytes(rng)),
                ring_signature: random_blob(rng, RING_SIGNATURE_BYTES),
            }
        })
        .collect();
    let outputs =
        payments.iter().enumerate().map(|(at, payment)| make_output(payment, &tx_public_key, at, rng)).collect();
    Transaction { version: 1, inputs, outputs, fee, tx_public_key: Bytes(tx_public_key) }
}

/// A coinbase that pays `reward` to `to`.
pub(crate) fn make_coinbase(to: Keys, reward: u64, rng: &mut impl Rng) -> Transaction {
    make_transaction(&[], &[Payment { to, amount: reward, memo: Vec::new() }], 0, &[], rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn only_the_owner_finds_amount_and_memo_and_sizes_are_real() {
        let mut rng = StdRng::seed_from_u64(1);
        let (alice, bob) = (Keys::derive(1, "alice"), Keys::derive(1, "bob"));
        let payment = |to, amount| Payment { to, amount, memo: b"payout 17".to_vec() };
        let tx = make_transaction(&[[7; 32]], &[payment(alice, 5), payment(bob, 6)], 47_210, &[], &mut rng);
        assert_eq!(receive(&alice, &tx, 0), Some(Received { amount: 5, memo: b"payout 17".to_vec() }));
        assert_eq!(receive(&alice, &tx, 1), None);
        assert_eq!(receive(&bob, &tx, 1).unwrap().amount, 6);
        assert_eq!(tx.to_bytes().len(), 4017);
        assert_eq!(make_coinbase(alice, 1, &mut rng).to_bytes().len(), 925);
    }
}
