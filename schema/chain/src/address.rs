//! Payout addresses: two public keys in base58, with a checksum that names the network.
//!
//! Two texts may name the same keys: the checksummed one and the legacy one without checksum. Whoever wrote the legacy
//! one gets the same account, so the pool knows and stores only the checksummed text, from here on.
//!
//! What this module refuses: handles (`@name`), and keys to which money would be lost.
use std::borrow::Cow;
use std::fmt;

use curve25519_dalek::ristretto::CompressedRistretto;

use crate::hash::sha3_256;

const CHECKSUM_TAG: &[u8] = b"blocknet_stealth_address_checksum";
const KEYS_BYTES: usize = 64;
const CHECKSUM_BYTES: usize = 4;
/// Base58 decoding is quadratic, so the text is bounded before it. Real addresses have 86 to 93 characters.
const TEXT_CHARS_MAX: usize = 128;

/// Which chain an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The real one.
    Mainnet,
    /// The test network; simulated chains use it too.
    Testnet,
}

impl Network {
    /// The text that enters the checksum of its addresses.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Network::Mainnet => "blocknet_mainnet",
            Network::Testnet => "blocknet_testnet",
        }
    }
}

/// A payout address: the checksummed text, whichever form its owner wrote, and the keys in it.
///
/// Equality is that of this text: whether it was given in the legacy form does not count.
#[derive(Clone)]
pub struct Address {
    text: Box<str>,
    spend: [u8; 32],
    view: [u8; 32],
    is_legacy: bool,
}

/// Why a text is not an address of this network. Miners see these texts at login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Empty, or too long to be worth decoding.
    #[error("invalid address")]
    OutOfBounds,
    /// A character outside the Bitcoin alphabet.
    #[error("invalid base58 address")]
    NotBase58,
    /// Neither the legacy nor the checksummed form.
    #[error("invalid address length: expected 64 or 68 bytes, got {0}")]
    Length(usize),
    /// A typing error, or an address of the other network.
    #[error("invalid address checksum")]
    Checksum,
    /// Not a curve point, or the zero point.
    #[error("invalid address spend public key")]
    SpendKey,
    /// Not a curve point, or the zero point.
    #[error("invalid address view public key")]
    ViewKey,
}

impl AddressError {
    /// The whole refusal that a miner reads at login.
    #[must_use]
    pub fn login_text(&self) -> String {
        match self {
            AddressError::OutOfBounds => self.to_string(),
            reason => format!("invalid address: {reason}"),
        }
    }
}

