//! What miners are told beside their jobs and answers.
use std::rc::Rc;
use std::sync::Arc;

use messages::facts::{Notice, SessionId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::metrics::StratumMetrics;
use crate::open_sessions::OpenSessions;
use crate::session::Session;

/// Tells one arbiter's sessions what is published, until nobody publishes any more.
pub(crate) async fn follow(mut notices: Receiver<Notice>, sessions: Rc<OpenSessions>, metrics: Arc<StratumMetrics>) {
    loop {
        match notices.recv().await {
            Ok(Notice::BlockSolved { finder }) => announce_block(&sessions, finder).await,
            Err(RecvError::Lagged(missed)) => metrics.notices_missed_total.add(missed),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn announce_block(sessions: &OpenSessions, finder: Option<SessionId>) {
    let announce = |session: &Rc<Session>| {
        if session.miner.borrow().is_none() {
            return;
        }
        session.write(|out| {
            if Some(session.id) == finder {
                wire::write_notification(out, wire::Notice::MinerBlockFound, "you found a block for the pool");
            }
            wire::write_notification(
                out,
                wire::Notice::PoolBlockSolved,
                "the pool found a block, its reward waits for confirmations",
            );
        });
    };
    sessions.for_each(announce).await;
}
