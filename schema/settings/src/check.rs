//! Rules that one value alone cannot tell, and what an operator should know at every start.
use std::time::Duration;

use secrecy::ExposeSecret;
use units::Amount;

use crate::error::{Problem, SettingsError};
use crate::{MAINNET_CONFIRMATIONS, MAINNET_POW_MEMORY_KIB, Network, NetworkFee, Settings, ValidationMode};

/// A rule that is broken.
pub(crate) struct Broken {
    /// The key it is said of.
    pub(crate) key: String,
    /// The other key of a rule between two; either may be the one that was set.
    pub(crate) other: Option<&'static str>,
    /// What is wrong.
    pub(crate) what: String,
}

type Mistakes = Vec<Broken>;

impl Settings {
    /// Looks at the rules that go beyond one key. [`crate::load`] has done so, and knows the places too.
    ///
    /// # Errors
    /// Every rule that is broken.
    pub fn check(&self) -> Result<(), SettingsError> {
        let broken = self.broken_rules();
        if broken.is_empty() {
            return Ok(());
        }
        let problem = |broken: Broken| Problem { key: broken.key, what: broken.what, place: None };
        Err(SettingsError(broken.into_iter().map(problem).collect()))
    }

    pub(crate) fn broken_rules(&self) -> Vec<Broken> {
        let mut found = Mistakes::new();
        self.check_pool(&mut found);
        self.check_daemons(&mut found);
        self.check_stratum(&mut found);
        self.check_validation(&mut found);
        self.check_money(&mut found);
        self.check_service(&mut found);
        found
    }

    fn check_pool(&self, found: &mut Mistakes) {
        let pool = &self.pool;
        refuse(found, pool.name.trim().is_empty(), "pool.name", || "must not be blank".to_owned());
        refuse(found, !is_http(&pool.url, true), "pool.url", || http_expected(&pool.url, true));
        let network = pool.network.addresses();
        for (key, address) in [("pool.reward_address", &pool.reward_address), ("pool.fee_address", &pool.fee_address)] {
            if let Some(Err(error)) = address.as_ref().map(|text| chain::Address::parse(text, &network)) {
                refuse(found, true, key, || error.to_string());
            }
        }
        refuse(found, self.data.dir.as_os_str().is_empty(), "data.dir", || "must not be blank".to_owned());
        let url = self.database.url.expose_secret();
        let known = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        refuse(found, !url.is_empty() && !known, "database.url", || {
            "must be blank or begin with `sqlite:` or `postgres://`".to_owned()
        });
    }

    fn check_daemons(&self, found: &mut Mistakes) {
        at_least(found, "daemon.poll_interval", self.daemon.poll_interval, Duration::from_millis(100));
        for (index, daemon) in self.daemon.endpoints().iter().enumerate() {
            let key = match index.checked_sub(1) {
                None => "daemon.url".to_owned(),
                Some(index) => format!("daemon.fallback.{index}.url"),
            };
            if daemon.url.contains('@') {
                refuse(found, true, &key, || "must not hold a user or password, use the token".to_owned());
            } else {
                refuse(found, !is_http(&daemon.url, false), &key, || http_expected(&daemon.url, false));
            }
        }
    }

    fn check_tls(&self, found: &mut Mistakes) {
        let stratum = &self.stratum;
        let (cert, key) = (stratum.tls_cert.is_some(), stratum.tls_key.is_some());
        refuse_pair(found, cert != key, "stratum.tls_cert", "stratum.tls_key", || {
            "stratum.tls_cert and stratum.tls_key go together".to_owned()
        });
        refuse(found, stratum.tls_listen.is_some() && !cert, "stratum.tls_listen", || {
            "needs stratum.tls_cert and stratum.tls_key".to_owned()
        });
        let same = stratum.tls_listen.as_ref().is_some_and(|tls| tls.overlaps(&stratum.listen));
        refuse(found, same, "stratum.tls_listen", || "must differ from stratum.listen".to_owned());
    }