impl Address {
    /// Reads an address of `network`; white space around it is ignored. The legacy form carries no checksum and is
    /// good on both networks.
    ///
    /// # Errors
    /// The first rule that the text breaks: length limits, base58, length, checksum, spend key, view key.
    pub fn parse(text: &str, network: &Network) -> Result<Address, AddressError> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            return Err(AddressError::OutOfBounds);
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| AddressError::NotBase58)?;
        let wrong_length = AddressError::Length(bytes.len());
        let (keys, given_checksum) = bytes.split_first_chunk::<KEYS_BYTES>().ok_or(wrong_length)?;
        let is_legacy = given_checksum.is_empty();
        if !is_legacy && given_checksum.len() != CHECKSUM_BYTES {
            return Err(wrong_length);
        }
        if !is_legacy && given_checksum != checksum(keys, *network) {
            return Err(AddressError::Checksum);
        }
        let (mut spend, mut view) = ([0; 32], [0; 32]);
        spend.copy_from_slice(&keys[..32]);
        view.copy_from_slice(&keys[32..]);
        if !is_payable(&spend) {
            return Err(AddressError::SpendKey);
        }
        if !is_payable(&view) {
            return Err(AddressError::ViewKey);
        }
        let text = if is_legacy { Address::encode(&spend, &view, *network).into() } else { text.into() };
        Ok(Address { text, spend, view, is_legacy })
    }

    /// The text under which the pool keeps the account of `text`: the checksummed one of the same keys. What is no
    /// address of `network` stays as it is.
    #[must_use]
    pub fn account_text<'a>(text: &'a str, network: &Network) -> Cow<'a, str> {
        match Address::parse(text, network) {
            Ok(address) if *address.text != *text => Cow::Owned(address.text.into()),
            _ => Cow::Borrowed(text),
        }
    }

    /// Whether two texts name the same keys, in whichever form. Looks at neither checksums nor points, so it needs to know
    /// no network: good for comparing what was accepted before, not for accepting anything.
    #[must_use]
    pub fn is_same_account(one: &str, other: &str) -> bool {
        one == other || keys_in(one).is_some_and(|keys| keys_in(other) == Some(keys))
    }

    /// The checksummed text of two public keys (compressed Ristretto points); they are not checked.
    #[must_use]
    pub fn encode(spend: &[u8; 32], view: &[u8; 32], network: Network) -> String {
        let mut bytes = [0; KEYS_BYTES + CHECKSUM_BYTES];
        bytes[..32].copy_from_slice(spend);
        bytes[32..KEYS_BYTES].copy_from_slice(view);
        let sum = checksum(&bytes[..KEYS_BYTES], network);
        bytes[KEYS_BYTES..].copy_from_slice(&sum);
        bs58::encode(bytes).into_string()
    }

    /// The checksummed text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The form without checksum, which the daemon and older wallets still know.
    #[must_use]
    pub fn legacy_text(&self) -> String {
        bs58::encode([self.spend, self.view].concat()).into_string()
    }

    /// True if it was given in the form without checksum.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    /// The spend public key, a compressed Ristretto point.
    #[must_use]
    pub fn spend_key(&self) -> &[u8; 32] {
        &self.spend
    }

    /// The view public key, a compressed Ristretto point.
    #[must_use]
    pub fn view_key(&self) -> &[u8; 32] {
        &self.view
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

fn checksum(keys: &[u8], network: Network) -> [u8; CHECKSUM_BYTES] {
    let digest = sha3_256(&[CHECKSUM_TAG, network.id().as_bytes(), keys]);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    sum
}

/// The keys that a text of either form would name.
fn keys_in(text: &str) -> Option<[u8; KEYS_BYTES]> {
    if text.chars().count() > TEXT_CHARS_MAX {
        return None;
    }
    let bytes = bs58::decode(text).into_vec().ok()?;
    let (keys, rest) = bytes.split_first_chunk::<KEYS_BYTES>()?;
    (rest.is_empty() || rest.len() == CHECKSUM_BYTES).then_some(*keys)
}

/// True for a curve point other than zero. The daemon takes zero; nobody could ever spend what is sent there.
fn is_payable(key: &[u8; 32]) -> bool {
    *key != [0; 32] && CompressedRistretto(*key).decompress().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "Sw9ZxmQoHf8NkyhcTc9iuauBWp1jbKy1ivUSsUMykWUnkJfKZGoafdhC6trx8FchdUr5kCFEfgjZS4PYJZqwAMroU2ftr";

    fn refusal(text: &str) -> String {
        Address::parse(text, &Network::Mainnet).unwrap_err().login_text()
    }

    #[test]
    fn miners_read_which_rule_their_address_breaks() {
        assert_eq!(refusal(""), "invalid address");
        assert_eq!(refusal("   "), "invalid address");
        assert_eq!(refusal(&"1".repeat(129)), "invalid address");
        assert_eq!(refusal("0OIl"), "invalid address: invalid base58 address");
        assert_eq!(refusal("@pool"), "invalid address: invalid base58 address");
        assert_eq!(refusal("111"), "invalid address: invalid address length: expected 64 or 68 bytes, got 3");
        assert_eq!(
            refusal(&"1".repeat(65)),
            "invalid address: invalid address length: expected 64 or 68 bytes, got 65"
        );
        assert_eq!(refusal(&"1".repeat(64)), "invalid address: invalid address spend public key");
    }

    #[test]
    fn a_zero_view_key_is_refused_even_with_a_checksum() {
        let spend = *Address::parse(GOOD, &Network::Mainnet).unwrap().spend_key();
        let text = Address::encode(&spend, &[0; 32], Network::Mainnet);
        assert_eq!(Address::parse(&text, &Network::Mainnet), Err(AddressError::ViewKey));
    }

    #[test]
    fn white_space_around_an_address_is_not_part_of_it() {
        assert_eq!(Address::parse(&format!(" {GOOD}\n"), &Network::Mainnet).unwrap().as_str(), GOOD);
    }

    #[test]
    fn what_is_no_address_is_an_account_of_its_own() {
        for text in ["", "alice", "@pool", "1111", &"1".repeat(129)] {
            assert_eq!(Address::account_text(text, &Network::Mainnet), text);
            assert!(Address::is_same_account(text, text) && !Address::is_same_account(text, "bob"));
        }
        assert_eq!(Address::account_text(GOOD, &Network::Testnet), GOOD, "of the other network");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,140}") {
            let parsed = Address::parse(&text, &Network::Testnet);
            let given = |address: &Address| address.is_legacy() || address.as_str() == text.trim();
            prop_assert!(parsed.is_err() || parsed.is_ok_and(|address| given(&address)));
            let account = Address::account_text(&text, &Network::Testnet);
            prop_assert!(Address::is_same_account(account.trim(), text.trim()));
        }

        #[test]
        fn no_bytes_of_the_right_length_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 60..72)) {
            let text = bs58::encode(&bytes).into_string();
            if let Ok(address) = Address::parse(&text, &Network::Testnet) {
                prop_assert!(address.is_legacy(), "random bytes carry no checksum");
            }
        }

        #[test]
        fn one_changed_character_is_caught_by_the_checksum(at in 0_usize..93, to in 0_usize..58) {
            let alphabet = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
            let mut text = GOOD.as_bytes().to_vec();
            prop_assume!(text[at] != alphabet[to]);
            text[at] = alphabet[to];
            prop_assert!(Address::parse(std::str::from_utf8(&text).unwrap(), &Network::Mainnet).is_err());
        }
    }
}
