//! One daemon of the list: its client, its wallet, and what it has said.
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant as StdInstant;

use chain::BlockId;
use daemon::{Daemon, Event, Status, WalletOpener};
use runtime::Task;
use tokio::time::Instant;
use units::Height;

use crate::TemplateSource;
use crate::rules::is_news;

/// A daemon of the list.
pub(crate) struct Node {
    pub(crate) client: Daemon,
    pub(crate) wallet: WalletOpener,
    /// It cannot renew leases. Asked again after it was away: it may be a newer one.
    pub(crate) no_renewals: Cell<bool>,
    /// Its event stream stands.
    pub(crate) events: Cell<bool>,
    /// The block that its stream named last, and when.
    heard: Cell<Option<(Height, BlockId, StdInstant)>>,
    /// The tip that its status showed last, and when it did so first.
    sighted: RefCell<Option<(Height, String, StdInstant)>>,
    /// It asked not to be asked for templates on this tip before.
    not_before: RefCell<Option<(String, Instant)>>,
    /// A look at it beside the chosen one.
    pub(crate) peek: RefCell<Option<Task>>,
}

impl Node {
    pub(crate) fn new(source: &TemplateSource) -> Node {
        Node {
            client: Daemon::new(&source.daemon),
            wallet: WalletOpener::new(Arc::clone(&source.wallet_password), "templates"),
            no_renewals: Cell::new(false),
            events: Cell::new(false),
            heard: Cell::new(None),
            sighted: RefCell::default(),
            not_before: RefCell::default(),
            peek: RefCell::default(),
        }
    }

    /// Notes an event; whether it is news. Our own block is told twice.
    pub(crate) fn hear(&self, event: &Event, same_height_counts: bool) -> bool {
        self.events.set(!matches!(event, Event::Lost(_)));
        match event {
            Event::NewBlock { hash, height } | Event::MinedBlock { hash, height } => {
                let last = self.heard.get();
                let again = last.is_some_and(|(_, before, _)| before == *hash);
                if !again {
                    self.heard.set(Some((*height, *hash, StdInstant::now())));
                }
                is_news(last.map(|(height, hash, _)| (height, hash)), (*height, *hash), same_height_counts)
            }
            Event::Connected { .. } => {
                self.no_renewals.set(false);
                true
            }
            Event::Lost(_) => false,
        }
    }

    /// Notes the tip that its status shows.
    pub(crate) fn sight(&self, status: &Status) {
        let mut sighted = self.sighted.borrow_mut();
        let known = sighted
            .as_ref()
            .is_some_and(|(height, hash, _)| *height == status.chain_height && *hash == status.best_hash);
        if !known {
            *sighted = Some((status.chain_height, status.best_hash.clone(), StdInstant::now()));
        }
    }

    /// When it first told of this tip, by event or by status.
    pub(crate) fn knew(&self, tip: BlockId, height: Height) -> Option<StdInstant> {
        let heard = self.heard.get().filter(|(_, hash, _)| *hash == tip).map(|(_, _, at)| at);
        let sighted = self.sighted.borrow();
        let sighted = sighted.as_ref().filter(|(at, hash, _)| *at == height && tip.to_string().starts_with(hash));
        heard.into_iter().chain(sighted.map(|(_, _, at)| *at)).min()
    }

    /// It must not be asked for a template on this tip before then.
    pub(crate) fn hold(&self, tip: &str, until: Instant) {
        *self.not_before.borrow_mut() = Some((tip.to_owned(), until));
    }

    /// Whether it may be asked for a template on this tip. A new tip frees its leases, so it frees us too.
    pub(crate) fn is_held(&self, tip: &str) -> bool {
        self.not_before.borrow().as_ref().is_some_and(|(on, until)| on == tip && Instant::now() < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::DaemonError;
    use settings::DaemonEndpoint;

    fn node() -> Node {
        Node::new(&TemplateSource { daemon: DaemonEndpoint::default(), wallet_password: Arc::new(|| None) })
    }

    fn new_block(height: u64, id: u8) -> Event {
        Event::NewBlock { hash: BlockId([id; 32]), height: Height::new(height) }
    }

    #[test]
    fn another_block_of_the_tips_height_hurries_nobody_unless_the_operator_wants_it() {
        for wanted in [false, true] {
            let node = node();
            assert!(node.hear(&new_block(9, 1), wanted));
            assert!(!node.hear(&new_block(9, 1), wanted), "the same block, whatever else its event says");
            assert_eq!(node.hear(&new_block(9, 2), wanted), wanted);
            assert!(node.hear(&new_block(10, 3), wanted) && node.hear(&new_block(8, 4), wanted));
        }
    }

    #[test]
    fn an_own_block_is_news_once_in_either_order_and_a_connection_always() {
        let (block, own) = (new_block(9, 1), Event::MinedBlock { hash: BlockId([1; 32]), height: Height::new(9) });
        for pair in [[&block, &own], [&own, &block]] {
            let node = node();
            assert_eq!(pair.map(|event| node.hear(event, true)), [true, false]);
            let connected = Event::Connected { height: Height::new(9) };
            assert!(node.hear(&connected, false) && node.hear(&connected, false) && node.events.get());
            let lost = DaemonError::Unknown { route: "GET /api/events", daemon: String::new(), why: "gone".to_owned() };
            assert!(!node.hear(&Event::Lost(lost), true) && !node.events.get());
        }
    }

    #[test]
    fn a_tip_is_known_from_whichever_told_of_it_first() {
        let node = node();
        assert_eq!(node.knew(BlockId([1; 32]), Height::new(9)), None);
        node.hear(&new_block(9, 1), false);
        let first = node.knew(BlockId([1; 32]), Height::new(9)).unwrap();
        node.hear(&new_block(9, 1), false);
        assert_eq!(node.knew(BlockId([1; 32]), Height::new(9)), Some(first), "it is not told anew");
        assert_eq!(node.knew(BlockId([2; 32]), Height::new(9)), None);
    }
}
