//! Templates that were handed out, each with a lease.
//!
//! In memory only. A template is not used up by a submit; what does not build on the tip any more is thrown away
//! only when the next one is issued, so an old id resolves until then.
use std::collections::HashMap;

use chain::{Block, BlockId};

/// How long a lease runs from its issue or renewal.
const LEASE_MS: i64 = 10 * 60 * 1000;
/// Live leases at most.
const LEASES_MAX: usize = 512;

#[derive(Debug)]
struct Lease {
    block: Block,
    expires_at_ms: i64,
}

/// No lease is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheFull {
    /// Whole seconds until the first one expires, at least 1.
    pub(crate) retry_after_secs: i64,
}

/// Why a lease was not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewRefusal {
    Unknown,
    NotOnTip,
}

#[derive(Debug, Default)]
pub(crate) struct Templates {
    leases: HashMap<String, Lease>,
}

fn builds_on(block: &Block, tip: &BlockId) -> bool {
    block.header.prev_hash.0 == tip.0
}

impl Templates {
    /// Hands out `block` as `id`; returns when the lease ends.
    pub(crate) fn issue(&mut self, id: String, block: Block, tip: &BlockId, now_ms: i64) -> Result<i64, CacheFull> {
        self.leases.retain(|_, lease| lease.expires_at_ms > now_ms && builds_on(&lease.block, tip));
        if self.leases.len() >= LEASES_MAX {
            let earliest = self.leases.values().map(|lease| lease.expires_at_ms).min().unwrap_or(now_ms);
            let retry_after_secs = (earliest.saturating_sub(now_ms) + 999).div_euclid(1000).max(1);
            return Err(CacheFull { retry_after_secs });
        }
        let expires_at_ms = now_ms + LEASE_MS;
        self.leases.insert(id, Lease { block, expires_at_ms });
        Ok(expires_at_ms)
    }

    /// Starts the lease anew; returns when it ends.
    pub(crate) fn renew(&mut self, id: &str, tip: &BlockId, now_ms: i64) -> Result<i64, RenewRefusal> {
        self.purge_expired(now_ms);
        let lease = self.leases.get_mut(id).ok_or(RenewRefusal::Unknown)?;
        if !builds_on(&lease.block, tip) {
            return Err(RenewRefusal::NotOnTip);
        }
        lease.expires_at_ms = now_ms + LEASE_MS;
        Ok(lease.expires_at_ms)
    }

    /// The block of a live lease.
    pub(crate) fn get(&mut self, id: &str, now_ms: i64) -> Option<&Block> {
        self.purge_expired(now_ms);
        self.leases.get(id).map(|lease| &lease.block)
    }

    fn purge_expired(&mut self, now_ms: i64) {
        self.leases.retain(|_, lease| lease.expires_at_ms > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::BlockHeader;
    use chain::tx::Bytes;

    fn on(tip: BlockId) -> Block {
        let header = BlockHeader {
            version: 1,
            height: 1,
            prev_hash: Bytes(tip.0),
            merkle_root: Bytes([0; 32]),
            timestamp: 0,
            difficulty: 1,
            nonce: 0,
        };
        Block { header, transactions: Vec::new() }
    }

    #[test]
    fn an_old_id_resolves_until_the_next_issue() {
        let (old, new) = (BlockId([1; 32]), BlockId([2; 32]));
        let mut templates = Templates::default();
        templates.issue("a".into(), on(old), &old, 0).unwrap();
        assert_eq!(templates.renew("a", &new, 1), Err(RenewRefusal::NotOnTip));
        assert!(templates.get("a", 1).is_some());
        templates.issue("b".into(), on(new), &new, 2).unwrap();
        assert!(templates.get("a", 2).is_none());
        assert_eq!(templates.renew("a", &new, 2), Err(RenewRefusal::Unknown));
    }

    #[test]
    fn the_513th_live_lease_is_refused_until_the_first_expires() {
        let tip = BlockId([1; 32]);
        let mut templates = Templates::default();
        for at in 0..512 {
            templates.issue(at.to_string(), on(tip), &tip, at).unwrap();
        }
        let refused = templates.issue("x".into(), on(tip), &tip, 1000).unwrap_err();
        assert_eq!(refused.retry_after_secs, 599);
        assert!(templates.get("0", 599_999).is_some());
        assert!(templates.get("0", 600_000).is_none(), "at the advertised moment it is gone");
        templates.issue("x".into(), on(tip), &tip, 600_000).unwrap();
    }
}
