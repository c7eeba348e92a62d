//! Messages to `Retention`, which cleans up.
use runtime::Message;

/// Clean up for a moment, if it is time or a clean-up is not finished.
#[derive(Debug)]
pub struct RetentionTick;

impl Message for RetentionTick {
    type Reply = ();
    const NAME: &'static str = "retention_tick";
}
