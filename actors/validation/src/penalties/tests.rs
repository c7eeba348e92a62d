//! Strikes, what ends them, and what is stored.
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use keepers::{PenaltyKeeper, PenaltyTable, Table};
use messages::facts::Origin;
use store::Store;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// Everything, for a share that is sent after a strike at that moment.
fn fresh(now: Timestamp) -> VoidPrice {
    VoidPrice::all(now.plus(Duration::from_millis(1)))
}

fn pair(n: usize) -> TrustKey {
    (n.to_string().into(), Origin([1; 16]))
}

fn penalties() -> Penalties {
    Penalties::new(Vec::new(), ValidationSettings::default(), Arc::default(), NOW)
}

fn is_forced(penalties: &Penalties, n: usize) -> bool {
    penalties.restrictions().forced.contains(&pair(n))
}

#[test]
fn the_third_strike_is_a_quarantine_that_doubles_up_to_a_week() {
    let penalties = penalties();
    let mut now = NOW;
    let mut hours = Vec::new();
    for _ in 0..11 {
        let refused = penalties.strike(&pair(1), now, fresh(now)) == StrikeOutcome::Quarantined;
        let until = penalties.restrictions().quarantined.get(&pair(1)).map_or(now, |found| found.until);
        assert_eq!(refused, until > now);
        assert!(is_forced(&penalties, 1));
        hours.push(until.since(now).as_secs() / 3600);
        now = until;
    }
    assert_eq!(hours, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 168]);
    assert!(penalties.restrictions().forced.len() == 1 && penalties.restrictions().quarantined.len() == 1);
}

#[test]
fn every_restriction_ends_and_then_all_is_forgiven() {
    let penalties = penalties();
    for _ in 0..3 {
        penalties.strike(&pair(1), NOW, fresh(NOW));
    }
    penalties.strike(&pair(2), NOW.plus(HOUR), fresh(NOW.plus(HOUR)));
    penalties.look(NOW.plus(HOUR));
    assert!(penalties.restrictions().quarantined.is_empty() && is_forced(&penalties, 1));
    penalties.look(NOW.plus(24 * HOUR));
    assert!(!is_forced(&penalties, 1) && is_forced(&penalties, 2));
    assert_eq!(penalties.kept().penalties.len(), 2, "strikes count for a day after the quarantine");
    penalties.look(NOW.plus(25 * HOUR));
    assert_eq!(penalties.kept().penalties.len(), 0);
    assert_eq!(penalties.restrictions().forced.len(), 0);
    let again = penalties.strike(&pair(1), NOW.plus(25 * HOUR), fresh(NOW.plus(25 * HOUR)));
    assert_eq!(again, StrikeOutcome::Forced, "it begins again with the first");
}

#[test]
fn what_was_stored_is_in_force_again() {
    let penalties = penalties();
    for _ in 0..3 {
        penalties.strike(&pair(1), NOW, fresh(NOW));
    }
    let rows = penalties.take_unsaved(9);
    assert!(rows.len() == 1 && penalties.take_unsaved(9).is_empty());
    let again = Penalties::new(rows.clone(), ValidationSettings::default(), Arc::default(), NOW);
    assert!(again.restrictions().quarantined.contains_key(&pair(1)) && is_forced(&again, 1));
    assert_eq!(again.metrics.pairs_quarantined.get(), 1);
    assert_eq!(again.strike(&pair(1), NOW, fresh(NOW)), StrikeOutcome::Quarantined);
    penalties.put_back(&rows);
    assert_eq!(penalties.take_unsaved(9), rows);
    penalties.load(Vec::new(), NOW);
    assert!(!is_forced(&penalties, 1), "an operator has deleted the row");
}

#[test]
fn the_number_of_penalties_is_bounded_and_the_oldest_goes_first() {
    let rows = (0..PENALTIES_MAX).map(|n| PenaltyRecord {
        pair: pair(n),
        reason: String::new(),
        strikes: 1,
        struck_at: NOW.plus(Duration::from_millis(n as u64)),
        forced_until: NOW.plus(Duration::from_millis(n as u64)),
        quarantined_until: None,
        void_before: None,
        ends_at: NOW,
    });
    let penalties = Penalties::new(rows.collect(), ValidationSettings::default(), Arc::default(), NOW);
    penalties.strike(&pair(PENALTIES_MAX), NOW, fresh(NOW));
    let kept = penalties.kept();
    assert_eq!(kept.penalties.len(), PENALTIES_MAX);
    assert!(!kept.penalties.contains_key(&pair(0)) && kept.penalties.contains_key(&pair(PENALTIES_MAX)));
}

fn to_void(penalties: &Penalties) -> Option<(TrustKey, Timestamp)> {
    penalties.to_void().map(|(pair, void)| (pair, void.before))
}

