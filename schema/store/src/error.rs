//! Why a query or the start failed.
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};

/// Longest text of a database's that is passed on: it may quote a whole row.
const TEXT_MAX: usize = 1_000;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// All connections are in use, or the database is away.
    #[error("no database connection within the time limit")]
    NoConnection,
    /// The database refused or broke off.
    #[error("query failed: {}", described(.0))]
    Query(#[from] Error),
    /// The database refuses what was to be written, and would do so again: its SQLSTATE is of class 22, or a check
    /// constraint is violated. Only the fold asks for it.
    #[error("database refused the data: {text} (SQLSTATE {code})")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// What the database said.
        text: String,
    },
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
    /// Texts of miners do not fit into every encoding.
    #[error(
        "database {place} has the encoding {encoding}, which cannot hold every worker name; make one with UTF8 \
         (`createdb --encoding=UTF8 --template=template0 NAME`), move what is in this one there, and set database.url"
    )]
    Encoding {
        /// The place, without credentials.
        place: String,
        /// As the server calls it.
        encoding: String,
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

impl StoreError {
    /// What the database said of data that it refuses.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            StoreError::Refused { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// The database server's own words, in one line: message, detail, hint, and what of it the error is about.
pub(crate) fn described(error: &Error) -> String {
    let Error::DatabaseError(kind, info) = error else { return error.to_string() };
    let mut text = one_line(info.message());
    if let Some(code) = code(kind) {
        text.push_str(&format!(" (SQLSTATE {code})"));
    }
    for (name, value) in parts(&**info) {
        // PostgreSQL's message often names them already.
        if !text.contains(value) {
            text.push_str(&format!("; {name}: {}", one_line(value)));
        }
    }
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn parts(info: &(dyn DatabaseErrorInformation + Send + Sync)) -> impl Iterator<Item = (&'static str, &str)> {
    let parts = [
        ("detail", info.details()),
        ("hint", info.hint()),
        ("table", info.table_name()),
        ("column", info.column_name()),
        ("constraint", info.constraint_name()),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
}

/// Of the kinds that the driver makes of one SQLSTATE each, on PostgreSQL; the nearest one of what SQLite says.
fn code(kind: &DatabaseErrorKind) -> Option<&'static str> {
    match kind {
        DatabaseErrorKind::UniqueViolation => Some("23505"),
        DatabaseErrorKind::ForeignKeyViolation => Some("23503"),
        DatabaseErrorKind::NotNullViolation => Some("23502"),
        DatabaseErrorKind::CheckViolation => Some("23514"),
        DatabaseErrorKind::RestrictViolation => Some("23001"),
        DatabaseErrorKind::ExclusionViolation => Some("23P01"),
        DatabaseErrorKind::SerializationFailure => Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => Some("25006"),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
