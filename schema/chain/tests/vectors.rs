//! Every rule against values computed independently and checked with the daemon's own library.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use chain::{
    Address, AddressError, Ancestor, Block, BlockId, DifficultyRules, Hash32, HeaderBase, HeaderParts, Network,
    PowHash, Target, TxId, block_reward, merkle_root, next_difficulty, send_fee, tx::Transaction,
};
use serde_json::Value;
use units::{Amount, Difficulty, Height, Nonce};

fn vectors(section: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all[section].clone()
}

fn list(section: &str) -> Vec<Value> {
    vectors(section).as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Large numbers are texts in the file, small ones numbers.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|digits| digits.parse().ok())).unwrap()
}

#[test]
fn difficulties_give_their_targets() {
    for case in list("difficulty_target") {
        let hashes = number(&case["difficulty"]);
        assert_eq!(Target::from_hashes(hashes).to_hex(), text(&case, "target_hex"), "{hashes}");
        if let Some(difficulty) = Difficulty::new(hashes) {
            assert_eq!(Target::from_difficulty(difficulty).to_hex(), text(&case, "target_hex"));
        }
    }
}

#[test]
fn hashes_meet_targets_as_big_endian_numbers() {
    for case in list("target_check") {
        let hash: PowHash = text(&case, "hash_hex").parse().unwrap();
        let target = Target::from_hex(text(&case, "target_hex")).unwrap();
        assert_eq!(target.is_met_by(&hash), case["valid"].as_bool().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn headers_are_laid_out_and_named() {
    for case in list("header") {
        let parts = HeaderParts {
            version: u32::try_from(number(&case["version"])).unwrap(),
            height: Height::new(number(&case["height"])),
            prev_hash: text(&case, "prev_hash_hex").parse().unwrap(),
            merkle_root: text(&case, "merkle_root_hex").parse().unwrap(),
            timestamp: case["timestamp"].as_i64().unwrap(),
            difficulty: number(&case["difficulty"]),
        };
        let base = HeaderBase::build(&parts);
        let nonce = Nonce::new(number(&case["nonce"]));
        assert_eq!(base.to_hex(), text(&case, "header_base_hex"), "{}", case["name"]);
        assert_eq!(HeaderBase::from_hex(text(&case, "header_base_hex")).unwrap().parts(), parts);
        assert_eq!(base.block_id(nonce).to_string(), text(&case, "block_hash_hex"));
        let full = format!("{base}{}", to_hex(&nonce.to_le_bytes()));
        assert_eq!(full, text(&case, "header_full_hex"));
        assert_eq!(base.with_timestamp(7).with_timestamp(parts.timestamp), base);
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_second_header_measured_on_a_running_pool_has_its_block_id() {
    let base = HeaderBase::from_hex(
        "0100000015a1000000000000da04a77cc20c628b7fe61f2900c17b26a0f49d21c84a72e6aa1bd0a5142ebeda\
         f60c43c891eba6d455b07f78be8ad13065550f87ad328256dbc8aba65e82683a00b955690000000000d0020000000000",
    )
    .unwrap();
    let id = base.block_id(Nonce::new(4_611_686_018_427_000_000));
    assert_eq!(id.to_string(), "e4668f342ff8326d0adbd33dd6f4f9a750aa48724bea9e188e0a2bcdedcc1260");
}

#[test]
fn merkle_trees_have_their_roots() {
    for case in list("merkle") {
        let leaves: Vec<TxId> =
            case["leaves_hex"].as_array().unwrap().iter().map(|leaf| leaf.as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(merkle_root(&leaves).to_string(), text(&case, "root_hex"));
    }
    assert_eq!(merkle_root(&[]), Hash32::ZERO);
}

#[test]
fn addresses_are_taken_and_refused_as_the_daemon_does_but_for_zero_keys() {
    for case in list("address") {
        let name = text(&case, "name");
        let network = if text(&case, "network") == "mainnet" { Network::Mainnet } else { Network::Testnet };
        let parsed = Address::parse(text(&case, "address"), &network);
        match (name, case["daemon_error"].as_str()) {
            ("all_zero_legacy_identity_points", _) => assert_eq!(parsed, Err(AddressError::SpendKey)),
            // The daemon sees no bytes behind a bad character; we can say what is wrong.
            ("forbidden_base58_char", _) => assert_eq!(parsed, Err(AddressError::NotBase58)),
            (_, Some(error)) => assert_eq!(parsed.unwrap_err().to_string(), error, "{name}"),
            (_, None) => {
                let address = parsed.unwrap();
                assert!(text(&case, "decoded_hex").starts_with(&to_hex(address.spend_key())), "{name}");
                assert_eq!(&text(&case, "decoded_hex")[64..128], to_hex(address.view_key()), "{name}");
                assert_eq!(address.is_legacy(), case["decoded_len"] == 64, "{name}");
                let again = Address::encode(address.spend_key(), address.view_key(), network);
                assert_eq!(again, address.as_str(), "{name}");
                if !address.is_legacy() {
                    assert_eq!(address.as_str(), text(&case, "address"), "{name}");
                }
            }
        }
    }
}

#[test]
fn legacy_addresses_are_good_on_both_networks() {
    let legacy = "4xs6rWB7ogvmd7qPa42tWyGQMoicDKVTDNnXMcPwETH7FboyGqMU9Cumtb3azUrUobKFpGEeQFLS6buVhr8zyGnH";
    assert!(Address::parse(legacy, &Network::Mainnet).unwrap().is_legacy());
    assert!(Address::parse(legacy, &Network::Testnet).unwrap().is_legacy());
}

#[test]
fn both_forms_of_the_same_keys_are_one_account_under_the_checksummed_text() {
    let mut pairs = 0;
    for case in list("address").into_iter().filter(|case| case["daemon_error"].is_null()) {
        let network = if text(&case, "network") == "mainnet" { Network::Mainnet } else { Network::Testnet };
        let Ok(given) = Address::parse(text(&case, "address"), &network) else { continue };
        let legacy = given.legacy_text();
        if given.is_legacy() {
            assert_eq!(legacy, text(&case, "address"));
        }
        let parsed = Address::parse(&legacy, &network).unwrap();
        assert!(parsed.is_legacy());
        assert_eq!((&parsed, parsed.as_str()), (&given, given.as_str()));
        assert_eq!(Address::account_text(&legacy, &network), given.as_str());
        assert_eq!(Address::account_text(given.as_str(), &network), given.as_str());
        assert!(Address::is_same_account(&legacy, given.as_str()));
        pairs += 1;
    }
    assert!(pairs >= 3, "{pairs} good addresses in the vectors");
}

#[test]
fn the_address_rules_are_the_published_ones() {
    let rules = vectors("address_rules");
    assert_eq!(text(&rules["network_id"], "mainnet"), Network::Mainnet.id());
    assert_eq!(text(&rules["network_id"], "testnet"), Network::Testnet.id());
}

#[test]
fn difficulty_follows_solve_times() {
    for case in list("lwma") {
        let times = case["timestamps"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap());
        let difficulties = case["difficulties"].as_array().unwrap().iter().map(number);
        let ancestors: Vec<Ancestor> =
            times.zip(difficulties).map(|(timestamp, difficulty)| Ancestor { timestamp, difficulty }).collect();
        let next = next_difficulty(&DifficultyRules::BLOCKNET, &ancestors);
        assert_eq!(next, number(&case["next_difficulty"]), "{}", case["name"]);
    }
}

#[test]
fn emission_follows_the_table_to_the_tail() {
    let emission = vectors("emission");
    assert_eq!(number(&emission["blocks_per_month"]), chain::BLOCKS_PER_MONTH);
    for (month, reward) in (0_u64..).zip(emission["month_table"].as_array().unwrap()) {
        let first = month * chain::BLOCKS_PER_MONTH;
        assert_eq!(block_reward(Height::new(first)).atoms(), number(reward), "month {month}");
        assert_eq!(block_reward(Height::new(first + chain::BLOCKS_PER_MONTH - 1)).atoms(), number(reward));
    }
    for case in emission["heights"].as_array().unwrap() {
        let height = number(&case["height"]);
        assert_eq!(block_reward(Height::new(height)).atoms(), number(&case["reward"]), "height {height}");
    }
    let total = (1..48 * chain::BLOCKS_PER_MONTH).map(|height| block_reward(Height::new(height)));
    let total = Amount::checked_sum(total).unwrap();
    assert_eq!(total.atoms(), number(&emission["total_through_last_pre_tail_block"]));
    assert_eq!(block_reward(Height::new(u64::MAX)).atoms(), 200_000_000);
}

#[test]
fn sends_cost_what_the_wallet_estimates() {
    for case in list("fee") {
        let fee = send_fee(number(&case["inputs"]), number(&case["outputs"]));
        assert_eq!(fee.atoms(), number(&case["fee"]));
    }
}

#[test]
fn a_spend_has_its_bytes_its_id_and_its_place_in_the_tree() {
    let case = vectors("tx_serialization");
    let tx: Transaction = serde_json::from_value(case["tx_json"].clone()).unwrap();
    assert_eq!(to_hex(&tx.to_bytes()), text(&case, "serialized_hex"));
    assert_eq!(tx.to_bytes().len(), usize::try_from(number(&case["size"])).unwrap());
    assert_eq!(tx.txid().to_string(), text(&case, "txid_hex"));
    assert!(!tx.is_coinbase());
    assert_eq!(serde_json::to_value(&tx).unwrap(), case["tx_json"]);
    let coinbase: TxId = text(&vectors("testnet_block1"), "coinbase_txid_hex").parse().unwrap();
    let root = merkle_root(&[coinbase, tx.txid()]);
    assert_eq!(root.to_string(), text(&case, "merkle_root_with_testnet_block1_coinbase_hex"));
}

#[test]
fn the_first_testnet_block_is_consistent() {
    let case = vectors("testnet_block1");
    let json = &case["full_submit_body"];
    let block: Block = serde_json::from_value(json.clone()).unwrap();
    let coinbase = &block.transactions[0];
    assert!(coinbase.is_coinbase());
    assert_eq!(to_hex(&coinbase.to_bytes()), text(&case, "coinbase_serialized_hex"));
    assert_eq!(coinbase.txid().to_string(), text(&case, "coinbase_txid_hex"));
    assert_eq!(block.merkle_root(), block.header.base().merkle_root());
    assert_eq!(block.header.base().to_hex(), text(&case, "header_base_hex"));
    assert_eq!(block.header.block_id().to_string(), text(&case, "block_hash_nonce4_hex"));
    let with_one: BlockId = block.header.base().block_id(Nonce::new(1));
    assert_eq!(with_one.to_string(), text(&case, "block_hash_nonce1_hex"));
    assert_eq!(block_reward(Height::new(1)).atoms(), number(&case["reward"]));
    assert_eq!(&serde_json::to_value(&block).unwrap(), json);
    let wallet = &case["wallet"];
    let address = Address::parse(text(wallet, "address"), &Network::Testnet).unwrap();
    assert_eq!(to_hex(address.spend_key()), text(wallet, "spend_pub_hex"));
}

#[test]
fn a_template_answer_agrees_with_itself() {
    let template = &vectors("examples")["blocktemplate_response"];
    let block: Block = serde_json::from_value(template["block"].clone()).unwrap();
    let base = HeaderBase::from_hex(text(template, "header_base")).unwrap();
    assert_eq!(block.header.base(), base);
    assert_eq!(block.merkle_root(), base.merkle_root());
    assert_eq!(Target::from_hashes(base.difficulty()).to_hex(), text(template, "target"));
    assert_eq!(chain::BlockHeader::new(&base, Nonce::new(0)), block.header);
}
