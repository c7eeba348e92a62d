//! What waits for a lane, in which order, and how much of it.
use super::*;

#[test]
fn proofs_that_nobody_waits_for_are_given_up_unless_they_claim_a_block() {
    let mut stage = Stage::new(1);
    let mut busy = stage.prove("busy", 1, None);
    let dead = [stage.prove("dead", 2, Some(SHARE)), stage.prove("dead", 2, None)];
    let found = stage.prove("found", 3, Some(BLOCK));
    drop((dead, found));
    let mut alive = stage.prove("alive", 4, Some(SHARE));
    assert_eq!(stage.hash(SHARE), "busy");
    assert!(busy.try_recv().unwrap().is_ok());
    assert_eq!(stage.hash(SHARE), "alive");
    assert_eq!(stage.hash(BLOCK), "found");
    assert_eq!(stage.candidates(), [0], "the block is real, whoever waits");
    assert!(alive.try_recv().unwrap().is_ok());
    assert!(stage.task().is_none());
    assert_eq!(stage.metrics().proofs_abandoned_total.get(), 2);
}

#[test]
fn a_proven_block_is_submitted_once_its_share_is_in_the_log() {
    let mut stage = Stage::new(1);
    let mut answer = stage.prove("new", 1, None);
    stage.hash(BLOCK);
    assert_eq!(answer.try_recv().unwrap().unwrap().hash, BLOCK);
    assert!(stage.candidates().is_empty());
    let share = BookedShare { verified: true, ..stage.booked("new", BLOCK) };
    let seq = share.seq.0;
    stage.offer(share);
    assert_eq!(stage.candidates(), [seq]);
}

