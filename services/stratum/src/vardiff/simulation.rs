//! Simulated miners, and figures of how this controller serves them beside the documented one of an existing pool.
//! Every number comes from a seed.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use settings::StratumSettings;

use super::*;
use crate::limits::{EXCESS_MAX, Limits, Pace, RateWindow};

/// A job line takes so long to the miner.
const LATENCY: f64 = 0.1;
/// Mean time between blocks: each brings a new job anyway.
const BLOCK_EVERY: f64 = 300.0;

/// Either controller.
pub(super) trait Controller {
    /// Whether it comes with the front's surplus and hears of refused shares.
    fn excuses(&self) -> bool;
    fn next(&self) -> u64;
    fn assigned(&mut self, difficulty: u64, at: f64);
    fn accepted(&mut self, difficulty: u64, at: f64) -> Retarget;
    fn look(&mut self, at: f64) -> Retarget;
}

pub(super) struct Ours {
    settings: VardiffSettings,
    pub(super) epoch: Instant,
    pub(super) vardiff: Vardiff,
}

impl Ours {
    fn new(settings: VardiffSettings) -> Ours {
        let start = Start::new(&settings, None, None);
        Ours::starting(settings, start)
    }

    pub(super) fn starting(settings: VardiffSettings, start: Start) -> Ours {
        let epoch = Instant::now();
        let vardiff = Vardiff::new(&settings, start, epoch);
        Ours { settings, epoch, vardiff }
    }

    fn instant(&self, at: f64) -> Instant {
        self.epoch + Duration::from_secs_f64(at)
    }
}

impl Controller for Ours {
    fn excuses(&self) -> bool {
        true
    }
    fn next(&self) -> u64 {
        self.vardiff.difficulty().get()
    }
    fn assigned(&mut self, difficulty: u64, at: f64) {
        self.vardiff.assigned(Difficulty::new(difficulty).unwrap(), self.instant(at));
    }
    fn accepted(&mut self, difficulty: u64, at: f64) -> Retarget {
        let at = self.instant(at);
        self.vardiff.accepted(&self.settings, Difficulty::new(difficulty).unwrap(), at)
    }
    fn look(&mut self, at: f64) -> Retarget {
        let at = self.instant(at);
        self.vardiff.look(&self.settings, at)
    }
}

/// The existing pool's rule: the mean gap between the accepted shares of the last window, whatever their difficulty;
/// looked at on each share, at most every five seconds; every change is pushed.
struct Baseline {
    settings: VardiffSettings,
    difficulty: u64,
    times: VecDeque<f64>,
    evaluated: Option<f64>,
}

impl Baseline {
    fn new(settings: VardiffSettings) -> Baseline {
        let difficulty = settings.initial.get();
        Baseline { settings, difficulty, times: VecDeque::new(), evaluated: None }
    }
}

impl Controller for Baseline {
    fn excuses(&self) -> bool {
        false
    }
    fn next(&self) -> u64 {
        self.difficulty
    }
    fn assigned(&mut self, _: u64, _: f64) {}
    fn accepted(&mut self, _: u64, at: f64) -> Retarget {
        let window = self.settings.window.as_secs_f64().max(30.0);
        let target = (window / f64::from(self.settings.target_shares.get())).max(1.0);
        self.times.push_back(at);
        while self.times.front().is_some_and(|first| at - first > window) {
            self.times.pop_front();
        }
        let elapsed = at - self.times[0];
        if self.times.len() < 2 || self.evaluated.is_some_and(|before| at - before < 5.0) || elapsed < 1.0 {
            return Retarget::Keep;
        }
        self.evaluated = Some(at);
        let (observed, before) = (elapsed / (self.times.len() - 1) as f64, self.difficulty);
        let tolerance = self.settings.tolerance;
        if observed < target * (1.0 - tolerance) {
            self.difficulty = (before as f64 * (target / observed).powf(0.45).clamp(1.02, 1.5)).ceil() as u64;
        } else if observed > target * (1.0 + tolerance) {
            self.difficulty = (before as f64 / (observed / target).powf(0.45).clamp(1.02, 1.5)).floor() as u64;
        }
        self.difficulty = self.difficulty.clamp(self.settings.min.get(), self.settings.max.get());
        if self.difficulty == before { Retarget::Keep } else { Retarget::Now }
    }
    fn look(&mut self, _: f64) -> Retarget {
        Retarget::Keep
    }
}

