//! Where the daemon is and which token opens it.
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// File inside a daemon's data directory that holds the token of its present run.
const COOKIE_FILE: &str = "api.cookie";

/// One daemon.
#[derive(Debug, Clone, Default)]
pub struct DaemonSettings {
    /// Base URL, `http://HOST:PORT`.
    pub url: String,
    /// File with the token. Tried when there is no `token`.
    pub cookie_path: Option<PathBuf>,
    /// The daemon's data directory; its `api.cookie` is tried when the file at `cookie_path` cannot be read.
    pub data_dir: Option<PathBuf>,
    /// A fixed token; blank counts as none.
    pub token: Option<SecretString>,
}

/// Gives a wallet's password anew each time, so that one may appear or change while the pool runs. May block on a file
/// system; `None` when nobody gave one.
pub type WalletPassword = Arc<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// The token in use. Files are read when first needed and again when the daemon refuses what they held.
#[derive(Debug)]
pub(crate) struct Auth {
    fixed: Option<SecretString>,
    files: Vec<PathBuf>,
    read: RefCell<Option<(SecretString, PathBuf)>>,
    /// What the daemon refused last. A daemon that was killed leaves a token behind that may lie in an earlier file.
    refused: RefCell<Option<SecretString>>,
}

impl Auth {
    pub(crate) fn new(settings: &DaemonSettings) -> Auth {
        let fixed = settings.token.clone().filter(|token| !token.expose_secret().trim().is_empty());
        let in_data_dir = settings.data_dir.as_ref().map(|dir| dir.join(COOKIE_FILE));
        let files = settings.cookie_path.clone().into_iter().chain(in_data_dir).collect();
        Auth { fixed, files, read: RefCell::default(), refused: RefCell::default() }
    }

    /// The token, or why there is none. `Err` names the file.
    pub(crate) async fn token(&self) -> Result<SecretString, String> {
        if let Some(token) = &self.fixed {
            return Ok(token.clone());
        }
        if let Some((token, _)) = self.read.borrow().as_ref() {
            return Ok(token.clone());
        }
        let (files, refused) = (self.files.clone(), self.refused.borrow().clone());
        // A cookie may lie on a file system that hangs; the arbiter must not.
        let (token, path) = tokio::task::spawn_blocking(move || first_token(&files, refused.as_ref()))
            .await
            .unwrap_or_else(|_| Err("reading the token was broken off".to_owned()))?;
        *self.read.borrow_mut() = Some((token.clone(), path));
        Ok(token)
    }

    /// Drops what was read, so that the next [`Auth::token`] looks again. `false` when the token is fixed.
    pub(crate) fn forget(&self) -> bool {
        if let Some((token, _)) = self.read.borrow_mut().take() {
            *self.refused.borrow_mut() = Some(token);
        }
        self.fixed.is_none()
    }

    /// Where the token in use came from.
    pub(crate) fn place(&self) -> String {
        match (&self.fixed, self.read.borrow().as_ref()) {
            (Some(_), _) => "the settings".to_owned(),
            (None, Some((_, path))) => path.display().to_string(),
            (None, None) => self.files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// The first file's, but one that was refused only if there is no other.
fn first_token(files: &[PathBuf], refused: Option<&SecretString>) -> Result<(SecretString, PathBuf), String> {
    let (mut failures, mut second_best) = (Vec::new(), None);
    for path in files {
        match read_token(path) {
            Ok(token) if refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret()) => {
                second_best = second_best.or(Some((token, path.clone())));
            }
            Ok(token) => return Ok((token, path.clone())),
            Err(why) => failures.push(format!("token file {}: {why}", path.display())),
        }
    }
    second_best.ok_or_else(|| match failures.is_empty() {
        true => "neither a token nor a token file is set".to_owned(),
        false => failures.join("; "),
    })
}

fn read_token(path: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    // Also what a header value may hold, so that building the request cannot fail later.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds no token".to_owned());
    }
    Ok(SecretString::from(token.to_owned()))
}
