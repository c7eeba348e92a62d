//! One request at a time, for tests that are not async.
use std::time::Duration;

use awc::http::Method;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const BODY_MAX: usize = 64 << 20;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in answer {self:?}"))
    }
}

/// A GET; `Err` when nobody answers.
///
/// # Errors
/// Why there is no answer.
pub fn get(url: &str) -> Result<Answer, String> {
    request("GET", url, &[], None)
}

/// Any request.
///
/// # Errors
/// Why there is no answer.
///
/// # Panics
/// For a method that is none.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Answer, String> {
    let method = Method::from_bytes(method.as_bytes()).expect("tests write methods right");
    let runtime = actix_rt::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = awc::Client::builder().timeout(PATIENCE).disable_redirects().finish();
        let mut request = client.request(method, url);
        for header in headers {
            request = request.insert_header(*header);
        }
        let sent = match body {
            Some(body) => request.send_json(body).await,
            None => request.send().await,
        };
        let mut response = sent.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.body().limit(BODY_MAX).await.map_err(|error| error.to_string())?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    })
}
