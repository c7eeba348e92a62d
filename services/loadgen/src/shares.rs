//! Submits shares, as many as the pool takes or at fixed times, and measures how long each answer takes.
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::accepted::AcceptedList;
use crate::client::{Client, Job, PoolMessage};
use crate::fleet::{Event, Fleet};
use crate::process::Process;
use crate::report::{Latency, Report};
use crate::{LoadError, SharesArgs};

/// How long answers may take to come when no more shares are sent.
const LAST_ANSWERS: Duration = Duration::from_secs(15);
/// A wait that is over before anybody minds.
const POLL: Duration = Duration::from_millis(100);

/// When shares are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many are always under way on each connection.
    InFlight(usize),
    /// So many a second over all connections, whatever the pool does. Answers are timed from the moment at which the
    /// share was due, so that a pool that stalls is not flattered by the shares that were not sent meanwhile.
    PerSecond(f64),
}

/// What was counted since the measurement began.
#[derive(Default)]
struct Counts {
    accepted: u64,
    rejected: u64,
    refusals: BTreeMap<String, u64>,
    disconnects: u64,
}

struct Miner {
    job: Rc<Job>,
    next_nonce: u64,
    next_id: u64,
    sent: VecDeque<Sent>,
}

struct Sent {
    id: u64,
    nonce: u64,
    due: Instant,
    job: Rc<Job>,
}

impl Miner {
    fn new(job: Job) -> Miner {
        Miner { next_nonce: job.first, job: Rc::new(job), next_id: 2, sent: VecDeque::new() }
    }

    /// Queues a submit; nothing when the range is used up.
    fn submit(&mut self, client: &mut Client, due: Instant) {
        if self.next_nonce > self.job.last {
            return;
        }
        self.job.submit(&mut client.out, self.next_id, self.next_nonce);
        self.sent.push_back(Sent { id: self.next_id, nonce: self.next_nonce, due, job: Rc::clone(&self.job) });
        self.next_id += 1;
        self.next_nonce += 1;
    }

    /// What the answer with this id is about; nearly always the oldest.
    fn answered(&mut self, id: u64) -> Option<Sent> {
        let place = self.sent.iter().position(|sent| sent.id == id)?;
        self.sent.remove(place)
    }

    fn take_job(&mut self, line: &[u8]) {
        if let Some(job) = Job::parse(line) {
            self.next_nonce = job.first;
            self.job = Rc::new(job);
        }
    }
}

/// Miners that submit, and what came of it.
pub(super) struct Shares {
    fleet: Fleet,
    miners: Vec<Miner>,
    pace: Pace,
    accepted: Option<AcceptedList>,
    pub(super) latency: Latency,
    counts: Counts,
    /// Open loop: when the next share is due, and whose turn it is.
    due: Instant,
    turn: usize,
}

impl Shares {
    /// Opens the connections.
    pub(super) fn open(mut fleet: Fleet, pace: Pace, accepted: Option<&Path>) -> Result<Shares, LoadError> {
        let accepted = accepted.map(AcceptedList::open).transpose()?;
        let miners = fleet.open_all()?.into_iter().map(Miner::new).collect();
        let (latency, counts, due) = (Latency::new(), Counts::default(), Instant::now());
        Ok(Shares { fleet, miners, pace, accepted, latency, counts, due, turn: 0 })
    }

    /// Forgets what was measured so far.
    pub(super) fn start_over(&mut self) {
        self.latency.clear();
        self.counts = Counts::default();
    }

    /// Submits until then, or until `over` says so.
    pub(super) fn run(&mut self, until: Instant, over: Option<&AtomicBool>) -> Result<(), LoadError> {
        let is_over = || over.is_some_and(|over| over.load(Ordering::Relaxed));
        if let Pace::InFlight(_) = self.pace {
            (0..self.miners.len()).for_each(|number| self.top_up(number));
        }
        self.due = self.due.max(Instant::now() - POLL);
        loop {
            let now = Instant::now();
            if now >= until || is_over() || self.fleet.open_count() == 0 {
                return Ok(());
            }
            let mut patience = until.duration_since(now).min(POLL);
            if let Pace::PerSecond(rate) = self.pace {
                self.send_due(now, Duration::from_secs_f64(1.0 / rate));
                patience = patience.min(self.due.saturating_duration_since(now));
            }
            self.poll(patience, true)?;
        }
    }

    fn top_up(&mut self, number: usize) {
        if let Some(client) = self.fleet.client(number) {
            fill(&mut self.miners[number], client, self.pace);
            client.flush();
        }
    }

    fn send_due(&mut self, now: Instant, every: Duration) {
        while self.due <= now {
            let number = self.turn % self.miners.len();
            self.turn += 1;
            if let Some(client) = self.fleet.client(number) {
                self.miners[number].submit(client, self.due);
                client.flush();
            }
            self.due += every;
        }
    }

