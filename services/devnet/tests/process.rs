//! The program: what it prints, when it ends, what a kill leaves.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test that called it")]
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_meshpool-devnet");

fn start(data: &Path, listen: &str) -> (Child, Value) {
    let mut child = Command::new(PROGRAM)
        .args(["run", "--devnet", "--listen", listen, "--control", "127.0.0.1:0", "--pool", "127.0.0.1:1"])
        .args(["--stdin-lease", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let announced = serde_json::from_str(&line).unwrap_or_default();
    (child, announced)
}

#[test]
fn it_ends_cleanly_with_its_lease_and_goes_on_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, announced) = start(dir.path(), "127.0.0.1:0");
    assert_eq!(announced["miners"].as_array().unwrap().len(), 2);
    let cookie = Path::new(announced["cookie_path"].as_str().unwrap()).to_owned();
    let chain = std::fs::read(dir.path().join("chain.jsonl")).unwrap();
    assert!(cookie.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(cookie.exists(), "a kill leaves the stale cookie");

    let (mut child, again) = start(dir.path(), "127.0.0.1:0");
    assert_eq!(again["miners"], announced["miners"], "addresses are the same at every start");
    assert_eq!(std::fs::read(dir.path().join("chain.jsonl")).unwrap(), chain);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!cookie.exists());
}

#[test]
fn it_ends_cleanly_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = start(dir.path(), "127.0.0.1:0");
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert!(child.wait().unwrap().success());
    assert!(!dir.path().join("api.cookie").exists());
}

#[test]
fn a_taken_port_and_a_wrong_flag_are_different_ends() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut child, announced) = start(dir.path(), &taken.local_addr().unwrap().to_string());
    assert_eq!((announced, child.wait().unwrap().code()), (Value::Null, Some(1)));
    let usage = Command::new(PROGRAM).arg("--nonsense").stderr(Stdio::null()).status().unwrap();
    assert_eq!(usage.code(), Some(64));
}
