//! Where the window of a block begins: the one rule of it, for who makes the block's row and who checks it.
use std::time::Duration;

use serde::Deserialize;
use units::Timestamp;

use crate::rules::Scheme;

/// What of a policy decides where a block's window begins. Read from a policy's stored JSON, whatever else that says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct WindowTerms {
    /// As it is stored; one that this program does not know has a window that slides.
    scheme: Option<String>,
    window_ms: Option<u64>,
}

impl WindowTerms {
    /// Those of a policy with this scheme and a window of this length.
    #[must_use]
    pub fn new(scheme: &str, window_ms: u64) -> WindowTerms {
        WindowTerms { scheme: Some(scheme.to_owned()), window_ms: Some(window_ms) }
    }

    /// All work since the pool's block before is paid.
    #[must_use]
    pub fn is_proportional(&self) -> bool {
        self.scheme.as_deref() == Some(Scheme::Proportional.as_str())
    }

    /// Length of the payout window, if the policy says one.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        self.window_ms.map(Duration::from_millis)
    }

    /// Where the window begins of a block whose window ends at `window_end`, in a round that began at `round_started`.
    /// `fallback` is the length of the window where the policy says none.
    #[must_use]
    pub fn start(&self, window_end: Timestamp, round_started: Timestamp, fallback: Duration) -> Timestamp {
        match self.is_proportional() {
            true => round_started,
            false => window_end.minus(self.window().unwrap_or(fallback)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Timestamp = Timestamp::from_ms(1_000);
    const END: Timestamp = Timestamp::from_ms(100_000);
    const FALLBACK: Duration = Duration::from_secs(7);

    #[test]
    fn a_proportional_window_begins_with_the_round_and_any_other_its_length_before_its_end() {
        for (body, start) in [
            (r#"{"scheme":"proportional","window_ms":5000,"fee_bps":100}"#, 1_000),
            (r#"{"scheme":"pplns","window_ms":5000}"#, 95_000),
            (r#"{"scheme":"solo","window_ms":5000}"#, 95_000),
            (r#"{"scheme":"of a later program","window_ms":5000}"#, 95_000),
            (r#"{"scheme":"pplns"}"#, 93_000),
            ("{}", 93_000),
        ] {
            let terms: WindowTerms = serde_json::from_str(body).unwrap();
            assert_eq!(terms.start(END, ROUND, FALLBACK), Timestamp::from_ms(start), "{body}");
        }
        assert_eq!(WindowTerms::new("pplns", 5_000).start(END, ROUND, FALLBACK), Timestamp::from_ms(95_000));
    }
}
