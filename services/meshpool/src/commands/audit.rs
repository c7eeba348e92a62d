//! `meshpool audit`: recomputes everything that is stored, and compares. Only reads; works beside a running pool.
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Error};
use std::path::PathBuf;
use std::process::ExitCode;

use chain::MerkleRoot;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use settings::Settings;
use share_ledger::{LogAuditError, audit_log, set_aside_shares};
use store::audit::Difference;
use store::batch::ShareBatch;
use store::{Store, StoreError};
use units::Seq;

use crate::output::{fail, say};

/// Batches that are decoded at once.
const BATCHES_PER_PAGE: u32 = 16;
/// Missing shares that are listed one by one.
const LISTED_MAX: usize = 100;

/// Prints the report; success only for no difference at all. `accepted` are lists of shares that miners were told are
/// accepted, as the development miner and the load generator write them.
pub(crate) fn run(settings: &Settings, accepted: &[PathBuf]) -> ExitCode {
    let accepted = match acknowledged(accepted) {
        Ok(accepted) => accepted,
        Err(code) => return code,
    };
    let url = settings.database_url();
    let store = match Store::open(url.expose_secret(), 2) {
        Ok(store) => store,
        Err(error) => return fail(boot::DATABASE, &error.to_string()),
    };
    let report = runtime::block_on(async {
        let mut found = compare(&store).await?;
        let log = audit_log(&settings.data.dir.join("log"), &store).await?;
        found.extend(log.differences);
        found.extend(look_for(&store, &accepted).await?);
        let (set_aside, gaps) = (store.set_aside_list().await?, store.gap_totals().await?);
        Ok::<_, LogAuditError>((found, log.pending, log.compared, set_aside, gaps))
    });
    match report {
        Ok((found, pending, compared, set_aside, (gaps, records))) => {
            let mut checks: HashMap<&str, usize> = HashMap::new();
            for difference in &found {
                *checks.entry(difference.check).or_default() += 1;
            }
            let report = json!({
                "differences": found.len(),
                "pending": pending,
                "compared_with_log": compared,
                "set_aside": set_aside.iter().map(|item| item.records).sum::<u64>(),
                "set_aside_items": set_aside.len(),
                "gaps": { "count": gaps, "records": records },
                "acknowledged": accepted.len(),
                "by_check": checks,
                "found": found,
            });
            say(&report.to_string());
            if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(boot::DATABASE, &format!("audit was broken off: {error}")),
    }
}

async fn compare(store: &Store) -> Result<Vec<Difference>, StoreError> {
    let mut found = store.audit_entries().await?;
    found.extend(store.audit_shares().await?);
    found.extend(store.audit_blocks(blocks::price).await?);
    found.extend(store.audit_payouts().await?);
    Ok(found)
}

/// What names a share whatever else changes: merkle root and nonce.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Accepted {
    merkle_root: MerkleRoot,
    nonce: u64,
}

/// What all lists hold, sorted. A last line that a kill has cut does not count.
fn acknowledged(lists: &[PathBuf]) -> Result<Vec<Accepted>, ExitCode> {
    let mut shares = Vec::new();
    for path in lists {
        let failed = |error: Error| fail(boot::CONFIG, &format!("--accepted {}: {error}", path.display()));
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = String::new();
        while reader.read_line(&mut line).map_err(failed)? > 0 && line.ends_with('\n') {
            shares.push(serde_json::from_str(&line).map_err(|error| failed(error.into()))?);
            line.clear();
        }
    }
    shares.sort_unstable();
    Ok(shares)
}

/// Every acknowledged share is in a batch or set aside, once.
async fn look_for(store: &Store, accepted: &[Accepted]) -> Result<Vec<Difference>, StoreError> {
    let mut times = vec![0u8; accepted.len()];
    let mut count = |batch: &ShareBatch| {
        let roots: Vec<Option<MerkleRoot>> = batch.templates.iter().map(|root| root.parse().ok()).collect();
        for share in &batch.shares {
            let root = usize::try_from(share.template).ok().and_then(|place| roots.get(place).copied().flatten());
            let key = root.map(|merkle_root| Accepted { merkle_root, nonce: share.nonce.get() });
            if let Some(Ok(place)) = key.map(|key| accepted.binary_search(&key)) {
                times[place] = times[place].saturating_add(1);
            }
        }
    };
    for (host, ..) in store.host_list().await? {
        let mut after = Seq::ZERO;
        loop {
            let page = store.batch_list(host, after, BATCHES_PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.first_seq;
            // One that cannot be decoded is a difference already.
            page.iter().filter_map(|row| ShareBatch::decode(&row.body).ok()).for_each(|batch| count(&batch));
        }
    }
    for (merkle_root, nonce) in set_aside_shares(store).await? {
        if let Ok(place) = accepted.binary_search(&Accepted { merkle_root, nonce: nonce.get() }) {
            times[place] = times[place].saturating_add(1);
        }
    }
    let wrong = accepted.iter().zip(times).filter(|(_, times)| *times != 1);
    let difference = |(share, times): (&Accepted, u8)| Difference {
        check: "acknowledged share is stored once",
        subject: format!("nonce {} on {}", share.nonce, share.merkle_root),
        stored: format!("{times} times"),
        computed: "once".to_owned(),
    };
    Ok(wrong.map(difference).take(LISTED_MAX).collect())
}
