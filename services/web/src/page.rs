//! The page: embedded when it was built before the binary, a plain one otherwise.
use actix_web::http::Method;
use actix_web::http::header::{self, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::{Embed, EmbeddedFile};

use crate::answer::{ApiError, READ_METHODS, options};

#[derive(Embed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Dist;

const PLAIN: &str = include_str!("plain.html");

/// Any path that is no route: a file of the page, or the page itself.
pub(crate) async fn serve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(find(&request, Dist::get)),
        Method::OPTIONS => Ok(options(READ_METHODS)),
        _ => Err(ApiError::WrongMethod(READ_METHODS)),
    }
}

fn find(request: &HttpRequest, built: impl Fn(&str) -> Option<EmbeddedFile>) -> HttpResponse {
    let path = request.path().trim_start_matches('/');
    if !path.is_empty() && path != "index.html" {
        return match built(path) {
            Some(file) => embedded(request, path, &file),
            None => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("not found\n"),
        };
    }
    match built("index.html") {
        Some(file) => embedded(request, "index.html", &file),
        None => HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PLAIN),
    }
}

fn embedded(request: &HttpRequest, path: &str, file: &EmbeddedFile) -> HttpResponse {
    let digest: String = file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = EntityTag::new_strong(digest);
    let known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        _ => false,
    };
    // The page asks for its bundle with a digest behind it; other pages link to the same names without one.
    let versioned = path.starts_with("ui-assets/") && request.query_string().starts_with("v=");
    let cache = if versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((header::CACHE_CONTROL, cache)).insert_header(header::ETag(tag));
    if known {
        return answer.finish();
    }
    answer.content_type(content_type(path)).body(file.data.clone().into_owned())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    #[actix_web::test]
    async fn a_binary_that_was_built_without_node_serves_a_plain_page() {
        let answer = find(&TestRequest::get().uri("/").to_http_request(), |_| None);
        assert_eq!(answer.status(), StatusCode::OK);
        let body = to_bytes(answer.into_body()).await.expect("it is in memory");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("/api/stats"), "{text}");
        // The policy refuses scripts and styles inside a page.
        assert!(!text.contains("<script") && !text.contains("style"), "{text}");
        let missing = find(&TestRequest::get().uri("/ui-assets/app.js").to_http_request(), |_| None);
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}
