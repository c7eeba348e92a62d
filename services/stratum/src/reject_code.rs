//! How many submits were refused, by reason.
use instruments::{Counter, Registry};
use wire::RejectCode;

/// One counter for each canonical reason.
#[derive(Debug, Clone, Default)]
pub struct RejectCodeCounts([Counter; RejectCode::ALL.len()]);

impl RejectCodeCounts {
    /// One number for each reason, all exported under one name.
    #[must_use]
    pub fn register(registry: &Registry, name: &'static str, help: &'static str) -> RejectCodeCounts {
        let counts = RejectCodeCounts::default();
        let exported = counts.clone();
        registry.labelled(name, help, "reason", move || exported.each().collect::<Vec<_>>());
        counts
    }

    /// Counts one.
    pub fn add(&self, code: RejectCode) {
        self.of(code).add(1);
    }

    /// How many of this reason.
    #[must_use]
    pub fn of(&self, code: RejectCode) -> &Counter {
        &self.0[code as usize]
    }

    /// Each reason and how many.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RejectCode::ALL.into_iter().map(|code| (code.as_str(), self.of(code).get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let rejected = RejectCodeCounts::default();
        for (n, code) in (1..).zip(RejectCode::ALL) {
            (0..n).for_each(|_| rejected.add(code));
        }
        let counts: Vec<u64> = rejected.each().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=RejectCode::ALL.len() as u64).collect::<Vec<_>>());
    }
}
