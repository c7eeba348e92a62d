//! The jobs that one session was given. Creating, finding and dropping one never looks at another session.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::Target;
use foldhash::fast::RandomState;
use messages::facts::{Line, Template};
use units::{Difficulty, Nonce};
use wire::Reject;

use crate::ranges::Range;

/// Jobs of the past that are still known by name, so that a late share hears why it is late.
const REMEMBERED: usize = 12;
/// Shares that one job may have: what bounds the set of its taken nonces without ever forgetting one. A job that is
/// three quarters full is replaced by one with a range of its own; until the miner has it the rest is enough.
const TAKEN_MAX: usize = 1 << 16;
const TAKEN_MANY: usize = TAKEN_MAX / 4 * 3;
/// How long a superseded job is remembered beyond its grace time.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// One job of one session.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) range: Range,
    pub(crate) template: Arc<Template>,
    pub(crate) difficulty: Difficulty,
    pub(crate) target: Target,
    pub(crate) line: Arc<Line>,
    given_at: Instant,
    /// When another job on a template of the same identity replaced it.
    superseded_at: Option<Instant>,
    /// Offsets of nonces that are in the log or on their way there. Ranges never overlap, so this set is the
    /// session's own and exact.
    taken: HashSet<u32, RandomState>,
}

/// The current job and those before it that may still be submitted to.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    jobs: VecDeque<Assignment>,
}

impl Assignment {
    pub(crate) fn new(
        range: Range,
        template: Arc<Template>,
        difficulty: Difficulty,
        line: Arc<Line>,
        now: Instant,
    ) -> Assignment {
        let target = Target::from_difficulty(difficulty);
        Assignment {
            range,
            template,
            difficulty,
            target,
            line,
            given_at: now,
            superseded_at: None,
            taken: HashSet::default(),
        }
    }

    /// When the miner was sent it.
    pub(crate) fn given_at(&self) -> Instant {
        self.given_at
    }

    /// The nonce's place in the range.
    pub(crate) fn offset(&self, nonce: Nonce) -> Option<u32> {
        let inside = (self.range.first..=self.range.last).contains(&nonce);
        inside.then(|| u32::try_from(nonce.get() - self.range.first.get()).ok()).flatten()
    }

    /// Reserves a nonce.
    ///
    /// # Errors
    /// It is taken, or the job has all the shares it may have.
    pub(crate) fn reserve(&mut self, offset: u32) -> Result<(), Reject> {
        if self.taken.len() >= TAKEN_MAX && !self.taken.contains(&offset) {
            return Err(Reject::ServerBusy);
        }
        if self.taken.insert(offset) { Ok(()) } else { Err(Reject::Duplicate) }
    }

    /// Whether it should be replaced before it is full.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.taken.len() >= TAKEN_MANY
    }

    fn check_age(&self, read_at: Instant, grace: Duration, current: Option<u64>) -> Result<(), Reject> {
        if let Some(retired_at) = self.template.retired_at.get() {
            let stale_for = read_at.saturating_duration_since(*retired_at);
            if stale_for > grace {
                return Err(Reject::TemplateStale {
                    template: self.template.uid(),
                    current,
                    stale_for,
                    stale_grace: grace,
                });
            }
        } else if let Some(superseded_at) = self.superseded_at {
            let stale_for = read_at.saturating_duration_since(superseded_at);
            if stale_for > grace {
                return Err(Reject::AssignmentSuperseded { stale_for, stale_grace: grace });
            }
        }
        Ok(())
    }
}

impl Assignments {
    /// Makes `assignment` the current one.
    pub(crate) fn push(&mut self, assignment: Assignment, now: Instant) {
        if let Some(current) = self.jobs.front_mut() {
            current.superseded_at.get_or_insert(now);
        }
        let forgotten =
            |job: &Assignment| job.superseded_at.is_some_and(|at| now.saturating_duration_since(at) > FORGET_AFTER);
        while self.jobs.len() >= REMEMBERED || self.jobs.back().is_some_and(forgotten) {
            self.jobs.pop_back();
        }
        self.jobs.push_front(assignment);
    }

    /// The job that miners work on.
    pub(crate) fn current(&self) -> Option<&Assignment> {
        self.jobs.front()
    }

    /// The job of this name if a share for it that was read at `read_at` may still count.
    ///
    /// # Errors
    /// One of the stale texts; the real client reconnects when a job is not found at all.
    pub(crate) fn find(
        &mut self,
        job_id: Option<u64>,
        read_at: Instant,
        grace: Duration,
        current: Option<u64>,
    ) -> Result<&mut Assignment, Reject> {
        let job = self.jobs.iter_mut().find(|job| Some(job.range.job_id) == job_id);
        let job = job.ok_or(Reject::AssignmentNotFound)?;
        job.check_age(read_at, grace, current)?;
        Ok(job)
    }

    /// Gives a nonce back: its record is certainly not in the log.
    pub(crate) fn release(&mut self, job_id: u64, offset: u32) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.range.job_id == job_id) {
            job.taken.remove(&offset);
        }
    }
}
