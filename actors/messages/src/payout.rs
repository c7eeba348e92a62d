//! Messages to `Payout`, the only actor that asks the wallet to send.
use runtime::Message;

/// One step: resolve what is open, then plan and send if it is time.
#[derive(Debug)]
pub struct PayoutTick;

impl Message for PayoutTick {
    type Reply = ();
    const NAME: &'static str = "payout_tick";
    const URGENT: bool = true;
}