#[test]
fn proofs_that_claim_a_block_go_before_other_proofs_and_are_hashed_again_if_that_failed() {
    let mut stage = Stage::new(1);
    let _busy = stage.prove("busy", 1, None);
    let _other = stage.prove("other", 1, None);
    let mut claim = stage.prove("claim", 1, Some(BLOCK));
    stage.hash(SHARE);
    // The other one's turn comes in between, whatever happens.
    for _ in 0..3 {
        let task = stage.task().unwrap();
        if &*task.subject.line().address == "other" {
            stage.finish(task, Ok(Proven { hash: SHARE }));
        } else {
            assert_eq!(&*task.subject.line().address, "claim");
            stage.finish(task, Err(ProofRefusal::HashFailed));
        }
    }
    assert_eq!(claim.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    assert_eq!(stage.hash(BLOCK), "claim");
    assert!(claim.try_recv().unwrap().is_ok());
}

#[test]
fn few_proofs_of_a_pair_and_of_a_client_may_wait() {
    let mut stage = Stage::new(1);
    let _hashing = stage.prove("busy", 9, None);
    let is_refused = |answer: &mut oneshot::Receiver<<VerifyShare as Message>::Reply>| match answer.try_recv() {
        Ok(Err(ProofRefusal::Busy)) => true,
        Err(oneshot::error::TryRecvError::Empty) => false,
        other => panic!("{other:?}"),
    };
    let mut answers: Vec<_> = (0..10).map(|n| stage.prove("one", 1, (n % 2 == 0).then_some(BLOCK))).collect();
    let refused = answers.iter_mut().filter_map(|answer| is_refused(answer).then_some(())).count();
    assert_eq!(refused, 10 - PAIR_PROOFS_MAX);
    let mut others: Vec<_> = (0..40).map(|n| stage.prove(&n.to_string(), 1, None)).collect();
    let refused_others = others.iter_mut().filter_map(|answer| is_refused(answer).then_some(())).count();
    assert_eq!(refused_others, 40 - (ORIGIN_PROOFS_MAX - PAIR_PROOFS_MAX));
    assert!(!is_refused(&mut stage.prove("one", 2, None)), "elsewhere there is room");
    assert_eq!(stage.metrics().proofs_refused_total.get(), (refused + refused_others) as u64);
}

#[test]
fn a_quarantined_pair_waits_for_nothing_any_more_and_its_claims_go_last() {
    let mut stage = Stage::new(1);
    let mut waiting = vec![stage.prove("cheat", 1, Some(SHARE)), stage.prove("cheat", 1, Some(SHARE))];
    waiting.push(stage.prove("cheat", 1, Some(BLOCK)));
    let fakes = [stage.share("cheat", BLOCK), stage.share("cheat", BLOCK)];
    let mut other = stage.prove("other", 1, None);
    waiting.push(stage.prove("cheat", 1, None));
    let rejected = |waiting: &mut Vec<oneshot::Receiver<<VerifyShare as Message>::Reply>>| {
        waiting.retain_mut(|answer| answer.try_recv().is_err());
        waiting.len()
    };
    let mut strikes = 0;
    while !stage.actor.parts.penalties.restrictions().quarantined.contains_key(&stage.line("cheat", 1).pair()) {
        let task = stage.task().unwrap();
        assert_eq!(&*task.subject.line().address, "cheat");
        stage.finish(task, Err(ProofRefusal::InvalidProof));
        strikes += 1;
    }
    assert_eq!((strikes, rejected(&mut waiting)), (3, 0), "all are answered");
    let mut late = stage.prove("cheat", 1, None);
    assert!(matches!(late.try_recv(), Ok(Err(ProofRefusal::Busy))));
    let mut order: Vec<String> = std::iter::from_fn(|| stage.tasks.is_full().then(|| stage.hash(SHARE))).collect();
    assert!(other.try_recv().unwrap().is_ok());
    order.retain(|address| address == "cheat");
    let judged: Vec<u64> = stage.verdicts().into_iter().map(|(seq, _)| seq).collect();
    assert!(fakes.iter().all(|fake| judged.contains(fake)), "what was acknowledged gets its verdict: {judged:?}");
}

#[test]
fn a_proven_share_counts_once() {
    let mut stage = Stage::new(1);
    for _ in 0..10 {
        let mut answer = stage.prove("new", 1, None);
        stage.hash(SHARE);
        assert!(answer.try_recv().unwrap().is_ok());
        let share = BookedShare { verified: true, ..stage.booked("new", SHARE) };
        stage.offer(share);
    }
    let pair = stage.line("new", 1).pair();
    assert_eq!(stage.actor.pairs.touch(&pair, NOW).verified, 10);
}

#[test]
fn every_share_of_a_suspect_is_checked_and_trust_begins_anew() {
    let mut stage = Stage::new(1);
    stage.share("old-1", SHARE);
    assert!(stage.task().is_none(), "nothing is drawn here");
    stage.share("old-1", BLOCK);
    stage.hash(SHARE);
    for _ in 0..30 {
        stage.share("old-1", SHARE);
        assert_eq!(stage.hash(SHARE), "old-1");
    }
    let pair = stage.line("old-1", 1).pair();
    assert_eq!(stage.actor.pairs.touch(&pair, NOW).verified, 30);
}

#[test]
fn candidates_that_the_submitter_does_not_take_are_bounded_and_proven_ones_stay() {
    let mut stage = Stage::new(1);
    stage.is_submitter_busy.store(true, Ordering::SeqCst);
    let unproven = stage.share("old-1", BLOCK);
    let mut proven = Vec::new();
    for n in 0..CANDIDATES_MAX {
        let share = BookedShare { verified: true, ..stage.booked(&n.to_string(), BLOCK) };
        proven.push(share.seq.0);
        stage.offer(share);
    }
    assert_eq!(stage.metrics().candidates_forgone_total.get(), 1);
    assert_eq!(stage.metrics().candidates_waiting.get(), CANDIDATES_MAX as u64);
    stage.is_submitter_busy.store(false, Ordering::SeqCst);
    stage.handle(ValidationTick);
    assert_eq!(stage.candidates(), proven);
    stage.hash(BLOCK);
    assert_eq!(stage.candidates().last(), Some(&unproven), "proven by now");
}

#[test]
fn what_is_owed_to_one_owner_is_bounded_and_counted() {
    let mut stage = Stage::new(1);
    let shares = (0..OWNER_OWED_MAX + 11).map(|n| {
        // A pair's warm-up is twenty shares: new addresses of one origin are one owner.
        stage.booked(&format!("new-{}", n / 20), SHARE)
    });
    let shares = shares.collect();
    stage.handle(OfferShares(shares));
    assert_eq!(stage.metrics().checks_forgone_total.get(), 11, "one of them is in the lane only afterwards");
    let mut share = stage.booked("elsewhere", SHARE);
    share.line = stage.line("elsewhere", 2);
    stage.offer(share);
    assert_eq!(stage.metrics().checks_forgone_total.get(), 11);
    assert_eq!(stage.metrics().checks_owed.get(), OWNER_OWED_MAX as u64);
}

#[test]
fn lanes_rest_while_too_many_verdicts_wait_for_the_log() {
    let mut stage = Stage::new(1);
    stage.share("new", SHARE);
    stage.share("new", SHARE);
    let share = stage.booked("any", SHARE);
    for _ in 0..VERDICTS_MAX {
        stage.actor.outbox.put(Event::Verdict {
            share: share.seq,
            minute: share.minute,
            line: Arc::clone(&share.line),
            difficulty: share.difficulty,
            verdict: Verdict::Verified,
        });
    }
    stage.hash(SHARE);
    assert!(stage.task().is_none());
    assert_eq!(stage.verdicts().len(), VERDICTS_MAX + 1);
    stage.handle(ValidationTick);
    assert!(stage.task().is_some());
}

#[test]
fn an_asker_is_told_what_the_lane_found() {
    let mut stage = Stage::new(1);
    for refusal in [ProofRefusal::LowDifficulty, ProofRefusal::HashFailed, ProofRefusal::InvalidProof] {
        let mut answer = stage.prove("new", 1, Some(SHARE));
        let task = stage.task().unwrap();
        stage.finish(task, Err(refusal));
        assert_eq!(answer.try_recv().unwrap().unwrap_err(), refusal);
    }
    assert_eq!(stage.actor.parts.penalties.restrictions().forced.len(), 1, "only a false claim is a strike");
    assert_eq!(stage.metrics().checks_failed_total.get(), 1);
}

#[test]
fn stored_shares_are_for_lanes_that_have_nothing_else_to_do() {
    let mut stage = Stage::new(1);
    let busy = stage.share("new", SHARE);
    let [good, bad, broken] = ["good", "bad", "broken"].map(|address| stage.booked(address, SHARE));
    let seqs = [good.seq.0, bad.seq.0];
    stage.handle(OfferRechecks(vec![good, bad, broken]));
    let owed = stage.share("new", SHARE);
    assert_eq!([stage.hash(SHARE), stage.hash(SHARE)], ["new", "new"]);
    assert_eq!(stage.hash(SHARE), "good");
    assert_eq!(stage.hash(BLOCK), "bad");
    let task = stage.task().unwrap();
    stage.finish(task, Err(ProofRefusal::HashFailed));
    assert!(stage.task().is_none(), "whoever chose it chooses again");
    let verified = [busy, owed, seqs[0]].map(|seq| (seq, Verdict::Verified));
    assert_eq!(stage.verdicts(), [verified.as_slice(), &[(seqs[1], Verdict::Rejected)]].concat());
    assert_eq!(stage.actor.parts.penalties.restrictions().forced.len(), 1);
}

#[test]
fn few_stored_shares_wait_at_once() {
    let mut stage = Stage::new(1);
    stage.share("new", SHARE);
    let shares = (0..RECHECKS_MAX + 3).map(|_| stage.booked("stored", SHARE)).collect();
    stage.handle(OfferRechecks(shares));
    assert_eq!(stage.metrics().rechecks_waiting.get(), RECHECKS_MAX as u64);
    assert_eq!(stage.metrics().rechecks_refused_total.get(), 3);
}

#[test]
fn verdicts_that_follow_from_others_leave_room_for_what_the_lanes_find() {
    let mut stage = Stage::new(1);
    let share = stage.booked("cheat", SHARE);
    let void = || Event::Verdict {
        share: share.seq,
        minute: share.minute,
        line: Arc::clone(&share.line),
        difficulty: share.difficulty,
        verdict: Verdict::Voided,
    };
    stage.handle(LogVerdicts(std::iter::repeat_with(void).take(VERDICTS_MAX / 2).collect()));
    stage.handle(LogVerdicts(vec![void()]));
    assert_eq!(stage.verdicts().len(), VERDICTS_MAX / 2, "the last one is found again and sent again");
}

#[test]
fn stored_shares_have_a_part_of_the_lanes_whatever_floods_them() {
    let mut stage = Stage::new(1);
    for n in 0..60 {
        let mut claim = stage.booked(&format!("flood-{n}"), BLOCK);
        claim.line = stage.line(&format!("flood-{n}"), n);
        stage.offer(claim);
        stage.share("new", SHARE);
    }
    let stored = (0..10).map(|_| stage.booked("stored", SHARE)).collect();
    stage.handle(OfferRechecks(stored));
    let hashed: Vec<bool> = (0..40)
        .map(|_| {
            let task = stage.task().unwrap();
            stage.lanes.release();
            stage.actor.pump();
            matches!(task.subject, Subject::Recheck(_))
        })
        .collect();
    assert_eq!(hashed.iter().filter(|is_stored| **is_stored).count(), 9, "one in four: {hashed:?}");
}

#[test]
fn what_is_void_is_not_hashed_any_more_but_for_claims() {
    let mut stage = Stage::new(1);
    let early =
        |stage: &mut Stage, address: &str, claimed| BookedShare { received_at: NOW, ..stage.booked(address, claimed) };
    for _ in 0..10 {
        let share = early(&mut stage, "cheat", SHARE);
        stage.offer(share);
    }
    let other = stage.share("other", SHARE);
    let claim = early(&mut stage, "cheat", BLOCK);
    let stored = early(&mut stage, "cheat", SHARE);
    let claim_seq = claim.seq.0;
    stage.offer(claim);
    stage.handle(OfferRechecks(vec![stored]));
    let later = stage.share("cheat", SHARE);
    stage.hash(BLOCK);
    assert_eq!(stage.metrics().checks_void_total.get(), 9);
    while stage.tasks.is_full() {
        stage.hash(SHARE);
    }
    let mut judged: Vec<u64> = stage.verdicts().into_iter().map(|(seq, _)| seq).filter(|seq| *seq != 1).collect();
    judged.sort_unstable();
    assert_eq!(judged, [other, claim_seq, later], "what came after the strike is checked");
}

#[test]
fn a_false_share_that_was_in_flight_at_the_strike_touches_nothing_that_came_later() {
    let mut stage = Stage::new(2);
    for _ in 0..2 {
        let share = BookedShare { received_at: NOW.minus(Duration::from_millis(1)), ..stage.booked("cheat", SHARE) };
        stage.offer(share);
    }
    let [first, second] = [stage.task().unwrap(), stage.task().unwrap()];
    stage.finish(first, Err(ProofRefusal::InvalidProof));
    let later: Vec<u64> = (0..3).map(|_| stage.share("cheat", SHARE)).collect();
    stage.hash(SHARE);
    stage.finish(second, Err(ProofRefusal::InvalidProof));
    while !stage.tasks.is_empty() {
        stage.hash(SHARE);
    }
    let verified: Vec<u64> =
        stage.verdicts().into_iter().filter(|(_, verdict)| *verdict == Verdict::Verified).map(|(seq, _)| seq).collect();
    assert_eq!(verified, later);
    let pair = stage.line("cheat", 1).pair();
    assert_eq!(stage.actor.pairs.touch(&pair, NOW).verified, 3, "trust begins anew at the strike");
}
