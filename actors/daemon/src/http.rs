//! One request and its answer: token, limits, and how sure the outcome is.
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use awc::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::stream::LocalBoxStream;
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use settings::DaemonEndpoint;

use crate::auth::Auth;
use crate::error::{BodyError, DaemonError, HttpRefusal, Result, TokenError, classify};

/// A validation of a block can hold the daemon's lock for seconds; reads behind it wait.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(15);
/// The daemon's state waits for nothing; silence for longer means that it hangs.
pub(crate) const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// Submits hash 2 GiB, sends sign and save the wallet.
pub(crate) const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Enough for a full template: the daemon's JSON is about two and a half times a block of 1 MiB.
const BODY_LIMIT_BYTES: usize = 8 << 20;
/// What of an unexpected body goes into a text.
const TEXT_LIMIT_CHARS: usize = 200;

/// A client of one daemon. Cheap to clone; all clones share connections and token. Not `Send`: build it on the
/// arbiter that uses it.
#[derive(Clone)]
pub struct Daemon(Rc<Inner>);

struct Inner {
    client: awc::Client,
    url: String,
    /// The URL without credentials, for texts.
    shown: String,
    auth: Auth,
}

type Chunk = std::result::Result<Bytes, PayloadError>;
/// The body of an answer, as it comes.
pub(crate) type Body = LocalBoxStream<'static, Chunk>;

/// A request.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Method and path, for texts and spans.
    pub(crate) route: &'static str,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) token: bool,
    pub(crate) body: Option<Bytes>,
    pub(crate) key: Option<&'a str>,
    pub(crate) limit: Duration,
    pub(crate) body_limit: usize,
}

impl<'a> Call<'a> {
    /// A read of a public route.
    pub(crate) fn public(route: &'static str, path: impl Into<String>) -> Call<'a> {
        Call { token: false, ..Call::get(route, path) }
    }

    /// A read that needs the token.
    pub(crate) fn get(route: &'static str, path: impl Into<String>) -> Call<'a> {
        Call {
            method: Method::GET,
            route,
            path: path.into(),
            token: true,
            body: None,
            key: None,
            limit: READ_LIMIT,
            body_limit: BODY_LIMIT_BYTES,
        }
    }

    /// A request with a body; needs the token.
    pub(crate) fn post(route: &'static str, path: &'static str, body: impl Into<Bytes>) -> Call<'a> {
        Call { method: Method::POST, body: Some(body.into()), limit: WRITE_LIMIT, ..Call::get(route, path) }
    }
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: String,
    #[serde(default)]
    code: Option<String>,
}

impl Daemon {
    /// A client of this daemon. Connects and reads the token when first used.
    #[must_use]
    pub fn new(endpoint: &DaemonEndpoint) -> Daemon {
        let client = awc::Client::builder().disable_redirects().disable_timeout().finish();
        let url = endpoint.url.trim_end_matches('/').to_owned();
        let shown = match url.rsplit_once('@') {
            Some((_, host)) => host.to_owned(),
            None => url.clone(),
        };
        Daemon(Rc::new(Inner { client, url, shown, auth: Auth::new(endpoint) }))
    }

    /// Where it is, for texts. Never holds credentials.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.shown
    }

