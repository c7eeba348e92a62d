use super::*;
use chain::TxId;

const TIP: u64 = 1_000;

fn height(height: u64) -> Height {
    Height::new(height)
}

fn seen(place: TxLocation) -> FoundTransaction {
    FoundTransaction { txid: TxId([0xab; 32]), fee: Amount::from_atoms(7).unwrap(), place }
}

fn done() -> Key {
    Key::Done { txid: TxId([0xcd; 32]), fee: Amount::from_atoms(9).unwrap() }
}

/// A request without an answer; the daemon has nothing under its key, nothing shows it, its inputs are there.
fn lost() -> PayoutEvidence {
    PayoutEvidence {
        known: SendKnowledge::Asked,
        key: Key::Nothing,
        seen: None,
        inputs: Inputs::Unspent,
        others_refused: true,
        repeated: false,
        tip: height(TIP),
        asked_at: height(TIP - 1),
        quiet_since: None,
    }
}

fn waits(quiet_since: Option<u64>, attention: Option<&'static str>) -> Verdict {
    Verdict::Wait { quiet_since: quiet_since.map(height), attention }
}

/// Every combination of all that can be known.
fn all() -> impl Iterator<Item = PayoutEvidence> {
    let keys = [
        Key::Mute,
        Key::Nothing,
        Key::Accepted,
        Key::Running,
        done(),
        Key::Failed { definite: true },
        Key::Failed { definite: false },
    ];
    let places =
        [TxLocation::Block { depth: 0 }, TxLocation::Block { depth: 10 }, TxLocation::Mempool, TxLocation::Nowhere];
    let sights: Vec<Option<FoundTransaction>> =
        std::iter::once(None).chain(places.map(|place| Some(seen(place)))).collect();
    let inputs = [
        Inputs::Unnamed,
        Inputs::Unspent,
        Inputs::Immature,
        Inputs::Leaving,
        Inputs::Unclear { since: height(TIP - 99) },
        Inputs::Unclear { since: height(TIP - 100) },
        Inputs::Taken { since: None },
        Inputs::Taken { since: Some(height(TIP)) },
        Inputs::Taken { since: Some(height(TIP - 99)) },
        Inputs::Taken { since: Some(height(TIP - 100)) },
    ];
    let quiet = [None, Some(TIP), Some(TIP - 2), Some(TIP - 3), Some(TIP - 100)];
    let mut cases = Vec::new();
    for known in [SendKnowledge::Asked, SendKnowledge::Sent] {
        for key in &keys {
            for seen in &sights {
                for inputs in inputs {
                    for (others_refused, repeated) in [(true, false), (false, false), (true, true)] {
                        for asked_at in [TIP - 1, TIP] {
                            for quiet_since in quiet {
                                cases.push(PayoutEvidence {
                                    known,
                                    key: key.clone(),
                                    seen: seen.clone(),
                                    inputs,
                                    others_refused,
                                    repeated,
                                    tip: height(TIP),
                                    asked_at: height(asked_at),
                                    quiet_since: quiet_since.map(height),
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    cases.into_iter()
}

fn shown(case: &PayoutEvidence) -> bool {
    case.seen.as_ref().is_some_and(|seen| seen.place != TxLocation::Nowhere)
}

fn quiet_blocks(case: &PayoutEvidence) -> u64 {
    case.quiet_since.map_or(0, |since| TIP - since.get())
}

#[test]
fn what_a_block_or_the_mempool_shows_was_sent() {
    for case in all().filter(shown) {
        assert_eq!(resolve(&case), Verdict::Sent(case.seen.clone().unwrap()), "{case:?}");
    }
}

#[test]
fn the_same_bytes_are_repeated_only_when_nothing_is_known_of_them_and_their_inputs_are_there() {
    for case in all() {
        let may = case.known == SendKnowledge::Asked
            && case.key == Key::Nothing
            && case.seen.is_none()
            && case.inputs == Inputs::Unspent;
        assert_eq!(resolve(&case) == Verdict::Repeat, may, "{case:?}");
    }
}

#[test]
fn a_key_is_given_up_only_for_the_same_inputs_unspent_and_after_the_daemons_word_or_three_quiet_blocks() {
    let mut replaced = 0;
    for case in all() {
        let Verdict::Replace { outcome } = resolve(&case) else { continue };
        replaced += 1;
        assert_eq!(case.inputs, Inputs::Unspent, "{case:?}");
        assert!(!shown(&case), "{case:?}");
        let refused = case.known == SendKnowledge::Asked && case.key == Key::Failed { definite: true };
        assert!(refused || quiet_blocks(&case) >= QUIET_BLOCKS, "{case:?}");
        let gone = case.known == SendKnowledge::Sent;
        let stored = matches!(case.key, Key::Failed { .. } | Key::Accepted);
        assert!(gone || stored, "a key is given up only when the daemon says so: {case:?}");
        let never_sent = refused && !case.repeated;
        assert_eq!(outcome == REFUSED, never_sent, "only an attempt that nobody can have sent is called so: {case:?}");
    }
    assert!(replaced > 0);
}

#[test]
fn money_is_payable_again_only_when_no_attempt_can_ever_be_mined() {
    let mut released = 0;
    for case in all() {
        let Verdict::Release { .. } = resolve(&case) else { continue };
        released += 1;
        assert!(!shown(&case), "{case:?}");
        let none_was_sent =
            is_refused(&case) && case.seen.is_none() && matches!(case.inputs, Inputs::Unspent | Inputs::Unnamed);
        let taken_for_good = match case.inputs {
            Inputs::Taken { since: Some(since) } => TIP - since.get() >= FINAL_BLOCKS,
            Inputs::Taken { since: None } => is_refused(&case) && quiet_blocks(&case) >= FINAL_BLOCKS,
            Inputs::Unclear { since } => is_refused(&case) && TIP - since.get() >= FINAL_BLOCKS,
            _ => false,
        };
        assert!(none_was_sent || taken_for_good, "{case:?}");
    }
    assert!(released > 0);
}

#[test]
fn what_runs_is_waited_for_and_what_was_done_is_believed() {
    for case in all().filter(|case| case.known == SendKnowledge::Asked && !shown(case)) {
        match &case.key {
            Key::Running => assert_eq!(resolve(&case), waits(None, None), "{case:?}"),
            Key::Done { .. } => {
                let sent = FoundTransaction {
                    txid: TxId([0xcd; 32]),
                    fee: Amount::from_atoms(9).unwrap(),
                    place: TxLocation::Nowhere,
                };
                assert_eq!(resolve(&case), Verdict::Sent(sent), "{case:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn without_named_inputs_nothing_is_ever_asked_twice() {
    for case in all().filter(|case| case.inputs == Inputs::Unnamed) {
        assert!(!matches!(resolve(&case), Verdict::Repeat | Verdict::Replace { .. }), "{case:?}");
    }
}

#[test]
fn a_daemon_that_cannot_be_asked_leaves_an_unknown_outcome_to_an_operator() {
    for case in all().filter(|case| case.known == SendKnowledge::Asked && case.key == Key::Mute && case.seen.is_none())
    {
        match (case.inputs, resolve(&case)) {
            (Inputs::Unnamed | Inputs::Unspent, Verdict::Wait { attention, .. }) => {
                assert_eq!(attention, Some(CANNOT_ASK), "{case:?}");
            }
            (Inputs::Unnamed | Inputs::Unspent, other) => panic!("{case:?}: {other:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_restarted_daemon_gets_three_quiet_blocks_counted_from_the_first_look() {
    let accepted = |quiet_since: Option<u64>| PayoutEvidence {
        key: Key::Accepted,
        quiet_since: quiet_since.map(height),
        ..lost()
    };
    assert_eq!(resolve(&accepted(None)), waits(Some(TIP), None));
    assert_eq!(resolve(&accepted(Some(TIP - 2))), waits(Some(TIP - 2), None));
    assert_eq!(resolve(&accepted(Some(TIP - 3))), Verdict::Replace { outcome: "accepted" });
    // Whatever shows it begins the count anew.
    let leaving = PayoutEvidence { inputs: Inputs::Leaving, ..accepted(Some(TIP - 3)) };
    assert_eq!(resolve(&leaving), waits(None, None));
}

#[test]
fn a_lost_transaction_is_replaced_after_three_quiet_blocks() {
    let gone = |quiet_since: Option<u64>| PayoutEvidence {
        known: SendKnowledge::Sent,
        key: Key::Mute,
        seen: Some(seen(TxLocation::Nowhere)),
        quiet_since: quiet_since.map(height),
        ..lost()
    };
    assert_eq!(resolve(&gone(None)), waits(Some(TIP), None));
    assert_eq!(resolve(&gone(Some(TIP - 3))), Verdict::Replace { outcome: "gone" });
}

#[test]
fn a_refusal_releases_only_when_no_earlier_attempt_may_still_be_mined() {
    let refused = PayoutEvidence { key: Key::Failed { definite: true }, ..lost() };
    assert_eq!(resolve(&refused), Verdict::Release { outcome: REFUSED });
    let after_another = PayoutEvidence { others_refused: false, ..refused };
    assert_eq!(resolve(&after_another), Verdict::Replace { outcome: REFUSED });
    let in_the_same_block = PayoutEvidence { asked_at: height(TIP), ..after_another };
    assert_eq!(resolve(&in_the_same_block), waits(None, None), "once per block is often enough");
    // A failure inside the daemon says less: it may come after the broadcast.
    let failed = PayoutEvidence { key: Key::Failed { definite: false }, ..lost() };
    assert_eq!(resolve(&failed), waits(Some(TIP), None));
}

#[test]
fn an_input_that_somebody_else_spent_is_waited_for_until_it_is_final() {
    let taken = |since: u64| PayoutEvidence { inputs: Inputs::Taken { since: Some(height(since)) }, ..lost() };
    assert_eq!(resolve(&taken(TIP - 99)), waits(Some(TIP), Some(TAKEN)));
    assert_eq!(resolve(&taken(TIP - 100)), Verdict::Release { outcome: "input taken" });
    let unclear = PayoutEvidence { inputs: Inputs::Unclear { since: height(TIP - 100) }, ..lost() };
    assert_eq!(resolve(&unclear), waits(None, Some(UNCLEAR)));
    let refused = PayoutEvidence { key: Key::Failed { definite: true }, ..unclear };
    assert_eq!(resolve(&refused), Verdict::Release { outcome: "input taken" });
}

#[test]
fn a_refusal_of_a_repeated_request_replaces_and_never_releases() {
    let refused = PayoutEvidence { key: Key::Failed { definite: true }, repeated: true, ..lost() };
    assert_eq!(resolve(&refused), Verdict::Replace { outcome: REFUSED_AGAIN });
    for case in all().filter(|case| case.repeated && !matches!(case.inputs, Inputs::Taken { since: Some(_) })) {
        assert!(!matches!(resolve(&case), Verdict::Release { .. }), "{case:?}");
    }
}

#[test]
fn an_operator_may_give_up_only_what_can_never_be_mined() {
    for case in all() {
        let leave = may_leave(&case, false);
        let holds = matches!(case.key, Key::Running | Key::Done { .. })
            || matches!(case.inputs, Inputs::Unspent | Inputs::Immature | Inputs::Leaving);
        match leave {
            Leave::Never(_) => assert!(shown(&case) || holds, "{case:?}"),
            Leave::From(from) => {
                assert!(!shown(&case) && !holds, "{case:?}");
                let since = match case.inputs {
                    Inputs::Unclear { since } | Inputs::Taken { since: Some(since) } => since,
                    _ => case.asked_at,
                };
                assert_eq!(from.get(), since.get() + FINAL_BLOCKS, "{case:?}");
            }
            Leave::Now => panic!("the wallet may have been asked: {case:?}"),
        }
        let fresh = may_leave(&case, true);
        assert_eq!(
            fresh == Leave::Now,
            !shown(&case) && !matches!(case.key, Key::Running | Key::Done { .. }),
            "{case:?}"
        );
    }
}

#[test]
fn inputs_that_the_wallet_does_not_list_prove_nothing_about_what_was_sent() {
    let missing =
        PayoutEvidence { inputs: Inputs::Taken { since: None }, quiet_since: Some(height(TIP - 500)), ..lost() };
    assert_eq!(resolve(&missing), waits(Some(TIP - 500), Some(MISSING)));
    let sent = PayoutEvidence { known: SendKnowledge::Sent, key: Key::Mute, ..missing.clone() };
    assert_eq!(resolve(&sent), waits(Some(TIP - 500), Some(MISSING)));
    let refused = PayoutEvidence { key: Key::Failed { definite: true }, ..missing };
    assert_eq!(resolve(&refused), Verdict::Release { outcome: "input taken" }, "nobody can have sent it");
}
