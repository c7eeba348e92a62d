//! After a restart: which block claims of the log are still open.
//!
//! A claim is a share whose claimed hash meets the network target. One without a verdict and without a candidate
//! record was not looked at yet; one that was found true is a candidate, whether its record was written or not; a
//! candidate may not have reached the daemon. All are handed on again.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chain::{Address, HeaderBase, Network, Target};
use messages::blocks::SubmitCandidate;
use messages::facts::{LocalIds, Origin, Template, WorkerIdentity};
use messages::validation::BookedShare;
use serde_json::value::RawValue;
use units::{Difficulty, Seq, Timestamp};

use share_log::record::{CLAIMS_BLOCK, FOUND_TRUE, IdentityDefinition, Record, Share, TemplateDefinition, VERIFIED};
use share_log::{Durable, LogDirectory, LogError};
use share_log::{LogReader, Step};

/// What a restart must look at again.
#[derive(Debug, Default)]
pub struct OpenClaims {
    /// Claims that were never judged.
    pub unjudged: Vec<BookedShare>,
    /// Candidates of the log. The submitter asks the chain about each before it does anything.
    pub candidates: Vec<SubmitCandidate>,
}

/// Reads the stored files up to `durable`; claims from before `since` are history.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub(crate) fn open_claims(
    directory: &LogDirectory,
    ids: &LocalIds,
    network: Network,
    durable: Durable,
    since: Timestamp,
) -> Result<OpenClaims, LogError> {
    let Some(mut reader) = LogReader::open_oldest(directory)? else { return Ok(OpenClaims::default()) };
    let mut scan = ClaimScan::new(ids, network, since);
    loop {
        match reader.next(durable)? {
            Step::End => break,
            Step::NewFile => scan.forget_definitions(),
            Step::Record(seq, record) => scan.take(seq, &record),
        }
    }
    Ok(scan.finish())
}

struct ClaimScan<'a> {
    ids: &'a LocalIds,
    network: Network,
    since: Timestamp,
    lines: HashMap<u32, Arc<WorkerIdentity>>,
    templates: HashMap<u32, Arc<Template>>,
    /// Without a candidate record. Their `verified` says whether they were found true, before or after.
    claims: BTreeMap<Seq, BookedShare>,
    candidates: Vec<SubmitCandidate>,
}

impl<'a> ClaimScan<'a> {
    fn new(ids: &'a LocalIds, network: Network, since: Timestamp) -> Self {
        ClaimScan {
            ids,
            network,
            since,
            lines: HashMap::new(),
            templates: HashMap::new(),
            claims: BTreeMap::new(),
            candidates: Vec::new(),
        }
    }

    fn forget_definitions(&mut self) {
        self.lines.clear();
        self.templates.clear();
    }