/// A miner: hashes per second from each moment on, and breaks that it takes all the time.
#[derive(Clone, Copy)]
pub(super) struct Miner<'a> {
    pub(super) name: &'static str,
    pub(super) seconds: f64,
    pub(super) phases: &'a [(f64, f64)],
    /// Mines only in (or, if negative, all but) the first seconds of every period.
    pub(super) bursts: Option<(f64, f64)>,
    /// Seconds until it works on a new job: a proxy with many rigs.
    pub(super) delay: f64,
    /// Submits that its connection may send in ten seconds.
    pub(super) rate_max: u32,
}

impl Miner<'_> {
    /// The rate of the phase, breaks left aside.
    fn speed(&self, at: f64) -> f64 {
        self.phases.iter().rev().find(|(from, _)| *from <= at).map_or(0.0, |(_, rate)| *rate)
    }

    fn rate(&self, at: f64) -> f64 {
        let mines = self.bursts.is_none_or(|(first, period)| (at % period < first.abs()) == (first > 0.0));
        if mines { self.speed(at) } else { 0.0 }
    }
}

/// One run.
#[derive(Default)]
pub(super) struct Run {
    /// When another difficulty began to be mined on, and which.
    pub(super) mined: Vec<(f64, u64)>,
    shares: Vec<f64>,
    /// Jobs that were pushed for their difficulty, and changes of what the next job gets.
    pub(super) pushes: Vec<f64>,
    changes: Vec<f64>,
    /// Shares refused by the rate limit, and the hashes in them.
    limited: usize,
    lost: f64,
}

/// What becomes of a share at the submit limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passage {
    Accepted,
    /// Refused, and the controller hears of it.
    Shown,
    Refused,
}

/// The submit limit of one connection.
struct SubmitLimit {
    settings: StratumSettings,
    epoch: Instant,
    rate: RateWindow,
    surplus: Pace,
    excess: usize,
}

impl SubmitLimit {
    fn new(rate_max: u32) -> SubmitLimit {
        let settings = StratumSettings { submit_rate_max: rate_max, ..StratumSettings::default() };
        let epoch = Instant::now();
        SubmitLimit { settings, epoch, rate: RateWindow::new(epoch), surplus: Pace::default(), excess: 0 }
    }

    fn pass(&mut self, at: f64, excuses: bool, is_current: bool) -> Passage {
        let at = self.epoch + Duration::from_secs_f64(at);
        let (max, window) = (self.settings.submit_rate_max, self.settings.submit_rate_window);
        if self.rate.admit(at, max, window) || excuses && self.surplus.admit(1, at, Limits::of(&self.settings).surplus)
        {
            return Passage::Accepted;
        }
        self.excess += usize::from(is_current);
        if excuses && is_current && self.excess <= EXCESS_MAX { Passage::Shown } else { Passage::Refused }
    }
}

