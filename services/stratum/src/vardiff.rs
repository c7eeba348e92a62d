//! Which difficulty a session's next job has.
//!
//! Shares are a Poisson process, so most of what a share counter shows is chance. The controller therefore asks how
//! strong the evidence is and not how far off the last minutes were:
//! - *Page's test* ([`TimingBias`]) notices within a few shares that a rate has become another one, and hardly ever says so
//!   of a rate that has not. It runs upwards, downwards, and upwards for surges.
//! - A *second look*, whenever there are half as many shares again behind the estimate, takes out what is left of the
//!   error of the first, quick answer.
//! - *Silence* that a miner of this difficulty would show once in 22,000 shares makes shares easier, again and again
//!   until one comes.
//!
//! `vardiff/fleet.rs` states in numbers what comes of that: a farm is at its difficulty within a minute,
//! and a settled miner sees about one small change in two hours and one pushed job in ten.
//!
//! Observations are shares per exposure, where exposure is time divided by the difficulty that was mined on: jobs of
//! different difficulty, and shares of a job that was just replaced, count for what they are worth.
//!
//! A change of less than [`PUSH_FACTOR`] waits for the next job, since every push throws away the hashes in progress.
//! An absence (a miner that mines for somebody else for a while, or a rented burst that ended) is no evidence of a
//! slow miner: it is not counted, and when the difficulty was lowered meanwhile, the one from before comes back at
//! once and the next silence is waited out longer ([`SilenceTimeout`]).
//!
//! What it refuses to do: read a clock, push a job, look at the network's difficulty (the front bounds jobs by it).
use std::time::{Duration, Instant};

use settings::VardiffSettings;
use units::Difficulty;

mod silence;
mod start;
mod timing_bias;

#[cfg(test)]
mod fleet;
#[cfg(test)]
mod reconnects;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use silence::SilenceTimeout;
pub(crate) use start::{FORGOTTEN, Known, Start};
use timing_bias::TimingBias;

/// Up to this factor between what is mined and what should be, a change waits for the next job.
const PUSH_FACTOR: f64 = 2.0;
/// A rate so many times the target's has a test of its own: what was counted before it began would dilute the other.
const SURGE: f64 = 4.0;
const SURGE_EVIDENCE: f64 = 9.0;
/// How much more likely another rate must be before it is believed, as a logarithm.
const EVIDENCE: f64 = 6.5;
/// Silence that makes shares easier, in shares that were due. Longer silences are absences and no evidence.
const SILENCE: f64 = 10.0;
/// The same when the last change was made for silence, too: whatever was known has been doubted already.
const MORE_SILENCE: f64 = 4.0;
/// No silence is shorter: a miner that works 20 s for somebody else is not slow, whatever is due in that time.
const SILENCE_MIN: Duration = Duration::from_secs(30);
/// Raising waits so long, so that shares that arrive together are not taken for a rate.
const DWELL: Duration = Duration::from_millis(500);
/// It also waits for so many shares, if that takes less than an interval.
const SURE_SHARES: f64 = 30.0;
const SURE_SHARES_MIN: f64 = 12.0;
/// Shares that must have been due: many shares in no time are for the test to judge.
const SECOND_LOOK_DUE: f64 = 5.0;
/// Shares behind an estimate before the first second look.
const SECOND_LOOK_SHARES: f64 = 6.0;
/// The next look is taken when there are so many times more.
const LOOK_GROWTH: f64 = 1.5;
/// An estimate forgets half when it rests on so many.
const SHARES_KEPT: f64 = 128.0;
/// Largest step down.
const STEP_DOWN: f64 = 4.0;
/// Largest step up on evidence of less than [`LONG_EVIDENCE_SECS`], and on more.
const STEP_UP: (f64, f64) = (16.0, 64.0);
const LONG_EVIDENCE_SECS: f64 = 5.0;
/// A running session is noted again after so long, or when it is far from what was noted.
const NOTE_EVERY: Duration = Duration::from_secs(600);
/// Shares that a session must have seen for its estimate to be worth more than the one it started with.
const MEASURED_SHARES: u32 = 5;
/// The same when most of what is known was measured by the session before: one that is over after a share or two, like
/// the one before and the one after it, would otherwise never renew what is known.
const KNOWN_SHARES: f64 = 12.0;
/// Most of the silence since the last share that counts, in shares that were due. Without it short sessions would all
/// seem faster than they were.
const TAIL: f64 = 2.0;
/// What a look at the evidence led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retarget {
    /// Nothing changed.
    Keep,
    /// The next job has another difficulty; it may take its time.
    NextJob,
    /// The difficulty is so far off that a job should be pushed now.
    Now,
}

