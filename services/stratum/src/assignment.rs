//! The jobs that one session was given. Creating, finding and dropping one never looks at another session.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain::Target;
use foldhash::fast::RandomState;
use messages::facts::{Template, WorkerIdentity};
use units::{Difficulty, Nonce};
use wire::Reject;

use crate::limits::EXCESS_MAX;
use crate::ranges::Range;

/// Jobs of the past that are still known by name, so that a late share hears why it is late. More are only kept while
/// shares for them count.
const REMEMBERED: usize = 12;
/// Jobs of one session. An honest one never has so many within the grace time; whoever does gets the next job when the
/// oldest one has expired, so no job that a share may count for is ever forgotten.
const JOBS_MAX: usize = 64;
/// Shares that one job may have: what bounds the set of its taken nonces without ever forgetting one. A job that is
/// three quarters full is replaced by one with a range of its own; until the miner has it the rest is enough.
const TAKEN_MAX: usize = 1 << 16;
const TAKEN_MANY: usize = TAKEN_MAX / 4 * 3;
/// How long a job is remembered beyond its grace time.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// The same when there are many: lines that were read in time are looked at within this.
const FORGET_EARLY: Duration = Duration::from_secs(5);

/// One job of one session.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) range: Range,
    pub(crate) template: Arc<Template>,
    pub(crate) difficulty: Difficulty,
    pub(crate) target: Target,
    pub(crate) line: Arc<WorkerIdentity>,
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
    /// Nonces of the current job that only the submit rate stood against.
    excess: Vec<Nonce>,
}

impl Assignment {
    pub(crate) fn new(
        range: Range,
        template: Arc<Template>,
        difficulty: Difficulty,
        line: Arc<WorkerIdentity>,
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

    /// The nonce at a place of the range.
    pub(crate) fn nonce(&self, offset: u32) -> Nonce {
        Nonce::new(self.range.first.get() + u64::from(offset))
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
        let retired_at = self.template.retired_at.get().copied();
        // Whichever came first is what the miner is told.
        let superseded_at = self.superseded_at.filter(|at| retired_at.is_none_or(|retired_at| *at < retired_at));
        let Some(over_at) = superseded_at.or(retired_at) else { return Ok(()) };
        let stale_for = read_at.saturating_duration_since(over_at);
        if stale_for <= grace {
            Ok(())
        } else if superseded_at.is_some() {
            Err(Reject::AssignmentSuperseded { stale_for, stale_grace: grace })
        } else {
            Err(Reject::TemplateStale { template: self.template.uid(), current, stale_for, stale_grace: grace })
        }
    }

    /// For how long it has not been the job to work on.
    fn over_for(&self, now: Instant) -> Duration {
        let over_at = self.superseded_at.into_iter().chain(self.template.retired_at.get().copied()).min();
        over_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }
}

impl Assignments {
    /// Forgets jobs that are over, and says whether there is a place for one more.
    pub(crate) fn make_room(&mut self, now: Instant, grace: Duration) -> bool {
        // A job is never over before those behind it.
        while let Some(oldest) = self.jobs.back() {
            let kept = if self.jobs.len() < REMEMBERED { FORGET_AFTER } else { FORGET_EARLY };
            if oldest.over_for(now) <= grace + kept {
                break;
            }
            self.jobs.pop_back();
        }
        self.jobs.len() < JOBS_MAX
    }

    /// Makes `assignment` the current one; there has to be room for it.
    pub(crate) fn push(&mut self, assignment: Assignment, now: Instant) {
        if let Some(current) = self.jobs.front_mut() {
            current.superseded_at.get_or_insert(now);
        }
        self.jobs.push_front(assignment);
        self.excess = Vec::new();
    }

    /// Notes a share that only the submit rate stood against. False when it says nothing new: it is of an earlier job,
    /// the same once more, or one of too many.
    pub(crate) fn note_excess(&mut self, job_id: u64, nonce: Nonce) -> bool {
        let is_current = self.current().is_some_and(|job| job.range.job_id == job_id);
        let is_new = is_current && self.excess.len() < EXCESS_MAX && !self.excess.contains(&nonce);
        if is_new {
            self.excess.push(nonce);
        }
        is_new
    }