pub(super) fn run(controller: &mut dyn Controller, miner: &Miner<'_>, seed: u64) -> Run {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut wait = |mean: f64| -(1.0 - chance.random::<f64>()).ln() * mean;
    let (mut at, mut tick, mut block) = (0.0, 1.0, wait(BLOCK_EVERY));
    let mut mined = controller.next();
    let mut coming: Option<(f64, u64)> = None;
    let mut run = Run { mined: vec![(0.0, mined)], ..Run::default() };
    let mut limit = SubmitLimit::new(miner.rate_max);
    controller.assigned(mined, at);
    while at < miner.seconds {
        let rate = miner.rate(at);
        // Shares have no memory: whatever comes first, the next one is drawn afresh.
        let found = if rate > 0.0 { at + wait(mined as f64 / rate) } else { f64::INFINITY };
        let switched = coming.map_or(f64::INFINITY, |(when, _)| when);
        at = found.min(tick).min(block).min(switched);
        let before = controller.next();
        let job = if at == switched {
            mined = coming.take().expect("it is what happened").1;
            run.mined.push((at, mined));
            false
        } else if at == block {
            block += wait(BLOCK_EVERY);
            true
        } else {
            let outcome = if at == tick {
                tick += 1.0;
                controller.look(at)
            } else {
                let passage = limit.pass(at, controller.excuses(), coming.is_none());
                if passage == Passage::Accepted {
                    run.shares.push(at);
                } else {
                    run.limited += 1;
                    run.lost += mined as f64;
                }
                if passage == Passage::Refused { Retarget::Keep } else { controller.accepted(mined, at) }
            };
            if controller.next() != before {
                run.changes.push(at);
            }
            if outcome == Retarget::Now {
                run.pushes.push(at);
            }
            outcome == Retarget::Now
        };
        if job {
            controller.assigned(controller.next(), at);
            limit.excess = 0;
            coming = Some((at + LATENCY + miner.delay, controller.next()));
        }
    }
    run
}

/// What is asked of a controller, over a phase of many runs.
#[derive(Debug)]
pub(super) struct Figures {
    /// Seconds from the phase's start until it is mined within 3/4 to 4/3 of the ideal: half of the runs, nine of
    /// ten.
    pub(super) to_target: (f64, f64),
    /// Largest difficulty over the ideal, nine of ten.
    pub(super) overshoot: f64,
    /// Part of the time, from half an hour on, within 3/4 to 4/3 of the ideal and within a factor of two.
    pub(super) near: (f64, f64),
    /// Shares per target interval and the variance of shares per window over their mean (1 for a Poisson process),
    /// from half an hour on.
    pub(super) shares: f64,
    pub(super) fano: f64,
    /// Changes and pushes per hour from half an hour on.
    pub(super) changes: f64,
    pub(super) pushes: f64,
    /// Pushes in the first half hour.
    pub(super) early: f64,
    pub(super) limited: f64,
}

const SETTLED: f64 = 1800.0;

