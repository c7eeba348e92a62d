//! Answers that are errors (`application/problem+json`, RFC 9457), and who may ask.
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError, web};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use store::StoreError;
use subtle::ConstantTimeEq;
use tracing::warn;

use crate::WebParts;

/// Methods of a route that is only read.
pub(crate) const READ_METHODS: &str = "GET, HEAD, OPTIONS";
/// How long a browser may remember what a preflight was answered, in seconds.
const PREFLIGHT_SECONDS: &str = "86400";
/// Seconds after which asking again is worth it.
const RETRY_SECONDS: &str = "5";

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("no such route")]
    NoRoute,
    #[error("this route answers {0} only")]
    WrongMethod(&'static str),
    #[error("a valid key is required in the header x-api-key")]
    KeyRequired,
    #[error("this pool has no api key configured, so protected routes are closed")]
    NoKeys,
    /// The cause is for the log.
    #[error("temporarily unavailable")]
    Store(#[from] StoreError),
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::NoRoute => StatusCode::NOT_FOUND,
            ApiError::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::KeyRequired => StatusCode::UNAUTHORIZED,
            ApiError::NoKeys | ApiError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        match self {
            ApiError::Store(error) => {
                warn!(%error, "database unavailable");
                answer.insert_header((RETRY_AFTER, RETRY_SECONDS));
            }
            ApiError::WrongMethod(allowed) => {
                answer.insert_header((ALLOW, *allowed));
            }
            ApiError::KeyRequired => {
                answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            ApiError::BadRequest(_) | ApiError::NoRoute | ApiError::NoKeys => {}
        }
        problem(answer, self.status_code(), &self.to_string(), Value::Null)
    }
}

pub(crate) type ApiResult = Result<HttpResponse, ApiError>;

/// A problem document, with `more` members beside the usual ones. `error` is the same text under the name that older
/// clients read.
pub(crate) fn problem(mut answer: HttpResponseBuilder, status: StatusCode, detail: &str, more: Value) -> HttpResponse {
    let mut body = more;
    let title = status.canonical_reason().unwrap_or("Error");
    for (name, value) in [
        ("type", json!("about:blank")),
        ("title", json!(title)),
        ("status", json!(status.as_u16())),
        ("detail", json!(detail)),
        ("error", json!(detail)),
    ] {
        body[name] = value;
    }
    answer.content_type("application/problem+json").body(body.to_string())
}

pub(crate) async fn unknown() -> ApiResult {
    Err(ApiError::NoRoute)
}

/// For a route that exists, asked in a way that does not.
pub(crate) async fn wrong_method(request: HttpRequest) -> ApiResult {
    Err(ApiError::WrongMethod(if request.method() == Method::GET { "POST, OPTIONS" } else { READ_METHODS }))
}

/// What may be asked. Without `Access-Control-Allow-Origin`, which only public routes carry, no browser takes it for a
/// permission.
pub(crate) fn options(methods: &'static str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, methods))
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS))
        .finish()
}

/// Stands before every protected route, the ones that do not exist included: who has no key learns nothing.
pub(crate) async fn protected(parts: web::Data<WebParts>, request: HttpRequest) -> ApiResult {
    check_key(&request, &parts.keys)?;
    Err(ApiError::NoRoute)
}

/// Whether the request carries one of the keys, compared in constant time.
pub(crate) fn check_key(request: &HttpRequest, keys: &[SecretString]) -> Result<(), ApiError> {
    if keys.is_empty() {
        return Err(ApiError::NoKeys);
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = || match header("authorization").and_then(|value| value.split_once(' ')) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key),
        _ => None,
    };
    let given = header("x-api-key").or_else(bearer).ok_or(ApiError::KeyRequired)?;
    let matches = |key: &SecretString| bool::from(key.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if keys.iter().any(matches) { Ok(()) } else { Err(ApiError::KeyRequired) }
}
