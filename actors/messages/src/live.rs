//! Messages to `Live`, which keeps the host's snapshot.
use runtime::Message;

/// Take and publish a snapshot.
#[derive(Debug)]
pub struct SampleLive;

impl Message for SampleLive {
    type Reply = ();
    const NAME: &'static str = "sample_live";
    const URGENT: bool = true;
}
