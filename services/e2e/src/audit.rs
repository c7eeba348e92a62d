//! What `meshpool audit` says.
use serde_json::Value;

use crate::config::Config;

/// What `meshpool audit` found.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The exit code: 0 exactly for no difference.
    pub code: i32,
    /// The report.
    pub report: Value,
}

impl Audit {
    /// Differences found.
    ///
    /// # Panics
    /// When the report names none.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.report["differences"].as_u64().unwrap_or_else(|| panic!("no count in {}", self.report))
    }

    /// # Panics
    /// When there is a difference.
    pub fn assert_clean(&self) {
        assert_eq!((self.code, self.differences()), (0, 0), "audit: {:#}", self.report);
    }
}

/// Runs `meshpool audit`.
///
/// # Panics
/// When it is broken off.
#[must_use]
pub fn audit(config: &Config) -> Audit {
    let (code, out, log) = config.command("audit");
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("audit: {error}, code {code}\n{out}\n{log}"));
    Audit { code, report }
}
