//! Which daemon templates come from: the first in the operator's order that is well and on the best tip.
//!
//! Pure: facts and times go in, a place in the list comes out. Two delays keep it calm. A daemon that is a block
//! behind is given a moment, since blocks reach daemons one after the other; and a preferred daemon that was left is
//! taken again only after it has been well for a while.
use std::time::Duration;

use messages::facts::DaemonState;
use tokio::time::Instant;
use units::Height;

/// How patient the choice between daemons is.
#[derive(Debug, Clone, Copy)]
pub struct FailoverTimeouts {
    /// The chosen daemon may have less work than another one for so long.
    pub lag: Duration,
    /// A preferred daemon must have been well for so long to be chosen again.
    pub settle: Duration,
    /// A daemon that gave no usable template is not chosen for so long; doubles with every further time.
    pub bar: Duration,
    /// The bar grows no longer than this.
    pub bar_max: Duration,
}

impl Default for FailoverTimeouts {
    fn default() -> FailoverTimeouts {
        let secs = Duration::from_secs;
        FailoverTimeouts { lag: secs(3), settle: secs(60), bar: secs(30), bar_max: secs(15 * 60) }
    }
}

/// What a daemon said about its chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChainReport {
    pub(crate) height: Height,
    pub(crate) work: u64,
    pub(crate) syncing: bool,
}

#[derive(Debug, Clone, Default)]
struct Standing {
    asked: bool,
    /// Empty while it does not answer.
    seen: Option<ChainReport>,
    height: Height,
    behind_since: Option<Instant>,
    well_since: Option<Instant>,
    barred: Option<Bar>,
}

#[derive(Debug, Clone, Copy)]
struct Bar {
    until: Instant,
    pause: Duration,
    state: DaemonState,
}

/// All daemons of the list.
#[derive(Debug)]
pub(crate) struct Choice {
    patience: FailoverTimeouts,
    all: Vec<Standing>,
    chosen: usize,
    /// Work of the best chain that was ever built on.
    floor: u64,
}

impl Choice {
    /// The first one is chosen until more is known.
    pub(crate) fn new(count: usize, patience: FailoverTimeouts) -> Choice {
        Choice { patience, all: vec![Standing::default(); count], chosen: 0, floor: 0 }
    }

    pub(crate) fn chosen(&self) -> usize {
        self.chosen
    }

    pub(crate) fn answered(&mut self, place: usize, seen: ChainReport) {
        let standing = &mut self.all[place];
        (standing.asked, standing.seen, standing.height) = (true, Some(seen), seen.height);
    }

    pub(crate) fn silent(&mut self, place: usize) {
        let standing = &mut self.all[place];
        (standing.asked, standing.seen, standing.well_since) = (true, None, None);
    }

    pub(crate) fn gave_template(&mut self, place: usize) {
        self.all[place].barred = None;
    }

    /// It was asked for a template and gave none that can be used.
    pub(crate) fn gave_none(&mut self, place: usize, state: DaemonState, now: Instant) {
        let FailoverTimeouts { bar, bar_max, .. } = self.patience;
        let standing = &mut self.all[place];
        let pause = standing.barred.map_or(bar, |before| (before.pause * 2).min(bar_max));
        standing.barred = Some(Bar { until: now + pause, pause, state });
        standing.well_since = None;
    }

