//! Page's test for the rate of a Poisson process.

/// The evidence, since it last spoke against it, that shares come at `ratio` times the rate at which they are due.
///
/// With `ratio` = (1 + tolerance)^2 the evidence grows on average when the true rate is over 1 + tolerance and fades
/// when it is under; likewise downwards.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimingBias {
    score: f64,
    shares: f64,
    due: f64,
}

impl TimingBias {
    /// Takes shares that came while `due` of them were; returns the evidence, as the logarithm of a likelihood ratio.
    pub(super) fn add(&mut self, shares: f64, due: f64, ratio: f64) -> f64 {
        if self.score > 0.0 {
            self.shares += shares;
            self.due += due;
        }
        self.score += shares * ratio.ln() - (ratio - 1.0) * due;
        if self.score <= 0.0 {
            *self = TimingBias::default();
        }
        self.score
    }

    /// Shares and shares that were due, from the first share of the evidence on: the gap before it may belong to
    /// another rate. The share that completed the evidence is not counted either: it had to come.
    pub(super) fn counted(&self) -> (f64, f64) {
        ((self.shares - 1.0).max(0.5), self.due.max(f64::MIN_POSITIVE))
    }

    /// The rate it shows, in units of the rate at which shares are due.
    pub(super) fn ratio(&self) -> f64 {
        let (shares, due) = self.counted();
        shares / due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_noticed_after_a_few_shares_and_a_trickle_after_a_few_intervals() {
        let mut up = TimingBias::default();
        let flood = (1..100).find(|_| up.add(1.0, 0.001, 1.5625) >= 6.0);
        assert_eq!(flood, Some(14));
        assert!((up.ratio() / (12.0 / 0.013) - 1.0).abs() < 1e-9);
        let mut down = TimingBias::default();
        let trickle = (1..100).find(|_| down.add(1.0, 8.0, 0.5625) >= 6.0);
        assert_eq!(trickle, Some(3));
    }

    #[test]
    fn evidence_against_it_does_not_pile_up() {
        let mut up = TimingBias::default();
        assert!((0..1000).all(|_| up.add(1.0, 1.0, 1.5625) < 1.0));
        assert!((1..=14).any(|_| up.add(1.0, 0.0, 1.5625) >= 6.0), "as quick as at the start");
    }
}
