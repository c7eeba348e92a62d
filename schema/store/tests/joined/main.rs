//! Accounts that older programs kept under two texts of the same keys become one, once, and the books agree with it.
#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails it")]
#[path = "../common/mod.rs"]
mod common;
mod world;

use accounting::{Account, EntryKind};
use common::log::{EPOCH, at, hash};
use common::money::{NOW, entry, fund, intent, intent_id, lease, line as recipient, released, reserved, settled};
use common::{TestDb, for_each_database};
use store::blocks::BlockState;
use store::ledger::Balance;
use store::ledger::Balances;
use store::payouts::{IntentChange, IntentState};
use store::{OpenError, Store};
use units::Amount;
use world::{JOINING, World, address, audit, credit, join, legacy, legacy_of, unjoin, weigh};

fn atoms(amount: u64) -> Amount {
    Amount::from_atoms(amount).unwrap()
}

/// Everything that somebody could look at.
async fn balances(db: &TestDb, address: &str) -> Balance {
    db.store.balance_of(address).await.unwrap()
}

fn added(one: Balance, other: Balance) -> Balance {
    let add = |one: Amount, other: Amount| one.checked_add(other).unwrap();
    Balance {
        payable: add(one.payable, other.payable),
        inflight: add(one.inflight, other.inflight),
        paid: add(one.paid, other.paid),
    }
}

#[test]
fn a_database_with_both_forms_has_one_account_per_keys_afterwards_and_no_differences() {
    for_each_database(async |db| {
        let mut world = World::filled(db).await;
        let (one, other) = (balances(db, &legacy(0)).await, balances(db, &address(0)).await);
        assert!(one.payable > Amount::ZERO && one.inflight > Amount::ZERO && one.paid > Amount::ZERO);
        assert!(other.payable > Amount::ZERO && other.inflight > Amount::ZERO);
        let window = world.open_window(db).await;
        let shares = db.number("SELECT CAST(SUM(shares) AS BIGINT) AS n FROM worker_identities");

        assert_eq!(join(db), ["00000000000013_one_account_per_keys"]);
        assert_eq!(audit(db).await, [], "after");
        assert_eq!(balances(db, &address(0)).await, added(one, other));
        assert_eq!(balances(db, &legacy(0)).await, Balance::default());
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM entries WHERE kind = 'accounts_joined'"), 2);
        assert_eq!(db.number("SELECT CAST(SUM(shares) AS BIGINT) AS n FROM worker_identities"), shares);
        // Of the one, of whom there was the legacy text only, and of the fee address of a policy.
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners WHERE joined_into IS NOT NULL"), 3);

        // Who had two lines has their sum in a window that is computed now.
        let joined = world.open_window(db).await;
        let sum = |works: &[(String, u64)], n: u8| -> u64 {
            works.iter().filter(|(text, _)| *text == address(n) || *text == legacy(n)).map(|(_, work)| work).sum()
        };
        for n in 0..3 {
            assert_eq!(sum(&window, n), sum(&joined, n));
        }
        assert!(joined.iter().all(|(text, _)| !legacy_of(text)) && window.iter().any(|(text, _)| legacy_of(text)));

        // Work goes on under the one text.
        world.go_on(db).await;
        assert_eq!(audit(db).await, [], "later");
    });
}

