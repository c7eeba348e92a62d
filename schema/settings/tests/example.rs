//! The example file documents every key, with its default.
use std::path::{Path, PathBuf};

use serde_json::Value;
use settings::{Load, Settings, load};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pool.toml.example")
}

#[test]
fn the_example_is_exactly_the_defaults() {
    let from_file = load(&Load { file: Some(example()), devnet: false, flags: vec![], env: vec![] }).unwrap();
    let (from_file, defaults) =
        (serde_json::to_value(from_file).unwrap(), serde_json::to_value(Settings::default()).unwrap());
    assert_eq!(from_file, defaults);
}

/// Section and key of each line.
fn keys_in(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push((section.clone(), key.to_owned()));
        }
    }
    keys
}

#[test]
fn the_example_has_every_key_and_no_other() {
    let text = std::fs::read_to_string(example()).unwrap();
    let mut in_example = keys_in(&text);
    let mut in_tree = Vec::new();
    let Value::Object(sections) = serde_json::to_value(Settings::default()).unwrap() else { panic!("a tree") };
    for (section, keys) in sections {
        let Value::Object(keys) = keys else { panic!("{section} is not a section") };
        in_tree.extend(keys.into_iter().map(|(key, _)| (section.clone(), key)));
    }
    in_example.sort();
    in_tree.sort();
    assert_eq!(in_example, in_tree);
}

#[test]
fn every_key_of_the_example_is_explained() {
    let text = std::fs::read_to_string(example()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with('#');
        assert!(!is_key || pair[0].starts_with('#'), "nothing is said about: {}", pair[1]);
    }
}
