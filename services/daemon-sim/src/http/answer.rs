//! An HTTP answer as the daemon writes it.
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, http::header};
use serde::Serialize;

use crate::persist::PersistError;

/// Go's server sends more than this in chunks, less with a length.
const UNCHUNKED_BYTES_MAX: usize = 2048;

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: &'static str,
    pub(crate) body: String,
    headers: Vec<(&'static str, String)>,
}

/// Why a handler ends without the answer that it was to give.
#[derive(Debug)]
pub(crate) enum Stop {
    /// With this one.
    Answer(Answer),
    /// The daemon was restarted under it; nobody hears it any more.
    Gone,
}

impl From<Answer> for Stop {
    fn from(answer: Answer) -> Stop {
        Stop::Answer(answer)
    }
}

impl From<PersistError> for Stop {
    fn from(error: PersistError) -> Stop {
        tracing::error!(error = &error as &dyn std::error::Error, "the data directory failed");
        Stop::Answer(Answer::error(500, "internal error"))
    }
}

impl Answer {
    /// One JSON value and a line feed, with the characters that Go escapes.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Answer {
        let text = serde_json::to_string(value).expect("answers have text keys and finite numbers");
        // These three occur inside of strings only.
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        Answer::raw(status, text + "\n")
    }

    /// JSON text that was made before.
    pub(crate) fn raw(status: u16, body: String) -> Answer {
        Answer { status, content_type: "application/json", body, headers: Vec::new() }
    }

    pub(crate) fn error(status: u16, text: impl std::fmt::Display) -> Answer {
        Answer::json(status, &serde_json::json!({ "error": text.to_string() }))
    }

    pub(crate) fn text(status: u16, body: &str) -> Answer {
        let body = format!("{body}\n");
        Answer { status, content_type: "text/plain; charset=utf-8", body, headers: Vec::new() }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl ToString) -> Answer {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, self.content_type));
        for (name, value) in self.headers {
            response.insert_header((name, value));
        }
        if self.body.len() <= UNCHUNKED_BYTES_MAX {
            return response.body(self.body);
        }
        let body = Bytes::from(self.body);
        response.streaming(futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(body) }))
    }
}

/// A float as Go prints it: without a fraction when there is none.
pub(crate) fn go_number(value: f64) -> serde_json::Value {
    let is_whole = value.fract() == 0.0 && value.abs() < 1e15;
    if is_whole { serde_json::json!(format_whole(value)) } else { serde_json::json!(value) }
}

fn format_whole(value: f64) -> serde_json::Number {
    // The decimal text of a whole number below 2^53 is exact.
    format!("{value:.0}").parse::<i64>().unwrap_or(0).into()
}

/// A duration in whole seconds as Go prints it: `3h12m5s`.
pub(crate) fn go_duration(secs: u64) -> String {
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A moment as Go prints it: RFC 3339 in UTC, up to nine digits after the dot, no trailing zeros.
pub(crate) fn go_time(ns: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(ns);
    let text = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_times_look_as_from_go() {
        assert_eq!(go_number(300.0).to_string(), "300");
        assert_eq!(go_number(4.0 / 300.0).to_string(), "0.013333333333333334");
        assert_eq!(go_duration(269), "4m29s");
        assert_eq!(go_duration(6), "6s");
        assert_eq!(go_duration(11_525), "3h12m5s");
        assert_eq!(go_time(1_795_415_919_619_149_300), "2026-11-23T06:38:39.6191493Z");
        assert_eq!(go_time(1_795_415_919_000_000_000), "2026-11-23T06:38:39Z");
    }

    #[test]
    fn markup_in_texts_is_escaped() {
        assert_eq!(Answer::error(400, "a<b>&c").body, "{\"error\":\"a\\u003cb\\u003e\\u0026c\"}\n");
    }
}
