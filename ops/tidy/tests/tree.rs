//! What lies where, and how long files may be.
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 400;
/// Files that are still longer, and how long they may be. None may grow, and none may be added.
const LONGER: &[(&str, usize)] = &[("schema/store/src/schema.rs", 489)];
const TOP_LEVEL: [&str; 20] = [
    "actors",
    "services",
    "schema",
    "ui",
    "ops",
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "pool.toml.example",
    "docker-compose.yml",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "deny.toml",
    ".clippy.toml",
    ".gitignore",
    ".ci",
    ".cargo",
    ".dockerignore",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files that git knows or would add.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is there");
    assert!(listed.status.success());
    String::from_utf8(listed.stdout)
        .expect("names of files are text")
        .lines()
        .filter(|file| root().join(file).exists())
        .map(String::from)
        .collect()
}

#[test]
fn nothing_lies_beside_the_fixed_top_level() {
    for file in files() {
        let top = file.split('/').next().unwrap();
        assert!(TOP_LEVEL.contains(&top), "{file}");
    }
}

#[test]
fn source_files_stay_readable() {
    for file in files().iter().filter(|file| file.ends_with(".rs") || file.ends_with(".ts") || file.ends_with(".tsx")) {
        let lines = std::fs::read_to_string(root().join(file)).unwrap().lines().count();
        let most = LONGER.iter().find(|(longer, _)| longer == file).map_or(LINES_MAX, |(_, most)| *most);
        assert!(lines <= most, "{file} has {lines} lines");
        assert!(most == LINES_MAX || lines > LINES_MAX, "{file} is short now: take it off the list");
    }
    for (file, _) in LONGER {
        assert!(root().join(file).exists(), "{file} is not there any more: take it off the list");
    }
}

/// Programs that serve or ask over HTTP without an actor, and start the HTTP library's own event loop.
const HTTP_ONLY: [&str; 3] = ["services/daemon-sim/src/", "services/e2e/src/", "actors/daemon/src/fake.rs"];

#[test]
fn the_actor_engine_is_named_by_the_runtime_only() {
    for file in files().iter().filter(|file| file.ends_with(".rs") && !file.starts_with("actors/runtime/")) {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(!code().any(|line| line.contains(concat!("actix", "::"))), "{file} names the actor engine");
        // Its event loop too: what runs beside an actor is started by the runtime, in the span of who asked for it.
        let is_free = HTTP_ONLY.iter().any(|free| file.starts_with(free)) || !file.contains("/src/");
        assert!(is_free || !code().any(|line| line.contains(concat!("actix_", "rt"))), "{file} names the event loop");
    }
}

/// Text files of the tree that people write.
fn texts() -> Vec<(String, String)> {
    let written = |file: &String| !file.ends_with("Cargo.lock") && !file.ends_with("package-lock.json");
    let read = |file: String| std::fs::read_to_string(root().join(&file)).ok().map(|text| (file, text));
    files().into_iter().filter(written).filter_map(read).collect()
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/tmp/", "wt"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    for (file, text) in texts() {
        for place in places {
            assert!(!text.contains(place), "{file} names {place}");
        }
    }
}

#[test]
fn no_handler_waits_for_another_actor() {
    // One message at a time: an actor that waits for another one inside its handler turns its mailbox into a queue of
    // one. Such work is carried, from a file of its own.
    let handles = |text: &str| text.lines().any(|line| line.starts_with("impl") && line.contains(" Handler<"));
    for (file, text) in texts().iter().filter(|(file, _)| file.ends_with(".rs") && file.contains("/src/")) {
        let asks = text.contains(concat!(".ask", "("));
        assert!(file.starts_with("actors/runtime/") || !(handles(text) && asks), "{file} asks where it handles");
    }
}

/// Simulators and tests, whose errors end in a text for the one who runs them.
const TEXT_ERRORS: [&str; 4] = ["services/daemon-sim/", "services/cpu-miner/", "services/loadgen/", "services/e2e/"];

#[test]
fn errors_say_what_the_caller_can_do() {
    let is_source = |file: &&String| file.ends_with(".rs") && file.contains("/src/") && !file.contains("tests");
    for file in files().iter().filter(is_source) {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let is_text = |line: &str| line.contains("Result<") && line.contains(", String>");
        assert!(
            TEXT_ERRORS.iter().any(|simulated| file.starts_with(simulated)) || !text.lines().any(is_text),
            "{file} returns a text as an error: give it a type"
        );
    }
}
