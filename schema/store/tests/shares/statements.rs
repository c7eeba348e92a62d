//! What the crate says of the tables, and its statements in SQL files, against databases as the migrations make them.
use std::path::{Path, PathBuf};

use diesel::prelude::*;
use diesel::sql_types::Text;
use store::{Store, for_database};

use crate::common::{PgConnection, Scratch, sql};

#[derive(QueryableByName, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `table.column type`, with `or null` where that may be, of each column that `schema.rs` declares.
fn declared() -> Vec<Column> {
    let text = std::fs::read_to_string(source().join("schema.rs")).unwrap();
    let mut columns = Vec::new();
    for table in text.split("diesel::table! {").skip(1) {
        let (head, body) = table.split_once(" {").unwrap();
        let name = head.split('(').next().unwrap().trim();
        for column in body[..body.find('}').unwrap()].lines().filter_map(|line| line.trim().split_once(" -> ")) {
            let (kind, is_null) = match column.1.trim_end_matches(',').strip_prefix("Nullable<") {
                Some(kind) => (kind.trim_end_matches('>'), " or null"),
                None => (column.1.trim_end_matches(','), ""),
            };
            let kind = match kind {
                "BigInt" => "bigint",
                "Text" => "text",
                "Binary" => "bytea",
                other => panic!("{name}.{} has the type {other}", column.0),
            };
            columns.push(Column { name: format!("{name}.{} {kind}{is_null}", column.0) });
        }
    }
    columns
}

#[test]
fn the_twins_make_the_tables_that_the_queries_are_checked_against() {
    let [lite, pg] = [Scratch::sqlite(), Scratch::postgres()];
    for scratch in [&lite, &pg] {
        Store::migrate(&scratch.url()).unwrap();
    }
    let of_lite = "SELECT t.name || '.' || c.name || ' ' || CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'TEXT' \
                   THEN 'text' ELSE 'bytea' END || CASE WHEN c.\"notnull\" OR c.pk THEN '' ELSE ' or null' END AS name \
                   FROM sqlite_master AS t, pragma_table_info(t.name) AS c \
                   WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '__diesel%'";
    let of_pg = "SELECT table_name || '.' || column_name || ' ' || data_type || \
                 CASE is_nullable WHEN 'NO' THEN '' ELSE ' or null' END AS name FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_diesel%'";
    let mut conn = SqliteConnection::establish(lite.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let mut of_lite: Vec<Column> = diesel::sql_query(of_lite).load(&mut conn).unwrap();
    let mut of_pg: Vec<Column> =
        diesel::sql_query(of_pg).load(&mut PgConnection::establish(&pg.url()).unwrap()).unwrap();
    let mut declared = declared();
    for columns in [&mut of_lite, &mut of_pg, &mut declared] {
        columns.sort();
    }
    assert!(declared.len() > 100);
    for made in [of_lite, of_pg] {
        let apart = |one: &[Column], other: &[Column]| -> Vec<String> {
            one.iter().filter(|column| !other.contains(column)).map(|column| column.name.clone()).collect()
        };
        assert_eq!((apart(&made, &declared), apart(&declared, &made)), (vec![], vec![]), "made, declared");
    }
}

fn sql_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => sql_files(&path, found),
            Some(extension) if extension == "sql" => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn each_statement_in_a_file_is_valid_on_both_databases() {
    let mut files = Vec::new();
    sql_files(&source(), &mut files);
    assert!(!files.is_empty());
    let [lite, pg] = [Scratch::sqlite(), Scratch::postgres()];
    for (scratch, is_postgres) in [(lite, false), (pg, true)] {
        Store::migrate(&scratch.url()).unwrap();
        for file in &files {
            let statement = for_database(&std::fs::read_to_string(file).unwrap(), is_postgres);
            // SQLite takes a parameter without a value for NULL.
            let prepare = if is_postgres { "PREPARE one AS " } else { "EXPLAIN " };
            sql(&scratch.url(), &format!("{prepare}{statement}"))
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}