    fn check_stratum(&self, found: &mut Mistakes) {
        let stratum = &self.stratum;
        for (key, count) in [
            ("stratum.max_connections", stratum.max_connections),
            ("stratum.max_connections_per_ip", stratum.max_connections_per_ip),
            ("stratum.submit_rate_max", stratum.submit_rate_max),
        ] {
            refuse(found, count == 0, key, || "must be at least 1".to_owned());
        }
        let (seconds, hours) = (Duration::from_secs, |hours: u64| Duration::from_secs(hours * 60 * 60));
        within(found, "stratum.submit_rate_window", stratum.submit_rate_window, seconds(1), seconds(300));
        within(found, "stratum.idle_timeout", stratum.idle_timeout, seconds(30), hours(24));
        self.check_tls(found);
        let vardiff = &self.vardiff;
        at_least(found, "vardiff.window", vardiff.window, seconds(1));
        refuse_pair(found, vardiff.min > vardiff.max, "vardiff.min", "vardiff.max", || {
            format!("{} is above vardiff.max, {}", vardiff.min, vardiff.max)
        });
        if vardiff.min <= vardiff.max {
            refuse_pair(found, vardiff.initial < vardiff.min, "vardiff.initial", "vardiff.min", || {
                format!("{} is below vardiff.min, {}", vardiff.initial, vardiff.min)
            });
            refuse_pair(found, vardiff.initial > vardiff.max, "vardiff.initial", "vardiff.max", || {
                format!("{} is above vardiff.max, {}", vardiff.initial, vardiff.max)
            });
        }
        let tolerance = vardiff.tolerance;
        refuse(found, !(0.01..=0.95).contains(&tolerance), "vardiff.tolerance", || {
            format!("must be between 0.01 and 0.95, not {tolerance}")
        });
    }

    fn check_validation(&self, found: &mut Mistakes) {
        let validation = &self.validation;
        let rate = validation.sample_rate;
        refuse(found, !(0.0..=1.0).contains(&rate), "validation.sample_rate", || {
            format!("must be between 0 and 1, not {rate}")
        });
        refuse_pair(found, validation.capacity < validation.lanes, "validation.capacity", "validation.lanes", || {
            format!("{} is below validation.lanes, {}", validation.capacity, validation.lanes)
        });
        let (first, longest) = (validation.quarantine_duration, validation.max_quarantine_duration);
        refuse_pair(
            found,
            longest < first,
            "validation.max_quarantine_duration",
            "validation.quarantine_duration",
            || format!("{} is below validation.quarantine_duration, {}", text(longest), text(first)),
        );
        let memory = validation.pow_memory_kib;
        if self.pool.network == Network::Devnet {
            refuse(found, memory < 8 || !memory.is_multiple_of(4), "validation.pow_memory_kib", || {
                format!("must be at least 8 and a multiple of 4, not {memory}")
            });
        } else {
            refuse(found, memory != MAINNET_POW_MEMORY_KIB, "validation.pow_memory_kib", || {
                format!("{memory} instead of {MAINNET_POW_MEMORY_KIB} is for pool.network = \"devnet\" only")
            });
        }
        let ledger = &self.ledger;
        refuse_pair(
            found,
            ledger.backlog_max < ledger.segment_size,
            "ledger.backlog_max",
            "ledger.segment_size",
            || format!("{} is below ledger.segment_size, {}", ledger.backlog_max, ledger.segment_size),
        );
    }

    fn check_money(&self, found: &mut Mistakes) {
        let confirmations = self.blocks.confirmations;
        if self.pool.network == Network::Devnet {
            refuse(found, confirmations == 0, "blocks.confirmations", || "must be at least 1".to_owned());
        } else {
            refuse(found, confirmations < MAINNET_CONFIRMATIONS, "blocks.confirmations", || {
                format!("{confirmations}, below {MAINNET_CONFIRMATIONS}, is for pool.network = \"devnet\" only")
            });
        }
        at_least(found, "pplns.window", self.pplns.window, Duration::from_secs(1));
        let payout = &self.payout;
        at_least(found, "payout.interval", payout.interval, Duration::from_secs(1));
        refuse(found, payout.min_amount.is_zero(), "payout.min_amount", || "must be more than 0".to_owned());
        for (key, limit) in [
            ("payout.max_total_per_tick", payout.max_total_per_tick),
            ("payout.max_per_recipient", payout.max_per_recipient),
        ] {
            refuse_pair(found, limit != Amount::ZERO && limit < payout.min_amount, key, "payout.min_amount", || {
                format!("{limit} is below payout.min_amount, {}, so that nothing could be sent", payout.min_amount)
            });
        }
    }

    fn check_service(&self, found: &mut Mistakes) {
        at_least(found, "retention.interval", self.retention.interval, Duration::from_secs(5 * 60));
        at_least(found, "monitor.interval", self.monitor.interval, Duration::from_secs(1));
        for (index, key) in self.api.keys.iter().enumerate() {
            let (text, name) = (key.expose_secret(), format!("api.keys.{index}"));
            refuse(found, text.trim().is_empty(), &name, || "must not be blank".to_owned());
            // A request carries it in a header: anything else could never match.
            let carried = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
            refuse(found, !text.trim().is_empty() && !carried, &name, || {
                "must be printable ASCII without spaces around it, since it is sent in a header".to_owned()
            });
        }
        if let Some(url) = &self.telemetry.otlp_endpoint {
            refuse(found, !is_http(url, true), "telemetry.otlp_endpoint", || http_expected(url, true));
        }
    }

