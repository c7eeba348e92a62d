//! The wallet file.
use std::io;
use std::path::Path;

use devnet_accounts::Keys;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SendRecord;
use crate::persist::{self, PersistError};

/// Shorter passwords are refused.
pub(crate) const MINIMUM_PASSWORD_CHARS: usize = 3;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WalletFile {
    pub(super) keys: Keys,
    /// Simulated secrets need no strong hash, only a password that can be wrong.
    password_digest: String,
    pub(crate) created_at_secs: i64,
    pub(super) synced_height: u64,
    pub(super) sends: Vec<SendRecord>,
}

/// Why a wallet is not loaded. The texts are the daemon's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadRefusal {
    #[error("wallet file not found")]
    NotFound,
    #[error("wallet file not readable (permission denied)")]
    NotReadable,
    /// Also for files that are not wallets.
    #[error("wrong password")]
    WrongPassword,
    #[error("internal error")]
    Io,
}

fn digest(password: &str) -> String {
    hex::encode(Sha256::new().chain_update(b"devnet wallet").chain_update(password).finalize())
}

impl WalletFile {
    pub(super) fn new(keys: Keys, password: &str, created_at_secs: i64, synced_height: u64) -> WalletFile {
        let password_digest = digest(password);
        WalletFile { keys, password_digest, created_at_secs, synced_height, sends: Vec::new() }
    }

    pub(super) fn read(path: &Path, password: &str) -> Result<WalletFile, LoadRefusal> {
        let file: WalletFile = match persist::read_json(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(LoadRefusal::NotFound),
            Err(PersistError::Content { .. }) => return Err(LoadRefusal::WrongPassword),
            Err(PersistError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(LoadRefusal::NotReadable);
            }
            Err(PersistError::Io { .. }) => return Err(LoadRefusal::Io),
        };
        if file.has_password(password) { Ok(file) } else { Err(LoadRefusal::WrongPassword) }
    }

    pub(super) fn has_password(&self, password: &str) -> bool {
        self.password_digest == digest(password)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), PersistError> {
        persist::replace_json(path, self)
    }
}
