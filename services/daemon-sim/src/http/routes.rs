//! Which routes exist, who may call them, and what an unknown one answers.
use crate::params::Routes;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Status,
    Stats,
    Block,
    Transaction,
    Mempool,
    MempoolTransactions,
    Peers,
    PeersBanned,
    Verify,
    Mining,
    Template,
    Renew,
    Submit,
    Events,
    Address,
    Balance,
    History,
    Outputs,
    Sends,
    Send,
    SendStatus,
    Advanced,
    AdvancedStatus,
    Load,
    Create,
    Unload,
    Lock,
    Unlock,
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Public,
    Token,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Every daemon in use has it.
    Always,
    Lately,
}

use Access::{Public, Token};
use Since::{Always, Lately};

/// A path that ends in a slash takes one more part.
const TABLE: &[(&str, &str, Route, Access, Since)] = &[
    ("GET", "health", Route::Health, Public, Lately),
    ("GET", "status", Route::Status, Public, Always),
    ("GET", "stats", Route::Stats, Public, Lately),
    ("GET", "block/", Route::Block, Public, Always),
    ("GET", "tx/", Route::Transaction, Public, Lately),
    ("GET", "mempool", Route::Mempool, Public, Lately),
    ("GET", "mempool/txs", Route::MempoolTransactions, Public, Lately),
    ("GET", "peers", Route::Peers, Public, Lately),
    ("GET", "peers/banned", Route::PeersBanned, Public, Lately),
    ("POST", "verify", Route::Verify, Public, Lately),
    ("GET", "mining", Route::Mining, Token, Lately),
    ("GET", "mining/blocktemplate", Route::Template, Token, Always),
    ("POST", "mining/renewtemplate", Route::Renew, Token, Lately),
    ("POST", "mining/submitblock", Route::Submit, Token, Always),
    ("GET", "events", Route::Events, Token, Always),
    ("GET", "wallet/address", Route::Address, Token, Always),
    ("GET", "wallet/balance", Route::Balance, Token, Always),
    ("GET", "wallet/history", Route::History, Token, Lately),
    ("GET", "wallet/outputs", Route::Outputs, Token, Lately),
    ("GET", "wallet/sends", Route::Sends, Token, Lately),
    ("POST", "wallet/send", Route::Send, Token, Always),
    ("GET", "wallet/send/status", Route::SendStatus, Token, Lately),
    ("POST", "wallet/send/advanced", Route::Advanced, Token, Lately),
    ("GET", "wallet/send/advanced/status", Route::AdvancedStatus, Token, Lately),
    ("POST", "wallet/load", Route::Load, Token, Always),
    ("POST", "wallet/create", Route::Create, Token, Lately),
    ("POST", "wallet/unload", Route::Unload, Token, Lately),
    ("POST", "wallet/lock", Route::Lock, Token, Lately),
    ("POST", "wallet/unlock", Route::Unlock, Token, Always),
    ("POST", "wallet/sync", Route::Sync, Token, Lately),
];

/// What a method and path lead to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RouteMatch<'a> {
    /// The route, its name for faults, its variable part, and whether it needs the token.
    Route { route: Route, name: &'static str, variable: &'a str, is_public: bool },
    /// With a valid token: 405 and what is allowed. Without: 401.
    WrongMethod { allow: &'static str },
    /// With a valid token: 404. Without: 401.
    Unknown,
}

pub(crate) fn find<'a>(routes: Routes, method: &str, path: &'a str) -> RouteMatch<'a> {
    let method = if method == "HEAD" { "GET" } else { method };
    let Some(path) = path.strip_prefix("/api/") else { return RouteMatch::Unknown };
    let mut wrong_method = RouteMatch::Unknown;
    for (wanted, pattern, route, access, since) in TABLE {
        if routes == Routes::Basic && *since == Lately {
            continue;
        }
        let variable = match path.strip_prefix(pattern) {
            Some("") if !pattern.ends_with('/') => "",
            Some(rest) if pattern.ends_with('/') && !rest.is_empty() && !rest.contains('/') => rest,
            _ => continue,
        };
        if *wanted == method {
            let name = pattern.trim_end_matches('/');
            return RouteMatch::Route { route: *route, name, variable, is_public: *access == Public };
        }
        // A public path with another method is unknown to the private side, on which it ends.
        if *access == Token {
            wrong_method = RouteMatch::WrongMethod { allow: if *wanted == "GET" { "GET, HEAD" } else { "POST" } };
        }
    }
    wrong_method
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_whole() {
        let route = |method, path| match find(Routes::Full, method, path) {
            RouteMatch::Route { route, variable, .. } => Some((route, variable)),
            _ => None,
        };
        assert_eq!(route("GET", "/api/block/12"), Some((Route::Block, "12")));
        assert_eq!(route("HEAD", "/api/status"), Some((Route::Status, "")));
        assert_eq!(route("GET", "/api/status/"), None);
        assert_eq!(route("GET", "/api/block/"), None);
        assert_eq!(find(Routes::Full, "POST", "/api/status"), RouteMatch::Unknown);
        assert_eq!(find(Routes::Full, "GET", "/api/wallet/send"), RouteMatch::WrongMethod { allow: "POST" });
        assert_eq!(find(Routes::Basic, "GET", "/api/wallet/sends"), RouteMatch::Unknown);
    }
}
