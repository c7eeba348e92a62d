//! Which path is answered by what, and the lists of them that `/api/info` tells.
use actix_web::middleware::DefaultHeaders;
use actix_web::{FromRequest, Handler, Resource, Responder, guard, web};

use crate::{answer, health, lists, miner, stats};

/// Makes a route's resource from its path.
type Make = fn(&str) -> Resource;

/// Everybody may read these.
const PUBLIC: [(&str, Make); 6] = [
    ("/api/info", |path| read(path, stats::info)),
    ("/api/stats", |path| read(path, stats::stats)),
    ("/api/blocks", |path| read(path, lists::blocks)),
    ("/api/payouts/recent", |path| read(path, lists::payouts)),
    ("/api/miner/{address}", |path| read(path, miner::miner)),
    ("/api/miner/{address}/balance", |path| read(path, miner::balance)),
];
/// Only where drills are given.
const DRILL: &str = "/api/devnet/drill";
/// Whoever asks below one of these needs a key, also for what does not exist there.
const CLOSED: [&str; 4] = ["/api/miners", "/api/health", "/api/daemon/logs/stream", "/api/admin/{tail:.*}"];

/// Every route but the page.
pub(crate) fn configure(config: &mut web::ServiceConfig, drills: bool) {
    let public = PUBLIC.iter().map(|(path, _)| *path).collect();
    let protected = if drills { vec![DRILL] } else { Vec::new() };
    config
        .app_data(web::Data::new(stats::RouteList { public, protected }))
        .service(read("/livez", health::alive))
        .service(read("/readyz", health::ready))
        .service(read("/metrics", health::metrics));
    for path in CLOSED {
        config.service(web::resource(path).to(answer::protected));
    }
    if drills {
        let drill = web::resource(DRILL).route(web::post().to(health::drill));
        config.service(drill.route(options("POST, OPTIONS")).default_service(web::to(answer::wrong_method)));
    }
    let open = DefaultHeaders::new().add(("Access-Control-Allow-Origin", "*")).add(("Cache-Control", "no-cache"));
    let mut api = web::scope("/api").wrap(open);
    for (path, make) in PUBLIC {
        api = api.service(make(path.strip_prefix("/api").unwrap_or(path)));
    }
    config.service(api.default_service(web::to(answer::unknown)));
}

/// A route that is only read.
fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reading = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(web::route().guard(reading).to(handler))
        .route(options(answer::READ_METHODS))
        .default_service(web::to(answer::wrong_method))
}

/// What a route may be asked; for pages of other origins also the permission that their browsers ask for.
fn options(methods: &'static str) -> actix_web::Route {
    web::route().guard(guard::Options()).to(move || async move { answer::options(methods) })
}
