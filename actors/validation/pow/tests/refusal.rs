//! A machine without room says so at once.
#![cfg(unix)]

use std::process::Command;

use pow::{Arena, MemoryKib};

const CHILD: &str = "MESHPOOL_POW_REFUSAL_CHILD";

/// Runs itself again in a process whose address space is limited to 1 GiB: safe on every machine.
#[test]
fn memory_that_does_not_exist_is_refused_with_its_size() {
    if std::env::var_os(CHILD).is_some() {
        let refused = Arena::new(MemoryKib::MAINNET).unwrap_err().to_string();
        assert_eq!(refused, "could not reserve 2097152 KiB for a proof-of-work arena");
        return;
    }
    let child = Command::new("sh")
        .args(["-c", "ulimit -v 1048576 && exec \"$0\""])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
