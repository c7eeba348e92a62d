//! What other daemons may ask this one. On loopback only, and without a token, as peers are.
use std::net::{SocketAddr, TcpListener};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, JsonConfig, Query, ServiceConfig, get, post};
use actix_web::{App, HttpResponse, HttpServer};
use chain::tx::Transaction;
use chain::{Block as FullBlock, BlockId};
use serde::{Deserialize, Serialize};

use super::wire::{BATCH, PeerTip, RELAY_BYTES_MAX};
use super::{Taken, take};
use crate::http::Instance;
use crate::http::answer::Stop;
use crate::node::Node;
use crate::node::tree::FINALITY_DEPTH;
use crate::shared::StartError;

/// Serves the peers of this start of the daemon.
pub(crate) fn serve(instance: &Instance, listener: TcpListener, address: SocketAddr) -> Result<Server, StartError> {
    let instance = instance.clone();
    let app = move || {
        let limits = JsonConfig::default().limit(RELAY_BYTES_MAX);
        App::new().app_data(Data::new(instance.clone())).app_data(limits).configure(routes)
    };
    let server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(|source| StartError::Listen { address, source })?;
    Ok(server.run())
}

#[derive(Deserialize)]
struct From {
    from: u64,
}

type Here = Data<Instance>;

fn routes(app: &mut ServiceConfig) {
    app.route("/tip", get().to(async |here: Here| show(&here, tip)))
        .route("/ids", get().to(async |here: Here, from: Query<From>| show(&here, |node| ids(node, from.from))))
        .route("/blocks", get().to(async |here: Here, from: Query<From>| show(&here, |node| blocks(node, from.from))))
        .route("/mempool", get().to(async |here: Here| show(&here, mempool)))
        .route("/block", post().to(block))
        .route("/transaction", post().to(transaction));
}

/// A peer is not answered by a daemon that is cut off, or that was restarted under the request.
fn reach(here: &Instance) -> Result<std::sync::MutexGuard<'_, Node>, Stop> {
    if here.shared.is_cut_off() { Err(Stop::Gone) } else { here.node() }
}

fn gone() -> HttpResponse {
    HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE)
}

fn show<T: Serialize>(here: &Instance, read: impl FnOnce(&Node) -> T) -> HttpResponse {
    reach(here).map_or_else(|_| gone(), |node| HttpResponse::Ok().json(read(&node)))
}

fn tip(node: &Node) -> PeerTip {
    let tip = node.tree.tip();
    PeerTip { height: tip.height(), work: tip.work }
}

fn ids(node: &Node, from: u64) -> Vec<BlockId> {
    (from..=from.saturating_add(FINALITY_DEPTH)).map_while(|height| Some(node.tree.at(height)?.id)).collect()
}

fn blocks(node: &Node, from: u64) -> Vec<FullBlock> {
    (from..from.saturating_add(BATCH)).map_while(|height| Some(node.tree.at(height)?.full())).collect()
}

fn mempool(node: &Node) -> Vec<Transaction> {
    node.mempool.entries().iter().map(|entry| entry.tx.clone()).collect()
}

async fn block(here: Here, block: Json<FullBlock>) -> HttpResponse {
    if reach(&here).is_err() {
        return gone();
    }
    match take(&here, block.into_inner(), true).await {
        Ok(Taken::Invalid) => HttpResponse::new(StatusCode::BAD_REQUEST),
        Ok(taken) => {
            if taken == Taken::NoParent {
                here.shared.look_at_peers();
            }
            HttpResponse::Ok().finish()
        }
        Err(_) => gone(),
    }
}

async fn transaction(here: Here, tx: Json<Transaction>) -> HttpResponse {
    let Ok(mut node) = reach(&here) else { return gone() };
    node.take_transaction(tx.into_inner());
    HttpResponse::Ok().finish()
}
