//! What a block's rules make of the work in its window, against what is stored: for `meshpool audit`.
use std::collections::BTreeMap;

use accounting::{MinerWork, allocate};
use store::audit::{Difference, Priced, WeighedBlock};

use crate::policy::{Policy, PolicyError};

/// Computes a block's allocation anew. Where shares were voided since, the stored work is taken as it is, and only what
/// follows from it is compared.
#[must_use]
pub fn price(block: &WeighedBlock) -> Priced {
    let mut found = BlockFindings { block, differences: Vec::new() };
    let fee_account =
        found.compare().map_err(|error| found.add("rules of a block can be read", "", error, "rules")).ok();
    Priced { differences: found.differences, fee_account }
}

struct BlockFindings<'a> {
    block: &'a WeighedBlock,
    differences: Vec<Difference>,
}

impl BlockFindings<'_> {
    fn add(&mut self, check: &'static str, of: &str, stored: impl ToString, computed: impl ToString) {
        let subject = format!("{} {of}", self.block.hash).trim_end().to_owned();
        self.differences.push(Difference {
            check,
            subject,
            stored: stored.to_string(),
            computed: computed.to_string(),
        });
    }

    /// The account that gets the pool's part.
    fn compare(&mut self) -> Result<String, PolicyError> {
        let block = self.block;
        let policy = Policy::from_json(&block.policy)?;
        // Earlier where the log's minutes were behind the clock: windows lose no share to that.
        let start = policy.window_start(block.found_at, block.round_started_at);
        if block.window_start > start {
            self.add("window begins where the rules say", "", block.window_start, start);
        }
        let works: Vec<MinerWork<String>> = if block.is_exact {
            let work = |(key, verified, provisional): &(String, _, _)| MinerWork {
                key: key.clone(),
                verified: *verified,
                provisional: *provisional,
            };
            block.works.iter().map(work).collect()
        } else {
            let stored = block.weights.iter();
            let work = |row: &store::audit::StoredWeight| MinerWork {
                key: row.address.clone(),
                verified: row.verified,
                provisional: row.provisional,
            };
            stored.map(work).collect()
        };
        match allocate(block.reward, block.finder.as_ref(), &works, &policy.rules()?) {
            Ok(allocation) => self.compare_with(&allocation),
            Err(error) => self.add("work of a block can be divided", "", error, "an allocation"),
        }
        Ok(policy.fee_account().to_string())
    }

    fn compare_with(&mut self, allocation: &accounting::Allocation<String>) {
        let block = self.block;
        let text = |verified: units::Work, weight: i64, credit: units::Amount| {
            format!("verified {}, weight {weight}, credit {}", verified.get(), credit.atoms())
        };
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for line in &allocation.lines {
            lines.insert(&line.key, text(line.verified, line.weight.to_i64(), line.credit));
        }
        for row in &block.weights {
            let stored = text(row.verified, row.weight, row.credit);
            let computed = lines.remove(row.address.as_str()).unwrap_or_else(|| "nothing".to_owned());
            if stored != computed {
                self.add("credit follows from work, fee and reward", &row.address, stored, computed);
            }
        }
        for (address, computed) in lines {
            self.add("credit follows from work, fee and reward", address, "nothing", computed);
        }
        let digest = allocation.digest_hex();
        if block.is_exact && digest != block.digest {
            self.add("digest of a block is its allocation's", "", &block.digest, digest);
        }
    }
}
