//! Modules of one crate do not use each other in circles: each can be read after those that it stands on.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cargo_metadata::{MetadataCommand, TargetKind};
use tidy::modules::{Module, circles, edges_of};

/// Circles that are meant, by crate and modules, with the reason.
const ACCEPTED: &[(&str, &[&str], &str)] = &[];

fn shown(module: &Module) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("::") }
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata works in the workspace");
    let mut said = String::new();
    for package in &metadata.packages {
        let is_library = |target: &&cargo_metadata::Target| {
            target.kind.iter().any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin))
        };
        for target in package.targets.iter().filter(is_library) {
            let edges = edges_of(target.src_path.as_std_path());
            for circle in circles(&edges) {
                let names: BTreeSet<String> = circle.iter().map(shown).collect();
                let is_accepted = |(name, modules, _): &&(&str, &[&str], &str)| {
                    *name == package.name.as_str()
                        && modules.iter().map(ToString::to_string).collect::<BTreeSet<_>>() == names
                };
                if ACCEPTED.iter().any(|accepted| is_accepted(&accepted)) {
                    continue;
                }
                writeln!(said, "{} ({}): {names:?}", package.name, target.name).expect("a text takes text");
                for module in &circle {
                    let inner: Vec<String> = edges[module].intersection(&circle).map(shown).collect();
                    writeln!(said, "    {} uses {inner:?}", shown(module)).expect("a text takes text");
                }
            }
        }
    }
    assert!(said.is_empty(), "modules that use each other in a circle:\n{said}");
}

#[test]
fn a_circle_is_found_behind_imports_full_paths_and_names_handed_on() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let files = BTreeMap::from([
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\npub use b::B;\n"),
        ("a.rs", "use crate::B;\npub struct A;\nfn f(_: B) {}\n"),
        ("b.rs", "pub struct B;\nfn g() { println!(\"{:?}\", crate::a::A) }\n"),
        ("c.rs", "use super::a::A;\nmod inner;\nfn h(_: A) -> inner::I { loop {} }\npub struct C;\n"),
        ("c/inner.rs", "use super::C;\npub struct I(C);\n"),
        ("d.rs", "#[cfg(test)]\nmod tests { use crate::c::C; }\npub struct D;\n"),
    ]);
    std::fs::create_dir(dir.path().join("c")).expect("a directory can be made");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("a file can be written");
    }
    let edges = edges_of(&dir.path().join("lib.rs"));
    let module = |name: &str| -> Module { name.split("::").map(str::to_owned).collect() };
    assert_eq!(circles(&edges), [BTreeSet::from([module("a"), module("b")])]);
    assert_eq!(edges[&module("c")], BTreeSet::from([module("a"), module("c::inner")]));
    assert!(edges[&module("d")].is_empty() && edges[&module("c::inner")].is_empty());
}