/// One session's controller.
#[derive(Debug)]
pub(crate) struct Vardiff {
    next: Difficulty,
    /// What was known at the start.
    base: Difficulty,
    /// Difficulty of the job that is mined on; `None` before the first.
    mined: Option<Difficulty>,
    rate: Rate,
    surge: TimingBias,
    up: TimingBias,
    down: TimingBias,
    /// Exposure since the last share, or since the last change for silence.
    pending: f64,
    counted_until: Instant,
    /// The last share; `None` before the first, which only starts the clock.
    heard_at: Option<Instant>,
    changed_at: Instant,
    /// The difficulty before silence lowered it.
    before_silence: Option<Difficulty>,
    patience: SilenceTimeout,
    /// What was noted last, and when.
    noted: Option<(Difficulty, Instant)>,
}

/// Shares found per exposure, and how sure that is.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    shares: f64,
    /// Seconds per unit of difficulty.
    exposure: f64,
    /// Shares of this session among them.
    seen: u32,
    look_at: f64,
}

// === impl Vardiff ===

impl Vardiff {
    /// A session that starts as `start` says. Time counts from its first job.
    pub(crate) fn new(settings: &VardiffSettings, start: Start, now: Instant) -> Vardiff {
        let shares = start.known_shares();
        let exposure = shares * interval(settings) / start.base.get() as f64;
        Vardiff {
            next: start.difficulty,
            base: start.base,
            mined: None,
            rate: Rate { shares, exposure, seen: 0, look_at: (LOOK_GROWTH * shares).max(SECOND_LOOK_SHARES) },
            surge: TimingBias::default(),
            up: TimingBias::default(),
            down: TimingBias::default(),
            pending: 0.0,
            counted_until: now,
            heard_at: None,
            changed_at: now,
            before_silence: None,
            patience: SilenceTimeout::new(now),
            noted: None,
        }
    }

    /// What the next job gets, before the network's difficulty bounds it.
    pub(crate) fn difficulty(&self) -> Difficulty {
        self.next
    }

    /// Notes that a job of this difficulty was sent.
    pub(crate) fn assigned(&mut self, difficulty: Difficulty, now: Instant) {
        self.count(now);
        self.mined = Some(difficulty);
    }

    /// Notes a share of a job of this difficulty: an accepted one, or one that only the submit rate stood against.
    pub(crate) fn accepted(&mut self, settings: &VardiffSettings, difficulty: Difficulty, now: Instant) -> Retarget {
        self.count(now);
        let was_silent = self.is_silent();
        let heard_at = self.heard_at.replace(now);
        let exposure = std::mem::take(&mut self.pending);
        let Some(mined) = self.mined.filter(|_| settings.enabled) else { return Retarget::Keep };
        let due = self.due(settings, exposure);
        let Some(heard_at) = heard_at else { return Retarget::Keep };
        if was_silent || due > SILENCE {
            // It was away: like the first share, this one only starts the clock.
            self.patience.came_back(now.saturating_duration_since(heard_at), now);
            return Retarget::Keep;
        }
        self.patience.stayed(now);
        // A share of a job that was just replaced stands for the work in it.
        let shares = difficulty.get() as f64 / mined.get() as f64;
        self.rate.add(shares, exposure);
        let surge = self.surge.add(shares, due, SURGE) >= SURGE_EVIDENCE;
        let up = self.up.add(shares, due, (1.0 + settings.tolerance).powi(2)) >= EVIDENCE;
        let down = self.down.add(shares, due, (1.0 - settings.tolerance).powi(2)) >= EVIDENCE;
        let enough = |evidence: &TimingBias| self.is_enough(settings, evidence, now);
        if surge {
            // The slower test would answer sooner, but with what was counted before the surge in it.
            if enough(&self.surge) { self.follow(settings, self.surge, now) } else { Retarget::Keep }
        } else if up && enough(&self.up) {
            self.follow(settings, self.up, now)
        } else if down {
            self.follow(settings, self.down, now)
        } else {
            self.second_look(settings, now)
        }
    }

