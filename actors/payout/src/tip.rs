//! Where in the wallet's chain, and under which lease, a step happens.
use units::Height;

/// The chain of the wallet's own daemon: what its wallet says is about that one, whichever daemon templates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalletTip {
    pub(crate) height: Height,
    /// The beginning of the best block's id.
    pub(crate) best: String,
}

/// Under which lease, and at which height of the wallet's chain, something is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepContext {
    pub(crate) epoch: i64,
    pub(crate) height: Height,
}
