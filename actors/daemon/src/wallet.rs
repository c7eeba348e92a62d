//! The wallet: state, outputs, sends.
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::answers::{Balance, DryRun, LoadedWallet, SendStatus, Sends, Sent, WalletAddress, WalletOutputs};
use crate::error::{DaemonError, Result};
use crate::http::{Call, Daemon};

/// A wallet that has mined for years holds many outputs.
const OUTPUTS_LIMIT_BYTES: usize = 128 << 20;

const SEND: &str = "POST /api/wallet/send";
const SEND_PATH: &str = "/api/wallet/send";
const SEND_ADVANCED: &str = "POST /api/wallet/send/advanced";
const SEND_ADVANCED_PATH: &str = "/api/wallet/send/advanced";

/// All of these answer `Wallet(NotLoaded)` or `Wallet(Locked)` while the wallet is in that state.
impl Daemon {
    /// Where the wallet receives.
    ///
    /// # Errors
    /// When the wallet or the daemon is not ready.
    pub async fn wallet_address(&self) -> Result<WalletAddress> {
        self.json(Call::get("GET /api/wallet/address", "/api/wallet/address")).await
    }

    /// What the wallet holds.
    ///
    /// # Errors
    /// When the wallet or the daemon is not ready.
    pub async fn wallet_balance(&self) -> Result<Balance> {
        self.json(Call::get("GET /api/wallet/balance", "/api/wallet/balance")).await
    }

    /// Everything the wallet ever received.
    ///
    /// # Errors
    /// When the wallet or the daemon is not ready.
    pub async fn wallet_outputs(&self) -> Result<WalletOutputs> {
        let call = Call::get("GET /api/wallet/outputs", "/api/wallet/outputs");
        self.json(Call { body_limit: OUTPUTS_LIMIT_BYTES, ..call }).await
    }

    /// A page of the wallet's own sends, newest first. At most 500; keep it narrow, one send that the chain does
    /// not hold makes the daemon walk all of it.
    ///
    /// # Errors
    /// When the wallet or the daemon is not ready; `NoSuchRoute` before 0.13.3.
    pub async fn wallet_sends(&self, limit: u32, offset: u64) -> Result<Sends> {
        self.json(Call::get("GET /api/wallet/sends", format!("/api/wallet/sends?limit={limit}&offset={offset}"))).await
    }

    /// Loads and unlocks the wallet of the daemon's own choice. `None` when one is loaded already.
    ///
    /// # Errors
    /// `Wallet(WrongPassword)`, or when the file cannot be read.
    pub async fn wallet_load(&self, password: &SecretString) -> Result<Option<LoadedWallet>> {
        let call = Call::post("POST /api/wallet/load", "/api/wallet/load", password_body(password));
        match self.json(call).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(DaemonError::Refused { status: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Unlocks the loaded wallet.
    ///
    /// # Errors
    /// `Wallet(WrongPassword)`; `Busy` while the daemon makes an attacker wait.
    pub async fn wallet_unlock(&self, password: &SecretString) -> Result<()> {
        let call = Call::post("POST /api/wallet/unlock", "/api/wallet/unlock", password_body(password));
        self.bytes(call).await.map(drop)
    }

    /// Sends `body` as it is under `key`. The daemon knows a repetition by both: store them before the call.
    ///
    /// # Errors
    /// [`DaemonError::is_definitely_not_done`] says whether this request can have had an effect.
    pub async fn send(&self, body: Bytes, key: &str) -> Result<Sent> {
        self.json(Call { key: Some(key), ..Call::post(SEND, SEND_PATH, body) }).await
    }

    /// As [`Daemon::send`], with inputs that the body names.
    ///
    /// # Errors
    /// As [`Daemon::send`]; `NoSuchRoute` before 0.8.
    pub async fn send_advanced(&self, body: Bytes, key: &str) -> Result<Sent> {
        self.json(Call { key: Some(key), ..Call::post(SEND_ADVANCED, SEND_ADVANCED_PATH, body) }).await
    }

    /// What a plain send would cost; `body` must say `"dry_run":true`. Goes without a key, so nothing is stored.
    ///
    /// # Errors
    /// As [`Daemon::send`].
    pub async fn send_dry_run(&self, body: Bytes) -> Result<DryRun> {
        self.json(Call::post(SEND, SEND_PATH, body)).await
    }

    /// As [`Daemon::send_dry_run`], with inputs that the body names.
    ///
    /// # Errors
    /// As [`Daemon::send_advanced`].
    pub async fn send_advanced_dry_run(&self, body: Bytes) -> Result<DryRun> {
        self.json(Call::post(SEND_ADVANCED, SEND_ADVANCED_PATH, body)).await
    }

    /// What the daemon has stored under `key`; plain and advanced sends have keys of their own. Needs no wallet.
    ///
    /// # Errors
    /// When the daemon does not answer; `NoSuchRoute` before 0.13.3.
    pub async fn send_status(&self, key: &str, advanced: bool) -> Result<SendStatus> {
        let (route, path) = if advanced {
            ("GET /api/wallet/send/advanced/status", "/api/wallet/send/advanced/status")
        } else {
            ("GET /api/wallet/send/status", "/api/wallet/send/status")
        };
        // Keys are the pool's own (hex and dashes); a stray character must not break the query.
        debug_assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        self.json(Call::get(route, format!("{path}?idempotency_key={key}"))).await
    }
}

fn password_body(password: &SecretString) -> Bytes {
    Bytes::from(json!({ "password": password.expose_secret() }).to_string())
}
