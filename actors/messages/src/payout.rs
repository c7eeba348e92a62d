//! Messages to `Payout`, the only actor that asks the wallet to send.
use runtime::Message;

/// It is time for a payout run: whoever is due is paid as soon as nothing stands in the way.
#[derive(Debug)]
pub struct SweepPayouts;

impl Message for SweepPayouts {
    type Reply = ();
    const NAME: &'static str = "sweep_payouts";
    const URGENT: bool = true;
}

/// One step: follow what is open, and go on with the payout run.
#[derive(Debug)]
pub struct PayoutTick;

impl Message for PayoutTick {
    type Reply = ();
    const NAME: &'static str = "payout_tick";
    const URGENT: bool = true;
}
