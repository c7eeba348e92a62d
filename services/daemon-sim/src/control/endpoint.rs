//! The control endpoint: one POST or GET per method of [`Control`], JSON in and out.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Json, Query, ServiceConfig, get, post};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::{Deserialize, Serialize};

use super::{Control, ControlError, MineOrder, ReorgOrder, Tip};
use crate::faults::Fault;
use crate::node::NetworkView;
use crate::node::wallet::SentTo;
use crate::server::listen;
use crate::shared::{Shared, StartError};

impl actix_web::ResponseError for ControlError {
    fn status_code(&self) -> actix_web::http::StatusCode {
        actix_web::http::StatusCode::CONFLICT
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::Conflict().json(serde_json::json!({ "error": self.to_string() }))
    }
}

type Reply = Result<HttpResponse, ControlError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestartOrder {
    #[serde(default)]
    down_ms: u64,
    #[serde(default)]
    clean: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    paused: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    cut: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    count: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockOrder {
    offset_ms: i64,
    #[serde(default)]
    stopped: bool,
}

#[derive(Deserialize)]
struct Whose {
    address: String,
}

#[derive(Serialize)]
struct Overview {
    tip: Tip,
    clock_offset_ms: i64,
    faults: Vec<Fault>,
    sends: usize,
    recipients: Vec<SentTo>,
}

/// What is answered to an order that has nothing to show.
fn done() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"ok": true}))
}

fn after(act: impl FnOnce()) -> HttpResponse {
    act();
    done()
}

fn show<T: Serialize>(outcome: Result<T, ControlError>) -> Reply {
    outcome.map(|shown| HttpResponse::Ok().json(shown))
}

async fn clock(control: Data<Control>, order: Json<ClockOrder>) -> HttpResponse {
    control.set_clock_offset_ms(order.offset_ms);
    control.stop_clock(order.stopped);
    done()
}

async fn overview(control: Data<Control>) -> Reply {
    let sends = control.sends();
    Ok(HttpResponse::Ok().json(Overview {
        tip: control.tip(),
        clock_offset_ms: control.clock_offset_ms(),
        faults: control.faults(),
        sends: sends.len(),
        recipients: sends.into_iter().flat_map(|sent| sent.record.recipients).collect(),
    }))
}

async fn restart(control: Data<Control>, order: Json<RestartOrder>) -> Reply {
    let outcome = control.order_restart(Duration::from_millis(order.down_ms), order.clean)?;
    outcome.await.map_err(|_| ControlError::Ended)?.map_err(ControlError::Restart)?;
    Ok(done())
}

/// Starts the endpoint on the runtime that is current; returns its address.
pub(crate) fn serve(shared: &Arc<Shared>, address: SocketAddr) -> Result<SocketAddr, StartError> {
    let (listener, bound) = listen(address)?;
    let control = Data::new(Control::new(Arc::clone(shared)));
    let server = HttpServer::new(move || App::new().app_data(control.clone()).configure(routes))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .map_err(|source| StartError::Listen { address, source })?
        .run();
    actix_rt::spawn(server);
    Ok(bound)
}

type C = Data<Control>;

fn routes(app: &mut ServiceConfig) {
    app.route("/", get().to(overview))
        .route("/restart", post().to(restart))
        .route("/faults", get().to(async |c: C| HttpResponse::Ok().json(c.faults())))
        .route("/faults", post().to(async |c: C, fault: Json<Fault>| after(|| c.add_fault(fault.into_inner()))))
        .route("/faults", web::delete().to(async |c: C| after(|| c.clear_faults())))
        .route("/tip", get().to(async |c: C| HttpResponse::Ok().json(c.tip())))
        .route("/mine", post().to(async |c: C, order: Json<MineOrder>| show(c.mine(&order))))
        .route("/reorg", post().to(async |c: C, order: Json<ReorgOrder>| show(c.reorganise(order.into_inner()))))
        .route("/wallet/lock", post().to(async |c: C| c.lock_wallet().map(|()| done())))
        .route(
            "/wallet/scan",
            post().to(async |c: C, order: Json<Pause>| c.pause_wallet_scan(order.paused).map(|()| done())),
        )
        .route("/wallet/view-only", post().to(async |c: C, order: Json<Pause>| after(|| c.set_view_only(order.paused))))
        .route("/events", post().to(async |c: C, order: Json<Pause>| after(|| c.stall_events(order.paused))))
        .route("/events/hang-up", post().to(async |c: C| after(|| c.hang_up_events())))
        .route(
            "/network",
            post().to(async |c: C, network: Json<NetworkView>| after(|| c.set_network(network.into_inner()))),
        )
        .route("/peers", post().to(async |c: C, order: Json<Cut>| after(|| c.cut_off(order.cut))))
        .route("/pause", post().to(async |c: C, order: Json<Pause>| after(|| c.pause(order.paused))))
        .route(
            "/mempool/add",
            post().to(async |c: C, order: Json<Count>| c.add_transactions(order.count).map(|()| done())),
        )
        .route("/mempool/clear", post().to(async |c: C| after(|| c.clear_mempool())))
        .route("/clock", post().to(clock))
        .route("/sends", get().to(async |c: C| HttpResponse::Ok().json(c.sends())))
        .route("/income", get().to(async |c: C, whose: Query<Whose>| show(c.income(&whose.address))));
}