    /// Looks without a share: silence for long makes shares easier.
    pub(crate) fn look(&mut self, settings: &VardiffSettings, now: Instant) -> Retarget {
        self.count(now);
        let silent_for = now.saturating_duration_since(self.changed_at.max(self.heard_at.unwrap_or(self.changed_at)));
        let limit = self.patience.factor() * if self.is_silent() { MORE_SILENCE } else { SILENCE };
        if !settings.enabled || silent_for < SILENCE_MIN || self.due(settings, self.pending) < limit {
            return Retarget::Keep;
        }
        let before = self.before_silence.unwrap_or(self.next);
        let outcome = self.change(settings, self.next.get() as f64 / STEP_DOWN, now);
        if outcome != Retarget::Keep {
            (self.before_silence, self.rate, self.pending) = (Some(before), Rate::unknown(), 0.0);
        }
        outcome
    }

    /// The difficulty at which this session would meet the target, and the moment of the last share behind it;
    /// `None` while it has not shown what it can do.
    pub(crate) fn measured(&self, settings: &VardiffSettings) -> Option<(Difficulty, Instant)> {
        let enough = self.rate.seen >= MEASURED_SHARES || self.rate.shares >= KNOWN_SHARES;
        let heard_at = self.heard_at.filter(|_| settings.enabled && enough && self.rate.exposure > 0.0)?;
        let tail = self.pending.min(TAIL * interval(settings) / self.next.get() as f64);
        let measured = self.rate.shares / (self.rate.exposure + tail) * interval(settings);
        // Shares that came all at once may have waited somewhere: no hint leads further than a step.
        let tried = self.next.max(self.base).get() as f64 * step_up(settings, self.due(settings, self.rate.exposure));
        Some((bounded(settings, measured.min(tried)), heard_at))
    }

    /// The same when it is time to note it, so that little is lost if the process dies.
    pub(crate) fn next_note(&mut self, settings: &VardiffSettings, now: Instant) -> Option<(Difficulty, Instant)> {
        let (ideal, heard_at) = self.measured(settings)?;
        let noted = self.noted.is_some_and(|(noted, at)| {
            let ratio = ideal.get() as f64 / noted.get() as f64;
            let close = (1.0 - settings.tolerance..=1.0 + settings.tolerance).contains(&ratio);
            heard_at <= at || close && now.saturating_duration_since(at) < NOTE_EVERY
        });
        if noted {
            return None;
        }
        self.noted = Some((ideal, now));
        Some((ideal, heard_at))
    }

    /// Whether silence lowered the difficulty, and nothing was heard since.
    fn is_silent(&self) -> bool {
        self.before_silence.is_some() && self.heard_at.is_none_or(|heard_at| heard_at <= self.changed_at)
    }

    fn count(&mut self, now: Instant) {
        if let Some(mined) = self.mined {
            self.pending += now.saturating_duration_since(self.counted_until).as_secs_f64() / mined.get() as f64;
        }
        self.counted_until = now;
    }

    /// Shares that were due if the difficulty is right.
    fn due(&self, settings: &VardiffSettings, exposure: f64) -> f64 {
        exposure * self.next.get() as f64 / interval(settings)
    }

    /// Whether the evidence for raising is good enough: a better answer is waited for where it comes soon.
    fn is_enough(&self, settings: &VardiffSettings, evidence: &TimingBias, now: Instant) -> bool {
        let (shares, due) = evidence.counted();
        let rested = now.saturating_duration_since(self.changed_at) >= DWELL;
        let fast = due >= 1.0 || evidence.ratio() >= step_up(settings, due);
        let good = shares >= SURE_SHARES || fast && shares >= SURE_SHARES_MIN;
        shares >= 2.0 * SURE_SHARES || rested && good
    }

