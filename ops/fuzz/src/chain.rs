//! Addresses, headers, targets, and the daemon's JSON.
use arbitrary::Unstructured;
use chain::{Address, AddressError, Block, HeaderBase, Network, PowHash, Target};
use curve25519_dalek::RistrettoPoint;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use units::{Difficulty, Nonce};

use crate::draw;

const NETWORKS: [Network; 2] = [Network::Mainnet, Network::Testnet];

/// No text makes the parser panic; an accepted text is the only form of its keys; a checksummed one is good on one
/// network only; two real keys are always an address.
pub fn address(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        NETWORKS.iter().for_each(|network| text_of(text, network));
    }
    let mut input = Unstructured::new(data);
    let (spend, view): ([u8; 32], [u8; 32]) = draw(&mut input);
    let _of_any_bytes = encoded(&spend, &view);
    let mut seed = [0; 64];
    seed[..32].copy_from_slice(&spend);
    seed[32..].copy_from_slice(&view);
    let spend = RistrettoPoint::from_uniform_bytes(&seed);
    let view = spend + RISTRETTO_BASEPOINT_POINT;
    let (spend, view) = (spend.compress().to_bytes(), view.compress().to_bytes());
    if spend != [0; 32] && view != [0; 32] {
        assert_eq!(encoded(&spend, &view), Ok(()));
    }
}

fn text_of(text: &str, network: &Network) {
    match Address::parse(text, network) {
        Ok(address) => {
            assert_eq!(address.as_str(), text.trim());
            assert_eq!(Address::parse(address.as_str(), network), Ok(address.clone()));
            let form = if address.is_legacy() {
                bs58::encode([*address.spend_key(), *address.view_key()].concat()).into_string()
            } else {
                Address::encode(address.spend_key(), address.view_key(), *network)
            };
            assert_eq!(address.as_str(), form, "keys have one text of each kind");
        }
        Err(error) => assert!(error.login_text().starts_with("invalid address")),
    }
}

/// What the parser says about the text of these keys.
fn encoded(spend: &[u8; 32], view: &[u8; 32]) -> Result<(), AddressError> {
    let legacy = bs58::encode([*spend, *view].concat()).into_string();
    let legacy = Address::parse(&legacy, &Network::Mainnet).map(|_| ());
    for (own, other) in [(NETWORKS[0], NETWORKS[1]), (NETWORKS[1], NETWORKS[0])] {
        let text = Address::encode(spend, view, own);
        let read = Address::parse(&text, &own);
        if let Ok(address) = &read {
            assert_eq!((address.spend_key(), address.view_key(), address.is_legacy()), (spend, view, false));
        }
        assert_eq!(read.map(|_| ()), legacy, "the checksum decides nothing about the keys");
        assert_eq!(Address::parse(&text, &other), Err(AddressError::Checksum));
    }
    assert!(matches!(legacy, Ok(()) | Err(AddressError::SpendKey | AddressError::ViewKey)));
    legacy
}

/// Headers and targets are read back from every form they are written in; a target is met by all up to it and by
/// nothing above.
pub fn header(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(header) = HeaderBase::from_hex(text) {
            assert_eq!(header.to_hex(), text.to_ascii_lowercase());
        }
        if let Ok(target) = Target::from_hex(text) {
            assert_eq!(target.to_hex(), text.to_ascii_lowercase());
        }
    }
    let mut input = Unstructured::new(data);
    let (bytes, nonce, timestamp): ([u8; 92], u64, i64) = draw(&mut input);
    let header = HeaderBase::from_bytes(bytes);
    assert_eq!(HeaderBase::build(&header.parts()), header);
    assert_eq!(HeaderBase::from_hex(&header.to_string()), Ok(header));
    let moved = header.with_timestamp(timestamp);
    assert_eq!((moved.timestamp(), moved.with_timestamp(header.timestamp())), (timestamp, header));
    let block = chain::BlockHeader::new(&header, Nonce::new(nonce));
    assert_eq!((block.base(), block.block_id()), (header, header.block_id(Nonce::new(nonce))));
    targets(header.difficulty(), draw(&mut input), draw(&mut input));
}

fn targets(hashes: u64, other: u64, hash: [u8; 32]) {
    let target = Target::from_hashes(hashes);
    assert_eq!(Target::from_hex(&target.to_hex().to_ascii_uppercase()), Ok(target));
    assert!(target.is_met_by(&PowHash(*target.as_bytes())));
    assert_eq!(target.is_met_by(&PowHash(hash)), Target::from_bytes(hash) <= target);
    if let Some(difficulty) = Difficulty::new(hashes) {
        assert_eq!(Target::from_difficulty(difficulty), target);
    }
    if hashes != 0 && other >= hashes {
        assert!(Target::from_hashes(other) <= target);
    }
}

/// Any JSON is a block or not; one that was read is the same block after it was printed.
pub fn json(data: &[u8]) {
    let Ok(block) = serde_json::from_slice::<Block>(data) else { return };
    let printed = serde_json::to_vec(&block).expect("a block can be printed");
    let again: Block = serde_json::from_slice(&printed).expect("a printed block can be read");
    assert_eq!(again, block);
    assert_eq!((again.merkle_root(), again.header.block_id()), (block.merkle_root(), block.header.block_id()));
    for transaction in &block.transactions {
        assert!(transaction.to_bytes().len() >= 49 && transaction.is_coinbase() == transaction.inputs.is_empty());
    }
}
