//! Rules about the tree itself, as tests; see `tests/`.
#![warn(missing_docs)]

pub mod modules;
