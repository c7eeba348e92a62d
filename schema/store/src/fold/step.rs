//! What one step of the fold brings.
use units::{Amount, Difficulty, Height, HostId, Minute, PolicyId, Seq, Timestamp, Work};

/// A line as the log defines it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentityKey {
    /// Payout address.
    pub address: String,
    /// Worker name.
    pub worker: String,
    /// HMAC of the client's address.
    pub origin: [u8; 16],
}

/// A template as the log defines it.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    /// 64 hex digits; unique.
    pub merkle_root: String,
    /// Height of the block it would make.
    pub height: Height,
    /// 64 hex digits.
    pub prev_hash: String,
    /// 92 bytes.
    pub header_base: Vec<u8>,
    /// Network difficulty.
    pub difficulty: Difficulty,
    /// What the block pays.
    pub reward: Amount,
    /// When it became current.
    pub seen_at: Timestamp,
}

/// Accepted work of one line in one minute of this step.
#[derive(Debug, Clone)]
pub struct SegmentDelta {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// The minute its shares were booked to.
    pub minute: Minute,
    /// Its first share.
    pub start_seq: Seq,
    /// Its last share.
    pub last_seq: Seq,
    /// How many.
    pub shares: u64,
    /// Their difficulties' sum.
    pub work: Work,
    /// Receive time of the first and the last.
    pub first_at: Timestamp,
    /// See `first_at`.
    pub last_at: Timestamp,
}

/// A verdict of this step.
#[derive(Debug, Clone)]
pub struct VerdictRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// The share.
    pub share_seq: Seq,
    /// The minute the share was booked to.
    pub minute: Minute,
    /// What the share is worth.
    pub difficulty: Difficulty,
    /// `verified`, `rejected` or `voided`.
    pub verdict: &'static str,
    /// The verdict's own position.
    pub seq: Seq,
}

/// Counted rejects of this step.
#[derive(Debug, Clone)]
pub struct RejectRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// When.
    pub minute: Minute,
    /// Canonical reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A candidate; it is the last record of its step, so that the window ends exactly there.
#[derive(Debug, Clone)]
pub struct CandidateRow {
    /// Index into [`FoldStep::lines`].
    pub line: usize,
    /// Index into [`FoldStep::templates`].
    pub template: usize,
    /// 64 hex digits.
    pub hash: String,
    /// The nonce.
    pub nonce: i64,
    /// The share's position; zero when the database does not have that share, and so no finder.
    pub share_seq: Seq,
    /// When the share was received.
    pub found_at: Timestamp,
    /// Shares before it are booked to minutes before this. Where that is earlier than the find, since the clock had leapt
    /// ahead and is not trusted yet, the window begins its length before this instead.
    pub booked_until: Timestamp,
}

/// An encoded share batch; see [`crate::batch`].
#[derive(Debug, Clone)]
pub struct BatchRow {
    /// First and last position.
    pub first_seq: Seq,
    /// See `first_seq`.
    pub last_seq: Seq,
    /// How many shares.
    pub shares: u64,
    /// Their work.
    pub work: Work,
    /// Receive time of the first and the last.
    pub first_at: Timestamp,
    /// See `first_at`.
    pub last_at: Timestamp,
    /// SHA-256 of the unencoded shares.
    pub digest: [u8; 32],
    /// Encoded.
    pub body: Vec<u8>,
}

/// What was refused: a record by itself, or a definition and with it all that refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// `line`, `share`, `verdict`, `rejects` or `candidate`.
    pub kind: &'static str,
    /// Position of the record that failed.
    pub seq: Seq,
    /// The definition as the log has it, for kind `line`; else empty.
    pub definition: Vec<u8>,
    /// What the database said.
    pub why: String,
}

/// The item that records belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemRef {
    /// One that is there.
    Known(i64),
    /// One that this step brings.
    New(NewItem),
}

/// Records of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsideRecords {
    /// Whose.
    pub item: ItemRef,
    /// First and last position.
    pub first: Seq,
    /// See `first`.
    pub last: Seq,
    /// How many.
    pub records: u64,
    /// The records with their positions, and what they refer to.
    pub body: Vec<u8>,
}

/// Records that were set aside and are in the log again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// Row of the records.
    pub row: i64,
    /// New position of the first one.
    pub first: Seq,
    /// The minute that its shares are booked to now.
    pub minute: Minute,
}

/// What a step does with records that the database refuses, or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// Set aside by this step.
    pub records: Vec<AsideRecords>,
    /// In the log again by this step.
    pub retried: Vec<Retried>,
}

/// The records of one host after `from` up to and including `to`.
#[derive(Debug, Clone)]
pub struct FoldStep {
    /// Whose log.
    pub host: HostId,
    /// The position that the database must have; another one means that somebody else folds.
    pub from: Seq,
    /// The position after this step.
    pub to: Seq,
    /// Every line that the rest refers to.
    pub lines: Vec<IdentityKey>,
    /// Templates that were defined or are referred to.
    pub templates: Vec<TemplateRow>,
    /// The shares; `None` when there are none. Its body refers to lines by their place in `lines` and to
    /// templates by their merkle root: see [`crate::batch`].
    pub batch: Option<BatchRow>,
    /// In order of `start_seq`.
    pub segments: Vec<SegmentDelta>,
    /// In order of `seq`.
    pub verdicts: Vec<VerdictRow>,
    /// Rejects.
    pub rejects: Vec<RejectRow>,
    /// Ends the step.
    pub candidate: Option<CandidateRow>,
    /// What the database refuses, or refused.
    pub aside: Aside,
    /// In force when this was logged: prices the blocks that are made of the step's templates.
    pub policy: PolicyId,
    /// Length of the payout window where a policy does not say it.
    pub window: std::time::Duration,
    /// Now.
    pub at: Timestamp,
}
