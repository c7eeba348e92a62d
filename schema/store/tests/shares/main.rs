//! The plumbing and the shares' half of the store, on both databases.
#[path = "../common/mod.rs"]
mod common;

mod blocks;
mod fold;
mod guards;
mod meta;
mod open;
mod window;