    fn poll(&mut self, patience: Duration, sends: bool) -> Result<(), LoadError> {
        let Shares { fleet, miners, pace, accepted, latency, counts, .. } = self;
        let mut failed = None;
        let mut now = None;
        fleet.poll(patience, |number, client, event| {
            let miner = &mut miners[number];
            match (event, client) {
                (Event::PoolMessage(PoolMessage::Accepted(id)), _) => {
                    let Some(sent) = miner.answered(id) else { return };
                    counts.accepted += 1;
                    latency.add(now.get_or_insert_with(Instant::now).saturating_duration_since(sent.due));
                    if let Some(list) = accepted {
                        failed = list.add(&sent.job, sent.nonce).err().or(failed.take());
                    }
                }
                (Event::PoolMessage(PoolMessage::Refused(id, text)), _) => {
                    let Some(sent) = miner.answered(id) else { return };
                    counts.rejected += 1;
                    latency.add(now.get_or_insert_with(Instant::now).saturating_duration_since(sent.due));
                    *counts.refusals.entry(text).or_default() += 1;
                }
                (Event::PoolMessage(PoolMessage::Job(line)), _) => miner.take_job(line),
                (Event::Read, Some(client)) if sends => {
                    now = None;
                    fill(miner, client, *pace);
                }
                (Event::Closed, _) => counts.disconnects += 1,
                _ => now = None,
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Waits for the answers to what was sent, and writes the list out.
    pub(super) fn finish(&mut self) -> Result<u64, LoadError> {
        let deadline = Instant::now() + LAST_ANSWERS;
        while self.unanswered() > 0 && Instant::now() < deadline {
            self.poll(POLL, false)?;
        }
        if let Some(list) = &mut self.accepted {
            list.flush()?;
        }
        Ok(self.unanswered())
    }

    /// Shares without an answer on connections that are open.
    fn unanswered(&mut self) -> u64 {
        let Shares { fleet, miners, .. } = self;
        let open = miners.iter().enumerate().filter(|(number, _)| fleet.client(*number).is_some());
        open.map(|(_, miner)| miner.sent.len() as u64).sum()
    }

    pub(super) fn report(&self, report: &mut Report, prefix: &str, took: Duration) {
        report.add(&format!("{prefix}accepted_per_s"), self.counts.accepted as f64 / took.as_secs_f64());
        report.add_count(&format!("{prefix}accepted"), self.counts.accepted);
        report.add_count(&format!("{prefix}rejected"), self.counts.rejected);
        report.add_count(&format!("{prefix}disconnects"), self.counts.disconnects);
        report.add_latency(prefix, &self.latency);
        for (text, count) in &self.counts.refusals {
            *report.refusals.entry(text.clone()).or_default() += count;
        }
    }
}

fn fill(miner: &mut Miner, client: &mut Client, pace: Pace) {
    if let Pace::InFlight(wanted) = pace {
        let now = Instant::now();
        while miner.sent.len() < wanted && miner.next_nonce <= miner.job.last {
            miner.submit(client, now);
        }
    }
}

/// `load shares`.
pub(super) fn run(args: &SharesArgs) -> Result<Report, LoadError> {
    let common = &args.common;
    let pace = args.rate.map_or(Pace::InFlight(args.in_flight.max(1)), Pace::PerSecond);
    let mut shares = Shares::open(Fleet::new(common, common.connections)?, pace, args.accepted.as_deref())?;
    shares.run(Instant::now() + args.warm_up, None)?;
    shares.start_over();
    let pool = common.pool_pid.map(Process);
    let (pool_before, own_before) = (pool.map(Process::cpu).transpose()?, Process::own().cpu()?);
    let start = Instant::now();
    shares.run(start + args.duration, None)?;
    let took = start.elapsed();
    let (pool_after, own_after) = (pool.map(Process::cpu).transpose()?, Process::own().cpu()?);

    let how = match pace {
        Pace::InFlight(count) => format!("{count} in flight each"),
        Pace::PerSecond(rate) => format!("{rate} a second in all"),
    };
    let mut report = Report::new(format!("shares: {} connections, {how}", common.connections));
    shares.report(&mut report, "", took);
    if let (Some(before), Some(after)) = (pool_before, pool_after) {
        let cpu = (after - before).as_secs_f64();
        report.add("accepted_per_pool_cpu_s", shares.counts.accepted as f64 / cpu.max(0.001));
        report.add("pool_cpu_s", cpu);
    }
    report.add("own_cpu_s", (own_after - own_before).as_secs_f64());
    report.add("took_s", took.as_secs_f64());
    let unanswered = shares.finish()?;
    report.add_count("unanswered", unanswered);
    Ok(report)
}
