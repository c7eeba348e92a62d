//! Which crate may depend on which.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Crates that hold an actor: they share messages, never each other.
fn with_actor(arrows: &BTreeMap<String, (String, BTreeSet<String>)>) -> Vec<&str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let holds = |(_, (folder, _)): &(&String, &(String, BTreeSet<String>))| has_actor(&root.join(folder).join("src"));
    let found: Vec<&str> = arrows.iter().filter(holds).map(|(name, _)| name.as_str()).collect();
    assert!(found.len() > 7, "actors are looked for in vain: {found:?}");
    found
}

fn has_actor(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("a crate has sources").any(|entry| {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            return !path.ends_with("tests") && has_actor(&path);
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().any(|line| line.starts_with("impl") && line.contains(" Actor for "))
    })
}

#[test]
fn actors_live_on_their_floor() {
    let arrows = arrows();
    for name in with_actor(&arrows) {
        assert!(arrows[name].0.starts_with("actors/"), "{name} has an actor and lies in {}", arrows[name].0);
    }
}

/// Folder of each workspace crate and the workspace crates it depends on, tests not counted.
fn arrows() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata works in the workspace");
    let root = metadata.workspace_root.clone();
    let names: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let of = |package: &Package| {
        let folder = package
            .manifest_path
            .strip_prefix(&root)
            .expect("a member lies in the workspace")
            .parent()
            .expect("a manifest lies in a folder")
            .to_string();
        let own = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development && names.contains(&dependency.name))
            .map(|dependency| dependency.name.clone())
            .collect();
        (package.name.to_string(), (folder, own))
    };
    metadata.packages.iter().map(of).collect()
}

#[test]
fn schema_depends_on_nothing_above_it() {
    let arrows = arrows();
    for (name, (folder, own)) in arrows.iter().filter(|(_, (folder, _))| folder.starts_with("schema/")) {
        for used in own {
            assert!(arrows[used].0.starts_with("schema/"), "{name} ({folder}) depends on {used}");
        }
    }
}

#[test]
fn actors_do_not_depend_on_services() {
    let arrows = arrows();
    for (name, (_, own)) in arrows.iter().filter(|(_, (folder, _))| folder.starts_with("actors/")) {
        for used in own {
            assert!(!arrows[used].0.starts_with("services/"), "{name} depends on {used}");
        }
    }
}

#[test]
fn no_crate_with_an_actor_depends_on_another_one() {
    let arrows = arrows();
    let actors = with_actor(&arrows);
    for name in &actors {
        for other in &actors {
            assert!(!arrows[*name].1.contains(*other), "{name} depends on {other}");
        }
    }
}

#[test]
fn messages_and_accounting_know_no_actor() {
    let arrows = arrows();
    for name in ["messages", "instruments", "accounting", "runtime", "daemon"] {
        for other in with_actor(&arrows) {
            assert!(!arrows[name].1.contains(other), "{name} depends on {other}");
        }
    }
}

#[test]
fn a_host_is_a_choice_of_roles_and_only_binaries_are_hosts() {
    let arrows = arrows();
    let hosts: Vec<_> = arrows.iter().filter(|(_, (_, own))| own.contains("hosts")).collect();
    assert!(hosts.len() > 2, "hosts are looked for in vain: {hosts:?}");
    for (name, (_, own)) in hosts {
        assert!(name.starts_with("meshpool"), "{name} depends on hosts");
        // The whole pool has the operator's commands, too.
        assert!(name == "meshpool" || own.len() == 1, "{name} wires something by itself: {own:?}");
    }
}

/// What a pool is developed and tested against.
const DEVNET: [&str; 4] = ["devnet-accounts", "daemon-sim", "cpu-miner", "loadgen"];

#[test]
fn nothing_in_production_depends_on_what_is_simulated_and_that_knows_nothing_of_a_pool() {
    let arrows = arrows();
    for (name, (folder, own)) in &arrows {
        let is_ours = DEVNET.contains(&name.as_str());
        for used in own {
            let is_simulated = DEVNET.contains(&used.as_str());
            assert!(!is_simulated || is_ours || name == "meshpool-devnet" || name == "e2e", "{name} depends on {used}");
            let is_neutral = used == "pow" || arrows[used].0.starts_with("schema/");
            assert!(!is_ours || is_simulated || is_neutral, "{name} ({folder}) depends on {used}");
        }
    }
    for (one, other) in [("daemon-sim", "cpu-miner"), ("daemon-sim", "loadgen"), ("cpu-miner", "loadgen")] {
        let apart = !arrows[one].1.contains(other) && !arrows[other].1.contains(one);
        assert!(apart, "{one} and {other} depend on each other");
    }
}
