//! The systemd units: valid, closed, and in step with what the pool does.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use settings::{Load, Settings};

/// Tenths of systemd's exposure level, at most.
const EXPOSURE_MAX: &str = "15";
/// Descriptors that the pool wants beside those of miners.
const DESCRIPTORS_BESIDE: u64 = 512;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Keys and values of a unit, in order; the sections have no key in common.
fn unit(name: &str) -> Vec<(String, String)> {
    let text = read(&format!("ops/systemd/{name}"));
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn all(unit: &[(String, String)], key: &str) -> Vec<String> {
    unit.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect()
}

fn one(unit: &[(String, String)], key: &str) -> String {
    let [value] = &all(unit, key)[..] else { panic!("{key} is not there once") };
    value.clone()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{text} is no number of seconds")))
}

/// What the unit sets in the environment, with its directories as systemd fills them in.
fn environment(service: &[(String, String)]) -> Vec<(String, String)> {
    let set = |pair: String| {
        let (name, value) = pair.split_once('=').expect("a variable has a value");
        (name.to_owned(), value.replace("%d", "/run/credentials/pool"))
    };
    all(service, "Environment").into_iter().map(set).collect()
}

/// `systemd-analyze`, and the units that ours lean on, which lie as they do in the package.
fn analyze(dir: &Path) -> Command {
    let program = std::env::var_os("SYSTEMD_ANALYZE").map_or_else(|| "/usr/bin/systemd-analyze".into(), PathBuf::from);
    assert!(program.is_file(), "{} is missing: ops/test brings it, or the package systemd", program.display());
    let theirs = program.ancestors().nth(3).expect("it lies in usr/bin").join("lib/systemd/system");
    let mut command = Command::new(program);
    command.env("SYSTEMD_UNIT_PATH", format!("{}:{}", dir.display(), theirs.display())).current_dir(dir);
    command
}

/// A copy whose programs exist on this machine, since the pool is not installed on it.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["meshpool.service", "meshpool.socket", "meshpool-hold.service"] {
        let text = read(&format!("ops/systemd/{name}")).replace("/usr/local/bin/meshpool", "/bin/true");
        std::fs::write(dir.path().join(name), text).expect("it is writable");
    }
    dir
}

#[test]
fn systemd_finds_no_mistake_in_the_units() {
    let dir = copy();
    let output = analyze(dir.path())
        .args(["verify", "--man=no", "meshpool.service", "meshpool.socket", "meshpool-hold.service"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn systemd_notices_mistakes() {
    let dir = copy();
    let text = read("ops/systemd/meshpool.socket").replace("Backlog=", "Backlock=");
    std::fs::write(dir.path().join("meshpool.socket"), text).expect("it is writable");
    let output = analyze(dir.path()).args(["verify", "--man=no", "meshpool.socket"]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Backlock"));
}

#[test]
fn the_pool_is_closed_in() {
    let dir = copy();
    let output = analyze(dir.path())
        .args(["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}"), "--no-pager", "meshpool.service"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn restarts_follow_the_exit_codes() {
    let service = unit("meshpool.service");
    assert_eq!(one(&service, "Restart"), "on-failure");
    let never: BTreeSet<String> = one(&service, "RestartPreventExitStatus").split(' ').map(str::to_owned).collect();
    assert_eq!(never, BTreeSet::from([boot::CONFIG.to_string()]));
    assert!(all(&service, "SuccessExitStatus").is_empty(), "{} and {} are failures", boot::DATABASE, boot::SUPERVISOR);
    assert_eq!(one(&service, "StartLimitIntervalSec"), "0");
}

#[test]
fn nobody_kills_a_pool_that_still_answers_what_it_has_read() {
    let service = unit("meshpool.service");
    assert!(boot::STOP_MAX >= boot::GRACE * 2 + Duration::from_secs(20));
    assert!(seconds(&one(&service, "TimeoutStopSec")) >= boot::STOP_MAX);
    let compose: serde_json::Value = serde_saphyr::from_str(&read("docker-compose.yml")).expect("it is YAML");
    let patience = compose["services"]["pool"]["stop_grace_period"].as_str().expect("a text");
    assert!(seconds(patience) >= boot::STOP_MAX, "docker-compose.yml: {patience}");
}

#[test]
fn the_socket_has_the_address_that_the_pool_looks_for() {
    let socket = unit("meshpool.socket");
    let defaults = Settings::default().stratum;
    assert_eq!(all(&socket, "ListenStream"), [defaults.listen.to_string()]);
    assert_eq!(defaults.tls_listen, None);
    assert_eq!(one(&unit("meshpool.service"), "Sockets"), "meshpool.socket");
    assert_eq!(one(&socket, "Service"), "meshpool-hold.service");
    let descriptors: u64 = one(&unit("meshpool.service"), "LimitNOFILE").parse().expect("a number");
    assert!(descriptors >= u64::from(defaults.max_connections) + DESCRIPTORS_BESIDE);
}

#[test]
fn the_service_sets_settings_that_the_pool_knows_and_may_write_where_it_writes() {
    let service = unit("meshpool.service");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pool.toml");
    std::fs::write(&file, "").expect("it is writable");
    let load = Load { file: Some(file), devnet: false, flags: vec![], env: environment(&service) };
    let settings = settings::load(&load).expect("settings of the unit are good");
    assert_eq!(settings.data.dir, Path::new("/var/lib").join(one(&service, "StateDirectory")));
    let credential = one(&service, "LoadCredential");
    let (name, source) = credential.split_once(':').expect("a name and a file");
    let password = settings.daemon.wallet_password_file.expect("it is set");
    assert_eq!(password, Path::new("/run/credentials/pool").join(name));
    assert!(read("ops/systemd/README.md").contains(source), "nobody is told to make {source}");
    let user = one(&service, "User");
    assert!(read("ops/systemd/meshpool.sysusers").starts_with(&format!("u {user} ")));
}
