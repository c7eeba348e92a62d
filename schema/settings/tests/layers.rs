//! Which layer wins, what the devnet preset is, and where secrets come from.
#![expect(clippy::unwrap_used, reason = "a test")]
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use settings::{Load, Network, NetworkFee, Settings, load};

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_env(pairs: &[(&str, &str)]) -> Settings {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pool.toml");
    std::fs::write(&file, "").unwrap();
    load(&Load { file: Some(file), devnet: false, flags: vec![], env: env(pairs) }).unwrap()
}

#[test]
fn a_later_layer_wins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pool.toml");
    std::fs::write(&file, "[stratum]\nmax_connections = 1\nsubmit_rate_max = 1\nmax_connections_per_ip = 1").unwrap();
    let env =
        env(&[("POOL_STRATUM__SUBMIT_RATE_MAX", "2"), ("POOL_STRATUM__MAX_CONNECTIONS_PER_IP", "2"), ("PATH", "/bin")]);
    let from = Load { file: Some(file), devnet: false, flags: vec![], env };
    let settings = load(&from.flag("--per-ip", "stratum.max_connections_per_ip", "3")).unwrap();
    let stratum = &settings.stratum;
    assert_eq!((stratum.max_connections, stratum.submit_rate_max, stratum.max_connections_per_ip), (1, 2, 3));
    assert_eq!(stratum.stale_grace, Duration::from_secs(8), "the default");
}

#[test]
fn the_defaults_pass_their_own_check_and_warn_of_missing_keys_only() {
    assert_eq!(Settings::default().check(), Ok(()));
    assert_eq!(Settings::default().warnings(), ["api.keys: is empty, protected routes answer 503"]);
}

#[test]
fn a_text_from_the_environment_is_read_by_the_type_of_its_key() {
    let settings = from_env(&[
        ("POOL_POOL__NAME", "007"),
        ("POOL_POOL__FEE_BPS", " 150 "),
        ("POOL_DAEMON__TOKEN", "true"),
        ("POOL_API__KEYS", "12345, second"),
        ("POOL_VARDIFF__ENABLED", "false"),
        ("POOL_VALIDATION__SAMPLE_RATE", "1"),
        ("POOL_PAYOUT__MIN_AMOUNT", "2"),
        ("POOL_PAYOUT__NETWORK_FEE", "pool"),
        ("POOL_RETENTION__SHARES", ""),
        ("POOL_RETENTION__PAYOUTS", "30d"),
        ("POOL_DAEMON__FALLBACK", "[{url=\"http://b:1\"},{url=\"http://c:1\",token=\"t\"}]"),
    ]);
    assert_eq!((settings.pool.name.as_str(), settings.pool.fee_bps.get()), ("007", 150));
    assert_eq!(settings.daemon.token.expose_secret(), "true");
    let keys: Vec<&str> = settings.api.keys.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, ["12345", "second"]);
    assert!(!settings.vardiff.enabled);
    assert!((settings.validation.sample_rate - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.payout.min_amount.atoms(), 200_000_000);
    assert_eq!(settings.payout.network_fee, NetworkFee::Pool);
    assert_eq!(settings.retention.shares, None);
    assert_eq!(settings.retention.payouts, Some(Duration::from_secs(30 * 86_400)));
    let urls: Vec<String> = settings.daemon.endpoints().into_iter().map(|daemon| daemon.url).collect();
    assert_eq!(urls, ["http://127.0.0.1:8332", "http://b:1", "http://c:1"]);
}

#[test]
fn what_an_orchestrator_puts_into_the_environment_is_ignored_with_one_warning() {
    let settings = from_env(&[
        ("POOL_PORT", "tcp://10.3.0.7:3333"),
        ("POOL_PORT_3333_TCP_ADDR", "10.3.0.7"),
        ("POOL_SERVICE_HOST", "10.3.0.7"),
        ("POOL_STRATUM_PORT", "tcp://10.3.0.8:3333"),
        ("POOL_API__KEYS", "k"),
    ]);
    let expected = "environment: ignored, since no settings are named like this: POOL_PORT, POOL_PORT_3333_TCP_ADDR, \
                    POOL_SERVICE_HOST, POOL_STRATUM_PORT; settings are POOL_SECTION__KEY";
    assert_eq!(settings.warnings(), [expected]);
}

