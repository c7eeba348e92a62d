//! The container files: valid, and about this workspace.
//!
//! `data/compose-spec.json` is the schema of the Compose Specification (Apache-2.0), as compose-go 2.4.9 has it.
use std::path::{Path, PathBuf};

use serde_json::Value;
use settings::Load;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

/// What is wrong with it by the schema.
fn mistakes(compose: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(&read("ops/tidy/tests/data/compose-spec.json")).expect("it is JSON");
    let schema = jsonschema::validator_for(&schema).expect("it is a schema");
    schema.iter_errors(compose).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_compose_file_is_valid_by_the_specification() {
    assert_eq!(mistakes(&compose()), Vec::<String>::new());
}

#[test]
fn the_specification_notices_mistakes() {
    for (place, value) in [("restart", Value::from(5)), ("depend_on", Value::from("postgres"))] {
        let mut wrong = compose();
        wrong["services"]["pool"][place] = value;
        assert!(!mistakes(&wrong).is_empty(), "{place}");
    }
}

#[test]
fn the_compose_file_sets_settings_that_the_pool_knows() {
    let compose = compose();
    let pool = &compose["services"]["pool"];
    assert!(root().join(pool["build"]["dockerfile"].as_str().expect("a file")).is_file());
    let set = pool["environment"].as_object().expect("a map");
    let env = set.iter().map(|(name, value)| {
        let text = value.as_str().expect("a text").replace("${POSTGRES_PASSWORD}", "secret");
        (name.clone(), text)
    });
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pool.toml");
    std::fs::write(&file, "").expect("it is writable");
    let load = Load { file: Some(file), devnet: false, flags: vec![], env: env.collect() };
    let settings = settings::load(&load).expect("settings of the compose file are good");
    assert!(settings.database_shown().contains("127.0.0.1:5432/meshpool"), "{}", settings.database_shown());
    // A fresh named volume takes its owner from the image, so this is the directory that the image makes.
    let home = settings.data.dir.to_str().expect("a text").to_owned();
    assert!(read("ops/Dockerfile").contains(&format!("--home-dir {home} --create-home")));
    let volumes = pool["volumes"].as_array().expect("a list");
    assert!(volumes.iter().any(|volume| volume == &Value::from(format!("log:{home}"))));
}

/// Instructions of the container file, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("ops/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(word, rest)| (word.to_owned(), rest.to_owned())).collect()
}

#[test]
fn the_image_is_built_in_stages_from_this_workspace_and_runs_as_nobody_special() {
    let all = instructions();
    let of =
        |word: &str| all.iter().filter(|(name, _)| name == word).map(|(_, rest)| rest.as_str()).collect::<Vec<_>>();
    let stages: Vec<&str> =
        of("FROM").iter().filter_map(|from| from.split_once(" AS ")).map(|(_, name)| name).collect();
    assert_eq!(of("FROM").len(), stages.len() + 1, "the last stage has no name");
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")).expect("a channel");
    let minor = version.trim_end_matches('"').rsplit_once('.').expect("three numbers").0;
    assert!(of("FROM").iter().any(|from| from.starts_with(&format!("rust:{minor}-"))), "another Rust than {version}");
    for copy in of("COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (sources, from) = match words[0].strip_prefix("--from=") {
            Some(stage) => (&words[1..words.len() - 1], Some(stage)),
            None => (&words[..words.len() - 1], None),
        };
        match from {
            Some(stage) => assert!(stages.contains(&stage), "{copy}"),
            None => sources.iter().for_each(|source| assert!(root().join(source).exists(), "{copy}")),
        }
    }
    let profile = of("RUN").into_iter().find(|run| run.starts_with("cargo build")).expect("it builds the pool");
    assert!(profile.contains("--profile dist --locked -p meshpool"), "{profile}");
    assert!(read("Cargo.toml").contains("[profile.dist]"));
    let last = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    let user = all[last..].iter().find(|(word, _)| word == "USER").map(|(_, user)| user.as_str());
    assert!(user.is_some_and(|user| user != "root" && user != "0"), "{user:?}");
}
