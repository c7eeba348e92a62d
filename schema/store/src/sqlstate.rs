//! Which data the database refuses, told apart from everything else that can fail.
//!
//! PostgreSQL says it with an SQLSTATE, which its driver passes on for a few errors only. So a transaction that failed
//! runs once more under [`asking`]: each statement behind a savepoint, and one that fails is repeated by the server
//! itself, which catches the error and gives its SQLSTATE as the text of another one. SQLite has a number instead, which
//! its driver keeps as well; there the text decides.
//!
//! Only failures cost: without [`asking`] a statement is sent as ever.
use std::fmt::Write as _;

use diesel::QueryableByName;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::bind::Bind;
use crate::db::{Conn, Lite};
use crate::error::described;
use crate::{Result, StoreError};

/// Of a check constraint.
const CHECK_VIOLATION: &str = "23514";
/// First digits of what is wrong with data: too large, not of the type, not of the encoding.
const DATA: &str = "22";
/// The class itself.
const DATA_EXCEPTION: &str = "22000";

/// What SQLite says of a value that does not fit its column. Its texts are constants of its source.
const LITE_DATA: [&str; 4] = ["datatype mismatch", "string or blob too big", "cannot store ", "integer overflow"];

/// Caught by the server, so that its SQLSTATE comes back as a text.
const CATCH: &str = "DO $$ BEGIN EXECUTE current_setting('meshpool.statement'); \
    EXCEPTION WHEN OTHERS THEN RAISE EXCEPTION USING MESSAGE = SQLSTATE; END $$";

tokio::task_local! {
    static ASKED: ();
}

/// Runs a transaction so that data which the database refuses end it with [`StoreError::Refused`].
pub(crate) async fn asking<T>(transaction: impl Future<Output = Result<T>>) -> Result<T> {
    ASKED.scope((), transaction).await
}

/// What is needed to ask about a statement that may fail; `None` when nobody wants to know.
pub(crate) struct Question {
    /// For PostgreSQL: the statement with its parameters in it.
    statement: Option<String>,
}

impl Question {
    /// Before the statement.
    pub(crate) async fn prepare(conn: &mut Conn<'_>, text: &str, binds: &[Bind]) -> Result<Option<Question>> {
        if ASKED.try_with(|()| ()).is_err() {
            return Ok(None);
        }
        let statement = match conn {
            Conn::Pg(c) => {
                c.batch_execute("SAVEPOINT statement").await?;
                Some(with_values(text, binds))
            }
            Conn::Lite(_) => None,
        };
        Ok(Some(Question { statement }))
    }

    /// After it failed; the transaction is of no use any more.
    pub(crate) async fn explain(self, conn: &mut Conn<'_>, error: Error) -> StoreError {
        let Error::DatabaseError(kind, info) = &error else { return error.into() };
        let code = match (kind, &mut *conn, &self.statement) {
            (DatabaseErrorKind::CheckViolation, ..) => Some(CHECK_VIOLATION.to_owned()),
            (DatabaseErrorKind::Unknown, Conn::Pg(c), Some(statement)) => code_of(c, statement).await,
            (DatabaseErrorKind::Unknown, Conn::Lite(c), _) => lite_data(c, info.message()).await,
            _ => None,
        };
        match code {
            Some(code) if code == CHECK_VIOLATION || code.starts_with(DATA) => {
                StoreError::Refused { text: described(&error), code }
            }
            Some(code) => {
                let text = format!("{} (SQLSTATE {code})", described(&error));
                StoreError::Query(Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text)))
            }
            None => error.into(),
        }
    }
}

/// The SQLSTATE of a statement that has just failed behind the savepoint.
async fn code_of(c: &mut AsyncPgConnection, statement: &str) -> Option<String> {
    c.batch_execute("ROLLBACK TO SAVEPOINT statement").await.ok()?;
    let set = diesel::sql_query("SELECT set_config('meshpool.statement', $1, true)");
    set.bind::<Text, _>(statement).execute(c).await.ok()?;
    match c.batch_execute(CATCH).await {
        Err(Error::DatabaseError(_, info)) => Some(info.message().to_owned()).filter(|code| code.len() == 5),
        _ => None,
    }
}

/// A class-22 code for what SQLite refuses as data: a value of the wrong type or size, or one that a trigger of the
/// operator's refuses by a text of its own.
async fn lite_data(c: &mut Lite, message: &str) -> Option<String> {
    #[derive(QueryableByName)]
    struct Triggers {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    if LITE_DATA.iter().any(|text| message.starts_with(text)) {
        return Some(DATA_EXCEPTION.to_owned());
    }
    let triggers = "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'trigger' AND ? <> '' AND instr(sql, ?) > 0";
    let triggers = diesel::sql_query(triggers).bind::<Text, _>(message).bind::<Text, _>(message);
    let triggers: Triggers = triggers.get_result(c).await.ok()?;
    (triggers.n > 0).then(|| DATA_EXCEPTION.to_owned())
}

/// The statement with its parameters as literals.
fn with_values(text: &str, binds: &[Bind]) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|symbol: char| symbol.is_ascii_digit()).len();
        let bind = part[..digits].parse::<usize>().ok().and_then(|number| binds.get(number.checked_sub(1)?));
        match bind {
            Some(bind) => put_literal(&mut out, bind),
            None => out.push_str("NULL"),
        }
        out.push_str(&part[digits..]);
    }
    out
}

fn put_literal(out: &mut String, bind: &Bind) {
    let written = match bind {
        Bind::Int(Some(value)) => write!(out, "CAST({value} AS BIGINT)"),
        Bind::Int(None) => write!(out, "CAST(NULL AS BIGINT)"),
        // Escaped so that it means the same whatever the server takes a backslash for.
        Bind::Text(Some(value)) => write!(out, "E'{}'", value.replace('\\', "\\\\").replace('\'', "''")),
        Bind::Text(None) => write!(out, "CAST(NULL AS TEXT)"),
        Bind::Bytes(value) => write!(out, "decode('{}', 'hex')", hex::encode(value)),
    };
    written.expect("a text can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::binds;

    #[test]
    fn parameters_become_literals_and_cannot_end_one() {
        let text = "INSERT INTO t VALUES ($1, $2, $3, $1, $4)";
        let binds = binds![-5, r"a'b\'; DROP TABLE t; --", vec![0xab_u8, 0], None::<i64>];
        let expected = "INSERT INTO t VALUES (CAST(-5 AS BIGINT), E'a''b\\\\''; DROP TABLE t; --', \
                        decode('ab00', 'hex'), CAST(-5 AS BIGINT), CAST(NULL AS BIGINT))";
        assert_eq!(with_values(text, &binds), expected);
    }
}
