//! Which token opens the daemon.
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use settings::DaemonEndpoint;

use crate::error::{TokenError, TokenFileError};

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
    pub(crate) fn new(endpoint: &DaemonEndpoint) -> Auth {
        let fixed = Some(endpoint.token.clone()).filter(|token| !token.expose_secret().trim().is_empty());
        Auth { fixed, files: endpoint.cookie_files(), read: RefCell::default(), refused: RefCell::default() }
    }

    /// The token, or why there is none.
    pub(crate) async fn token(&self) -> Result<SecretString, TokenError> {
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
            .unwrap_or(Err(TokenError::BrokenOff))?;
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
fn first_token(files: &[PathBuf], refused: Option<&SecretString>) -> Result<(SecretString, PathBuf), TokenError> {
    let (mut failures, mut second_best) = (Vec::new(), None);
    for path in files {
        match read_token(path) {
            Ok(token) if refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret()) => {
                second_best = second_best.or(Some((token, path.clone())));
            }
            Ok(token) => return Ok((token, path.clone())),
            Err(why) => failures.push((path.clone(), why)),
        }
    }
    let none = if files.is_empty() { TokenError::NotSet } else { TokenError::Files(failures) };
    second_best.ok_or(none)
}

fn read_token(path: &Path) -> Result<SecretString, TokenFileError> {
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    // Also what a header value may hold, so that building the request cannot fail later.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFileError::NoToken);
    }
    Ok(SecretString::from(token.to_owned()))
}