#[test]
fn a_block_that_was_weighed_before_credits_the_account_of_today_and_is_taken_back_from_it() {
    for_each_database(async |db| {
        let world = World::filled(db).await;
        join(db);
        let block = db.store.block_find(&hash(1_065)).await.unwrap().unwrap();
        assert_eq!(block.state, BlockState::Confirmed);
        let credits = db.store.block_credits(block.id).await.unwrap();
        assert!(credits.iter().all(|(text, _)| !legacy_of(text)), "{credits:?}");
        let before = balances(db, &address(0)).await;
        // Even one who names the old text, as a policy does that is older.
        let raw: Vec<(String, u64)> =
            db.store.block_credits(block.id).await.unwrap().into_iter().map(|(to, sum)| (to, sum.atoms())).collect();
        let posted = credit(&block.hash, &block, &raw, &format!("payable:{}", legacy(3)));
        assert!(db.store.block_credit(world.epoch, block.id, posted.clone(), at(EPOCH + 200)).await.unwrap());
        let mine = credits.iter().find(|(to, _)| *to == address(0)).unwrap().1;
        assert_eq!(balances(db, &address(0)).await.payable, before.payable.checked_add(mine).unwrap());
        assert!(balances(db, &address(3)).await.payable > Amount::ZERO);
        assert_eq!(balances(db, &legacy(3)).await, Balance::default());
        assert_eq!(audit(db).await, []);

        // The first block was credited under both texts. All of that is where it is looked for.
        let first = db.store.block_find(&hash(1_035)).await.unwrap().unwrap();
        let held = balances(db, &address(0)).await.payable.to_i64();
        let build = move |balances: &Balances| {
            assert_eq!(balances.of(&Account::payable(&address(0))), held);
            assert!(balances.iter().all(|(account, _)| !legacy_of(&account.to_string())), "{balances:?}");
            let postings = [("chain_rewards", 7_200_000_000), ("orphan_loss", -7_200_000_000)];
            entry(EntryKind::BlockReversed, &hash(1_035), &postings)
        };
        db.store.block_reverse(world.epoch, first.id, &first.hash, at(EPOCH + 201), build).await.unwrap();
        assert_eq!(audit(db).await, []);
    });
}

#[test]
fn open_payouts_end_on_the_account_of_today() {
    for_each_database(async |db| {
        let world = World::filled(db).await;
        let store = &db.store;
        let epoch = world.epoch;
        join(db);
        let [to_legacy, to_both] = [2, 3].map(intent_id);
        let open = store.intent_list_open().await.unwrap();
        assert_eq!(open.iter().map(|intent| &intent.id).collect::<Vec<_>>(), [&to_legacy, &to_both]);
        assert!(legacy_of(&open[0].lines[0].address), "what the wallet was asked for stays as it was");
        let before = balances(db, &address(0)).await;
        let sent = IntentChange {
            state: Some(IntentState::Confirmed),
            sent: Some((chain::TxId([0xab; 32]), atoms(35), NOW)),
            ..IntentChange::default()
        };
        store.intent_change(epoch, &to_legacy, IntentState::Reserved, sent).await.unwrap();
        let close = settled(&open[0], 35);
        store.intent_close(epoch, &to_legacy, IntentState::Confirmed, IntentState::Settled, close, NOW).await.unwrap();
        let back = released(&open[1]);
        store.intent_close(epoch, &to_both, IntentState::Reserved, IntentState::Released, back, NOW).await.unwrap();
        let after = balances(db, &address(0)).await;
        assert_eq!(after.inflight, Amount::ZERO);
        assert_eq!(after.paid, before.paid.checked_add(open[0].lines[0].net).unwrap());
        assert_eq!(balances(db, &legacy(0)).await, Balance::default());
        assert_eq!(audit(db).await, []);
        // The page shows what was sent to either text.
        let payouts = store.payout_list_of(&address(0), 10).await.unwrap();
        assert_eq!(payouts.iter().map(|row| row.intent.clone()).collect::<Vec<_>>(), [1, 2].map(intent_id));
        // One minimum, one due balance.
        let due = store.payout_list_due(atoms(1), 100).await.unwrap();
        assert_eq!(due.iter().filter(|due| due.address == address(0)).count(), 1);
        assert!(due.iter().all(|due| !legacy_of(&due.address)));
    });
}

