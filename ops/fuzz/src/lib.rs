//! Fuzz targets: what must hold whatever bytes come in.
//!
//! Each target is a function of bytes that panics when a promise is broken. The same functions run guided by coverage
//! (`ops/fuzz-campaign`, with the binaries in `guided`) and as plain tests over the seeds and a bounded number of
//! mutations of them (`tests/seeds.rs`).
//!
//! What it refuses to do: know how a thing is implemented. A target states a promise of a public interface.
#![warn(missing_docs)]

pub mod bans;
pub mod chain;
pub mod connection;
pub mod proxy;
pub mod session;
pub mod settings;
pub mod share_batch;
pub mod share_log;
pub mod wire;

use arbitrary::{Arbitrary, Unstructured};

/// A target's name, which is also that of its folder of seeds and of its guided binary, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 14] = [
    ("wire_lines", wire::lines),
    ("wire_request", wire::request),
    ("wire_replies", wire::replies),
    ("chain_address", chain::address),
    ("chain_header", chain::header),
    ("chain_json", chain::json),
    ("share_log", share_log::log),
    ("share_log_files", share_log::files),
    ("share_batch", share_batch::batch),
    ("session", session::session),
    ("settings", settings::settings),
    ("proxy_header", proxy::header),
    ("connection", connection::connection),
    ("bans", bans::bans),
];

/// Reads a value out of the bytes; when they are used up, zeros follow.
fn draw<'a, T: Arbitrary<'a>>(input: &mut Unstructured<'a>) -> T {
    T::arbitrary(input).unwrap_or_else(|_| {
        let mut empty = Unstructured::new(&[]);
        T::arbitrary(&mut empty).expect("every type in use has a value made of zeros")
    })
}
