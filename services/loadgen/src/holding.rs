//! Connections that are held: what they cost in memory, how fast they log in, how fast they hear of a new block.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{Job, PoolMessage};
use crate::fleet::{Event, Fleet};
use crate::process::Process;
use crate::report::{Latency, Report};
use crate::{IdleArgs, LoadError, LoginsArgs, TipArgs};

/// How long a new block may take to reach everybody.
const TIP_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Reads what comes until then.
fn listen(fleet: &mut Fleet, until: Instant) -> Result<(), LoadError> {
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        fleet.poll(left.min(POLL), |_, _, _| {})?;
    }
    Ok(())
}

/// `load idle`.
pub(super) fn idle(args: &IdleArgs) -> Result<Report, LoadError> {
    let common = &args.common;
    let pool = common.pool_pid.map(Process);
    let resident = || pool.map(Process::resident).transpose();
    let mut fleet = Fleet::new(common, common.connections)?;
    let mut report = Report::new(format!("idle: {} logged-in connections, {} cycles", fleet.len(), args.cycles));
    let before = resident()?;
    let start = Instant::now();
    fleet.open_all()?;
    report.add("opened_in_s", start.elapsed().as_secs_f64());
    listen(&mut fleet, Instant::now() + args.hold)?;
    let held = resident()?;
    // The first cycles still fill what later ones use again.
    let settled_after = args.cycles.min(10);
    let mut settled = held;
    for cycle in 1..=args.cycles {
        fleet.close_all();
        fleet.open_all()?;
        if cycle == settled_after {
            listen(&mut fleet, Instant::now() + args.hold)?;
            settled = resident()?;
        }
    }
    listen(&mut fleet, Instant::now() + args.hold)?;
    report.add_count("still_open", fleet.open_count() as u64);
    if let (Some(before), Some(held), Some(settled), Some(last)) = (before, held, settled, resident()?) {
        let growth = |from: u64, to: u64| to as f64 - from as f64;
        report.add("pool_rss_kib", held as f64 / 1024.0);
        report.add("rss_bytes_per_connection", growth(before, held) / fleet.len() as f64);
        report.add("rss_growth_kib_over_cycles", growth(settled, last) / 1024.0);
        report.add("rss_growth_pct_over_cycles", growth(settled, last) / settled as f64 * 100.0);
    }
    Ok(report)
}

/// `load logins`.
pub(super) fn logins(args: &LoginsArgs) -> Result<Report, LoadError> {
    let common = &args.common;
    // Four times as many accounts as connections, so that one miner is not the same connection every time.
    let mut fleet = Fleet::new(common, common.connections * 4)?;
    let pool = common.pool_pid.map(Process);
    let (pool_before, own_before) = (pool.map(Process::cpu).transpose()?, Process::own().cpu()?);
    let start = Instant::now();
    let end = start + args.duration;
    let mut begun = vec![start; fleet.len()];
    let (mut latency, mut done, mut refused, mut turn) = (Latency::new(), 0u64, 0u64, 0usize);
    let mut report = Report::new(format!("logins: {} at once", common.connections));
    while Instant::now() < end {
        while fleet.open_count() < common.connections {
            let number = turn % fleet.len();
            turn += 1;
            if fleet.client(number).is_none() {
                begun[number] = Instant::now();
                fleet.log_in(number)?;
            }
        }
        fleet.poll(POLL, |number, client, event| match (event, client) {
            (Event::PoolMessage(PoolMessage::Job(_)), Some(client)) => {
                client.is_done = true;
                done += 1;
                latency.add(begun[number].elapsed());
            }
            (Event::PoolMessage(PoolMessage::Refused(_, text)), Some(client)) => {
                client.is_done = true;
                refused += 1;
                *report.refusals.entry(text).or_default() += 1;
            }
            (Event::Closed, _) => refused += 1,
            _ => {}
        })?;
    }
    let took = start.elapsed();
    report.add("logins_per_s", done as f64 / took.as_secs_f64());
    report.add_count("refused", refused);
    report.add_latency("", &latency);
    if let (Some(before), Some(pool)) = (pool_before, pool) {
        let cpu = (pool.cpu()? - before).as_secs_f64();
        report.add("logins_per_pool_cpu_s", done as f64 / cpu.max(0.001));
    }
    report.add("own_cpu_s", (Process::own().cpu()? - own_before).as_secs_f64());
    Ok(report)
}

/// `load tip`.
pub(super) fn tip(args: &TipArgs) -> Result<Report, LoadError> {
    let common = &args.common;
    let mut fleet = Fleet::new(common, common.connections)?;
    let first = fleet.open_all()?.iter().map(|job| job.height).max().unwrap_or(0);
    let pool = common.pool_pid.map(Process);
    let (mut each, mut last, mut ordered) = (Latency::new(), Latency::new(), Latency::new());
    let (mut cpu, mut quiet_cpu) = (Duration::ZERO, Duration::ZERO);
    let mut disconnects = 0u64;
    for number in 0..args.tips {
        let height = first + u64::from(number);
        let before = pool.map(Process::cpu).transpose()?;
        listen(&mut fleet, Instant::now() + args.pause)?;
        let quiet = pool.map(Process::cpu).transpose()?;
        let start = Instant::now();
        let control = args.control;
        let order = std::thread::spawn(move || order_block(control).map(|()| start.elapsed()));
        let (mut heard, want) = (vec![false; fleet.len()], fleet.open_count());
        let (mut count, mut all_after) = (0, Duration::ZERO);
        while count < want {
            fleet.poll(POLL, |number, _, event| match event {
                Event::PoolMessage(PoolMessage::Job(line)) if Job::height_of(line).is_some_and(|new| new > height) => {
                    all_after = start.elapsed();
                    each.add(all_after);
                    count += usize::from(!std::mem::replace(&mut heard[number], true));
                }
                Event::Closed => disconnects += 1,
                _ => {}
            })?;
            if start.elapsed() > TIP_PATIENCE {
                return Err(LoadError::NoJob { have: count, want });
            }
        }
        last.add(all_after);
        ordered.add(order.join().map_err(|_| LoadError::Control("its thread panicked".to_owned()))??);
        if let (Some(pool), Some(before), Some(quiet)) = (pool, before, quiet) {
            cpu += pool.cpu()? - quiet;
            quiet_cpu += (quiet - before).mul_f64(all_after.as_secs_f64() / args.pause.as_secs_f64().max(0.001));
        }
    }
    let mut report = Report::new(format!("tip: {} connections, {} blocks", fleet.len(), args.tips));
    report.add_latency("line_", &each);
    report.add_latency("last_line_", &last);
    report.add_latency("control_", &ordered);
    report.add_count("disconnects", disconnects);
    if pool.is_some() {
        let pushes = f64::from(args.tips.max(1)) * fleet.len().max(1) as f64;
        report.add("pool_cpu_us_per_connection", cpu.as_secs_f64() * 1e6 / pushes);
        report.add("of_it_without_a_tip_us", quiet_cpu.as_secs_f64() * 1e6 / pushes);
    }
    Ok(report)
}

/// Has the network find a block.
fn order_block(control: SocketAddr) -> Result<(), LoadError> {
    let failed = |error: std::io::Error| LoadError::Control(error.to_string());
    let mut stream = TcpStream::connect(control).map_err(failed)?;
    let head = "POST /mine HTTP/1.1\r\nhost: control\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: 2\r\n\r\n{{}}").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let is_ok = answer.starts_with("HTTP/1.1 200");
    if is_ok { Ok(()) } else { Err(LoadError::Control(answer.lines().next().unwrap_or("no answer").to_owned())) }
}