    /// Sends `call` and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T> {
        let route = call.route;
        let body = self.bytes(call).await?;
        serde_json::from_slice(&body).map_err(|error| self.unknown(route, format!("unreadable answer: {error}")))
    }

    /// Sends `call` and reads the whole answer.
    pub(crate) async fn bytes(&self, call: Call<'_>) -> Result<Bytes> {
        let exchange = async || {
            let body = self.open(&call).await?;
            collect(body, call.body_limit).await.map_err(|why| self.unknown(call.route, why.to_string()))
        };
        self.rereading(async || self.within(&call, exchange()).await).await
    }

    /// Does it; once more, with the token read again, when the daemon does not know the token.
    pub(crate) async fn rereading<T>(&self, attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
        match attempt().await {
            Err(DaemonError::Unauthorized { .. }) if self.0.auth.forget() => attempt().await,
            outcome => outcome,
        }
    }

    /// Gives up after the call's limit.
    pub(crate) async fn within<T>(&self, call: &Call<'_>, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::time::timeout(call.limit, work)
            .await
            .unwrap_or_else(|_| Err(self.unknown(call.route, format!("no answer within {:?}", call.limit))))
    }

    /// Sends the request and waits for the head of a good answer; reads and sorts any other.
    pub(crate) async fn open(&self, call: &Call<'_>) -> Result<Body> {
        let response = self.start(call).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Box::pin(response));
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let json = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
        let retry_after = header(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = collect(Box::pin(response), call.body_limit).await;
        let body = body.map_err(|why| self.unknown(call.route, why.to_string()))?;
        Err(self.refusal(call.route, status, json, retry_after, &body))
    }

    async fn start(&self, call: &Call<'_>) -> Result<awc::ClientResponse<impl Stream<Item = Chunk> + 'static>> {
        let inner = &self.0;
        let mut request = inner.client.request(call.method.clone(), format!("{}{}", inner.url, call.path));
        if call.token {
            let token = inner.auth.token().await.map_err(|why| self.not_sent(why.to_string()))?;
            request = request.insert_header((AUTHORIZATION, self.bearer(&token)?));
        }
        if let Some(key) = call.key {
            request = request.insert_header(("Idempotency-Key", key));
        }
        let sent = match &call.body {
            Some(body) => request.content_type("application/json").send_body(body.clone()),
            None => request.send(),
        };
        sent.await.map_err(|error| self.send_error(call.route, error))
    }

    fn bearer(&self, token: &SecretString) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
            .map_err(|_| self.not_sent(TokenError::Characters.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn refusal(
        &self,
        route: &'static str,
        status: StatusCode,
        json: bool,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> DaemonError {
        if status == StatusCode::UNAUTHORIZED && !json {
            return DaemonError::Unauthorized { daemon: self.0.shown.clone(), place: self.0.auth.place() };
        }
        let parsed: ErrorBody =
            if json { serde_json::from_slice(body).unwrap_or_default() } else { ErrorBody::default() };
        let text = if parsed.error.is_empty() { String::from_utf8_lossy(body).into_owned() } else { parsed.error };
        let text = one_line(&text);
        let daemon = &self.0.shown;
        classify(HttpRefusal { daemon, route, status: status.as_u16(), json, text, code: parsed.code, retry_after })
    }

    pub(crate) fn unknown(&self, route: &'static str, why: String) -> DaemonError {
        DaemonError::Unknown { daemon: self.0.shown.clone(), route, why: one_line(&why) }
    }

    pub(crate) fn not_sent(&self, why: String) -> DaemonError {
        DaemonError::NotSent { daemon: self.0.shown.clone(), why: one_line(&why) }
    }

    fn send_error(&self, route: &'static str, error: SendRequestError) -> DaemonError {
        match error {
            // awc says this when the connection ends before the answer: the request may have arrived.
            SendRequestError::Connect(ConnectError::Disconnected) => {
                self.unknown(route, "connection closed before the answer".to_owned())
            }
            SendRequestError::Connect(error) => self.not_sent(error.to_string()),
            SendRequestError::Url(error) => self.not_sent(format!("bad url: {error}")),
            SendRequestError::Http(error) => self.not_sent(format!("bad request: {error}")),
            error => self.unknown(route, error.to_string()),
        }
    }
}

/// What somebody else has written, or quotes, fit to stand in a sentence of a log, a table or an answer.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    // No text grows by much: a whole body of megabytes is not looked at.
    for word in text.split_whitespace().take(TEXT_LIMIT_CHARS) {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
        line.extend(word.chars().take(TEXT_LIMIT_CHARS + 1).map(plain));
    }
    match line.char_indices().nth(TEXT_LIMIT_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Reads all of it.
async fn collect(mut body: Body, limit: usize) -> std::result::Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(BodyError::BrokenOff)?;
        if whole.len().saturating_add(chunk.len()) > limit {
            return Err(BodyError::TooLong(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Daemon").field(&self.0.shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_proxy_becomes_one_line_of_a_bounded_length() {
        let page = "\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\n\t<body>\u{1b}[2J\u{0}</body>\n";
        let line = "<html> <head><title>502 Bad Gateway</title></head> <body>\u{fffd}[2J\u{fffd}</body>";
        assert_eq!(one_line(page), line);
        let long = one_line(&"ü\n".repeat(1 << 20));
        assert_eq!((long.chars().count(), long.ends_with("...")), (TEXT_LIMIT_CHARS + 3, true));
        assert_eq!(one_line(&"x".repeat(1 << 20)).chars().count(), TEXT_LIMIT_CHARS + 3);
        assert_eq!(one_line("node is syncing"), "node is syncing");
    }
}