#[test]
fn a_key_may_begin_like_a_list() {
    let keys = |text: &str| -> Vec<String> {
        let keys = from_env(&[("POOL_API__KEYS", text)]).api.keys;
        keys.iter().map(|key| key.expose_secret().to_owned()).collect()
    };
    assert_eq!(keys("[x"), ["[x"]);
    assert_eq!(keys("[x,y"), ["[x", "y"]);
    assert_eq!(keys("[\"x\", \"[y\"]"), ["x", "[y"]);
}

#[test]
fn places_to_listen_on_may_be_names_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pool.toml");
    let text = "[stratum]\nlisten = [\"0.0.0.0:3333\", \"[::]:3333\"]\ntls_listen = \" \"\n\
                proxy_from = [\"10.0.0.1\", \"fd00::/8\", \"::1\"]\n[api]\nlisten = \"localhost:80\"";
    std::fs::write(&file, text).unwrap();
    let settings = load(&Load { file: Some(file), devnet: false, flags: vec![], env: vec![] }).unwrap();
    let resolved = |listen: &settings::Listen| -> Vec<String> {
        let all = listen.addresses().iter().flat_map(|address| address.resolve().unwrap());
        all.map(|address| address.to_string()).collect()
    };
    assert_eq!(resolved(&settings.stratum.listen), ["0.0.0.0:3333", "[::]:3333"]);
    assert_eq!(settings.stratum.listen.to_string(), "0.0.0.0:3333, [::]:3333");
    assert_eq!((settings.stratum.listen.port(), settings.stratum.tls_listen), (3333, None));
    assert!(resolved(&settings.api.listen).contains(&"127.0.0.1:80".to_owned()));
    let networks: Vec<String> = settings.stratum.proxy_from.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.1/32", "fd00::/8", "::1/128"]);

    let settings =
        from_env(&[("POOL_STRATUM__LISTEN", "[::1]:1, pool.example:2"), ("POOL_API__LISTEN", "127.0.0.1:3")]);
    assert_eq!(settings.stratum.listen.to_string(), "[::1]:1, pool.example:2");
    let warned = settings.warnings();
    assert_eq!(warned[0], "stratum.listen: pool.example:2 is open to other machines, in plain text");
    assert!(!warned[1].contains("open"), "{warned:?}");
    let text = serde_json::to_string(&settings.stratum).unwrap();
    assert!(text.contains("\"listen\":\"[::1]:1, pool.example:2\""), "{text}");
}

#[test]
fn addresses_without_checksum_are_read_as_the_same_ones_with_it() {
    let text = "Sw9ZxmQoHf8NkyhcTc9iuauBWp1jbKy1ivUSsUMykWUnkJfKZGoafdhC6trx8FchdUr5kCFEfgjZS4PYJZqwAMroU2ftr";
    let address = chain::Address::parse(text, &chain::Network::Mainnet).unwrap();
    let legacy = address.legacy_text();
    let settings = from_env(&[("POOL_POOL__FEE_ADDRESS", &legacy), ("POOL_POOL__REWARD_ADDRESS", &legacy)]);
    assert_eq!(settings.pool.fee_address.as_deref(), Some(text));
    assert_eq!(settings.pool.reward_address.as_deref(), Some(text));
}

