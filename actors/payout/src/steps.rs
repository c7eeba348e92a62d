//! Compares the data directory's count of payout steps with the one in the database.
use store::Store;

use crate::error::PayoutError;
use crate::parts::PayoutParts;
use crate::steps_file::StepsFile;

/// Both counts.
pub(crate) struct StepCounts {
    file: StepsFile,
    store: Store,
    /// The epoch under which they were compared.
    compared_under: Option<i64>,
}

impl StepCounts {
    pub(crate) fn new(parts: &PayoutParts) -> StepCounts {
        let file = StepsFile::new(parts.steps_file.clone());
        StepCounts { file, store: parts.store.clone(), compared_under: None }
    }

    pub(crate) fn is_due(&self, epoch: i64) -> bool {
        self.compared_under != Some(epoch)
    }

    /// An error when the books are older than the data directory. It stays due until `set_compared`.
    pub(crate) async fn compare(&mut self, epoch: i64) -> Result<(), PayoutError> {
        self.compared_under = None;
        let counted = self.file.read().await?;
        let books = self.store.payout_books().await?;
        if let Some(counted) = counted.filter(|counted| *counted > books.steps) {
            if books.steps_ahead != Some(counted) {
                self.store.payout_steps_ahead(epoch, Some(counted)).await?;
            }
            return Err(PayoutError::OlderBooks { counted, known: books.steps });
        }
        if books.steps_ahead.is_some() {
            self.store.payout_steps_ahead(epoch, None).await?;
        }
        if counted.is_none() {
            self.file.write(books.steps).await?;
        }
        Ok(())
    }

    pub(crate) fn set_compared(&mut self, epoch: i64) {
        self.compared_under = Some(epoch);
    }

    /// The wallet's own history has told that nothing is missing: whatever the file says is in the books, too.
    pub(crate) async fn settle(&self, epoch: i64) -> Result<(), PayoutError> {
        let Some(counted) = self.file.read().await? else { return Ok(()) };
        if counted > self.store.payout_books().await?.steps {
            self.store.payout_steps_raise(epoch, counted).await?;
        }
        Ok(())
    }
}
