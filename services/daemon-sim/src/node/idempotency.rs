//! What became of sends that carried an idempotency key.
//!
//! Each change is on disk before the work that it announces. A record that was running when the daemon died can
//! never be told again from one that did its work: it stays `accepted` for ever.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::persist::{self, PersistError};

const KEPT_NS: i64 = 30 * 24 * 3600 * 1_000_000_000;
const RECORDS_MAX: usize = 4096;
/// Longest key in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// The two routes have separate keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Namespace {
    Send,
    Advanced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    InProgress,
    Accepted,
    Completed,
    Failed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    namespace: Namespace,
    key: String,
    fingerprint: String,
    pub(crate) state: State,
    pub(crate) created_at_ns: i64,
    pub(crate) updated_at_ns: i64,
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What a request with a key finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Nothing: it is recorded as running now.
    Fresh,
    /// An answer, to be given again as it was.
    Replay { status: u16, body: String },
    /// The key belongs to another body.
    Reused,
    /// Its first request runs, or did when the daemon died.
    InProgress,
}

#[derive(Debug)]
pub(crate) struct Idempotency {
    path: PathBuf,
    records: BTreeMap<(Namespace, String), Record>,
}

impl Idempotency {
    /// Reads the file; what was running becomes `accepted`.
    pub(crate) fn open(path: &Path) -> Result<Idempotency, PersistError> {
        let records: Vec<Record> = persist::read_json(path)?.unwrap_or_default();
        let records = records.into_iter().map(|mut record| {
            if record.state == State::InProgress {
                record.state = State::Accepted;
            }
            ((record.namespace, record.key.clone()), record)
        });
        Ok(Idempotency { path: path.to_owned(), records: records.collect() })
    }

    fn save(&self) -> Result<(), PersistError> {
        persist::replace_json(&self.path, &self.records.values().collect::<Vec<_>>())
    }

    pub(crate) fn begin(
        &mut self,
        namespace: Namespace,
        key: &str,
        body: &[u8],
        now_ns: i64,
    ) -> Result<Begin, PersistError> {
        self.evict(now_ns);
        let fingerprint = hex::encode(Sha256::digest(body));
        if let Some(record) = self.records.get(&(namespace, key.to_owned())) {
            return Ok(match record.state {
                _ if record.fingerprint != fingerprint => Begin::Reused,
                State::InProgress | State::Accepted => Begin::InProgress,
                State::Completed | State::Failed => Begin::Replay { status: record.status, body: record.body.clone() },
            });
        }
        let record = Record {
            namespace,
            key: key.to_owned(),
            fingerprint,
            state: State::InProgress,
            created_at_ns: now_ns,
            updated_at_ns: now_ns,
            status: 0,
            body: String::new(),
        };
        self.records.insert((namespace, key.to_owned()), record);
        self.save()?;
        Ok(Begin::Fresh)
    }

    /// Keeps the answer of a request, good or bad; "too many" alone frees the key.
    pub(crate) fn finish(
        &mut self,
        namespace: Namespace,
        key: &str,
        status: u16,
        body: &str,
        now_ns: i64,
    ) -> Result<(), PersistError> {
        let name = (namespace, key.to_owned());
        if status == 429 {
            self.records.remove(&name);
        } else if let Some(record) = self.records.get_mut(&name) {
            record.state = if (200..300).contains(&status) { State::Completed } else { State::Failed };
            record.updated_at_ns = now_ns;
            record.status = status;
            record.body = body.to_owned();
        }
        self.save()
    }

    pub(crate) fn get(&mut self, namespace: Namespace, key: &str, now_ns: i64) -> Option<&Record> {
        self.evict(now_ns);
        self.records.get(&(namespace, key.to_owned()))
    }

    /// Drops finished records that are old, and the oldest of them when there are too many.
    fn evict(&mut self, now_ns: i64) {
        let is_finished = |record: &Record| matches!(record.state, State::Completed | State::Failed);
        self.records.retain(|_, record| !is_finished(record) || now_ns.saturating_sub(record.updated_at_ns) < KEPT_NS);
        while self.records.len() >= RECORDS_MAX {
            let oldest = self.records.iter().filter(|(_, record)| is_finished(record));
            let Some(name) = oldest.min_by_key(|(_, record)| record.updated_at_ns).map(|(name, _)| name.clone()) else {
                break;
            };
            self.records.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &tempfile::TempDir) -> Idempotency {
        Idempotency::open(&dir.path().join("send-idempotency.json")).unwrap()
    }

    #[test]
    fn a_failed_answer_is_replayed_and_a_429_frees_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = open(&dir);
        let begin = |records: &mut Idempotency, body: &[u8]| records.begin(Namespace::Send, "k", body, 1).unwrap();
        assert_eq!(begin(&mut records, b"a"), Begin::Fresh);
        assert_eq!(begin(&mut records, b"a"), Begin::InProgress);
        records.finish(Namespace::Send, "k", 429, "", 2).unwrap();
        assert_eq!(begin(&mut records, b"a"), Begin::Fresh);
        records.finish(Namespace::Send, "k", 400, "no", 2).unwrap();
        let mut records = open(&dir);
        assert_eq!(begin(&mut records, b"a"), Begin::Replay { status: 400, body: "no".into() });
        assert_eq!(begin(&mut records, b"a "), Begin::Reused);
        assert_eq!(records.begin(Namespace::Advanced, "k", b"a", 1).unwrap(), Begin::Fresh);
    }

    #[test]
    fn what_ran_at_a_kill_stays_accepted_and_finished_records_expire() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = open(&dir);
        records.begin(Namespace::Send, "running", b"a", 1).unwrap();
        records.begin(Namespace::Send, "done", b"a", 1).unwrap();
        records.finish(Namespace::Send, "done", 200, "{}", 1).unwrap();
        let mut records = open(&dir);
        assert_eq!(records.begin(Namespace::Send, "running", b"a", 1).unwrap(), Begin::InProgress);
        assert_eq!(records.get(Namespace::Send, "running", KEPT_NS * 2).unwrap().state, State::Accepted);
        assert!(records.get(Namespace::Send, "done", KEPT_NS + 1).is_none());
    }
}