#[test]
fn the_devnet_replaces_defaults_only() {
    let from = Load { file: None, devnet: true, flags: vec![], env: env(&[("POOL_BLOCKS__CONFIRMATIONS", "4")]) };
    let settings = load(&from).unwrap();
    assert_eq!(settings.pool.network, Network::Devnet);
    assert_eq!(settings.pool.network.addresses(), chain::Network::Testnet);
    assert_eq!(settings.blocks.confirmations, 4, "the environment still wins");
    assert_eq!(settings.payout.interval, Duration::from_secs(2));
    let vardiff = &settings.vardiff;
    assert_eq!((vardiff.initial.get(), vardiff.target_shares.get(), vardiff.window.as_secs()), (5, 10, 20));
    assert_eq!((settings.validation.pow_memory_kib, settings.validation.lanes.get()), (1024, 1));
    let daemon = &settings.daemon;
    assert_eq!(daemon.url, "http://127.0.0.1:18332");
    assert_eq!(daemon.cookie_path.as_deref(), Some(Path::new("data/devnet/daemon/api.cookie")));
    assert_eq!(daemon.wallet_password_file.as_deref(), Some(Path::new("data/devnet/daemon/wallet.password")));
    assert_eq!(settings.database_url().expose_secret(), "sqlite:data/devnet/meshpool.sqlite");
    assert_eq!(settings.payout.pause_file, None, "a file of the machine's real pool does not pause it");
}

#[test]
fn the_simulated_daemon_follows_the_data_directory() {
    let from = Load { file: None, devnet: true, flags: vec![], env: vec![] };
    let settings = load(&from.flag("--data-dir", "data.dir", "/tmp/x")).unwrap();
    assert_eq!(settings.daemon.endpoints()[0].cookie_files()[0], Path::new("/tmp/x/daemon/api.cookie"));
    assert_eq!(settings.daemon.wallet_password_file, Some(PathBuf::from("/tmp/x/daemon/wallet.password")));
}

#[test]
fn a_file_beside_the_devnet_flag_is_read_when_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, "[blocks]\nconfirmations = 5").unwrap();
    let settings = load(&Load { file: Some(file), devnet: true, flags: vec![], env: vec![] }).unwrap();
    assert_eq!((settings.blocks.confirmations, settings.pool.network), (5, Network::Devnet));
}

#[test]
fn what_may_not_be_meant_is_warned_about() {
    let warnings = |pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.push(("POOL_API__KEYS", "k"));
        from_env(&pairs).warnings()
    };
    let off = warnings(&[
        ("POOL_VALIDATION__SAMPLE_RATE", "0"),
        ("POOL_VALIDATION__WARMUP_SHARES", "0"),
        ("POOL_VALIDATION__MIN_SAMPLE_EVERY", "0"),
    ]);
    assert!(off.len() == 1 && off[0].starts_with("verification is switched off"), "{off:?}");
    let thin = [("POOL_VALIDATION__SAMPLE_RATE", "0.04"), ("POOL_VALIDATION__MIN_SAMPLE_EVERY", "0")];
    assert_eq!(
        warnings(&thin),
        ["validation.sample_rate: about 0.0400 of the shares are checked, but pplns.provisional_cap_multiplier = 19 \
          gives full credit from 0.0500 on only"]
    );
    assert!(warnings(&[thin[0], thin[1], ("POOL_PPLNS__PROVISIONAL_CAP_MULTIPLIER", "0")]).is_empty());
    assert!(warnings(&[thin[0], thin[1], ("POOL_VALIDATION__MODE", "full")]).is_empty());
    assert_eq!(
        warnings(&[("POOL_STRATUM__LISTEN", "0.0.0.0:3333")]),
        ["stratum.listen: 0.0.0.0:3333 is open to other machines, in plain text"]
    );
    assert_eq!(warnings(&[("POOL_API__LISTEN", "[::]:80")]).len(), 1);
    assert_eq!(warnings(&[("POOL_PAYOUT__NETWORK_FEE", "pool")]).len(), 1);
    let proportional = ("POOL_POOL__SCHEME", "proportional");
    let early = warnings(&[proportional]);
    assert!(early.len() == 1 && early[0].starts_with("pool.scheme: under \"proportional\""), "{early:?}");
    assert!(warnings(&[proportional, ("POOL_VALIDATION__MODE", "full")]).is_empty());
    assert!(warnings(&[("POOL_POOL__SCHEME", "solo")]).is_empty());
}

