//! The page that says where an old setting went.
use std::collections::BTreeSet;
use std::path::Path;

use settings::Load;

/// Every key of the settings, as `section.key`.
fn keys() -> BTreeSet<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pool.toml.example");
    let text = std::fs::read_to_string(&example).expect("the example is there");
    // That it has every key, and no other, is tested where the settings are.
    settings::load(&Load { file: Some(example), devnet: false, flags: vec![], env: Default::default() }).expect("good");
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn every_old_setting_names_keys_that_exist_or_says_why_there_is_none() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../old-settings.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let keys = keys();
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [old, ours, difference] = cells[..] else { panic!("three columns: {line}") };
        for name in old.split(", ") {
            assert!(seen.insert(name.to_owned()), "{name} stands there twice");
        }
        assert!(!ours.is_empty() || !difference.is_empty(), "nothing is said of {old}");
        for name in ours.split(", ").filter(|name| !name.is_empty()) {
            let name = name.trim_matches('`');
            assert!(keys.contains(name), "{old}: there is no key {name}");
        }
    }
    assert!(seen.len() > 60, "{} old settings", seen.len());
}