fn figures(settings: &VardiffSettings, miner: &Miner<'_>, runs: &[Run], from: f64, to: f64) -> Figures {
    let interval = interval(settings);
    let ideal = (miner.speed(from) * interval).max(1.0);
    let (mut times, mut over) = (Vec::new(), Vec::new());
    let (mut near, mut close, mut counted) = (0.0, 0.0, 0.0);
    let (mut count, mut fano) = (0.0, Vec::new());
    let (mut changes, mut pushes, mut early, mut limited) = (0, 0, 0, 0);
    let within = |moments: &[f64], from: f64, to: f64| moments.iter().filter(|at| (from..to).contains(*at)).count();
    for run in runs {
        let until = |index: usize| run.mined.get(index + 1).map_or(to, |(next, _)| *next).min(to);
        let parts = run.mined.iter().enumerate().map(|(index, (at, mined))| (at.max(from), until(index), *mined));
        let parts: Vec<(f64, f64, f64)> = parts
            .filter(|(at, until, _)| at < until)
            .map(|(at, until, mined)| (at, until, mined as f64 / ideal))
            .collect();
        let hit = parts.iter().find(|(_, _, ratio)| (0.75..=4.0 / 3.0).contains(ratio));
        times.push(hit.map_or(f64::INFINITY, |(at, _, _)| at - from));
        over.push(parts.iter().skip(1).map(|(_, _, ratio)| *ratio).fold(0.0, f64::max));
        let settled = from + SETTLED;
        for (at, until, ratio) in parts {
            let length = (until - at.max(settled)).max(0.0);
            counted += length;
            near += if (0.75..=4.0 / 3.0).contains(&ratio) { length } else { 0.0 };
            close += if (0.5..=2.0).contains(&ratio) { length } else { 0.0 };
        }
        let window = settings.window.as_secs_f64();
        let windows = ((to - settled) / window) as usize;
        let counts: Vec<f64> = (0..windows)
            .map(|index| {
                within(&run.shares, settled + window * index as f64, settled + window * (index + 1) as f64) as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / windows as f64;
        fano.push(counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (windows as f64 * mean.max(1e-9)));
        count += mean;
        changes += within(&run.changes, settled, to);
        pushes += within(&run.pushes, settled, to);
        early += within(&run.pushes, from, settled);
        limited += run.limited;
    }
    let number = runs.len() as f64;
    let hours = number * (to - from - SETTLED) / 3600.0;
    Figures {
        to_target: (quantile(&mut times, 0.5), quantile(&mut times, 0.9)),
        overshoot: quantile(&mut over, 0.9),
        near: (near / counted, close / counted),
        shares: count / number / f64::from(settings.target_shares.get()),
        fano: fano.iter().sum::<f64>() / number,
        changes: changes as f64 / hours,
        pushes: pushes as f64 / hours,
        early: early as f64 / number,
        limited: limited as f64 / number,
    }
}

pub(super) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

pub(super) const RUNS: u64 = 24;

/// Both controllers over the same miners; prints a line for each.
pub(super) fn compare(settings: &VardiffSettings, miner: &Miner<'_>, from: f64, to: f64) -> (Figures, Figures) {
    let runs = |make: &dyn Fn() -> Box<dyn Controller>| -> Figures {
        let runs: Vec<Run> = (0..RUNS).map(|seed| run(&mut *make(), miner, seed)).collect();
        figures(settings, miner, &runs, from, to)
    };
    let ours = runs(&|| Box::new(Ours::new(settings.clone())));
    let theirs = runs(&|| Box::new(Baseline::new(settings.clone())));
    for (name, f) in [("this", &ours), ("baseline", &theirs)] {
        println!(
            "{:24} {name:8} to target {:5.0} {:5.0} s  overshoot {:5.2}  within 1.33 {:3.0} %, 2 {:3.0} %  \
             shares {:4.2} fano {:5.2}  per hour: changes {:5.2} pushes {:5.2}  early pushes {:4.1}  limited {:.0}",
            miner.name,
            f.to_target.0,
            f.to_target.1,
            f.overshoot,
            f.near.0 * 100.0,
            f.near.1 * 100.0,
            f.shares,
            f.fano,
            f.changes,
            f.pushes,
            f.early,
            f.limited
        );
    }
    (ours, theirs)
}

pub(super) const HOUR: f64 = 3600.0;
pub(super) const STEADY: Miner<'static> =
    Miner { name: "", seconds: 8.0 * HOUR, phases: &[], bursts: None, delay: 0.0, rate_max: 120 };

/// What the submit limit costs a miner: shares of a run on average, and the seconds of work in them.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) shares: f64,
    pub(super) seconds: f64,
}

/// The same miners and the submit limit; prints a line.
pub(super) fn cost(settings: &VardiffSettings, miner: &Miner<'_>) -> Cost {
    let runs: Vec<Run> = (0..RUNS).map(|seed| run(&mut Ours::new(settings.clone()), miner, seed)).collect();
    let mean = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / RUNS as f64;
    let cost = Cost { shares: mean(|run| run.limited as f64), seconds: mean(|run| run.lost) / miner.speed(0.0) };
    println!(
        "{:24} from {:2}, {:.1} s away, {:3} per 10 s: lost {:8.1} shares, {:5.2} s of work",
        miner.name, settings.initial, miner.delay, miner.rate_max, cost.shares, cost.seconds
    );
    cost
}
