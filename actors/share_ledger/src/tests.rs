//! The actor among its likes.
use messages::share_ledger::AppendRefusal;
use runtime::{ActorRef, AskError, Host, Limits, Message, OnExhausted, Policy, Restart};
use share_log::{LogReader, Step};
use tokio::sync::watch;
use units::Timestamp;

use super::*;
use crate::testing::{line, share, template};

const PATIENCE: Duration = Duration::from_secs(30);
const POLICY: Policy = Policy {
    restart: Restart::Permanent,
    max_restarts: 5,
    within: Duration::from_secs(60),
    backoff_min: Duration::from_millis(10),
    backoff_max: Duration::from_secs(1),
    on_exhausted: OnExhausted::StopHost,
    stall_after: Duration::from_secs(60),
};

fn nobody<M: Message>() -> Recipient<M> {
    Recipient::from_fn(|_, reply| {
        drop(reply);
        Ok(())
    })
}

#[test]
fn a_share_that_a_dying_actor_had_in_hand_is_found_by_the_next_and_is_in_the_log_once() {
    let place = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", place.path().join("pool.sqlite").display());
    Store::migrate(&url).unwrap();
    let store = Store::open(&url, 2).unwrap();
    let now = Timestamp::from_ms(1_795_000_000_000);
    runtime::block_on(async {
        let ledger = ActorRef::<ShareLedger>::unbound(Limits { messages: 8, urgent: 8 });
        let (stall, directory) = (Arc::new(DiskStall::default()), LogDirectory::open(place.path()).unwrap());
        let parts = ShareLedgerParts {
            directory: directory.clone(),
            host: store.host_register("host", now).await.unwrap(),
            policy: store.policy_ensure("{}", now).await.unwrap(),
            store,
            network: Network::Mainnet,
            capacity: ledger.capacity(),
            segment_max_bytes: 1 << 20,
            backlog_max_bytes: 1 << 30,
            window: Duration::from_secs(3600),
            clock: Arc::new(move || now),
            ids: Arc::default(),
            metrics: Arc::default(),
            conditions: Arc::new(Conditions::new(Arc::new(move || now))),
            position: watch::channel(None).0,
            owner: Arc::default(),
            stall: Arc::clone(&stall),
            validation: nobody(),
            submitter: nobody(),
        };
        let mut host = Host::default();
        host.start(&ledger, POLICY, ShareLedger::factory(parts));
        ledger.wait_up().await;
        let (line, template) = (line("rig"), template(1));
        let doubtful = [share(&line, &template, 1), share(&line, &template, 2)];
        // The disk thread has it in hand, and the actor dies.
        stall.set(true);
        let asked = ledger.ask(AppendShares(vec![doubtful[0].clone()]), Duration::from_millis(1)).await;
        assert_eq!(asked.err(), Some(AskError::Late));
        assert!(ledger.port().inject_panic());
        ledger.watch().wait_for(|status| status.generation == 2).await.unwrap();
        stall.set(false);
        ledger.wait_up().await;
        let shares = doubtful.iter().map(|share| (share.template.merkle_root, share.nonce)).collect();
        let found = ledger.ask(FindShares { after: units::Seq::ZERO, shares }, PATIENCE).await.unwrap().unwrap();
        let places: Vec<_> = found.iter().map(|share| share.map(|share| share.at.first.0)).collect();
        assert_eq!(places, [Some(1), None]);

        let again: Result<_, AppendRefusal> =
            ledger.ask(AppendShares(vec![doubtful[1].clone()]), PATIENCE).await.unwrap().map(|appended| appended.at);
        assert_eq!(again.unwrap().first.0, 2);
        host.run(async {}, PATIENCE).await.unwrap();
        let mut reader = LogReader::open_oldest(&directory).unwrap().unwrap();
        let durable = directory.readable().unwrap().unwrap();
        let mut nonces = Vec::new();
        loop {
            match reader.next(durable).unwrap() {
                Step::End => break,
                Step::Record(_, share_log::record::Record::Share(share)) => nonces.push(share.nonce.get()),
                Step::NewFile | Step::Record(..) => {}
            }
        }
        assert_eq!(nonces, [1, 2]);
    });
}