    /// What works but may not be meant; to be told at every start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.ignored.is_empty() {
            warnings.push(format!(
                "environment: ignored, since no settings are named like this: {}; settings are POOL_SECTION__KEY",
                self.ignored.join(", ")
            ));
        }
        if self.validation.is_off() {
            warnings.push(
                "verification is switched off: validation.sample_rate, validation.warmup_shares and \
                 validation.min_sample_every are 0, every claim is believed"
                    .to_owned(),
            );
        } else {
            warnings.extend(self.thin_sampling());
            warnings.extend(self.early_work());
        }
        for address in self.stratum.listen.exposed() {
            warnings.push(format!("stratum.listen: {address} is open to other machines, in plain text"));
        }
        for address in self.api.listen.exposed() {
            warnings.push(format!(
                "api.listen: {address} is open to other machines, in plain text; put a TLS terminator before it"
            ));
        }
        if self.api.keys.is_empty() {
            warnings.push("api.keys: is empty, protected routes answer 503".to_owned());
        }
        let earns_nothing = self.pool.fee_bps.get() == 0 && self.pool.fee_flat.is_zero();
        if self.payout.network_fee == NetworkFee::Pool && earns_nothing {
            warnings.push("payout.network_fee: the pool bears it, but pool.fee_bps is 0 and earns nothing".to_owned());
        }
        warnings
    }

    /// How often a miner's shares are checked follows from what its checked work is still worth. That is known where
    /// work counts the same whenever it was done; a share early in a round is worth more.
    fn early_work(&self) -> Option<String> {
        let is_known = self.pool.scheme.as_str() != "proportional" || self.validation.mode == ValidationMode::Full;
        (!is_known).then(|| {
            "pool.scheme: under \"proportional\" work early in a round is worth more than what a cheater has at stake; \
             set validation.mode = \"full\", or use \"pplns\""
                .to_owned()
        })
    }

    /// Unchecked work counts up to a multiple of checked work, so an honest miner needs one check in `multiple + 1`
    /// shares to be credited in full. The chosen rate must reach that on average.
    fn thin_sampling(&self) -> Option<String> {
        let validation = &self.validation;
        let multiple = self.provisional_cap()?.get();
        if validation.mode == ValidationMode::Full {
            return None;
        }
        let periodic = match validation.min_sample_every {
            0 => 0.0,
            every => 1.0 / f64::from(every),
        };
        let coverage = validation.sample_rate.max(periodic);
        let needed = 1.0 / (multiple as f64 + 1.0);
        (coverage < needed).then(|| {
            format!(
                "validation.sample_rate: about {coverage:.4} of the shares are checked, but \
                 pplns.provisional_cap_multiplier = {multiple} gives full credit from {needed:.4} on only"
            )
        })
    }
}

fn refuse(found: &mut Mistakes, broken: bool, key: &str, what: impl FnOnce() -> String) {
    if broken {
        found.push(Broken { key: key.to_owned(), other: None, what: what() });
    }
}

fn refuse_pair(found: &mut Mistakes, broken: bool, key: &str, other: &'static str, what: impl FnOnce() -> String) {
    if broken {
        found.push(Broken { key: key.to_owned(), other: Some(other), what: what() });
    }
}

fn at_least(found: &mut Mistakes, key: &str, value: Duration, min: Duration) {
    refuse(found, value < min, key, || format!("must be at least {}, not {}", text(min), text(value)));
}

fn within(found: &mut Mistakes, key: &str, value: Duration, min: Duration, max: Duration) {
    let outside = value < min || value > max;
    refuse(found, outside, key, || format!("must be between {} and {}, not {}", text(min), text(max), text(value)));
}

fn text(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

/// A scheme that can be spoken and a host behind it.
fn is_http(url: &str, or_tls: bool) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://").filter(|_| or_tls));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']))
        && !url.contains(char::is_whitespace)
}

fn http_expected(url: &str, or_tls: bool) -> String {
    let schemes = if or_tls { "`http://` or `https://`" } else { "`http://`" };
    if url.is_empty() {
        format!("is missing, expected {schemes} and a host")
    } else {
        format!("expected {schemes} and a host, not {url:?}")
    }
}
