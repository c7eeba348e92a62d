//! What a run found: figures by name, as a table or as JSON, and what is demanded of them.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

/// Figures in the order in which they are shown. Names end with their unit.
#[derive(Clone, Debug, Default)]
pub struct Report {
    title: String,
    figures: Vec<(String, f64)>,
    /// Texts of refusals, and how often each was heard.
    pub(super) refusals: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(title: String) -> Report {
        Report { title, ..Report::default() }
    }

    pub(super) fn add(&mut self, name: &str, value: f64) {
        self.figures.push((name.to_owned(), value));
    }

    pub(super) fn add_count(&mut self, name: &str, count: u64) {
        self.add(name, count as f64);
    }

    /// Adds the percentiles of a histogram of microseconds, in milliseconds.
    pub(super) fn add_latency(&mut self, prefix: &str, latency: &Latency) {
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            self.add(&format!("{prefix}{name}_ms"), latency.0.value_at_quantile(quantile) as f64 / 1000.0);
        }
        self.add(&format!("{prefix}max_ms"), latency.0.max() as f64 / 1000.0);
    }

    /// The figure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(has, _)| has == name).map(|(_, value)| *value)
    }

    /// All of it as one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("load".to_owned(), self.title.clone().into());
        for (name, value) in &self.figures {
            object.insert(name.clone(), (*value).into());
        }
        object.insert("refusals".to_owned(), self.refusals.iter().map(|(text, n)| (text.clone(), *n)).collect());
        object.into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (name, value) in &self.figures {
            let digits = usize::from(value.fract() != 0.0) * 2;
            writeln!(f, "  {name:<28} {value:>14.digits$}")?;
        }
        for (text, count) in &self.refusals {
            writeln!(f, "  refused {count:>8} x {text}")?;
        }
        Ok(())
    }
}

/// A histogram of microseconds.
#[derive(Debug)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    pub(super) fn new() -> Latency {
        Latency(Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are good"))
    }

    pub(super) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }
}

/// A bound on a figure: `NAME>=VALUE` or `NAME<=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    name: String,
    is_minimum: bool,
    bound: f64,
}

impl Requirement {
    /// What is wrong; `None` when it holds.
    #[must_use]
    pub fn misses(&self, report: &Report) -> Option<String> {
        let Some(value) = report.get(&self.name) else { return Some(format!("{} was not measured", self.name)) };
        let (holds, word) = match self.is_minimum {
            true => (value >= self.bound, "under"),
            false => (value <= self.bound, "over"),
        };
        (!holds).then(|| format!("{} is {value:.2}, {word} {}", self.name, self.bound))
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let (name, is_minimum, bound) = match (text.split_once(">="), text.split_once("<=")) {
            (Some((name, bound)), _) => (name, true, bound),
            (None, Some((name, bound))) => (name, false, bound),
            (None, None) => return Err(format!("{text:?} is no requirement; say NAME>=VALUE or NAME<=VALUE")),
        };
        let bound = bound.trim().parse().map_err(|_| format!("{bound:?} is no number"))?;
        Ok(Requirement { name: name.trim().to_owned(), is_minimum, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_names_the_figure_that_misses_it() {
        let mut report = Report::new("test".to_owned());
        report.add("rate_per_s", 10.0);
        let misses = |text: &str| text.parse::<Requirement>().unwrap().misses(&report);
        assert_eq!(misses("rate_per_s>=10"), None);
        assert_eq!(misses("rate_per_s <= 9.5").as_deref(), Some("rate_per_s is 10.00, over 9.5"));
        assert_eq!(misses("p50_ms<=1").as_deref(), Some("p50_ms was not measured"));
        assert!("rate_per_s=1".parse::<Requirement>().is_err());
    }
}
