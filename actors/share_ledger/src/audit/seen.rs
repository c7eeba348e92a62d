//! Whether a share was there before.
use std::collections::{HashSet, VecDeque};

use chain::MerkleRoot;
use units::Nonce;

/// Templates whose shares are remembered. One is mined on for minutes, and a new one comes at most every few seconds.
const TEMPLATES_MAX: usize = 64;

/// The shares of the templates that came last.
#[derive(Default)]
pub(super) struct RecentNonces(VecDeque<(MerkleRoot, HashSet<Nonce>)>);

impl RecentNonces {
    /// False for a nonce that this template had already.
    pub(super) fn is_new(&mut self, root: MerkleRoot, nonce: Nonce) -> bool {
        if let Some((_, nonces)) = self.0.iter_mut().rev().find(|(known, _)| *known == root) {
            return nonces.insert(nonce);
        }
        if self.0.len() == TEMPLATES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((root, HashSet::from([nonce])));
        true
    }
}