    /// Another rate than the one the difficulty is made for.
    fn follow(&mut self, settings: &VardiffSettings, evidence: TimingBias, now: Instant) -> Retarget {
        let from = self.next.get() as f64;
        let measured = evidence.ratio() * from;
        let (_, due) = evidence.counted();
        let mut highest = from * step_up(settings, due);
        if let Some(before) = self.before_silence.take() {
            let before = before.get() as f64;
            if measured >= before / PUSH_FACTOR {
                self.patience.more(Duration::from_secs_f64(SILENCE * interval(settings)));
            } else {
                self.patience.less();
            }
            highest = highest.max(before);
        }
        self.rate.replace(&evidence, interval(settings) / from);
        self.change(settings, measured.clamp(from / STEP_DOWN, highest), now)
    }

    /// Corrects what is left of an error when there are enough new shares behind the estimate.
    fn second_look(&mut self, settings: &VardiffSettings, now: Instant) -> Retarget {
        if self.rate.shares < self.rate.look_at || self.due(settings, self.rate.exposure) < SECOND_LOOK_DUE {
            return Retarget::Keep;
        }
        let measured = self.rate.per_exposure() * interval(settings);
        let shares = self.rate.shares;
        // At first the error is large, and a correction costs nothing but a number in the next job.
        let settled = shares >= SHARES_KEPT / 2.0;
        let left_alone = if settled { settings.tolerance } else { settings.tolerance / 2.0 };
        self.rate.looked();
        let deviation = (measured / self.next.get() as f64 - 1.0).abs();
        if deviation <= left_alone.max(1.0 / shares.sqrt()) {
            return Retarget::Keep;
        }
        if self.before_silence.take().is_some() {
            self.patience.less();
        }
        let from = self.next.get() as f64;
        self.change(settings, measured.clamp(from / STEP_DOWN, from * STEP_DOWN), now)
    }

    fn change(&mut self, settings: &VardiffSettings, wished: f64, now: Instant) -> Retarget {
        (self.surge, self.up, self.down) = Default::default();
        let next = bounded(settings, wished);
        if next == self.next {
            return Retarget::Keep;
        }
        (self.next, self.changed_at) = (next, now);
        let mined = self.mined.unwrap_or(next);
        let factor = next.get() as f64 / mined.get() as f64;
        if (1.0 / PUSH_FACTOR..=PUSH_FACTOR).contains(&factor) { Retarget::NextJob } else { Retarget::Now }
    }
}

// === impl Rate ===

impl Rate {
    fn unknown() -> Rate {
        Rate { look_at: SECOND_LOOK_SHARES, ..Rate::default() }
    }

    fn add(&mut self, shares: f64, exposure: f64) {
        self.shares += shares;
        self.exposure += exposure;
        self.seen = self.seen.saturating_add(1);
    }

    /// What was believed is not so any more; what the evidence for that says is.
    fn replace(&mut self, evidence: &TimingBias, exposure_per_due: f64) {
        let (shares, due) = evidence.counted();
        let seen = self.seen.min(shares as u32);
        *self = Rate {
            shares,
            exposure: due * exposure_per_due,
            seen,
            look_at: (LOOK_GROWTH * shares).max(SECOND_LOOK_SHARES),
        };
    }

    fn per_exposure(&self) -> f64 {
        self.shares / self.exposure
    }

    fn looked(&mut self) {
        let halved = self.shares >= SHARES_KEPT;
        if halved {
            (self.shares, self.exposure) = (self.shares / 2.0, self.exposure / 2.0);
        }
        self.look_at = if halved { SHARES_KEPT } else { self.shares * LOOK_GROWTH };
    }
}

/// Seconds between two shares at the target rate.
fn interval(settings: &VardiffSettings) -> f64 {
    settings.window.as_secs_f64() / f64::from(settings.target_shares.get())
}

/// How far up evidence may lead at once that took as long as so many shares are due in.
fn step_up(settings: &VardiffSettings, due: f64) -> f64 {
    if due * interval(settings) < LONG_EVIDENCE_SECS { STEP_UP.0 } else { STEP_UP.1 }
}

fn bounded(settings: &VardiffSettings, wished: f64) -> Difficulty {
    // A float beyond the integer's range becomes its nearest bound.
    let within = (wished.round() as u64).clamp(settings.min.get(), settings.max.get());
    Difficulty::new(within).unwrap_or(settings.initial)
}
