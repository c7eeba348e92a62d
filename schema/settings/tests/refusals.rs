//! Every refusal names the key and the place; this is how they read.
#![expect(clippy::unwrap_used, reason = "a test")]
use std::path::PathBuf;

use settings::{Load, LogFormat, Settings, SettingsError, load};
use tempfile::TempDir;

/// A directory with a settings file.
struct Setup {
    dir: TempDir,
}

impl Setup {
    fn new(toml: &str) -> Setup {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pool.toml"), toml).unwrap();
        Setup { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("pool.toml")
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(&Load { file: Some(self.file()), devnet: false, flags: vec![], env })
    }

    /// The refusal, with the path of the file written as `FILE`.
    fn refusal(&self, env: &[(&str, &str)]) -> String {
        self.load(env).unwrap_err().to_string().replace(self.file().to_str().unwrap(), "FILE")
    }
}

#[test]
fn a_value_of_the_wrong_form_is_shown_with_its_file() {
    for (toml, text) in [
        (
            "[stratum]\nmax_connections = \"many\"",
            "stratum.max_connections: invalid type: found string \"many\", expected u32",
        ),
        (
            "[stratum]\nmax_connections = -1",
            "stratum.max_connections: invalid value: found signed int `-1`, expected u32",
        ),
        ("pool = 3", "pool: invalid type: found signed int `3`, expected a section"),
        (
            "[stratum]\nlisten = \"here\"",
            "stratum.listen: invalid value: found string \"here\", expected an address or a host name with a port, or a list of them",
        ),
        (
            "[stratum]\nlisten = [\"127.0.0.1:1\", \"127.0.0.300:2\"]",
            "stratum.listen: invalid value: found string \"127.0.0.300:2\", expected an address or a host name with a port, or a list of them",
        ),
        (
            "[api]\nlisten = \"pool.example:http\"",
            "api.listen: invalid value: found string \"pool.example:http\", expected an address or a host name with a port, or a list of them",
        ),
        ("[api]\nlisten = []", "api.listen: must not be empty"),
        (
            "[stratum]\nproxy_from = [\"10.0.0.1\", \"10.0.0.0/33\"]",
            "stratum.proxy_from.1: invalid value: found string \"10.0.0.0/33\", expected an address or a network like \"10.0.0.0/8\"",
        ),
        (
            "[stratum]\ntls_listen = \"there\"",
            "stratum.tls_listen: invalid value: found string \"there\", expected an address or a host name with a port, or a list of them",
        ),
        (
            "[stratum]\nlisten = 3333",
            "stratum.listen: invalid type: found signed int `3333`, expected an address or a host name with a port, or a list of them",
        ),
        ("[stratum]\nstale_grace = 8", "stratum.stale_grace: invalid type: found signed int `8`, expected a duration"),
        (
            "[stratum]\nstale_grace = \"8\"",
            "stratum.stale_grace: invalid value: found string \"8\", expected a duration",
        ),
        (
            "[stratum]\nrequire_claimed_hash = \"yes\"",
            "stratum.require_claimed_hash: invalid type: found string \"yes\", expected a boolean",
        ),
        (
            "[retention]\nshares = \"long\"",
            "retention.shares: invalid value: found string \"long\", expected a duration or a blank",
        ),
        (
            "[validation]\nmode = \"probabilistic\"",
            "validation.mode: unknown value \"probabilistic\", expected sampled, full",
        ),
        ("[validation]\nlanes = 0", "validation.lanes: invalid value: found signed int `0`, expected a nonzero u32"),
        ("[pool]\nnetwork = \"main\"", "pool.network: unknown value \"main\", expected mainnet, testnet, devnet"),
        ("[pool]\nfee_bps = 10001", "pool.fee_bps: basis points must be between 0 and 10000, not 10001"),
        ("[payout]\nmin_amount = 0.1", "payout.min_amount: invalid type: found float `0.1`, expected a string"),
        ("[payout]\nmin_amount = \"0.123456789\"", "payout.min_amount: `0.123456789` has more than 8 decimals"),
        ("[vardiff]\ninitial = 0", "vardiff.initial: difficulty must be between 1 and 9223372036854775807, not 0"),
        (
            "[[daemon.fallback]]\nurl = \"http://a\"\n[[daemon.fallback]]\nurl = 7",
            "daemon.fallback.1.url: invalid type: found signed int `7`, expected a string",
        ),
    ] {
        assert_eq!(Setup::new(toml).refusal(&[]), format!("config: {text} in FILE"), "{toml}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    for (toml, text) in [
        ("[stratum]\nmax_conections = 5", "stratum.max_conections: unknown key, did you mean `max_connections`?"),
        ("[stratun]\nlisten = \"127.0.0.1:1\"", "stratun: unknown key, did you mean `stratum`?"),
        ("[pool]\npayout_scheme = \"pplns\"", "pool.payout_scheme: unknown key"),
        ("listen = \"127.0.0.1:1\"", "listen: unknown key"),
        ("[[daemon.fallback]]\nulr = \"http://a\"", "daemon.fallback.0.ulr: unknown key, did you mean `url`?"),
        ("password = 1", "password: unknown key"),
    ] {
        assert_eq!(Setup::new(toml).refusal(&[]), format!("config: {text} in FILE"), "{toml}");
    }
}

#[test]
fn a_variable_is_named_as_it_was_set() {
    for (name, value, text) in [
        (
            "POOL_STRATUM__MAX_CONNECTIONS",
            "many",
            "stratum.max_connections: invalid type: found string \"many\", expected u32",
        ),
        (
            "POOL_STRATUM__STALE_GRACE",
            "8",
            "stratum.stale_grace: invalid value: found string \"8\", expected a duration",
        ),
        ("POOL_VARDIFF__ENABLED", "yes", "vardiff.enabled: invalid type: found string \"yes\", expected a boolean"),
        ("POOL_STRATUM__LISTN", "x", "stratum.listn: unknown key, did you mean `listen`?"),
        ("POOL_STRATM__LISTEN", "x", "stratm.listen: unknown key"),
        ("POOL_STRATUM__", "x", "stratum.: is a section, set one of its keys"),
        ("POOL_STRATUM__LISTEN__PORT", "1", "stratum.listen.port: unknown key"),
        ("POOL_BLOCKS__CONFIRMATIONS", "3", "blocks.confirmations: 3, below 60, is for pool.network = \"devnet\" only"),
    ] {
        let expected = format!("config: {text} in environment variable {name}");
        assert_eq!(Setup::new("").refusal(&[(name, value)]), expected);
    }
}

#[test]
fn a_variable_with_one_underscore_too_few_is_refused_with_the_right_name() {
    for (name, key, right) in [
        ("POOL_PAYOUT_ENABLED", "payout.enabled", "POOL_PAYOUT__ENABLED"),
        ("POOL_DATABASE_URL", "database.url", "POOL_DATABASE__URL"),
        ("POOL_POOL_FEE_BPS", "pool.fee_bps", "POOL_POOL__FEE_BPS"),
        ("POOL_DAEMON_WALLET_PASSWORD_FILE", "daemon.wallet_password_file", "POOL_DAEMON__WALLET_PASSWORD_FILE"),
    ] {
        let expected = format!(
            "config: {key}: is set by {right}, with two underscores after the section in environment variable {name}"
        );
        assert_eq!(Setup::new("").refusal(&[(name, "x")]), expected);
    }
}

#[test]
fn a_key_that_no_request_can_carry_is_refused() {
    for key in ["schlüssel", " spaces ", "tab\tbed", "line\n"] {
        let refusal = Setup::new(&format!("[api]\nkeys = [{key:?}]")).refusal(&[]);
        assert_eq!(
            refusal,
            "config: api.keys.0: must be printable ASCII without spaces around it, since it is sent in a header in FILE"
        );
    }
}

#[test]
fn a_flag_is_named_as_it_was_written() {
    let mut from = Load { file: Some(Setup::new("").file()), devnet: true, flags: vec![], env: vec![] };
    from.file = None;
    let error = load(&from.flag("--data-dir", "data.dir", "")).unwrap_err();
    assert_eq!(error.to_string(), "config: data.dir: must not be blank in command line option --data-dir");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let setup = Setup::new("typo = 1\n[stratum]\nlisten = 1\nmax_connections = \"a\"\n[api]\nkey = \"x\"");
    let mut lines: Vec<String> =
        setup.refusal(&[("POOL_NO__MORE", "1"), ("POOL_VARDIFF__MIN", "0")]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "config: api.key: unknown key, did you mean `keys`? in FILE",
            "config: no.more: unknown key in environment variable POOL_NO__MORE",
            "config: stratum.listen: invalid type: found signed int `1`, expected an address or a host name with a port, or a list of them in FILE",
            "config: stratum.max_connections: invalid type: found string \"a\", expected u32 in FILE",
            "config: typo: unknown key in FILE",
            "config: vardiff.min: difficulty must be between 1 and 9223372036854775807, not 0 in environment variable POOL_VARDIFF__MIN",
        ]
    );
}

#[test]
fn the_log_format_is_known_although_other_keys_are_wrong() {
    let setup = Setup::new("pool.scheme = 'luck'\ntelemetry.log_format = 'json'\n");
    let load = Load { file: Some(setup.file()), devnet: false, flags: Vec::new(), env: Vec::new() };
    assert!(settings::load(&load).is_err());
    assert_eq!(settings::log_format(&load), LogFormat::Json);
    let load = Load { env: vec![("POOL_TELEMETRY__LOG_FORMAT".to_owned(), "yaml".to_owned())], ..load };
    assert_eq!(settings::log_format(&load), LogFormat::Text);
}

/// A setting that another one, or a bound, contradicts, and what is said.
const CONTRADICTIONS: &[(&str, &str)] = &[
    ("[blocks]\nconfirmations = 59", "blocks.confirmations: 59, below 60, is for pool.network = \"devnet\" only"),
    (
        "[pool]\nnetwork = \"testnet\"\n[validation]\npow_memory_kib = 1024",
        "validation.pow_memory_kib: 1024 instead of 2097152 is for pool.network = \"devnet\" only",
    ),
    (
        "[pool]\nnetwork = \"devnet\"\n[validation]\npow_memory_kib = 10",
        "validation.pow_memory_kib: must be at least 8 and a multiple of 4, not 10",
    ),
    ("[pool]\nnetwork = \"devnet\"\n[blocks]\nconfirmations = 0", "blocks.confirmations: must be at least 1"),
    ("[vardiff]\nmin = 9\nmax = 8\ninitial = 9", "vardiff.min: 9 is above vardiff.max, 8"),
    ("[vardiff]\nmin = 61", "vardiff.initial: 60 is below vardiff.min, 61"),
    ("[vardiff]\nmax = 59", "vardiff.initial: 60 is above vardiff.max, 59"),
    ("[vardiff]\ntolerance = nan", "vardiff.tolerance: must be between 0.01 and 0.95, not NaN"),
    ("[vardiff]\nwindow = \"0s\"", "vardiff.window: must be at least 1s, not 0s"),
    ("[validation]\nsample_rate = 1.1", "validation.sample_rate: must be between 0 and 1, not 1.1"),
    (
        "[validation]\nquarantine_duration = \"2h\"\nmax_quarantine_duration = \"1h\"",
        "validation.max_quarantine_duration: 1h is below validation.quarantine_duration, 2h",
    ),
    ("[validation]\nlanes = 3\ncapacity = 2", "validation.capacity: 2 is below validation.lanes, 3"),
    ("[ledger]\nsegment_size = 8\nbacklog_max = 4", "ledger.backlog_max: 4 is below ledger.segment_size, 8"),
    ("[stratum]\nmax_connections = 0", "stratum.max_connections: must be at least 1"),
    ("[stratum]\nidle_timeout = \"5s\"", "stratum.idle_timeout: must be between 30s and 1day, not 5s"),
    ("[pplns]\nwindow = \"0s\"", "pplns.window: must be at least 1s, not 0s"),
    ("[payout]\ninterval = \"10ms\"", "payout.interval: must be at least 1s, not 10ms"),
    ("[payout]\nmin_amount = \"0\"", "payout.min_amount: must be more than 0"),
    (
        "[payout]\nmax_per_recipient = \"0.01\"",
        "payout.max_per_recipient: 0.01000000 is below payout.min_amount, 0.10000000, so that nothing could be sent",
    ),
    ("[retention]\ninterval = \"1m\"", "retention.interval: must be at least 5m, not 1m"),
    ("[monitor]\ninterval = \"0s\"", "monitor.interval: must be at least 1s, not 0s"),
    ("[daemon]\npoll_interval = \"0s\"", "daemon.poll_interval: must be at least 100ms, not 0s"),
    ("[daemon]\nurl = \"127.0.0.1:8332\"", "daemon.url: expected `http://` and a host, not \"127.0.0.1:8332\""),
    ("[daemon]\nurl = \"https://a\"", "daemon.url: expected `http://` and a host, not \"https://a\""),
    ("[daemon]\nurl = \"http://:8332\"", "daemon.url: expected `http://` and a host, not \"http://:8332\""),
    ("[daemon]\nurl = \"http://u:p@a\"", "daemon.url: must not hold a user or password, use the token"),
    ("[pool]\nurl = \"pool.example\"", "pool.url: expected `http://` or `https://` and a host, not \"pool.example\""),
    ("[pool]\nname = \" \"", "pool.name: must not be blank"),
    ("[data]\ndir = \"\"", "data.dir: must not be blank"),
    ("[pool]\nreward_address = \"0\"", "pool.reward_address: invalid base58 address"),
    (
        "[pool]\nfee_address = \"W3QZrW5EncuqPh7Y5NFCGW5b8QaDAWVwcKMuUiBfzoSTfG1nEdu98X1vdjUUzJjphDEJUXrLh5uWfiwxEx3P7Ya4i6gTA\"",
        "pool.fee_address: invalid address checksum",
    ),
    ("[stratum]\ntls_listen = \"127.0.0.1:3334\"", "stratum.tls_listen: needs stratum.tls_cert and stratum.tls_key"),
    ("[stratum]\ntls_cert = \"cert.pem\"", "stratum.tls_cert: stratum.tls_cert and stratum.tls_key go together"),
    (
        "[stratum]\ntls_cert = \"c\"\ntls_key = \"k\"\ntls_listen = \"127.0.0.1:3333\"",
        "stratum.tls_listen: must differ from stratum.listen",
    ),
    (
        "[stratum]\nlisten = [\"0.0.0.0:1\", \"[::]:2\"]\ntls_cert = \"c\"\ntls_key = \"k\"\ntls_listen = \"[::]:2\"",
        "stratum.tls_listen: must differ from stratum.listen",
    ),
    (
        "[telemetry]\notlp_endpoint = \"a:1\"",
        "telemetry.otlp_endpoint: expected `http://` or `https://` and a host, not \"a:1\"",
    ),
    ("[database]\nurl = \"mysql://hunter2\"", "database.url: must be blank or begin with `sqlite:` or `postgres://`"),
];

#[test]
fn rules_between_keys_name_the_key_and_its_place() {
    for (toml, text) in CONTRADICTIONS {
        assert_eq!(Setup::new(toml).refusal(&[]), format!("config: {text} in FILE"), "{toml}");
    }
}

#[test]
fn elements_of_lists_are_named_by_their_number() {
    let refusal = Setup::new("[api]\nkeys = [\"k\", \" \"]\n[[daemon.fallback]]\ntoken = \"t\"").refusal(&[]);
    assert_eq!(
        refusal,
        "config: daemon.fallback.0.url: is missing, expected `http://` and a host in FILE\n\
         config: api.keys.1: must not be blank in FILE"
    );
}

#[test]
fn no_refusal_shows_a_secret() {
    for toml in [
        "[daemon]\ntoken = 987654",
        "[api]\nkeys = \"987654\"",
        "[api]\nkeys = [\"a\", 987654]",
        "[api]\nkeys = [{a = \"987654\"}]",
        "[monitor]\ningest_secret = 987654",
        "[database]\nurl = 987654",
        "[database]\nurl = \"mysql://987654@host\"",
        "[daemon]\nfallback = \"987654\"",
        "[daemon]\nfallback = [\"987654\"]",
        "[daemon]\nurl = \"http://u:987654@host\"",
        "[[daemon.fallback]]\nurl = \"http://a\"\ntoken = 987654",
        "[daemon]\ntoken = \"987654",
        "[daemon]\ntoken = 987654-",
    ] {
        let refusal = Setup::new(toml).refusal(&[]);
        assert!(!refusal.contains("987654"), "{toml}: {refusal}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let setup = Setup::new("[pool]\nname = \"a\"\n\n[pool]\n");
    assert_eq!(setup.refusal(&[]), "config: FILE: line 4: invalid table header, duplicate key `pool` in document root");
    assert_eq!(Setup::new("[stratum\n").refusal(&[]).lines().count(), 1);

    let missing = setup.dir.path().join("other.toml");
    let error = load(&Load { file: Some(missing.clone()), devnet: false, flags: vec![], env: vec![] }).unwrap_err();
    let expected = format!("config: {}: cannot be read: No such file or directory (os error 2)", missing.display());
    assert_eq!(error.to_string(), expected);

    std::fs::write(setup.file(), [0xff, 0xfe]).unwrap();
    assert_eq!(setup.refusal(&[]), "config: FILE: cannot be read: stream did not contain valid UTF-8");
}
