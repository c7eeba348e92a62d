//! One SQL text for both databases: for statements that Diesel's query builder cannot express (window functions, rows
//! out of JSON, recursive sums) and for those that must go through [`crate::sqlstate`]. Everything else is written
//! with the builder on `schema.rs`.
//!
//! The text lies in a `.sql` file beside its module, named by [`statement!`](statement). `tests/shares/statements.rs`
//! prepares each on both databases. Where the databases differ it says `{rows}`, `{lock}`, `{now}` or `{unhex(..)}`, see
//! [`for_database`].
//!
//! Parameters are written `$1`, `$2`, ...: PostgreSQL's own form, and for SQLite a name that gets its number when it
//! is first read. So every text must mention its parameters first in rising order; repeats are free.
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, QueryableByName};
use diesel_async::RunQueryDsl;

pub(crate) use crate::bind::{Bind, binds};
use crate::db::Conn;
use crate::sqlstate::Question;
use crate::{Result, Store};

/// A row of either database, its columns found by name.
pub(crate) trait Row: QueryableByName<Pg> + QueryableByName<Sqlite> + Send + 'static {}
impl<R: QueryableByName<Pg> + QueryableByName<Sqlite> + Send + 'static> Row for R {}

/// The statement with its parameters; a macro since its type names the backend.
macro_rules! bound {
    ($backend:ty, $text:expr, $binds:expr) => {{
        debug_assert!($crate::sql::mentions_in_order($text), "parameters appear in rising order: {}", $text);
        let mut query = diesel::sql_query($text.to_owned()).into_boxed::<'static, $backend>();
        for bind in $binds {
            query = match bind {
                $crate::bind::Bind::Int(value) => {
                    query.bind::<diesel::sql_types::Nullable<diesel::sql_types::BigInt>, _>(value)
                }
                $crate::bind::Bind::Text(value) => {
                    query.bind::<diesel::sql_types::Nullable<diesel::sql_types::Text>, _>(value)
                }
                $crate::bind::Bind::Bytes(value) => query.bind::<diesel::sql_types::Binary, _>(value),
            };
        }
        query
    }};
}

pub(crate) use bound;

/// SQLite numbers parameters by first appearance, whatever their names say.
pub(crate) fn mentions_in_order(text: &str) -> bool {
    let mut next = 1;
    text.split('$').skip(1).all(|rest| {
        let digits = rest.len() - rest.trim_start_matches(|symbol: char| symbol.is_ascii_digit()).len();
        let number: usize = rest[..digits].parse().unwrap_or(usize::MAX);
        let known = number <= next;
        next += usize::from(number == next);
        known
    })
}

/// The text of a `.sql` file beside the module: `statement!("reads/active.sql")`.
macro_rules! statement {
    ($path:literal) => {
        include_str!($path)
    };
}
pub(crate) use statement;

/// A statement as one of the databases takes it: without comments, and with these words replaced.
///
/// - `{rows}`: the table function that makes rows of the JSON list in `$1`; each row's `value` is a list of columns.
/// - `{lock}`: ends a `SELECT` so that nobody else changes its rows before this transaction ends. On SQLite a writing
///   transaction is alone anyway.
/// - `{now}`: the database's own clock, in milliseconds since the epoch.
/// - `{unhex(text)}`: the bytes that an expression gives as hex digits.
#[doc(hidden)]
#[must_use]
pub fn for_database(text: &str, is_postgres: bool) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let [rows, lock, now] = if is_postgres { PG_WORDS } else { LITE_WORDS };
    let text = lines.collect::<Vec<_>>().join("\n");
    let [unhex, unhexed] = if is_postgres { ["decode(", ", 'hex')"] } else { ["unhex(", ")"] };
    let text = text.trim().replace("{rows}", rows).replace("{lock}", lock).replace("{now}", now);
    text.replace("{unhex(", unhex).replace(")}", unhexed)
}

const PG_WORDS: [&str; 3] = [
    "jsonb_array_elements(CAST($1 AS jsonb))",
    "FOR UPDATE",
    "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
];
const LITE_WORDS: [&str; 3] = ["json_each($1)", "", "CAST(unixepoch('subsec') * 1000 AS INTEGER)"];

impl Conn<'_> {
    /// A statement of a file as this database takes it.
    fn text(&self, text: &'static str) -> String {
        for_database(text, matches!(self, Conn::Pg(_)))
    }

    /// Rows of a query of a file.
    pub(crate) async fn load_file<R: Row>(&mut self, text: &'static str, binds: Vec<Bind>) -> Result<Vec<R>> {
        let text = self.text(text);
        self.rows(&text, binds).await
    }

    /// Runs a statement of a file; how many rows it touched.
    pub(crate) async fn run_file(&mut self, text: &'static str, binds: Vec<Bind>) -> Result<usize> {
        let text = self.text(text);
        self.run(&text, binds).await
    }

    /// Rows of a query.
    pub(crate) async fn rows<R: Row>(&mut self, text: &str, binds: Vec<Bind>) -> Result<Vec<R>> {
        let question = Question::prepare(self, text, &binds).await?;
        let outcome = match self {
            Conn::Pg(c) => bound!(Pg, text, binds).load(*c).await,
            Conn::Lite(c) => bound!(Sqlite, text, binds).load(*c).await,
        };
        self.explained(question, outcome).await
    }

    /// Runs a statement; how many rows it touched.
    pub(crate) async fn run(&mut self, text: &str, binds: Vec<Bind>) -> Result<usize> {
        let question = Question::prepare(self, text, &binds).await?;
        let outcome = match self {
            Conn::Pg(c) => bound!(Pg, text, binds).execute(*c).await,
            Conn::Lite(c) => bound!(Sqlite, text, binds).execute(*c).await,
        };
        self.explained(question, outcome).await
    }

    async fn explained<T>(&mut self, question: Option<Question>, outcome: QueryResult<T>) -> Result<T> {
        match (outcome, question) {
            (Err(error), Some(question)) => Err(question.explain(self, error).await),
            (outcome, _) => Ok(outcome?),
        }
    }
}

impl Store {
    /// Rows of one reading query of a file.
    pub(crate) async fn load_file<R: Row>(&self, text: &'static str, binds: Vec<Bind>) -> Result<Vec<R>> {
        self.run(move |db| async move { db.read().await?.conn().load_file(text, binds).await }).await
    }
}