#[test]
fn shares_in_flight_before_the_first_verdict_are_one_strike() {
    let penalties = penalties();
    let sent = |ms| VoidPrice::all(Timestamp::from_ms(NOW.ms() + ms));
    let strikes = || penalties.kept().penalties[&pair(1)].strikes;
    penalties.strike(&pair(1), NOW, sent(-500));
    for late in 1..10 {
        let outcome = penalties.strike(&pair(1), NOW.plus(HOUR * late), sent(-(10 * i64::from(late))));
        assert_eq!(outcome, StrikeOutcome::InFlight);
    }
    assert_eq!((strikes(), penalties.struck_at(&pair(1))), (1, Some(NOW)));
    penalties.strike(&pair(1), NOW, sent(0));
    assert_eq!(strikes(), 2, "who is told answers within the same millisecond");
    penalties.strike(&pair(1), NOW.plus(HOUR), sent(1));
    assert_eq!(strikes(), 3, "it had been told");
    penalties.strike(&pair(2), NOW.plus(HOUR), sent(-1));
    assert_eq!(penalties.kept().penalties[&pair(2)].strikes, 1, "another pair is another matter");
}

#[test]
fn a_void_takes_what_the_costliest_share_costs_and_all_of_it_after_a_restart() {
    let penalties = penalties();
    let price = |work, ms| VoidPrice { work: Work::new(work), at: Timestamp::from_ms(ms) };
    let owed = |penalties: &Penalties| penalties.to_void().unwrap().1.price;
    penalties.strike(&pair(1), NOW, price(500, 7));
    penalties.strike(&pair(1), NOW, price(100, 9));
    assert_eq!(owed(&penalties), price(500, 9));
    let rows = penalties.take_unsaved(9);
    penalties.load(rows.clone(), NOW);
    assert_eq!(owed(&penalties), price(500, 9), "read again, it is the same one");
    let again = Penalties::new(rows, ValidationSettings::default(), Arc::default(), NOW);
    assert_eq!(owed(&again), VoidPrice::all(NOW));
    penalties.strike(&pair(1), NOW, VoidPrice::all(NOW));
    assert_eq!(owed(&penalties).work, None);
    penalties.voided(&pair(1), NOW);
    penalties.strike(&pair(1), NOW, price(100, 9));
    assert_eq!(penalties.to_void(), None, "in flight then: what is done is not done again");
    penalties.strike(&pair(1), NOW, price(100, NOW.ms() + 9));
    assert_eq!(owed(&penalties), price(100, NOW.ms() + 9));
    assert_eq!((penalties.struck_at(&pair(1)), penalties.struck_at(&pair(2))), (Some(NOW), None));
}

#[test]
fn a_void_is_owed_until_it_is_done_over_restarts_too() {
    let penalties = penalties();
    assert!(penalties.to_void().is_none());
    penalties.strike(&pair(1), NOW, fresh(NOW));
    let again = Penalties::new(penalties.take_unsaved(9), ValidationSettings::default(), Arc::default(), NOW);
    assert_eq!(to_void(&again), Some((pair(1), NOW)));
    again.strike(&pair(1), NOW.plus(HOUR), fresh(NOW.plus(HOUR)));
    again.voided(&pair(1), NOW);
    assert_eq!(to_void(&again), Some((pair(1), NOW.plus(HOUR))), "there was another one meanwhile");
    again.voided(&pair(1), NOW.plus(HOUR));
    assert!(again.to_void().is_none());
    assert_eq!(again.take_unsaved(9)[0].void_before, None);
}

#[test]
fn a_quarantine_can_be_switched_off() {
    let settings = ValidationSettings { quarantine_strikes: 0, ..ValidationSettings::default() };
    let penalties = Penalties::new(Vec::new(), settings, Arc::default(), NOW);
    assert!((0..10).all(|_| penalties.strike(&pair(1), NOW, fresh(NOW)) == StrikeOutcome::Forced));
    assert!(penalties.restrictions().quarantined.is_empty());
}

#[test]
fn a_strike_that_the_database_refuses_keeps_no_other_out_and_is_stored_when_it_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool.sqlite").display().to_string();
    Store::migrate(&format!("sqlite:{path}")).unwrap();
    let sql = |text| {
        // The store may be writing.
        let text = format!("PRAGMA busy_timeout = 5000; {text}");
        SqliteConnection::establish(&path).unwrap().batch_execute(&text).unwrap();
    };
    sql("CREATE TRIGGER refusal BEFORE INSERT ON penalties WHEN NEW.address = '2' \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END");
    let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
    let penalties = Arc::new(penalties());
    let strike = |n: usize| {
        penalties.strike(&pair(n), NOW, fresh(NOW));
    };
    (1..=5).for_each(strike);
    let memory = Arc::clone(&penalties);
    let mut keeper = PenaltyKeeper::factory(memory, store.clone(), Arc::new(|| NOW))();
    runtime::block_on(async {
        let refused = keeper.keep().await.unwrap_err().to_string();
        assert!(refused.contains("not this one"), "{refused}");
        assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 4);
        strike(6);
        for _ in 1..PenaltyTable::TICKS_PER_REFRESH {
            keeper.keep().await.unwrap_err();
        }
        assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 5);
        assert_eq!(penalties.restrictions().forced.len(), 6, "it is in force all the same");
        sql("DROP TRIGGER refusal");
        keeper.keep().await.unwrap();
        assert_eq!(store.penalties_list(NOW).await.unwrap().len(), 6);
    });
}
