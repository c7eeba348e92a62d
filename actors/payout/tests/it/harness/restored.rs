//! Older books, another holder of the lease, and what is told.
use std::path::PathBuf;
use std::time::Duration;

use messages::conditions::ConditionKind;
use store::Store;
use store::ledger::MONEY_LEASE;

use super::{Harness, START};
use crate::database::Scratch;

impl Harness {
    /// The database is a copy from before any payout: it knows what was owed, and nothing of what was sent.
    pub(crate) async fn put_old_books_back(&mut self) {
        let kind = self.kind;
        let opened = std::thread::spawn(move || {
            let scratch = Scratch::new(kind);
            Store::migrate(&scratch.url()).unwrap();
            (Store::open(&scratch.url(), 4).unwrap(), scratch)
        });
        let (store, scratch) = opened.join().unwrap();
        self.scratch.push(scratch);
        self.store = store;
        self.take_lease("restored").await;
        for entry in &self.owed {
            assert!(self.store.entry_post(self.epoch, entry.clone(), START).await.unwrap());
        }
    }

    /// Another process runs on the same books.
    pub(crate) async fn take_lease(&mut self, holder: &str) {
        let until = Duration::from_secs(3600);
        self.store.lease_release(MONEY_LEASE, &self.holder, self.epoch).await.unwrap();
        self.epoch = self.store.lease_take(MONEY_LEASE, holder, until).await.unwrap().unwrap().epoch;
        self.holder = holder.to_owned();
        self.lease.send_replace(Some(self.epoch));
        self.crash();
    }

    pub(crate) fn steps_file(&self) -> PathBuf {
        self.dir.path().join("payout.steps")
    }

    /// The share log is folded, and the chain was looked through.
    pub(crate) async fn catch_up(&self) {
        self.store.meta_set(store::retention::SWEPT_HEIGHT, "1000000").await.unwrap();
    }

    /// Steps, until this condition is told, or is not any more.
    pub(crate) async fn wait_condition(&mut self, kind: ConditionKind, text: Option<&str>) -> String {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            self.tick().await;
            let told = self.conditions.list().into_iter().find(|told| told.kind == kind);
            match (&told, text) {
                (None, None) => return String::new(),
                (Some(told), Some(text)) if told.text.contains(text) => return told.detail.clone(),
                _ => {}
            }
            assert!(std::time::Instant::now() < deadline, "{kind:?} is {told:?}, not {text:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a pool with other books sends from the same wallet.
    pub(crate) fn spend_with_memo(&mut self, address: &str, amount: u64, memo: &str) {
        self.spend_with_memos(&[(address.to_owned(), amount, memo.to_owned())]);
    }

    /// The same to several recipients.
    pub(crate) fn spend_with_memos(&mut self, recipients: &[(String, u64, String)]) {
        self.advance(10_000);
        let recipient = |(address, amount, memo): &(String, u64, String)| {
            format!(r#"{{"address":"{address}","amount":{amount},"memo_text":"{memo}"}}"#)
        };
        let recipients = recipients.iter().map(recipient).collect::<Vec<_>>().join(",");
        let answer = self.request("POST", "/api/wallet/send", &format!(r#"{{"recipients":[{recipients}]}}"#));
        assert!(answer.contains("txid"), "{answer}");
    }
}
