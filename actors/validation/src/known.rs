//! Whose shares were true before this process: trust and stake, as the books say.
use std::time::{Duration, Instant};

use store::penalties::ProvenPair;
use store::{Store, StoreError};
use tracing::{debug, warn};
use units::{Difficulty, HostId, Minute, Timestamp};

/// Pairs whose trust is remembered. Beyond it those that were not seen for longest go first, untrusted ones before all
/// others.
pub(crate) const PAIRS_MAX: usize = 100_000;
/// A pair that is not seen for so long is forgotten.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Verified shares of one pair that are read: more than any usual chance of a check needs.
const SHARES_READ: i64 = 256;
/// How long a start may take to read stakes. Pairs whose stake was not read begin without one: their shares are checked
/// until there is one again.
const READ_FOR: Duration = Duration::from_secs(5);

/// A pair whose recomputed shares were all true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPair {
    /// Payout address.
    pub address: String,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
    /// How many shares.
    pub verified: u64,
    /// The last minute with one.
    pub last: Minute,
    /// The latest of those that stand in this host's log and are still to be paid. Other hosts' are no stake here: a
    /// void does not reach them.
    pub work: Vec<(Minute, Difficulty)>,
}

/// Reads pairs with verified shares and no false one in the last day, those with most shares first. What they have at
/// stake is not read yet.
///
/// # Errors
/// When the database gives no answer, or a row is damaged.
pub async fn known_pairs(store: &Store, now: Timestamp) -> Result<Vec<KnownPair>, StoreError> {
    let max = i64::try_from(PAIRS_MAX).unwrap_or(i64::MAX);
    let pairs = store.proven_pairs(now.minus(FORGET_AFTER).minute(), max).await?;
    let known = |pair: ProvenPair| KnownPair {
        address: pair.address,
        origin: pair.origin,
        verified: pair.verified,
        last: pair.last,
        work: Vec::new(),
    };
    Ok(pairs.into_iter().map(known).collect())
}

/// Reads what these pairs have at stake, as far as that is quickly done. `host` is whose log this process judges;
/// `window` is for how long a share is paid.
pub async fn read_stakes(pairs: &mut [KnownPair], store: &Store, host: HostId, window: Duration, now: Timestamp) {
    let (began, unpaid) = (Instant::now(), now.minus(window).minute());
    let mut unread = 0_u64;
    for pair in pairs.iter_mut().filter(|pair| pair.last >= unpaid) {
        if began.elapsed() >= READ_FOR {
            unread += 1;
            continue;
        }
        match store.pair_verified(host, (&pair.address, pair.origin), unpaid, SHARES_READ).await {
            Ok(shares) => pair.work = shares.into_iter().map(|share| (share.minute, share.difficulty)).collect(),
            Err(error) => {
                debug!(%error, address = pair.address, "verified work not read");
                unread += 1;
            }
        }
    }
    if unread > 0 {
        warn!(pairs = unread, "verified work of some miners not read at the start: their shares are checked again");
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::{Connection, SqliteConnection};

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_at_stake_comes_from_this_hosts_log_with_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pool.sqlite").display().to_string();
        Store::migrate(&format!("sqlite:{path}")).unwrap();
        let mut sql = String::from("PRAGMA foreign_keys = OFF;");
        for (id, address) in [(1, "true"), (2, "false")] {
            sql += &format!(
                "INSERT INTO miners (id, address, first_seen_at) VALUES ({id}, '{address}', 0); \
                 INSERT INTO worker_identities (id, host_id, miner_id, worker, origin, first_share_at, last_share_at) \
                 VALUES ({id}, 1, {id}, 'w', zeroblob(16), 0, 0), (1{id}, 2, {id}, 'w', zeroblob(16), 0, 0);"
            );
        }
        let mut verdict = |seq: u32, host: u32, line: u32, hours_ago: u32, difficulty: u32, verdict: &str| {
            let minute = NOW.minus(HOUR * hours_ago).minute().0;
            sql += &format!(
                "INSERT INTO verdicts (host_id, share_seq, identity_id, minute, difficulty, verdict, seq) \
                 VALUES ({host}, {seq}, {line}, {minute}, {difficulty}, '{verdict}', {seq});"
            );
        };
        verdict(1, 1, 1, 8, 10, "verified");
        verdict(2, 1, 1, 5, 20, "verified");
        verdict(3, 1, 1, 0, 30, "verified");
        verdict(3, 2, 11, 0, 40, "verified");
        verdict(4, 1, 2, 1, 50, "verified");
        verdict(5, 1, 2, 0, 50, "rejected");
        SqliteConnection::establish(&path).unwrap().batch_execute(&sql).unwrap();
        let store = Store::open(&format!("sqlite:{path}"), 2).unwrap();
        runtime::block_on(async {
            let mut known = known_pairs(&store, NOW).await.unwrap();
            assert!(known.len() == 1 && known[0].address == "true" && known[0].work.is_empty(), "{known:?}");
            assert_eq!((known[0].verified, known[0].last), (4, NOW.minute()));
            read_stakes(&mut known, &store, HostId(1), 6 * HOUR, NOW).await;
            let work = |hours_ago, hashes| (NOW.minus(HOUR * hours_ago).minute(), Difficulty::new(hashes).unwrap());
            assert_eq!(known[0].work, [work(0, 30), work(5, 20)], "neither what is paid nor what another host has");
        });
    }
}