    fn take(&mut self, seq: Option<Seq>, record: &Record<'_>) {
        match (seq, record) {
            (_, Record::Identity(line)) => {
                self.lines.insert(line.local_id, Arc::new(self.line(line)));
            }
            (_, Record::Template(template)) => {
                if let Some(read) = self.template(template) {
                    self.templates.insert(template.local_id, Arc::new(read));
                }
            }
            (Some(seq), Record::Share(share)) if share.flags & CLAIMS_BLOCK != 0 => self.claim(seq, share),
            (_, Record::Verdict(verdict)) => {
                // The verdict is logged on its own, a moment before or after the candidate: it settles only what is
                // no block.
                if verdict.verdict != FOUND_TRUE {
                    self.claims.remove(&verdict.share);
                } else if let Some(claim) = self.claims.get_mut(&verdict.share) {
                    claim.verified = true;
                }
            }
            (_, Record::Candidate(candidate)) => {
                self.claims.remove(&candidate.share);
                let (line, template) = (self.lines.get(&candidate.line), self.templates.get(&candidate.template));
                let (Some(line), Some(template)) = (line, template) else { return };
                if candidate.received_at >= self.since {
                    self.candidates.push(SubmitCandidate {
                        share: candidate.share,
                        line: Arc::clone(line),
                        template: Arc::clone(template),
                        nonce: candidate.nonce,
                        received_at: candidate.received_at,
                        session: None,
                        logged: true,
                    });
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, seq: Seq, share: &Share) {
        let (Some(line), Some(template)) = (self.lines.get(&share.line), self.templates.get(&share.template)) else {
            return;
        };
        if share.received_at < self.since {
            return;
        }
        let booked = BookedShare {
            seq,
            minute: share.minute,
            line: Arc::clone(line),
            template: Arc::clone(template),
            nonce: share.nonce,
            difficulty: share.difficulty,
            claimed_hash: None,
            received_at: share.received_at,
            claims_block: true,
            verified: share.flags & VERIFIED != 0,
            session: None,
            place: None,
        };
        self.claims.insert(seq, booked);
    }

    fn finish(mut self) -> OpenClaims {
        let (proven, unjudged): (Vec<_>, Vec<_>) = self.claims.into_values().partition(|claim| claim.verified);
        self.candidates.extend(proven.into_iter().map(|claim| SubmitCandidate {
            share: claim.seq,
            line: claim.line,
            template: claim.template,
            nonce: claim.nonce,
            received_at: claim.received_at,
            session: None,
            logged: false,
        }));
        OpenClaims { unjudged, candidates: self.candidates }
    }

    fn line(&self, line: &IdentityDefinition<'_>) -> WorkerIdentity {
        WorkerIdentity {
            local_id: self.ids.take(),
            address: Address::account_text(line.address, &self.network).into(),
            worker: line.worker.into(),
            origin: Origin(line.origin),
            defined_in: AtomicU64::new(0),
        }
    }

    fn template(&self, template: &TemplateDefinition<'_>) -> Option<Template> {
        let header_base = HeaderBase::from_bytes(*template.header_base);
        Some(Template {
            local_id: self.ids.take(),
            header_base,
            height: header_base.height(),
            prev_hash: header_base.prev_hash(),
            merkle_root: header_base.merkle_root(),
            network_target: Target::from_bytes(*template.target),
            network_difficulty: Difficulty::new(header_base.difficulty())?,
            reward: template.reward,
            reward_address: template.reward_address.to_owned(),
            daemon_id: Some(template.daemon_id.to_owned()).filter(|id| !id.is_empty()),
            issuer: None,
            block: RawValue::from_string(template.block.to_owned()).ok()?,
            mempool_generation: None,
            fetched_at: template.fetched_at,
            retired_at: std::sync::OnceLock::new(),
            defined_in: AtomicU64::new(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use units::{Amount, Minute, Nonce};

    use super::*;
    use share_log::record::{CandidateRecord, VerdictRecord};

    const FOUND: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    /// What is open after these records, behind a line and a template.
    fn open(records: &[(u64, Record<'_>)]) -> OpenClaims {
        open_of("a", records)
    }

    fn open_of(address: &str, records: &[(u64, Record<'_>)]) -> OpenClaims {
        let ids = LocalIds::default();
        let mut scan = ClaimScan::new(&ids, Network::Mainnet, FOUND.minus(Duration::from_secs(60)));
        scan.take(None, &Record::Identity(IdentityDefinition { local_id: 1, address, worker: "w", origin: [7; 16] }));
        let template = TemplateDefinition {
            local_id: 2,
            header_base: &[5; 92],
            target: &[0xff; 32],
            reward: Amount::ZERO,
            reward_address: "pool",
            daemon_id: "",
            block: "{}",
            fetched_at: FOUND,
        };
        scan.take(None, &Record::Template(template));
        records.iter().for_each(|(seq, record)| scan.take(Some(Seq(*seq)), record));
        scan.finish()
    }

    fn share(seq: u64, flags: u8) -> (u64, Record<'static>) {
        let share = Share {
            line: 1,
            template: 2,
            nonce: Nonce::new(seq),
            difficulty: Difficulty::ONE,
            received_at: FOUND,
            minute: Minute(30_000_000),
            flags,
        };
        (seq, Record::Share(share))
    }

    fn judged(share: u64, verdict: u8) -> (u64, Record<'static>) {
        let record = VerdictRecord {
            share: Seq(share),
            minute: Minute(30_000_000),
            line: 1,
            difficulty: Difficulty::ONE,
            verdict,
        };
        (100, Record::Verdict(record))
    }

    fn candidate(share: u64) -> (u64, Record<'static>) {
        let (line, template, nonce) = (1, 2, Nonce::new(share));
        (101, Record::Candidate(CandidateRecord { share: Seq(share), line, template, nonce, received_at: FOUND }))
    }

    /// Open claims, and candidates with whether the log has their record.
    fn seqs(open: &OpenClaims) -> (Vec<u64>, Vec<(u64, bool)>) {
        let candidates = open.candidates.iter().map(|candidate| (candidate.share.0, candidate.logged));
        (open.unjudged.iter().map(|claim| claim.seq.0).collect(), candidates.collect())
    }

    #[test]
    fn a_claim_is_settled_by_its_refutation_or_its_record_and_by_nothing_else() {
        let claims = [share(1, CLAIMS_BLOCK), share(2, CLAIMS_BLOCK), share(3, CLAIMS_BLOCK), share(4, 0)];
        let settled = [judged(1, 1), judged(2, 2), candidate(3)];
        assert_eq!(seqs(&open(&claims)), (vec![1, 2, 3], vec![]));
        assert_eq!(seqs(&open(&[claims.as_slice(), &settled].concat())), (vec![], vec![(3, true)]));
    }

    #[test]
    fn a_claim_that_was_logged_under_the_legacy_form_comes_back_under_the_other() {
        let text = "Sw9ZxmQoHf8NkyhcTc9iuauBWp1jbKy1ivUSsUMykWUnkJfKZGoafdhC6trx8FchdUr5kCFEfgjZS4PYJZqwAMroU2ftr";
        let legacy = Address::parse(text, &Network::Mainnet).unwrap().legacy_text();
        for logged in [text, &legacy] {
            assert_eq!(&*open_of(logged, &[share(1, CLAIMS_BLOCK)]).unjudged[0].line.address, text);
        }
    }

    #[test]
    fn a_block_that_was_found_true_and_has_no_record_is_a_candidate() {
        let found = [share(1, CLAIMS_BLOCK), share(2, CLAIMS_BLOCK | VERIFIED), judged(1, FOUND_TRUE)];
        assert_eq!(seqs(&open(&found)), (vec![], vec![(1, false), (2, false)]));
        let recorded = [found.as_slice(), &[candidate(1), candidate(2)]].concat();
        assert_eq!(seqs(&open(&recorded)), (vec![], vec![(1, true), (2, true)]));
    }
}
