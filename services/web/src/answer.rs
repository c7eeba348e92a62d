//! Answers that are errors, and who may ask.
use actix_web::error::{JsonPayloadError, QueryPayloadError};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::StoreError;
use subtle::ConstantTimeEq;
use tracing::warn;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(&'static str),
    #[error("api key required")]
    KeyRequired,
    #[error("no api key is configured")]
    NoKeys,
    /// The cause is for the log.
    #[error("temporarily unavailable")]
    Store(#[from] StoreError),
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::KeyRequired => StatusCode::UNAUTHORIZED,
            ApiError::NoKeys | ApiError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let ApiError::Store(error) = self {
            warn!(%error, "a request found the database unwilling");
        }
        HttpResponse::build(self.status_code()).json(json!({ "error": self.to_string() }))
    }
}

pub(crate) type ApiResult = Result<HttpResponse, ApiError>;

pub(crate) fn bad_query(error: &QueryPayloadError) -> actix_web::Error {
    ApiError::BadRequest(format!("query: {error}")).into()
}

pub(crate) fn bad_body(error: &JsonPayloadError) -> actix_web::Error {
    ApiError::BadRequest(format!("body: {error}")).into()
}

pub(crate) async fn unknown() -> ApiResult {
    Err(ApiError::NotFound("no such route"))
}

/// Whether the request carries one of the keys, compared in constant time.
pub(crate) fn check_key(request: &HttpRequest, keys: &[SecretString]) -> Result<(), ApiError> {
    if keys.is_empty() {
        return Err(ApiError::NoKeys);
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let given = header("x-api-key").or_else(|| header("authorization").and_then(|value| value.strip_prefix("Bearer ")));
    let given = given.ok_or(ApiError::KeyRequired)?;
    let matches = |key: &SecretString| bool::from(key.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if keys.iter().any(matches) { Ok(()) } else { Err(ApiError::KeyRequired) }
}
