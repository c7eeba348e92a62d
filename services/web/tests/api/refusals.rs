//! Who is not answered, and what every answer carries.
use serde_json::json;

use crate::site::{Answer, address, on_each_site, with_drills};

fn is_problem(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/problem+json")));
    let body = answer.json();
    assert_eq!((&body["type"], &body["status"]), (&json!("about:blank"), &json!(status)));
    assert!(body["title"].is_string() && body["detail"] == body["error"], "{body}");
}

const PROTECTED: [&str; 4] = ["/api/miners", "/api/health", "/api/daemon/logs/stream?tail=200", "/api/admin/balances"];

#[test]
fn protected_routes_are_closed_without_a_configured_key() {
    on_each_site(
        |_| {},
        async |site| {
            for route in PROTECTED {
                is_problem(&site.get(route).await, 503);
                is_problem(&site.ask("GET", route, &[("x-api-key", "")], "").await, 503);
            }
            is_problem(&site.ask("POST", "/api/admin/recovery/payouts/pause", &[], "").await, 503);
        },
    );
}

#[test]
fn protected_routes_want_the_right_key() {
    on_each_site(with_drills, async |site| {
        for route in PROTECTED {
            is_problem(&site.get(route).await, 401);
            for (name, value) in [
                ("x-api-key", "open"),
                ("x-api-key", "open sesame "),
                ("x-api-key", ""),
                ("authorization", "open sesame"),
                ("authorization", "Basic open sesame"),
            ] {
                // A client trims what stands around a value.
                let expected = if value.trim() == "open sesame" && name == "x-api-key" { 404 } else { 401 };
                is_problem(&site.ask("GET", route, &[(name, value)], "").await, expected);
            }
            // These routes come later; who has a key is told so.
            is_problem(&site.ask("GET", route, &[("x-api-key", "open sesame")], "").await, 404);
            is_problem(&site.ask("GET", route, &[("authorization", "bearer second")], "").await, 404);
        }
    });
}

#[test]
fn what_does_not_exist_is_a_problem_document() {
    on_each_site(
        |_| {},
        async |site| {
            for route in ["/api", "/api/", "/api/nothing", "/api/miner/", "/api/miner/a/b/c"] {
                is_problem(&site.get(route).await, 404);
            }
            for (method, route) in
                [("POST", "/api/stats"), ("DELETE", "/api/blocks"), ("PUT", "/"), ("POST", "/readyz")]
            {
                let answer = site.ask(method, route, &[], "").await;
                is_problem(&answer, 405);
                assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
            }
            assert_eq!(site.get("/no-such-file.js").await.status, 404);
        },
    );
}

#[test]
fn every_answer_carries_the_security_headers() {
    on_each_site(
        |_| {},
        async |site| {
            let own = format!("/api/miner/{}", address(0));
            for route in ["/", "/api/stats", "/api/nothing", "/api/miners", "/readyz", "/metrics", "/gone.js", &own] {
                let answer = site.get(route).await;
                let policy = answer.header("content-security-policy").unwrap_or_default();
                assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{route}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{route}");
                assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{route}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{route}");
                assert_eq!(answer.header("server"), None, "{route}");
            }
        },
    );
}

#[test]
fn pages_of_other_origins_may_read_what_is_public() {
    on_each_site(
        |_| {},
        async |site| {
            let own = format!("/api/miner/{}/balance", address(0));
            for route in ["/api/info", "/api/stats", "/api/blocks", "/api/payouts/recent", "/api/nothing", &own] {
                let answer = site.ask("GET", route, &[("origin", "https://elsewhere.example")], "").await;
                assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{route}");
                assert_eq!(answer.header("cache-control"), Some("no-cache"), "{route}");
            }
            for route in ["/api/miners", "/api/admin/balances", "/metrics", "/readyz"] {
                assert_eq!(site.get(route).await.header("access-control-allow-origin"), None, "{route}");
            }
        },
    );
}

#[test]
fn a_browser_that_asks_first_is_told_what_it_may() {
    on_each_site(with_drills, async |site| {
        let ask = [("origin", "https://elsewhere.example"), ("access-control-request-method", "GET")];
        for route in ["/api/stats", "/api/stats/", "/api/blocks", "/", "/readyz"] {
            let answer = site.ask("OPTIONS", route, &ask, "").await;
            assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{route}");
            for header in ["allow", "access-control-allow-methods"] {
                assert_eq!(answer.header(header), Some("GET, HEAD, OPTIONS"), "{route}");
            }
            // Only what everybody may read is given to pages of other origins.
            let public = route.starts_with("/api/").then_some("*");
            assert_eq!(answer.header("access-control-allow-origin"), public, "{route}");
        }
        let drill = site.ask("OPTIONS", "/api/devnet/drill", &ask, "").await;
        assert_eq!((drill.header("allow"), drill.header("access-control-allow-origin")), (Some("POST, OPTIONS"), None));
        assert_eq!(site.ask("OPTIONS", "/api/nothing", &ask, "").await.status, 404);
        assert_eq!(site.ask("OPTIONS", "/api/miners", &ask, "").await.status, 401, "a key is no page's to send");
    });
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    on_each_site(
        |_| {},
        async |site| {
            for route in ["/", "/api/stats", "/livez"] {
                let answer = site.ask("HEAD", route, &[], "").await;
                assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{route}");
            }
        },
    );
}

#[test]
fn a_directory_of_the_operator_replaces_the_built_in_page() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("ui-assets")).unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>mine").unwrap();
    std::fs::write(dir.path().join("ui-assets/app.js"), "1").unwrap();
    std::fs::write(dir.path().join("ui-assets/app.css"), "p{}").unwrap();
    let place = dir.path().to_path_buf();
    on_each_site(
        move |parts| {
            let mut settings = settings::Settings::clone(&parts.settings);
            settings.api.ui_dir = Some(place.clone());
            parts.settings = std::sync::Arc::new(settings);
        },
        async |site| {
            assert_eq!(site.get("/").await.body, "<p>mine");
            for (name, kind) in [("app.js", "javascript"), ("app.css", "text/css")] {
                let answer = site.get(&format!("/ui-assets/{name}")).await;
                assert!(answer.status == 200 && answer.header("content-type").unwrap().contains(kind), "{name}");
            }
            is_problem(&site.get("/api/nothing").await, 404);
        },
    );
}
