//! Why a query or the start failed.

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// All connections are in use, or the database is away.
    #[error("no database connection within the time limit")]
    NoConnection,
    /// The database refused or broke off.
    #[error("query failed")]
    Query(#[from] diesel::result::Error),
    /// Another holder has a newer lease: this writer must stop.
    #[error("lease `{name}` was lost: epoch {ours} is not the current one")]
    Fenced {
        /// The lease.
        name: &'static str,
        /// The epoch that was refused.
        ours: i64,
    },
    /// A guarded change found another state than the caller had seen.
    #[error("{what} is no longer in the expected state")]
    Conflict {
        /// What it was about.
        what: String,
    },
    /// A row that breaks a rule of the pool.
    #[error("stored {what} is damaged: {why}")]
    Damaged {
        /// Table and key.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// The query's task was lost (the runtime is shutting down).
    #[error("the database runtime is shutting down")]
    ShutDown,
}

/// Why the database cannot be used. All of these end the process with exit code 69.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is neither `sqlite:PATH` nor `postgres://...`.
    #[error("database url `{0}` is neither sqlite:PATH nor postgres://...")]
    BadUrl(String),
    /// Nothing answered, or it refused.
    #[error("database {place} cannot be reached: {why}")]
    Unreachable {
        /// The place, without credentials.
        place: String,
        /// What the driver said.
        why: String,
    },
    /// Migrations are missing; `meshpool migrate` applies them.
    #[error("database {place} is not migrated (missing {missing}); run `meshpool migrate`")]
    NotMigrated {
        /// The place, without credentials.
        place: String,
        /// First missing version.
        missing: String,
    },
    /// It was migrated by a newer binary.
    #[error("database {place} is newer than this program (it has migration {version}); use the newer program")]
    TooNew {
        /// The place, without credentials.
        place: String,
        /// The version that this binary does not know.
        version: String,
    },
    /// A migration failed.
    #[error("database {place} could not be migrated: {why}")]
    MigrationFailed {
        /// The place, without credentials.
        place: String,
        /// What went wrong.
        why: String,
    },
}
