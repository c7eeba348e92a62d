//! The wallet's password: from a file, from the environment, or from a `.env` file beside the settings.
use std::io::ErrorKind;
use std::path::Path;

use secrecy::SecretString;

use crate::error::{Problem, SettingsError};
use crate::{DaemonEndpoint, Settings};

const VARIABLE: &str = "BLOCKNET_WALLET_PASSWORD";
const KEY: &str = "daemon.wallet_password_file";

impl Settings {
    /// The password of a daemon's wallet: from its `wallet_password_file`, else from `BLOCKNET_WALLET_PASSWORD` in the
    /// environment, else from the same name in the file `.env` in the settings file's directory. `None` when nobody
    /// gave one. Files are read anew each time, so one may appear or change while the pool runs.
    ///
    /// # Errors
    /// When a file that should hold it cannot be read, or when a `.env` that holds it can be read by others.
    pub fn wallet_password(&self, daemon: &DaemonEndpoint) -> Result<Option<SecretString>, SettingsError> {
        if let Some(path) = &daemon.wallet_password_file {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
            let password = text.strip_suffix('\n').unwrap_or(&text);
            let password = password.strip_suffix('\r').unwrap_or(password);
            return Ok((!password.is_empty()).then(|| SecretString::from(password)));
        }
        if let Some(password) = &self.password.env {
            return Ok(Some(password.clone()));
        }
        from_dotenv(&self.password.config_dir.join(".env"))
    }
}

fn from_dotenv(path: &Path) -> Result<Option<SecretString>, SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let Some(password) = text.lines().rev().find_map(assigned) else { return Ok(None) };
    refuse_readable_by_others(path)?;
    Ok(Some(SecretString::from(password)))
}

/// The password, if this line of a `.env` file sets one. The last such line counts.
fn assigned(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    if name.trim() != VARIABLE {
        return None;
    }
    let value = value.trim();
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty())
}

#[cfg(unix)]
fn refuse_readable_by_others(path: &Path) -> Result<(), SettingsError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let what = format!("holds {VARIABLE} and must have mode 0600, not {mode:04o}");
    Err(problem(path.display().to_string(), what, None))
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_: &Path) -> Result<(), SettingsError> {
    Ok(()) // There are no modes to look at.
}

fn unreadable(path: &Path, error: &std::io::Error) -> SettingsError {
    problem(KEY.to_owned(), format!("cannot be read: {error}"), Some(path.display().to_string()))
}

fn problem(key: String, what: String, place: Option<String>) -> SettingsError {
    SettingsError(vec![Problem { key, what, place }])
}
