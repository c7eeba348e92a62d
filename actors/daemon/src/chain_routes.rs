//! Public routes: status and block lookups.
use units::Height;

use crate::answers::{BlockInfo, Status};
use crate::error::{DaemonError, Result};
use crate::http::{Call, Daemon, STATUS_LIMIT};

impl Daemon {
    /// The daemon's state. Never waits for a running validation.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<Status> {
        self.json(Call { limit: STATUS_LIMIT, ..Call::public("GET /api/status", "/api/status") }).await
    }

    /// The main-chain block at `height`; `None` above the tip.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn block_by_height(&self, height: Height) -> Result<Option<BlockInfo>> {
        self.block(height.to_string()).await
    }

    async fn block(&self, id: String) -> Result<Option<BlockInfo>> {
        match self.json(Call::public("GET /api/block/{id}", format!("/api/block/{id}"))).await {
            Ok(block) => Ok(Some(block)),
            Err(DaemonError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
