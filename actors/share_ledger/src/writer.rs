//! What the disk thread writes: messages as records, and a commit of them as one write and one sync.
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use messages::facts::{Line, Template};
use messages::share_ledger::{Event, NewShare, Verdict};
use units::{Minute, Seq};

use crate::record::{
    CLAIMS_BLOCK, CandidateRecord, FILE_HEAD, FOUND_TRUE, LineDefinition, Record, RejectsRecord, Share,
    TemplateDefinition, VERIFIED, VerdictRecord,
};

/// The file that is written, and the commit in the making.
pub(crate) struct Writer {
    pub(crate) file: File,
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) ordinal: u64,
    pub(crate) next: Seq,
    pub(crate) minute: Minute,
    pub(crate) bytes: Vec<u8>,
    /// Records since the fold was last told of any.
    pub(crate) untold: u64,
}

/// Why a commit is not durable.
pub(crate) enum Failure {
    /// Nothing of it is in the log.
    NotWritten(std::io::Error),
    /// Only reading the log again can tell.
    Unknown(std::io::Error),
}

impl Writer {
    /// Goes on in `file`, which has nothing but its header.
    pub(crate) fn new(file: File, number: u64, next: Seq, minute: Minute) -> Writer {
        let bytes = Vec::with_capacity(1 << 20);
        Writer { file, number, offset: FILE_HEAD as u64, ordinal: 0, next, minute, bytes, untold: 0 }
    }

    /// Begins the next commit; its shares are booked to `minute`, or to a later one that had shares already.
    pub(crate) fn begin(&mut self, minute: Minute) {
        self.bytes.clear();
        self.ordinal += 1;
        self.minute = self.minute.max(minute);
        Record::Commit { ordinal: self.ordinal }.encode(self.number, &mut self.bytes);
    }

    /// Writes and syncs what was put in.
    pub(crate) fn commit(&mut self) -> Result<(), Failure> {
        let written = self.file.write_all(&self.bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            // Cut what may have been written of it: only then is it certain that the records are not in the log. After
            // a failed sync they may be in memory and not on disk, which reading them again would not show.
            let cut = self.file.set_len(self.offset).and_then(|()| self.file.sync_all());
            if cut.is_ok() { Failure::NotWritten(error) } else { Failure::Unknown(error) }
        })
    }

    /// Files are numbered by 64 bits, the marks in lines and templates have 32: enough for 250 PiB of log.
    fn mark(&self) -> u32 {
        u32::try_from(self.number).unwrap_or(u32::MAX)
    }

    fn put(&mut self, record: &Record<'_>) {
        record.encode(self.number, &mut self.bytes);
        self.next = self.next.plus(u64::from(record.is_positioned()));
    }

    /// Whether this file has no such definition yet; notes that it will. Only this thread writes marks, and nearly always
    /// the mark is there, so it is only read: a write would take the line from the caches of all other threads.
    fn is_new(&self, mark: &AtomicU32) -> bool {
        let is_new = mark.load(Ordering::Relaxed) != self.mark();
        if is_new {
            mark.store(self.mark(), Ordering::Relaxed);
        }
        is_new
    }

    fn define_line(&mut self, line: &Line) {
        if self.is_new(&line.defined_in) {
            self.put(&Record::Line(LineDefinition {
                local_id: line.local_id,
                origin: line.origin.0,
                address: &line.address,
                worker: &line.worker,
            }));
        }
    }

    pub(crate) fn define_template(&mut self, template: &Template) {
        if self.is_new(&template.defined_in) {
            self.put(&Record::Template(TemplateDefinition {
                local_id: template.local_id,
                header_base: template.header_base.as_bytes(),
                target: template.network_target.as_bytes(),
                reward: template.reward,
                fetched_at: template.fetched_at,
                daemon_id: template.daemon_id.as_deref().unwrap_or(""),
                reward_address: &template.reward_address,
                block: template.block.get(),
            }));
        }
    }

    pub(crate) fn share(&mut self, share: &NewShare) {
        self.define_line(&share.line);
        self.define_template(&share.template);
        let flags = (u8::from(share.verified) * VERIFIED) | (u8::from(share.claims_block) * CLAIMS_BLOCK);
        self.put(&Record::Share(Share {
            line: share.line.local_id,
            template: share.template.local_id,
            nonce: share.nonce,
            difficulty: share.difficulty,
            received_at: share.received_at,
            minute: self.minute,
            flags,
        }));
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Verdict { share, minute, line, difficulty, verdict } => {
                self.define_line(line);
                let verdict = match verdict {
                    Verdict::Verified => FOUND_TRUE,
                    Verdict::Rejected => 1,
                    Verdict::Voided => 2,
                };
                self.put(&Record::Verdict(VerdictRecord {
                    share: *share,
                    minute: *minute,
                    line: line.local_id,
                    difficulty: *difficulty,
                    verdict,
                }));
            }
            Event::Candidate { share, line, template, nonce, received_at } => {
                self.define_line(line);
                self.define_template(template);
                self.put(&Record::Candidate(CandidateRecord {
                    share: *share,
                    line: line.local_id,
                    template: template.local_id,
                    nonce: *nonce,
                    received_at: *received_at,
                }));
            }
            Event::Rejects { line, reason, minute, count } => {
                self.define_line(line);
                self.put(&Record::Rejects(RejectsRecord {
                    line: line.local_id,
                    minute: *minute,
                    count: *count,
                    reason,
                }));
            }
        }
    }
}