#[test]
fn two_balances_below_the_minimum_are_one_above_it() {
    for_each_database(async |db| {
        let epoch = lease(db, "one").await;
        fund(db, epoch, "f1", &legacy(0), 60, NOW).await;
        fund(db, epoch, "f2", &address(0), 60, NOW).await;
        unjoin(db);
        join(db);
        let due = db.store.payout_list_due(atoms(100), 100).await.unwrap();
        assert_eq!(
            due.iter().map(|due| (due.address.clone(), due.payable)).collect::<Vec<_>>(),
            [(address(0), atoms(120))]
        );
    });
}

#[test]
fn of_two_penalties_the_stricter_and_of_two_difficulties_the_fresher_stays() {
    for_each_database(async |db| {
        World::filled(db).await;
        join(db);
        let rows = db.store.penalties_list(NOW).await.unwrap();
        let [one, other] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((&one.address, one.origin), (&address(0), [7; 16]));
        assert_eq!(
            (one.strikes, one.reason.as_str()),
            (5, "false claim"),
            "three under one text, five under the other"
        );
        assert_eq!((one.quarantined_until, one.void_before), (Some(world::later(9_000)), Some(world::later(20))));
        assert_eq!(
            (one.struck_at, one.forced_until, one.ends_at),
            (world::later(60), world::later(8_000), world::later(90_000))
        );
        assert_eq!((&other.address, other.origin), (&address(0), [8; 16]), "elsewhere it is another pair");
        let hints = db.store.hints_since(units::Timestamp::from_ms(0), 10).await.unwrap();
        let hints: Vec<_> =
            hints.iter().map(|hint| (hint.address.clone(), hint.worker.as_str(), hint.difficulty.get())).collect();
        assert_eq!(hints, [(address(0), "rig", 222), (address(0), "only", 333)]);
        let days = db.store.share_days(Some(&address(0))).await.unwrap();
        assert_eq!(
            days.iter().map(|day| (day.day, day.shares, day.work.get())).collect::<Vec<_>>(),
            [(5, 10, 100), (6, 7, 70)]
        );
        let rejects = db.store.reject_days(Some(&address(0))).await.unwrap();
        assert_eq!(rejects.iter().map(|day| (day.day, day.count)).collect::<Vec<_>>(), [(5, 9)]);
        let summary = db.store.miner_summary(&address(0), units::Minute(0)).await.unwrap().unwrap();
        assert_eq!((summary.gone_shares, summary.gone_rejects, summary.first_share_at), (12, 3, Some(world::early())));
    });
}

#[test]
fn a_migration_that_breaks_off_changes_nothing_and_is_done_by_the_next() {
    for_each_database(async |db| {
        World::filled(db).await;
        let state = || {
            ["entries", "worker_identities", "segments", "penalties", "vardiff_hints", "miners", "share_days"]
                .map(|table| db.number(&format!("SELECT COUNT(*) AS n FROM {table}")))
        };
        let before = state();
        // The second of the miners to be joined.
        let broken = store::Joining {
            entry: |from, to, booked| {
                assert!(*from != *legacy(2), "power cut");
                (JOINING.entry)(from, to, booked)
            },
            ..JOINING
        };
        let url = db.url.clone();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let cut = std::thread::spawn(move || Store::migrate_joining(&url, broken)).join();
        std::panic::set_hook(hook);
        assert!(cut.is_err());
        assert_eq!(state(), before);
        assert!(matches!(Store::open(&db.url, 1), Err(OpenError::NotMigrated { .. })));
        assert_eq!(join(db).len(), 1);
        assert!(join(db).is_empty(), "once");
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM entries WHERE kind = 'accounts_joined'"), 2);
        assert_eq!(audit(db).await, []);
    });
}