    /// Decides anew. `floor` is the work of the best chain that was ever built on: a daemon that shows less is not
    /// waited for while another one shows as much.
    pub(crate) fn choose(&mut self, now: Instant, floor: u64) -> usize {
        self.floor = floor;
        let candidates: Vec<Option<u64>> = self.all.iter().map(|standing| standing.work(now)).collect();
        let best = candidates.iter().flatten().max().copied();
        for (standing, work) in self.all.iter_mut().zip(&candidates) {
            standing.behind_since = match work {
                Some(work) if Some(*work) < best => standing.behind_since.or(Some(now)),
                _ => None,
            };
            let well = work.is_some() && !standing.lags(now, self.patience.lag);
            standing.well_since = if well { standing.well_since.or(Some(now)) } else { None };
        }
        let mut on_tip = (0..self.all.len()).filter(|place| best.is_some() && candidates[*place] == best);
        let chosen = &self.all[self.chosen];
        let is_low = candidates[self.chosen] < Some(floor) && best >= Some(floor);
        let next = if candidates[self.chosen].is_some() && !is_low && !chosen.lags(now, self.patience.lag) {
            let settled = |standing: &Standing| {
                standing.well_since.is_some_and(|since| now.duration_since(since) >= self.patience.settle)
            };
            on_tip.find(|place| *place < self.chosen && settled(&self.all[*place]))
        } else {
            on_tip.next()
        };
        self.chosen = next.unwrap_or(self.chosen);
        self.chosen
    }

    /// What operators are told.
    pub(crate) fn state(&self, place: usize, now: Instant) -> DaemonState {
        let standing = &self.all[place];
        match (standing.seen, standing.barred) {
            _ if !standing.asked => DaemonState::Unknown,
            (None, _) => DaemonState::Away,
            (Some(seen), _) if seen.syncing => DaemonState::Syncing,
            // Also after the pause: nothing has shown yet that it is better now.
            (_, Some(bar)) => bar.state,
            _ if standing.lags(now, self.patience.lag) => DaemonState::Behind,
            // Another one may just not have heard of the newest block yet.
            (Some(seen), _) if place == self.chosen && seen.work < self.floor => DaemonState::Behind,
            _ => DaemonState::Good,
        }
    }

    /// Whether it answered the last time it was asked.
    pub(crate) fn answers(&self, place: usize) -> bool {
        self.all.get(place).is_some_and(|standing| standing.seen.is_some())
    }

    pub(crate) fn height(&self, place: usize) -> Height {
        self.all[place].height
    }
}

impl Standing {
    /// The work of its chain if it may be chosen.
    fn work(&self, now: Instant) -> Option<u64> {
        let open = self.barred.is_none_or(|bar| bar.until <= now);
        self.seen.filter(|seen| open && !seen.syncing).map(|seen| seen.work)
    }

