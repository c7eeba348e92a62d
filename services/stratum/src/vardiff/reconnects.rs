//! A worker that logs in for a short while now and then, and is known by what it measured the last time.
use super::simulation::*;
use super::*;

/// What is asked of the controller.
#[derive(Debug)]
struct ReconnectHistory {
    /// Jobs pushed for their difficulty, an hour.
    pushes: f64,
    /// The first job's difficulty over the ideal: one visit of ten is below, half are, nine are.
    starts: (f64, f64, f64),
}

/// ReconnectHistory of `seconds` every `period` for `hours`, from the second hour on; prints a line.
fn visits(settings: &VardiffSettings, speed: f64, seconds: f64, period: f64, hours: f64) -> ReconnectHistory {
    let phases = [(0.0, speed)];
    let miner = Miner { seconds, phases: &phases, ..STEADY };
    let (mut pushes, mut starts) = (0, Vec::new());
    let number = (hours * HOUR / period) as u64;
    for seed in 0..RUNS {
        let mut known: Option<(Difficulty, f64)> = None;
        for visit in 0..number {
            let at = period * visit as f64;
            let known_then = known.map(|(difficulty, measured_at)| Known {
                difficulty,
                age: Duration::from_secs_f64(at - measured_at),
                same_origin: true,
            });
            let mut ours = Ours::starting(settings.clone(), Start::new(settings, known_then, None));
            let run = run(&mut ours, &miner, seed * number + visit);
            if let Some((difficulty, heard_at)) = ours.vardiff.measured(settings) {
                known = Some((difficulty, at + (heard_at - ours.epoch).as_secs_f64()));
            }
            if at >= HOUR {
                pushes += run.pushes.len();
                starts.push(run.mined[0].1 as f64 / (speed * interval(settings)));
            }
        }
    }
    let pushes = pushes as f64 / (RUNS as f64 * (hours - 1.0));
    let starts = (quantile(&mut starts, 0.1), quantile(&mut starts, 0.5), quantile(&mut starts, 0.9));
    println!("visits, {speed:6} H/s, {seconds} of {period} s: {pushes:.2} pushes an hour, first jobs {starts:.2?}");
    ReconnectHistory { pushes, starts }
}

#[test]
fn visits_of_twenty_seconds_keep_their_difficulty_for_days() {
    for (speed, period) in [(100.0, 800.0), (100.0, 2000.0), (1000.0, 2000.0), (10.0, 800.0), (10.0, 2000.0)] {
        let visits = visits(&VardiffSettings::default(), speed, 20.0, period, 48.0);
        assert!(visits.pushes < 0.05 && visits.starts.0 > 0.6 && visits.starts.2 < 2.0, "{visits:?}");
        assert!((0.7..1.5).contains(&visits.starts.1), "{visits:?}");
    }
}
