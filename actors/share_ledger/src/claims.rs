//! After a restart: which block claims of the log are still open.
//!
//! A claim is a share whose claimed hash meets the network target. One without a verdict and without a candidate
//! record was not looked at yet; a candidate may not have reached the daemon. Both are handed on again.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use chain::{HeaderBase, Target};
use messages::blocks::SubmitCandidate;
use messages::facts::{Line, LocalIds, Origin, Template};
use messages::validation::BookedShare;
use serde_json::value::RawValue;
use units::{Difficulty, Seq, Timestamp};

use crate::files::{LogDirectory, LogError};
use crate::reader::{Durable, LogReader, Step};
use crate::record::{CLAIMS_BLOCK, LineDefinition, Record, Share, TemplateDefinition, VERIFIED};

/// What a restart must look at again.
#[derive(Debug, Default)]
pub struct OpenClaims {
    /// Claims that were never judged.
    pub unjudged: Vec<BookedShare>,
    /// Candidates of the log. The submitter asks the chain about each before it does anything.
    pub candidates: Vec<SubmitCandidate>,
}

/// Reads the stored files up to `durable`; claims older than `horizon` before `now` are history.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub(crate) fn open_claims(
    directory: &LogDirectory,
    ids: &LocalIds,
    durable: Durable,
    now: Timestamp,
    horizon: Duration,
) -> Result<OpenClaims, LogError> {
    let Some(mut reader) = LogReader::open_oldest(directory)? else { return Ok(OpenClaims::default()) };
    let mut scan = ClaimScan::new(ids, now.minus(horizon));
    loop {
        match reader.next(durable)? {
            Step::End => break,
            Step::NewFile => scan.forget_definitions(),
            Step::Record(seq, record) => scan.take(seq, &record),
        }
    }
    Ok(OpenClaims { unjudged: scan.claims.into_values().collect(), candidates: scan.candidates })
}

struct ClaimScan<'a> {
    ids: &'a LocalIds,
    since: Timestamp,
    lines: HashMap<u32, Arc<Line>>,
    templates: HashMap<u32, Arc<Template>>,
    claims: BTreeMap<Seq, BookedShare>,
    candidates: Vec<SubmitCandidate>,
}

impl<'a> ClaimScan<'a> {
    fn new(ids: &'a LocalIds, since: Timestamp) -> Self {
        ClaimScan {
            ids,
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
            (_, Record::Line(line)) => {
                self.lines.insert(line.local_id, Arc::new(self.line(line)));
            }
            (_, Record::Template(template)) => {
                if let Some(read) = self.template(template) {
                    self.templates.insert(template.local_id, Arc::new(read));
                }
            }
            (Some(seq), Record::Share(share)) if share.flags & CLAIMS_BLOCK != 0 => self.claim(seq, share),
            (_, Record::Verdict(verdict)) => {
                self.claims.remove(&verdict.share);
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
        };
        self.claims.insert(seq, booked);
    }

    fn line(&self, line: &LineDefinition<'_>) -> Line {
        Line {
            local_id: self.ids.take(),
            address: line.address.into(),
            worker: line.worker.into(),
            origin: Origin(line.origin),
            defined_in: AtomicU32::new(0),
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
            defined_in: AtomicU32::new(0),
        })
    }
}
