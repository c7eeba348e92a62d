use super::*;

fn difficulty(hashes: u64) -> Difficulty {
    Difficulty::new(hashes).unwrap()
}

/// A session at its first job.
fn session(settings: &VardiffSettings, start: Instant) -> Vardiff {
    let mut vardiff = Vardiff::new(settings, Start::new(settings, None, None), start);
    vardiff.assigned(vardiff.difficulty(), start);
    vardiff
}

/// Shares at even distances, jobs following at once; returns every outcome that was not `Keep`.
fn mined(
    vardiff: &mut Vardiff,
    settings: &VardiffSettings,
    hashrate: f64,
    from: Instant,
    seconds: f64,
) -> Vec<Retarget> {
    let (mut at, mut outcomes) = (0.0, Vec::new());
    loop {
        let found = vardiff.difficulty();
        at += found.get() as f64 / hashrate;
        if at > seconds {
            return outcomes;
        }
        let now = from + Duration::from_secs_f64(at);
        let outcome = vardiff.accepted(settings, found, now);
        if outcome != Retarget::Keep {
            outcomes.push(outcome);
            vardiff.assigned(vardiff.difficulty(), now);
        }
    }
}

#[test]
fn an_even_miner_comes_to_the_target_rate_and_stays() {
    let settings = VardiffSettings::default();
    for hashrate in [1.0, 2.0, 100.0, 10_000.0] {
        let start = Instant::now();
        let mut vardiff = session(&settings, start);
        mined(&mut vardiff, &settings, hashrate, start, 7200.0);
        let ratio = vardiff.difficulty().get() as f64 / (hashrate * 30.0);
        assert!((0.8..=1.25).contains(&ratio), "{hashrate} H/s: {ratio}");
        let later = start + Duration::from_secs(7200);
        assert_eq!(mined(&mut vardiff, &settings, hashrate, later, 36_000.0), [], "{hashrate} H/s");
    }
}

#[test]
fn silence_makes_shares_easier_down_to_the_minimum_and_the_first_share_does_not_undo_it() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let mut vardiff = session(&settings, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(vardiff.look(&settings, at(299)), Retarget::Keep);
    assert_eq!(vardiff.look(&settings, at(301)), Retarget::Now);
    assert_eq!(vardiff.difficulty(), difficulty(15));
    vardiff.assigned(difficulty(15), at(301));
    assert_eq!(vardiff.look(&settings, at(420)), Retarget::Keep);
    assert_eq!(vardiff.look(&settings, at(422)), Retarget::Now, "further silence needs less");
    for second in 423..3600 {
        vardiff.look(&settings, at(second));
        vardiff.assigned(vardiff.difficulty(), at(second));
    }
    assert_eq!(vardiff.difficulty(), settings.min);
    assert_eq!(vardiff.accepted(&settings, settings.min, at(3600)), Retarget::Keep);
    assert_eq!(vardiff.measured(&settings), None);
}

#[test]
fn the_highest_difficulty_is_left_within_half_an_hour_of_silence() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let known = start::Known { difficulty: settings.max, age: Duration::ZERO, same_origin: true };
    let mut vardiff = Vardiff::new(&settings, Start::new(&settings, Some(known), None), start);
    vardiff.assigned(vardiff.difficulty(), start);
    let mut waited = 0;
    while vardiff.difficulty() > settings.initial {
        waited += 1;
        assert!(waited < 1800, "{vardiff:?}");
        let now = start + Duration::from_secs(waited);
        if vardiff.look(&settings, now) == Retarget::Now {
            vardiff.assigned(vardiff.difficulty(), now);
        }
    }
}

#[test]
fn shares_of_the_job_before_count_for_their_own_work() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let mut vardiff = session(&settings, start);
    let quick = mined(&mut vardiff, &settings, 100.0, start, 60.0);
    assert_eq!(quick, [Retarget::Now]);
    let raised = vardiff.difficulty();
    // What was still on its way: a hundred shares of the easy job.
    for n in 0..100 {
        let now = start + Duration::from_secs_f64(60.0 + 0.01 * f64::from(n));
        assert_eq!(vardiff.accepted(&settings, difficulty(60), now), Retarget::Keep);
    }
    assert_eq!(vardiff.difficulty(), raised);
}

