//! Places of block claims.
use super::*;

#[test]
fn a_trusted_candidate_is_checked_before_a_flood_of_claims_and_always_has_a_place() {
    let mut stage = Stage::new(1);
    let places = Arc::clone(&stage.actor.parts.places);
    stage.warm_up("new");
    stage.share("busy", SHARE);
    let mut n = 0_u32;
    while places.depth() < ClaimPermits::MAX {
        let mut line = Arc::try_unwrap(stage.line(&n.to_string(), 2)).unwrap();
        // A thousand origins with four addresses each, then as many more as it takes.
        line.origin.0[..4].copy_from_slice(&(if n < 4000 { n / 4 } else { n }).to_le_bytes());
        let place = places.take(&line.pair()).map(Arc::new);
        if place.is_some() {
            let claim = stage.booked("", BLOCK);
            stage.offer(BookedShare { line: Arc::new(line), place, ..claim });
        }
        n += 1;
    }
    let [trusted, stranger] = [("new", 1), ("stranger", 250)].map(|(address, origin)| {
        let claim = stage.booked(address, BLOCK);
        let line = stage.line(address, origin);
        let place = places.take(&line.pair()).map(Arc::new);
        BookedShare { line, place, ..claim }
    });
    assert!(stranger.place.is_none(), "the flood has taken all of them");
    assert!(trusted.place.is_some(), "what it has earned here is known where places are taken");
    let seq = trusted.seq.0;
    stage.offer(trusted);
    assert_eq!(stage.candidates(), [seq]);
    stage.hash(SHARE);
    assert_eq!(stage.hash(BLOCK), "new");
}

#[test]
fn claims_of_a_quarantined_pair_give_their_places_up() {
    let mut stage = Stage::new(1);
    let places = Arc::clone(&stage.actor.parts.places);
    let pair = stage.line("cheat", 1).pair();
    for _ in 0..5 {
        let mut claim = stage.booked("cheat", BLOCK);
        claim.place = places.take(&pair).map(Arc::new);
        stage.offer(claim);
    }
    assert_eq!(places.depth(), 5);
    for _ in 0..3 {
        stage.actor.parts.penalties.strike(&pair, NOW, crate::penalties::VoidPrice::all(SENT));
    }
    let mut late = stage.booked("cheat", BLOCK);
    late.place = places.take(&pair).map(Arc::new);
    stage.offer(late);
    assert_eq!(places.depth(), 5, "one that comes now needs none");
    stage.hash(SHARE);
    assert_eq!(places.depth(), 0, "others need them");
}