    fn lags(&self, now: Instant, patience: Duration) -> bool {
        self.behind_since.is_some_and(|since| now.duration_since(since) >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Daemons {
        choice: Choice,
        now: Instant,
        floor: u64,
    }

    impl Daemons {
        fn new(works: &[u64]) -> Daemons {
            let mut daemons = Daemons {
                choice: Choice::new(works.len(), FailoverTimeouts::default()),
                now: Instant::now(),
                floor: 0,
            };
            daemons.say(works);
            daemons
        }

        fn say(&mut self, works: &[u64]) {
            for (place, work) in works.iter().enumerate() {
                match work {
                    0 => self.choice.silent(place),
                    work => self
                        .choice
                        .answered(place, ChainReport { height: Height::new(*work), work: *work, syncing: false }),
                }
            }
        }

        /// Lets so many seconds pass in steps of two, as polls do.
        fn after(&mut self, secs: u64) -> usize {
            for _ in 0..secs / 2 {
                self.now += Duration::from_secs(2);
                self.choice.choose(self.now, self.floor);
            }
            self.choice.choose(self.now, self.floor)
        }

        fn state(&self, place: usize) -> &'static str {
            self.choice.state(place, self.now).as_str()
        }
    }

    #[test]
    fn the_first_that_is_well_is_chosen_and_nothing_else_while_it_stays_well() {
        let mut daemons = Daemons::new(&[5, 5, 5]);
        assert_eq!(daemons.after(600), 0);
        let mut daemons = Daemons::new(&[0, 5, 5]);
        assert_eq!((daemons.after(0), daemons.state(0), daemons.state(1)), (1, "away", "good"));
        let mut daemons = Daemons::new(&[0, 0, 5]);
        assert_eq!(daemons.after(0), 2);
    }

    #[test]
    fn a_preferred_daemon_is_taken_again_only_when_it_has_been_well_for_a_while() {
        let mut daemons = Daemons::new(&[0, 5]);
        assert_eq!(daemons.after(2), 1);
        daemons.say(&[5, 5]);
        assert_eq!(daemons.after(58), 1);
        daemons.say(&[0, 5]); // It goes away once more: its time begins anew.
        daemons.after(2);
        daemons.say(&[5, 5]);
        assert_eq!(daemons.after(58), 1);
        assert_eq!(daemons.after(4), 0);
    }

    #[test]
    fn a_moment_behind_is_nothing_and_long_behind_is_a_reason() {
        let mut daemons = Daemons::new(&[5, 6]);
        assert_eq!(daemons.after(2), 0, "blocks reach daemons one after the other");
        daemons.say(&[6, 6]);
        assert_eq!(daemons.after(2), 0);
        daemons.say(&[6, 7]);
        assert_eq!((daemons.after(12), daemons.state(0)), (1, "behind"));
        daemons.say(&[7, 7]);
        assert_eq!((daemons.after(50), daemons.after(20)), (1, 0));
    }

    #[test]
    fn a_daemon_that_syncs_is_left() {
        let mut daemons = Daemons::new(&[5, 5]);
        let seen = ChainReport { height: Height::new(5), work: 5, syncing: true };
        daemons.choice.answered(0, seen);
        assert_eq!((daemons.after(0), daemons.state(0)), (1, "syncing"));
    }

    #[test]
    fn a_daemon_without_a_usable_template_is_barred_for_longer_each_time() {
        let mut daemons = Daemons::new(&[5, 5]);
        let mut returns = Vec::new();
        for _ in 0..7 {
            daemons.choice.gave_none(0, DaemonState::ForeignAddress, daemons.now);
            assert_eq!((daemons.after(0), daemons.state(0)), (1, "foreign_address"));
            let mut waited = 0;
            while daemons.after(2) == 1 {
                waited += 2;
            }
            returns.push(waited);
        }
        assert_eq!(returns, [88, 118, 178, 298, 538, 958, 958], "bar and settling time");
        daemons.choice.gave_template(0);
        assert_eq!(daemons.state(0), "good");
    }

    #[test]
    fn what_a_barred_daemon_says_about_its_chain_counts_for_nothing() {
        let mut daemons = Daemons::new(&[5, 99]);
        assert_eq!(daemons.after(12), 1, "more work wins");
        daemons.choice.gave_none(1, DaemonState::NoTemplate, daemons.now);
        assert_eq!((daemons.after(0), daemons.state(0)), (0, "good"));
    }

    #[test]
    fn a_daemon_below_the_best_chain_ever_seen_is_left_at_once_for_one_that_has_it() {
        let mut daemons = Daemons::new(&[5, 6]);
        daemons.floor = 6;
        assert_eq!((daemons.after(0), daemons.state(0)), (1, "good"));
        let mut daemons = Daemons::new(&[5, 6]);
        daemons.floor = 7;
        assert_eq!((daemons.after(0), daemons.state(0)), (0, "behind"), "nobody has it");
        assert_eq!((daemons.after(12), daemons.state(1)), (1, "behind"), "then the usual rules hold");
        let mut alone = Daemons::new(&[5]);
        alone.floor = 6;
        assert_eq!((alone.after(600), alone.state(0)), (0, "behind"));
        alone.say(&[6]);
        assert_eq!((alone.after(0), alone.state(0)), (0, "good"));
    }

    #[test]
    fn without_any_daemon_the_choice_stays() {
        let mut daemons = Daemons::new(&[0, 5]);
        assert_eq!(daemons.after(2), 1);
        daemons.say(&[0, 0]);
        assert_eq!(daemons.after(600), 1);
        let mut alone = Daemons::new(&[5]);
        alone.choice.gave_none(0, DaemonState::NoTemplate, alone.now);
        assert_eq!((alone.after(0), alone.state(0)), (0, "no_template"));
    }
}
