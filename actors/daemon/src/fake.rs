//! A daemon of a test's own making: one function answers everything, and every request is remembered. It knows no
//! rule of the real one; the simulated daemon does.
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use secrecy::SecretString;
use settings::DaemonEndpoint;

use crate::Daemon;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// What came after `Bearer`.
    pub token: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// The body as text.
    pub body: String,
}

/// What to say to it.
#[derive(Debug, Clone)]
pub struct ScriptedAnswer {
    /// HTTP status.
    pub status: u16,
    /// Whether the body is called JSON.
    pub json: bool,
    /// The body.
    pub body: String,
    /// In seconds.
    pub retry_after: Option<u64>,
}

impl ScriptedAnswer {
    /// A JSON body as it is.
    #[must_use]
    pub fn json(status: u16, body: impl ToString) -> ScriptedAnswer {
        ScriptedAnswer { status, json: true, body: body.to_string(), retry_after: None }
    }
    /// A refusal in the daemon's form.
    #[must_use]
    pub fn error(status: u16, text: &str) -> ScriptedAnswer {
        ScriptedAnswer::json(status, serde_json::json!({ "error": text }))
    }
    /// Text that no handler of the daemon wrote.
    #[must_use]
    pub fn plain(status: u16, text: &str) -> ScriptedAnswer {
        ScriptedAnswer { status, json: false, body: text.to_owned(), retry_after: None }
    }
}

type Script = Arc<dyn Fn(&RecordedRequest) -> ScriptedAnswer + Send + Sync>;
type State = (Script, Arc<Mutex<Vec<RecordedRequest>>>);

/// A listening fake. It serves until the runtime that it was started in ends.
#[derive(Debug)]
pub struct Fake {
    /// Its base URL.
    pub url: String,
    seen: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl Fake {
    /// Listens on a free port of the loopback.
    ///
    /// # Panics
    /// When there is none, or not called inside an actor system.
    pub fn start(script: impl Fn(&RecordedRequest) -> ScriptedAnswer + Send + Sync + 'static) -> Fake {
        let script: Script = Arc::new(script);
        let seen: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let state: State = (script, Arc::clone(&seen));
        let server = HttpServer::new(move || {
            let state = web::Data::new(state.clone());
            App::new().app_data(state).app_data(web::PayloadConfig::new(16 << 20)).default_service(web::to(answer))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("the loopback has a free port");
        let url = format!("http://{}", server.addrs()[0]);
        drop(actix_rt::spawn(server.run()));
        Fake { url, seen }
    }

    /// A client of it, with a token.
    #[must_use]
    pub fn client(&self) -> Daemon {
        let token = SecretString::from("secret-token");
        Daemon::new(&DaemonEndpoint { url: self.url.clone(), token, ..DaemonEndpoint::default() })
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<RecordedRequest> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }

    /// How many requests began with this method and path.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method == method && seen.path.starts_with(path)).count()
    }
}

async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    state: web::Data<(Script, Arc<Mutex<Vec<RecordedRequest>>>)>,
) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
    let seen = RecordedRequest {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        token: header("authorization").map(|text| text.trim_start_matches("Bearer ").to_owned()),
        key: header("idempotency-key"),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    state.1.lock().expect("no test panics while it holds this").push(seen.clone());
    let answer = (state.0)(&seen);
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).expect("a test gives a status"));
    if let Some(seconds) = answer.retry_after {
        response.insert_header(("Retry-After", seconds.to_string()));
    }
    response.content_type(if answer.json { "application/json" } else { "text/plain; charset=utf-8" });
    response.body(answer.body)
}
