//! Random steps with random refusals.
use proptest::prelude::*;

use super::*;

/// What a miner may do, by number.
fn random(line: u32, kind: u8, of: u64, nonce: u64) -> Record<'static> {
    match kind {
        0..=4 => share(line, nonce, 0),
        5 => share(line, nonce, VERIFIED),
        6 => verdict(line, of, 0),
        7 => verdict(line, of, 2),
        _ => rejects(line, "stale job"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_refused_is_booked_once_in_the_end_and_nothing_else_waits(
        steps in prop::collection::vec((any::<bool>(), 0u8..9), 1..40),
        bad in prop::collection::btree_set(1u64..40, 0..6),
        is_worker_bad in any::<bool>(),
        table in 0usize..4,
    ) {
        let mut records: Vec<Record<'static>> = Vec::new();
        let mut owners: BTreeMap<u64, u32> = BTreeMap::new();
        for (is_bad, kind) in steps {
            let line = if is_bad { BAD } else { GOOD };
            let seq = records.len() as u64 + 1;
            // About the last share of the same line, if it has one.
            let of = owners.iter().rev().find(|(_, owner)| **owner == line).map_or(0, |(seq, _)| *seq);
            let kind = if of == 0 && (6..8).contains(&kind) { 0 } else { kind };
            if kind <= 5 {
                owners.insert(seq, line);
            }
            records.push(random(line, kind, of, seq));
        }
        // One that goes in.
        records.push(rejects(GOOD, "low difficulty"));
        let last = records.len() as u64;
        let mut rig = TestLog::new(records);
        let list = bad.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let (event, column) = [
            ("INSERT ON share_batches", "x BETWEEN NEW.first_seq AND NEW.last_seq"),
            ("INSERT ON segments", "x BETWEEN NEW.start_seq AND NEW.last_seq"),
            ("INSERT ON verdicts", "x = NEW.share_seq"),
            ("INSERT ON verdicts", "x = NEW.seq"),
        ][table];
        let values = if list.is_empty() { "0".to_owned() } else { list };
        let rows = format!("(SELECT value AS x FROM json_each('[{values}]'))");
        rig.refuse("refusal", event, &format!("EXISTS (SELECT 1 FROM {rows} WHERE {column})"));
        if is_worker_bad {
            rig.refuse("worker", "INSERT ON worker_identities", "NEW.worker = 'Рига'");
        }
        rig.fold();
        prop_assert_eq!(rig.host.folded(), Seq(last));
        prop_assert!(!rig.has(ConditionKind::FoldStopped));
        rig.assert_clean();
        let booked = rig.nonces();
        let aside = runtime::block_on(crate::set_aside_shares(&rig.host.store)).unwrap();
        let mut all: Vec<u64> = booked.into_iter().chain(aside.iter().map(|(_, nonce)| nonce.get())).collect();
        all.sort_unstable();
        prop_assert_eq!(&all, &owners.keys().copied().collect::<Vec<_>>());
        rig.mend(&["refusal"]);
        if is_worker_bad {
            rig.mend(&["worker"]);
        }
        rig.retry();
        prop_assert_eq!(rig.aside(), vec![]);
        prop_assert_eq!(rig.nonces(), all);
        rig.assert_clean();
    }
}
