//! How processes end; operators' scripts and systemd units depend on it.
use std::time::Duration;

/// Bad configuration or usage (`EX_USAGE`): starting again without a change is useless.
pub const CONFIG: u8 = 64;
/// The database is unreachable at start, newer than the binary, or not migrated (`EX_UNAVAILABLE`).
pub const DATABASE: u8 = 69;
/// The supervisor gave up (`EX_SOFTWARE`): start the process again.
pub const SUPERVISOR: u8 = 70;

/// How long sessions may take to hear their last answers, and after them actors to finish: each of the two.
pub const GRACE: Duration = Duration::from_secs(15);
/// The longest way from SIGTERM to the end, with the API, the lease, telemetry and some air. Who kills sooner cuts off
/// what was accepted.
pub const STOP_MAX: Duration = Duration::from_secs(60);
