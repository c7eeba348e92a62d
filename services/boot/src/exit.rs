//! Exit codes; operators' scripts and systemd units depend on them.

/// Bad configuration or usage (`EX_USAGE`): starting again without a change is useless.
pub const CONFIG: u8 = 64;
/// The database is unreachable at start, newer than the binary, or not migrated (`EX_UNAVAILABLE`).
pub const DATABASE: u8 = 69;
/// The supervisor gave up (`EX_SOFTWARE`): start the process again.
pub const SUPERVISOR: u8 = 70;
