//! Many connections that misbehave, and honest miners on the same port that must not notice.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fleet::{Event, Fleet};
use crate::process::Process;
use crate::report::Report;
use crate::shares::{Pace, Shares};
use crate::{AbuseArgs, Common, LoadError, Mode};

/// Connections that are opened again in a second at most; what the real client does when it is closed at once is less.
const REOPENED_PER_SECOND: u32 = 1300;
const TURN: Duration = Duration::from_millis(10);
/// Pause between two bytes of a login that is slow, and between two questions of who does not hear the answers.
const SLOW_PAUSE: Duration = Duration::from_secs(1);
/// Requests that a deaf connection sends at once.
const ASKED_AT_ONCE: usize = 4;
const MEGABYTE: usize = 1 << 20;
/// The start of a TLS 1.2 record with a client hello.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// What the misbehaving side saw.
#[derive(Default)]
struct HostileOutcome {
    opened: u64,
    /// Opening failed: the pool or the machine took no more.
    failed: u64,
    closed: u64,
    open: u64,
}

/// `load abuse`.
pub(super) fn run(args: &AbuseArgs) -> Result<Report, LoadError> {
    let common = &args.common;
    let honest = Common { seed: common.seed.wrapping_add(1), ..common.clone() };
    let mut shares = Shares::open(Fleet::new(&honest, args.honest)?, Pace::PerSecond(args.rate), None)?;
    let mut report =
        Report::new(format!("abuse: {} connections {:?}, {} honest", common.connections, args.mode, args.honest));
    shares.run(Instant::now() + Duration::from_secs(1), None)?;
    shares.start_over();
    let start = Instant::now();
    shares.run(start + args.duration, None)?;
    shares.report(&mut report, "alone_", start.elapsed());

    let over = Arc::new(AtomicBool::new(false));
    let (args, stop) = (args.clone(), Arc::clone(&over));
    let duration = args.duration;
    let crowd = std::thread::spawn(move || Crowd::new(&args)?.run(&stop));
    shares.start_over();
    let pool = common.pool_pid.map(Process);
    let before = pool.map(Process::cpu).transpose()?;
    let start = Instant::now();
    let outcome = shares.run(start + duration, None);
    let took = start.elapsed();
    over.store(true, Ordering::Relaxed);
    let seen = crowd.join().map_err(|_| LoadError::Crowd)??;
    outcome?;
    report.add_count("unanswered", shares.finish()?);
    shares.report(&mut report, "among_", took);
    report.add_count("abuse_opened", seen.opened);
    report.add_count("abuse_closed_by_pool", seen.closed);
    report.add_count("abuse_failed_to_open", seen.failed);
    report.add_count("abuse_open_at_end", seen.open);
    if let (Some(pool), Some(before)) = (pool, before) {
        report.add("pool_cpu_share", (pool.cpu()? - before).as_secs_f64() / took.as_secs_f64());
        report.add("pool_rss_kib", pool.resident()? as f64 / 1024.0);
    }
    Ok(report)
}

/// The misbehaving connections.
struct Crowd {
    fleet: Fleet,
    mode: Mode,
    logins: Vec<Vec<u8>>,
    /// Bytes of its login, or of its megabyte, that each has sent.
    sent: Vec<usize>,
    seen: HostileOutcome,
}

impl Crowd {
    fn new(args: &AbuseArgs) -> Result<Crowd, LoadError> {
        let mut common = args.common.clone();
        if args.mode == Mode::Storm {
            common.per_source = usize::MAX;
        }
        let fleet = Fleet::new(&common, common.connections)?;
        let logins = (0..fleet.len()).map(|number| fleet.login_line(number)).collect();
        Ok(Crowd { sent: vec![0; fleet.len()], fleet, mode: args.mode, logins, seen: HostileOutcome::default() })
    }

    fn run(mut self, over: &AtomicBool) -> Result<HostileOutcome, LoadError> {
        let start = Instant::now();
        let (mut allowance, mut turn, mut next_turn) = (0u32, 0, Instant::now());
        while !over.load(Ordering::Relaxed) {
            let earned = (start.elapsed().as_secs_f64() * f64::from(REOPENED_PER_SECOND)) as u32;
            for _ in 0..self.fleet.len().min(usize::try_from(earned - allowance).unwrap_or(0)) {
                self.open(turn % self.sent.len());
                turn += 1;
            }
            allowance = earned;
            if !matches!(self.mode, Mode::Slow | Mode::Deaf) || Instant::now() >= next_turn {
                next_turn = Instant::now() + SLOW_PAUSE;
                (0..self.sent.len()).for_each(|number| self.misbehave(number));
            }
            let turn_ends = Instant::now() + TURN;
            while Instant::now() < turn_ends {
                self.listen(turn_ends.saturating_duration_since(Instant::now()))?;
            }
        }
        self.seen.open = self.fleet.open_count() as u64;
        Ok(self.seen)
    }

    fn open(&mut self, number: usize) {
        if self.mode == Mode::Storm {
            self.fleet.close(number);
        }
        if self.fleet.client(number).is_some() {
            return;
        }
        self.sent[number] = 0;
        match self.fleet.connect(number) {
            Ok(_) => self.seen.opened += 1,
            Err(_) => self.seen.failed += 1,
        }
    }

    /// Does the next bad thing on a connection.
    fn misbehave(&mut self, number: usize) {
        let Some(client) = self.fleet.client(number) else { return };
        let (sent, login) = (&mut self.sent[number], &self.logins[number]);
        match self.mode {
            Mode::HalfOpen | Mode::Storm => return,
            Mode::Deaf | Mode::Flood if *sent == 0 => {
                client.out.extend_from_slice(login);
                *sent = 1;
            }
            Mode::Deaf | Mode::Flood => {
                if client.out.is_empty() {
                    let count = if self.mode == Mode::Flood { 16 * ASKED_AT_ONCE } else { ASKED_AT_ONCE };
                    for id in 0..count {
                        let ask = format!(
                            "{{\"id\":{id},\"method\":\"submit\",\"params\":{{\"job_id\":\"0\",\"nonce\":{id}}}}}\n"
                        );
                        client.out.extend_from_slice(ask.as_bytes());
                    }
                }
            }
            Mode::Slow | Mode::Bytes => {
                if let Some(byte) = login.get(*sent) {
                    client.out.push(*byte);
                    *sent += 1;
                }
            }
            Mode::Megabyte => {
                if client.out.is_empty() && *sent < MEGABYTE {
                    client.out.resize(8192, b'x');
                    *sent += client.out.len();
                }
            }
            Mode::Tls => {
                if *sent == 0 {
                    client.out.extend_from_slice(TLS_HELLO);
                    client.out.resize(512, 0x5a);
                    *sent = 1;
                }
            }
        }
        if !client.flush() {
            self.fleet.close(number);
            self.seen.closed += 1;
        }
    }

    fn listen(&mut self, patience: Duration) -> Result<(), LoadError> {
        if matches!(self.mode, Mode::Deaf | Mode::Flood) {
            // Not even the end of a connection is heard, until a write fails.
            std::thread::sleep(patience);
            return Ok(());
        }
        let seen = &mut self.seen;
        self.fleet.poll(patience, |_, _, event| seen.closed += u64::from(matches!(event, Event::Closed)))
    }
}
