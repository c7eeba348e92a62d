//! What the README promises whoever has just cloned this. Takes a release build, so it is run by name:
//! `cargo test -p e2e --test fresh_clone`.
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::{Config, repository, wait_until};

#[test]
fn a_fresh_clone_needs_one_command_to_reach_a_settled_payout() {
    // The same place every time, or the builds of all clones ever made would pile up.
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fresh_clone");
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    let clone = place.join("clone");
    std::fs::create_dir_all(&place).unwrap();
    let cloned =
        Command::new("git").args(["clone", "--quiet", "--no-hardlinks"]).arg(repository()).arg(&clone).status();
    assert!(cloned.unwrap().success());
    let config = Config::devnet(&clone);
    let names =
        ["HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "npm_config_cache", "http_proxy", "https_proxy"];
    let env = names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut pool = config.start_by(&clone.join("ops/run"), env.collect());
    wait_until("the build", Duration::from_secs(40 * 60), || {
        assert!(pool.process.ended().is_none(), "ops/run ended");
        pool.process.out().contains("page ")
    });
    let began_at = Instant::now();
    wait_until("a settled payout in the API", Duration::from_secs(120), || {
        pool.try_get("/api/payouts/recent").is_some_and(|answer| answer.body.contains("\"settled\""))
    });
    println!("settled after {:?}", began_at.elapsed());
    pool.process.signal("INT");
    assert_eq!(pool.process.code(Duration::from_secs(60)), 0);
    std::fs::remove_dir_all(&place).unwrap();
}