#[test]
fn a_job_below_the_wanted_difficulty_is_no_sign_of_a_fast_miner() {
    // The network's difficulty is lower than the session's: shares come ten times as often, as they should.
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let mut vardiff = Vardiff::new(&settings, Start::new(&settings, None, None), start);
    vardiff.assigned(difficulty(6), start);
    for n in 1..1000 {
        let now = start + Duration::from_secs(3 * n);
        assert_eq!(vardiff.accepted(&settings, difficulty(6), now), Retarget::Keep);
    }
    assert_eq!(vardiff.measured(&settings).unwrap().0, difficulty(60));
}

#[test]
fn a_small_change_waits_for_the_next_job() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let mut vardiff = session(&settings, start);
    assert_eq!(mined(&mut vardiff, &settings, 3.0, start, 3600.0).first(), Some(&Retarget::NextJob));
}

#[test]
fn only_a_session_with_shares_has_measured_anything() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let wish = Start::new(&settings, None, Some(240));
    let mut vardiff = Vardiff::new(&settings, wish, start);
    vardiff.assigned(difficulty(240), start);
    vardiff.look(&settings, start + Duration::from_secs(250));
    assert_eq!(vardiff.measured(&settings), None);
    // 2 H/s: the wish is four times too high, and leaves no trace in what was measured.
    for n in 1..=6 {
        vardiff.accepted(&settings, difficulty(240), start + Duration::from_secs(120 * n));
    }
    let (measured, at) = vardiff.measured(&settings).unwrap();
    assert_eq!((measured, at), (difficulty(60), start + Duration::from_secs(720)));
}

#[test]
fn shares_that_come_all_at_once_leave_no_hint_that_leads_further_than_a_step() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let mut vardiff = session(&settings, start);
    for _ in 0..100 {
        if vardiff.accepted(&settings, difficulty(60), start + Duration::from_secs(40)) == Retarget::Now {
            vardiff.assigned(vardiff.difficulty(), start + Duration::from_secs(40));
        }
    }
    assert_eq!(vardiff.difficulty(), difficulty(16 * 60));
    assert_eq!(vardiff.measured(&settings).unwrap().0, difficulty(16 * 16 * 60));
}

#[test]
fn a_short_session_renews_what_is_known_and_wishes_leave_no_trace_in_it() {
    let settings = VardiffSettings::default();
    let start = Instant::now();
    let known = |age| Some(start::Known { difficulty: difficulty(3000), age, same_origin: true });
    let one_share = |start_with: Start, found: u64| {
        let mut vardiff = Vardiff::new(&settings, start_with, start);
        vardiff.assigned(vardiff.difficulty(), start);
        assert_eq!(vardiff.measured(&settings), None);
        vardiff.accepted(&settings, difficulty(found), start + Duration::from_secs(5));
        vardiff.measured(&settings).map(|(difficulty, _)| difficulty)
    };
    assert_eq!(one_share(Start::new(&settings, known(Duration::ZERO), None), 3000), Some(difficulty(3000)));
    assert_eq!(one_share(Start::new(&settings, known(Duration::ZERO), Some(1)), 750), Some(difficulty(3000)));
    assert_eq!(one_share(Start::new(&settings, known(Duration::from_secs(20 * 3600)), None), 570), None);
}

#[test]
fn a_fixed_difficulty_stays() {
    let settings = VardiffSettings { enabled: false, ..VardiffSettings::default() };
    let start = Instant::now();
    let mut vardiff = session(&settings, start);
    assert_eq!(mined(&mut vardiff, &settings, 1000.0, start, 60.0), []);
    assert_eq!(vardiff.look(&settings, start + Duration::from_secs(86_400)), Retarget::Keep);
    assert_eq!((vardiff.difficulty(), vardiff.measured(&settings)), (settings.initial, None));
}
