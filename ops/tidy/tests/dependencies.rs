//! What the tree is built from: licences, sources, versions, and that each crate uses what it names.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Licences that may be linked into the programs. The same list is in `deny.toml`.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that upstream still needs in more than one version. The list only becomes shorter.
const DUPLICATES: &[&str] = &[
    "base64",
    "bit-vec",
    "blake2",
    "block-buffer",
    "const-oid",
    "cpufeatures",
    "crypto-common",
    "digest",
    "getrandom",
    "hmac",
    "http",
    "rand",
    "rand_core",
    "serde_spanned",
    "sha2",
    "syn",
    "synstructure",
    "thiserror",
    "thiserror-impl",
    "toml",
    "toml_datetime",
    "winnow",
];

/// Named for their features, or used by a file of another crate that is taken in.
const UNNAMED: &[(&str, &str)] = &[
    // SQLite is built in by a feature of it.
    ("store", "libsqlite3_sys"),
    // Databases for tests are made by a file of the store's tests.
    ("retention", "diesel"),
    ("retention", "diesel_async"),
    ("retention", "tempfile"),
    ("web", "diesel"),
    ("web", "diesel_async"),
];

fn metadata() -> Metadata {
    // What is built here has been fetched; what other platforms need has not.
    let platform = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned(), platform])
        .exec()
        .expect("cargo metadata works in the workspace")
}

/// Whether one may take it under licences that are all allowed. `OR` gives the choice, `AND` and `WITH` do not.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let is_free = |name: &str| LICENCES.contains(&name.trim().trim_end_matches(" WITH LLVM-exception").trim());
    plain.split(" AND ").all(|part| part.split(" OR ").any(is_free))
}

#[test]
fn every_licence_is_one_that_may_be_linked() {
    let metadata = metadata();
    let refused: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(is_allowed))
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(is_allowed("MIT OR GPL-3.0") && is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0"));
}

#[test]
fn everything_foreign_comes_from_the_registry() {
    for package in metadata().packages {
        let foreign = package.source.as_ref().map(ToString::to_string);
        let is_registry = |source: &String| source.starts_with("registry+") || source.starts_with("sparse+");
        assert!(foreign.as_ref().is_none_or(is_registry), "{} comes from {foreign:?}", package.name);
    }
}

#[test]
fn no_crate_is_there_in_more_versions_than_upstream_needs() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata().packages {
        versions.entry(package.name.to_string()).or_default().insert(package.version.to_string());
    }
    let several: BTreeMap<_, _> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    let mut said = String::new();
    for (name, versions) in several.iter().filter(|(name, _)| !DUPLICATES.contains(&name.as_str())) {
        writeln!(said, "{name} is there as {versions:?}").expect("a text takes text");
    }
    for name in DUPLICATES.iter().filter(|name| !several.contains_key(**name)) {
        writeln!(said, "{name} is there once now: take it off the list").expect("a text takes text");
    }
    assert!(said.is_empty(), "{said}");
}

/// All sources of a crate, `tests` and `benches` included, and those of another crate that it takes in by their path.
fn sources(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).expect("a crate's folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() && !path.ends_with("target") && !path.ends_with("node_modules") {
                sources(&path, text);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file is text");
            for taken in source.split("#[path = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let taken = dir.join(taken);
                if taken.ends_with("mod.rs") {
                    sources(taken.parent().expect("a file lies in a folder"), text);
                }
            }
            text.push_str(&source);
        }
    }
}

/// Whether a source names a crate as a path, an import or an attribute's argument.
fn names(text: &str, krate: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(krate).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + krate.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[test]
fn every_crate_uses_the_dependencies_that_it_names() {
    let metadata = metadata();
    let mut unused = Vec::new();
    for package in metadata.workspace_packages() {
        let root = package.manifest_path.parent().expect("a manifest lies in a folder").as_std_path();
        let (mut own, mut all) = (String::new(), String::new());
        for folder in ["src", "build.rs"].map(|name| root.join(name)) {
            match folder.is_dir() {
                true => sources(&folder, &mut own),
                false => own.push_str(&std::fs::read_to_string(&folder).unwrap_or_default()),
            }
        }
        sources(root, &mut all);
        for dependency in &package.dependencies {
            let name = dependency.rename.as_deref().unwrap_or(&dependency.name).replace('-', "_");
            let is_test = dependency.kind == DependencyKind::Development;
            let is_unnamed = UNNAMED.iter().any(|(of, what)| package.name.as_str() == *of && *what == name);
            if !is_unnamed && !names(if is_test { &all } else { &own }, &name) {
                unused.push(unused_text(package, &name, is_test));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}

fn unused_text(package: &Package, name: &str, is_test: bool) -> String {
    format!("{} does not use {name}{}", package.name, if is_test { " in its tests" } else { "" })
}
