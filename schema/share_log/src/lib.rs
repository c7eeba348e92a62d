//! The share log on disk: its records, its files, and how they are read.
//!
//! Whoever looks at a log needs this and nothing of the actor that writes it: the audit, the fold, the tests, the fuzzer.
//!
//! What it refuses to do: write shares (group commit is the actor's), know a database, and repair. A torn tail, on which no
//! acknowledgement can depend, is cut and kept aside; damage in a synced commit is an error.
#![warn(missing_docs)]

mod cursor;
mod files;
mod frame;
mod oldest;
mod reader;
pub mod record;

pub use files::{Durable, LogDirectory, LogEnd, LogError, LogFile, at, read_head, sync_directory};
pub use frame::{Frame, frame};
pub use oldest::OldestRecord;
pub use reader::{LogReader, Step};
