//! The HTTP front: which request is whose, what is refused before a route sees it, and what goes wrong on purpose.
pub(crate) mod answer;
mod chain_routes;
mod mining;
pub(crate) mod routes;
mod send;
mod wallet;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, http::header};
use futures_util::StreamExt;
use tokio::sync::RwLock;
use tokio::time::sleep;

use crate::events::Subscription;
use crate::faults::{Action, Phase};
use crate::node::Node;
use crate::shared::{Order, Shared};
use answer::{Answer, Stop};
use routes::{Route, RouteMatch};

/// Longest request body.
const BODY_BYTES_MAX: usize = 1_048_576;

/// One start of the daemon, as its handlers see it.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) epoch: u64,
    /// Held while a block is validated; what reads the chain waits for it.
    pub(crate) chain_lock: Arc<RwLock<()>>,
}

impl Instance {
    /// The daemon's state, unless it was restarted since.
    pub(crate) fn node(&self) -> Result<MutexGuard<'_, Node>, Stop> {
        let node = self.shared.node();
        if node.epoch == self.epoch { Ok(node) } else { Err(Stop::Gone) }
    }
}

/// The socket under a request, so that it can be cut.
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// A second handle of a connection that was just accepted.
    pub(crate) fn of(connection: &tokio::net::TcpStream) -> std::io::Result<Socket> {
        use std::os::fd::AsFd;
        Ok(Socket(TcpStream::from(connection.as_fd().try_clone_to_owned()?)))
    }

    fn cut(&self) {
        if let Err(error) = self.0.shutdown(Shutdown::Both) {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// A request on its way through a route.
pub(crate) struct Call {
    pub(crate) instance: Instance,
    pub(crate) caller: IpAddr,
    name: &'static str,
    pub(crate) variable: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) idempotency_key: String,
    /// `None` when it could not be read whole.
    pub(crate) body: Option<Bytes>,
    socket: Option<Arc<Socket>>,
}

/// How a request ends.
enum Outcome {
    Answer(Answer),
    Stream(Subscription),
    /// Without an answer.
    Cut,
}

impl Call {
    /// Lets everything go wrong that was asked for at this moment. `Some` replaces the answer.
    pub(crate) async fn meet_faults(&self, phase: Phase) -> Option<Answer> {
        let actions = self.instance.shared.faults().take(self.name, phase);
        let mut replacement = None;
        for action in actions {
            match action {
                Action::DelayMs(ms) => sleep(Duration::from_millis(ms)).await,
                Action::Drop => {
                    self.cut();
                    if phase == Phase::Before {
                        // Nobody reads it, and nothing happens instead.
                        replacement = Some(Answer::error(502, "dropped"));
                    }
                }
                Action::Respond { status, body } => replacement = Some(Answer::raw(status, body)),
                Action::Restart { down_ms } => {
                    let down = Duration::from_millis(down_ms);
                    if self.instance.shared.order(Order::Restart { down, is_clean: false, done: None }) {
                        // The process is dying: nothing after this line happens.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
        replacement
    }

    /// The body as JSON, whatever follows its first value; `None` when it is not of this form.
    fn json<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_slice(self.body.as_deref()?).into_iter::<T>();
        values.next()?.ok()
    }

    fn cut(&self) {
        if let Some(socket) = &self.socket {
            socket.cut();
        }
    }
}

/// Serves one request.
pub(crate) async fn serve(request: HttpRequest, payload: Payload, instance: Data<Instance>) -> HttpResponse {
    let instance = instance.get_ref().clone();
    instance.shared.unpaused().await;
    let routes = instance.shared.params.routes;
    let found = routes::find(routes, request.method().as_str(), request.path());
    let needs_token = !matches!(found, RouteMatch::Route { is_public: true, .. });
    if needs_token && !has_token(&request, &instance) {
        return Answer::text(401, "unauthorized").into_response();
    }
    let (route, name, variable) = match found {
        RouteMatch::Route { route, name, variable, .. } => (route, name, variable.to_owned()),
        RouteMatch::WrongMethod { allow } => {
            return Answer::text(405, "Method Not Allowed").with_header("Allow", allow).into_response();
        }
        RouteMatch::Unknown => return Answer::text(404, "404 page not found").into_response(),
    };
    let body = read_body(payload).await;
    let is_body_lost = body.is_none();
    let query = Query::<HashMap<String, String>>::from_query(request.query_string());
    let key = request.headers().get("Idempotency-Key").and_then(|value| value.to_str().ok());
    let call = Call {
        instance,
        caller: request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip()),
        name,
        variable,
        query: query.map(Query::into_inner).unwrap_or_default(),
        idempotency_key: key.unwrap_or_default().trim().to_owned(),
        body,
        socket: request.conn_data::<Arc<Socket>>().cloned(),
    };
    // A task of its own: a caller that hangs up does not stop what it has begun.
    let outcome = match actix_rt::spawn(run(route, call)).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, route = name, "a handler died");
            Outcome::Answer(Answer::error(500, "internal error"))
        }
    };
    let mut response = match outcome {
        Outcome::Answer(answer) => answer.into_response(),
        Outcome::Stream(subscription) => stream(subscription),
        Outcome::Cut => HttpResponse::InternalServerError().force_close().finish(),
    };
    if is_body_lost {
        response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    response
}

async fn run(route: Route, call: Call) -> Outcome {
    if let Some(answer) = call.meet_faults(Phase::Before).await {
        return Outcome::Answer(answer);
    }
    if route == Route::Events {
        return match mining::subscribe(&call).await {
            Ok(subscription) => Outcome::Stream(subscription),
            Err(_) => Outcome::Cut,
        };
    }
    let answer = match dispatch(route, &call).await {
        Ok(answer) | Err(Stop::Answer(answer)) => answer,
        Err(Stop::Gone) => {
            call.cut();
            return Outcome::Cut;
        }
    };
    Outcome::Answer(call.meet_faults(Phase::After).await.unwrap_or(answer))
}

async fn dispatch(route: Route, call: &Call) -> Result<Answer, Stop> {
    match route {
        Route::Health => chain_routes::health(call),
        Route::Status => chain_routes::status(call),
        Route::Stats => chain_routes::stats(call),
        Route::Block => chain_routes::block(call).await,
        Route::Transaction => chain_routes::transaction(call),
        Route::Mempool => chain_routes::mempool(call),
        Route::MempoolTransactions => chain_routes::mempool_transactions(call),
        Route::Peers => chain_routes::peers(call),
        Route::PeersBanned => Ok(chain_routes::peers_banned()),
        Route::Verify => chain_routes::verify(call),
        Route::Mining => Ok(mining::own_miner()),
        Route::Template => mining::template(call).await,
        Route::Renew => mining::renew(call).await,
        Route::Submit => mining::submit(call).await,
        Route::Events => Err(Stop::Gone),
        Route::Address => wallet::address(call),
        Route::Balance => wallet::balance(call).await,
        Route::History => wallet::history(call),
        Route::Outputs => wallet::outputs(call).await,
        Route::Sends => wallet::sends(call),
        Route::Send => send::send(call, crate::node::idempotency::Namespace::Send).await,
        Route::SendStatus => send::status(call, crate::node::idempotency::Namespace::Send),
        Route::Advanced => send::send(call, crate::node::idempotency::Namespace::Advanced).await,
        Route::AdvancedStatus => send::status(call, crate::node::idempotency::Namespace::Advanced),
        Route::Load => wallet::load(call),
        Route::Create => wallet::create(call),
        Route::Unload => wallet::unload(call),
        Route::Lock => wallet::lock(call),
        Route::Unlock => wallet::unlock(call).await,
        Route::Sync => wallet::sync(call),
    }
}

fn has_token(request: &HttpRequest, instance: &Instance) -> bool {
    let Ok(node) = instance.node() else { return false };
    let given = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    given.and_then(|given| given.strip_prefix(b"Bearer ")) == Some(node.token.as_bytes())
}

async fn read_body(mut payload: Payload) -> Option<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        body.extend_from_slice(&chunk.ok()?);
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
    }
    Some(body.into())
}

fn stream(subscription: Subscription) -> HttpResponse {
    let frames = futures_util::stream::unfold(subscription, |mut subscription| async {
        let frame = subscription.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), subscription))
    });
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONNECTION, "keep-alive"))
        .streaming(Box::pin(frames))
}