#[test]
fn a_host_that_folds_meanwhile_is_joined_wholly_and_not_in_halves() {
    for_each_database(async |db| {
        let mut world = World::filled(db).await;
        let url = db.url.clone();
        let joining = std::thread::spawn(move || Store::migrate_joining(&url, JOINING).unwrap().len());
        // It goes on under the legacy text until the database refuses that.
        let log = &mut world.logs[0];
        let mut minute = EPOCH + 100;
        loop {
            log.share(0, minute, 10);
            log.share(1, minute, 10);
            minute += 1;
            if db.store.fold(log.step()).await.is_err() {
                break;
            }
        }
        assert_eq!(joining.join().unwrap(), 1);
        assert_eq!(audit(db).await, []);
        assert_eq!(balances(db, &legacy(0)).await, Balance::default());
    });
}

#[test]
fn who_does_not_say_the_network_joins_nothing() {
    for_each_database(async |db| {
        World::filled(db).await;
        let refused = Store::migrate(&db.url).unwrap_err().to_string();
        assert!(
            refused.contains("it has no checksum, and the network that would give it one was not said"),
            "{refused}"
        );
        assert_eq!(join(db).len(), 1);
    });
}

#[test]
fn an_older_program_cannot_begin_the_second_account_again() {
    for_each_database(async |db| {
        let mut world = World::filled(db).await;
        join(db);
        world.logs[0].lines.push(common::log::line(&legacy(0), "new"));
        let line = world.logs[0].lines.len() - 1;
        world.logs[0].share(line, EPOCH + 150, 10);
        let folded = db.store.host_folded(world.logs[0].host).await.unwrap();
        assert!(db.store.fold(world.logs[0].step()).await.is_err());
        assert_eq!(db.store.host_folded(world.logs[0].host).await.unwrap(), folded);
        let key = format!("payable:{}", legacy(0));
        assert!(db.sql(&format!("UPDATE accounts SET balance = 5 WHERE key = '{key}'")).is_err());
        assert!(db.store.audit_entries().await.unwrap().is_empty());
    });
}

#[test]
fn a_join_that_does_not_add_up_is_found() {
    let retell = "UPDATE miners SET joined_into = (SELECT id FROM miners WHERE address = '{b}') WHERE address = '{a}'";
    let heal = "UPDATE miners SET joined_into = (SELECT id FROM miners WHERE address = '{c}') WHERE address = '{a}'";
    for_each_database(async |db| {
        World::filled(db).await;
        join(db);
        let fill = |text: &str| text.replace("{a}", &legacy(0)).replace("{b}", &address(1)).replace("{c}", &address(0));
        db.sql(&fill(retell)).unwrap();
        let found = audit(db).await;
        for check in ["joined texts name the same keys", "joining moves money to the same miner"] {
            assert!(found.iter().any(|difference| difference.check == check), "{check} not in {found:#?}");
        }
        db.sql(&fill(heal)).unwrap();
        assert_eq!(audit(db).await, []);
        db.sql(&fill(
            "UPDATE worker_identities SET miner_id = (SELECT id FROM miners WHERE address = '{a}') WHERE worker = 'only'",
        ))
        .unwrap();
        let found = audit(db).await;
        assert!(found.iter().any(|difference| difference.check == "joined miner has no line"), "{found:#?}");
    });
}

#[test]
fn retention_forgets_neither_a_text_that_was_joined_nor_whom_it_names() {
    for_each_database(async |db| {
        let world = World::filled(db).await;
        join(db);
        let miners = db.number("SELECT COUNT(*) AS n FROM miners");
        let all = db.store.miners_forget(world.epoch, units::MinerId(0), 1_000, at(EPOCH + 1_000_000)).await.unwrap();
        assert_eq!(all.removed, 0);
        assert_eq!(db.number("SELECT COUNT(*) AS n FROM miners"), miners);
        let open = intent(&intent_id(9), vec![recipient(&address(0), 10, 9)]);
        db.store.intent_reserve(world.epoch, open.clone(), reserved(&open), NOW).await.unwrap();
        assert_eq!(audit(db).await, []);
        weigh(db, world.epoch, &db.store.block_find(&hash(1_095)).await.unwrap().unwrap()).await;
        assert_eq!(audit(db).await, []);
    });
}
