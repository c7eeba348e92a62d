//! What this daemon can do beyond the routes that every one has.
use bytes::Bytes;

use crate::error::{DaemonError, Result};
use crate::http::{Call, Daemon};

/// Newer routes and fields, as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Leases can be renewed (0.16).
    pub renew: bool,
    /// Status and templates count mempool changes (0.17).
    pub mempool_generation: bool,
    /// The outcome of a send can be asked for by its key (0.13.3). Only then is the key relied upon.
    pub send_status: bool,
    /// The wallet lists its sends (0.13.3).
    pub sends: bool,
    /// A send can name its inputs (0.8).
    pub advanced: bool,
}

impl Daemon {
    /// Looks which newer routes exist. Changes nothing at the daemon: every request is one that it refuses.
    ///
    /// # Errors
    /// When the daemon does not answer. A route that answers anything but "no such route" exists.
    pub async fn probe(&self) -> Result<Capabilities> {
        let empty = || Bytes::from_static(b"{}");
        Ok(Capabilities {
            mempool_generation: self.status().await?.mempool_generation.is_some(),
            renew: self.has(Call::post("POST /api/mining/renewtemplate", "/api/mining/renewtemplate", empty())).await?,
            send_status: self.has(Call::get("GET /api/wallet/send/status", "/api/wallet/send/status")).await?,
            sends: self.has(Call::get("GET /api/wallet/sends", "/api/wallet/sends?limit=0")).await?,
            advanced: self
                .has(Call::post("POST /api/wallet/send/advanced", "/api/wallet/send/advanced", empty()))
                .await?,
        })
    }

    async fn has(&self, call: Call<'_>) -> Result<bool> {
        match self.bytes(call).await {
            Err(DaemonError::NoSuchRoute { .. }) => Ok(false),
            Err(error) if error.is_unreachable() => Err(error),
            _ => Ok(true),
        }
    }
}