#[test]
fn nothing_is_capped_where_nothing_is_checked() {
    let cap = |pairs: &[(&str, &str)]| from_env(pairs).provisional_cap().map(std::num::NonZeroU64::get);
    let off = [
        ("POOL_VALIDATION__SAMPLE_RATE", "0"),
        ("POOL_VALIDATION__WARMUP_SHARES", "0"),
        ("POOL_VALIDATION__MIN_SAMPLE_EVERY", "0"),
    ];
    assert_eq!((cap(&[]), cap(&off)), (Some(19), None));
    assert_eq!(cap(&[("POOL_PPLNS__PROVISIONAL_CAP_MULTIPLIER", "0")]), None);
}

#[test]
fn secrets_are_not_printed() {
    let settings = from_env(&[
        ("POOL_DAEMON__TOKEN", "hunter2"),
        ("POOL_API__KEYS", "hunter2"),
        ("POOL_MONITOR__INGEST_SECRET", "hunter2"),
        ("POOL_DATABASE__URL", "postgres://me:hunter2@db.example:5432/pool?password=hunter2"),
        ("BLOCKNET_WALLET_PASSWORD", "hunter2"),
    ]);
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
    assert_eq!(settings.database_shown(), "postgres://db.example:5432/pool");
    assert!(settings.database_url().expose_secret().contains("hunter2"));
}

#[test]
fn a_wallet_password_comes_from_its_file_then_the_environment_then_dotenv() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let password = |settings: &Settings| {
        let found = settings.wallet_password(&settings.daemon.endpoints()[0]);
        found.map(|password| password.map(|password| password.expose_secret().to_owned())).map_err(|e| e.to_string())
    };
    std::fs::write(at("pool.toml"), "").unwrap();
    let with = |pairs: &[(&str, &str)]| {
        load(&Load { file: Some(at("pool.toml")), devnet: false, flags: vec![], env: env(pairs) }).unwrap()
    };
    assert_eq!(password(&with(&[])), Ok(None));

    std::fs::write(at(".env"), "# mine\nA=b\nexport BLOCKNET_WALLET_PASSWORD='from dotenv'\n").unwrap();
    set_mode(&at(".env"), 0o644);
    let refusal =
        format!("config: {}: holds BLOCKNET_WALLET_PASSWORD and must have mode 0600, not 0644", at(".env").display());
    assert_eq!(password(&with(&[])), Err(refusal));
    set_mode(&at(".env"), 0o600);
    assert_eq!(password(&with(&[])), Ok(Some("from dotenv".to_owned())));

    let variable = ("BLOCKNET_WALLET_PASSWORD", "from env ");
    assert_eq!(password(&with(&[variable])), Ok(Some("from env ".to_owned())));

    let file = at("wallet.password");
    let named = with(&[variable, ("POOL_DAEMON__WALLET_PASSWORD_FILE", file.to_str().unwrap())]);
    let missing = format!(
        "config: daemon.wallet_password_file: cannot be read: No such file or directory (os error 2) in {}",
        file.display()
    );
    assert_eq!(password(&named), Err(missing));
    std::fs::write(&file, "from file \n").unwrap();
    assert_eq!(password(&named), Ok(Some("from file ".to_owned())), "it is read when it is asked for");
}

#[test]
fn a_dotenv_without_the_password_may_be_readable() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pool.toml"), "").unwrap();
    std::fs::write(dir.path().join(".env"), "OTHER=1\nBLOCKNET_WALLET_PASSWORD=\n").unwrap();
    set_mode(&dir.path().join(".env"), 0o644);
    let from = Load { file: Some(dir.path().join("pool.toml")), devnet: false, flags: vec![], env: vec![] };
    let settings = load(&from).unwrap();
    assert!(settings.wallet_password(&settings.daemon.endpoints()[0]).unwrap().is_none());
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