    /// The job of this name, whatever its age.
    pub(crate) fn named(&self, job_id: u64) -> Option<&Assignment> {
        self.jobs.iter().find(|job| job.range.job_id == job_id)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use chain::HeaderBase;
    use messages::facts::Origin;
    use serde_json::value::RawValue;
    use units::{Amount, Timestamp};

    use super::*;
    use crate::ranges::{ProcessNumber, Ranges};

    const GRACE: Duration = Duration::from_secs(8);
    const SECOND: Duration = Duration::from_secs(1);
    const HEADER: &str = "0100000015a1000000000000da04a77cc20c628b7fe61f2900c17b26a0f49d21c84a72e6aa1bd0a5142ebedaf60c43c891eba6d455b07f78be8ad13065550f87ad328256dbc8aba65e82683a00b955690000000000d0020000000000";

    fn template() -> Arc<Template> {
        let header_base = HeaderBase::from_hex(HEADER).unwrap();
        let network = Difficulty::new(184_320).unwrap();
        Arc::new(Template {
            local_id: 1,
            height: header_base.height(),
            prev_hash: header_base.prev_hash(),
            merkle_root: header_base.merkle_root(),
            header_base,
            network_target: Target::from_difficulty(network),
            network_difficulty: network,
            reward: Amount::ZERO,
            reward_address: String::new(),
            daemon_id: None,
            block: RawValue::from_string("{}".to_owned()).unwrap(),
            issuer: None,
            mempool_generation: None,
            fetched_at: Timestamp::from_ms(0),
            retired_at: Default::default(),
            defined_in: AtomicU64::new(0),
        })
    }

    struct SessionJobs {
        ranges: Ranges,
        line: Arc<WorkerIdentity>,
        jobs: Assignments,
    }

    impl SessionJobs {
        fn new() -> SessionJobs {
            let (address, worker) = ("a".into(), "w".into());
            let line =
                WorkerIdentity { local_id: 1, address, worker, origin: Origin([0; 16]), defined_in: AtomicU64::new(0) };
            SessionJobs { ranges: Ranges::new(ProcessNumber(1), 0), line: Arc::new(line), jobs: Assignments::default() }
        }

        /// Gives another job; `None` when there is no room for it.
        fn push(&mut self, template: &Arc<Template>, now: Instant) -> Option<u64> {
            let range = self.ranges.take(template.local_id).unwrap();
            self.jobs.make_room(now, GRACE).then(|| {
                let (template, line) = (Arc::clone(template), Arc::clone(&self.line));
                self.jobs.push(Assignment::new(range, template, Difficulty::ONE, line, now), now);
                range.job_id
            })
        }

        fn outcome(&mut self, job: u64, read_at: Instant) -> Result<(), Reject> {
            self.jobs.find(Some(job), read_at, GRACE, None).map(|_| ())
        }
    }

    #[test]
    fn a_superseded_job_is_good_for_its_grace_and_never_again_when_the_tip_changes() {
        let (mut given, t0, template) = (SessionJobs::new(), Instant::now(), template());
        let first = given.push(&template, t0).unwrap();
        given.push(&template, t0 + 10 * SECOND).unwrap();
        assert_eq!(given.outcome(first, t0 + 18 * SECOND), Ok(()), "the moment of reading counts");
        let superseded = |stale_for| Err(Reject::AssignmentSuperseded { stale_for, stale_grace: GRACE });
        assert_eq!(given.outcome(first, t0 + 19 * SECOND), superseded(9 * SECOND));
        template.retired_at.set(t0 + 30 * SECOND).unwrap();
        assert_eq!(given.outcome(first, t0 + 31 * SECOND), superseded(21 * SECOND));
    }

    #[test]
    fn a_job_that_a_new_tip_replaced_says_that_its_template_is_stale() {
        let (mut given, t0, old, new) = (SessionJobs::new(), Instant::now(), template(), template());
        let first = given.push(&old, t0).unwrap();
        old.retired_at.set(t0 + 10 * SECOND).unwrap();
        given.push(&new, t0 + 10 * SECOND + SECOND / 100).unwrap();
        assert_eq!(given.outcome(first, t0 + 18 * SECOND), Ok(()));
        assert!(matches!(given.outcome(first, t0 + 19 * SECOND), Err(Reject::TemplateStale { .. })));
        given.push(&new, t0 + 90 * SECOND).unwrap();
        assert_eq!(
            given.outcome(first, t0 + 90 * SECOND),
            Err(Reject::AssignmentNotFound),
            "after a minute it is forgotten"
        );
    }

    #[test]
    fn jobs_within_their_grace_are_kept_and_the_next_one_waits_for_room() {
        let (mut given, t0, template) = (SessionJobs::new(), Instant::now(), template());
        let jobs: Vec<u64> = (0..JOBS_MAX).map(|_| given.push(&template, t0).unwrap()).collect();
        assert_eq!(given.push(&template, t0 + GRACE), None);
        assert!(jobs.iter().all(|job| given.outcome(*job, t0 + GRACE).is_ok()));
        let later = t0 + GRACE + FORGET_EARLY + SECOND;
        assert!(given.push(&template, later).is_some());
        assert_eq!(given.jobs.jobs.len(), REMEMBERED, "many are not remembered for long");
    }

    #[test]
    fn a_nonce_is_taken_once_and_can_be_given_back() {
        let (mut given, t0, template) = (SessionJobs::new(), Instant::now(), template());
        let job = given.push(&template, t0).unwrap();
        let mut reserve = |offset| given.jobs.find(Some(job), t0, GRACE, None).unwrap().reserve(offset);
        assert_eq!([reserve(7), reserve(7), reserve(8)], [Ok(()), Err(Reject::Duplicate), Ok(())]);
        given.jobs.release(job, 7);
        let job = given.jobs.find(Some(job), t0, GRACE, None).unwrap();
        assert_eq!((job.reserve(7), job.reserve(8)), (Ok(()), Err(Reject::Duplicate)));
        (0..TAKEN_MAX as u32).for_each(|offset| drop(job.reserve(offset)));
        assert_eq!(job.reserve(TAKEN_MAX as u32), Err(Reject::ServerBusy), "nothing is forgotten to make room");
    }
}
