//! Messages to `Template`, which follows the tip.
use runtime::Message;

/// Why a template is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshReason {
    /// The regular look.
    Poll,
    /// The daemon's event stream named a new block.
    Event,
    /// The pool's own block was accepted.
    BlockAccepted,
}

/// Looks at the daemon and publishes a new job if there is one. Single-flight: what arrives while one runs makes it run once more.
#[derive(Debug)]
pub struct RefreshTemplate(pub RefreshReason);

impl Message for RefreshTemplate {
    type Reply = ();
    const NAME: &'static str = "refresh_template";
    const URGENT: bool = true;
}
