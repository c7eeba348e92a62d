//! What a node knows of its peers, and tells them. In memory only; who listens is not its business.
use chain::BlockId;
use chain::tx::Transaction;
use tokio::sync::broadcast;

/// News that wait for a slow link at most; what it misses it finds when it asks the next time.
const NEWS_MAX: usize = 64;

/// What a daemon tells its peers unasked.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// It has a new tip, which it was told of or has made itself.
    Tip(BlockId),
    /// Its mempool took a transaction.
    Transaction(Box<Transaction>),
}

/// A sync run that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncRun {
    /// Height of the peer's tip when it began.
    pub(crate) target: u64,
    /// Height of the newest block that it brought.
    pub(crate) progress: u64,
}

/// The links as the node sees them.
#[derive(Debug)]
pub(crate) struct Peers {
    news: broadcast::Sender<News>,
    /// Which links stand, in the order of the parameters.
    pub(crate) reached: Vec<bool>,
    pub(crate) sync_run: Option<SyncRun>,
}

impl Peers {
    pub(crate) fn new(count: usize) -> Peers {
        Peers { news: broadcast::Sender::new(NEWS_MAX), reached: vec![false; count], sync_run: None }
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.reached.iter().filter(|reached| **reached).count()).unwrap_or(u64::MAX)
    }

    /// Nobody listening is no failure: there may be no peers.
    pub(crate) fn tell(&self, news: News) {
        drop(self.news.send(news));
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}
