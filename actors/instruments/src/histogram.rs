//! How long something took.
use std::time::Duration;

use opentelemetry::metrics::Histogram as Instrument;

use crate::registry::Registry;

/// How often something took how long. It cannot be read back, and is exported from its first record on.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Option<Instrument<f64>>);

impl Histogram {
    /// One that is exported; `name` ends in `_seconds`, and `bounds` are the upper ones of its buckets, in seconds.
    #[must_use]
    pub fn register(registry: &Registry, name: &'static str, help: &'static str, bounds: &[f64]) -> Histogram {
        let instrument = registry
            .meter()
            .f64_histogram(Registry::full_name(name))
            .with_description(help)
            .with_boundaries(bounds.to_vec())
            .build();
        Histogram(Some(instrument))
    }

    /// Records that something took `time`.
    pub fn record(&self, time: Duration) {
        if let Some(instrument) = &self.0 {
            instrument.record(time.as_secs_f64(), &[]);
        }
    }
}
