//! Rows that are written behind: those that the database refuses do not keep the others out.
use crate::StoreError;

/// Rows that are refused one by one until the rest is left for another time: then the fault is hardly theirs.
const REFUSED_MAX: usize = 32;

/// What became of rows that were to be stored.
#[derive(Debug)]
pub struct Parts<R> {
    /// Those that are stored.
    pub stored: Vec<R>,
    /// Those that are not.
    pub left: Vec<R>,
    /// Why the first of them is not.
    pub error: Option<StoreError>,
    /// Whether it is only those rows; else the next ones need not be tried either.
    pub is_about_rows: bool,
}

/// Stores rows with `put`, all at once if that works. Where the database refuses them, the halves are tried, down to each
/// row by itself; where it gives no answer, nothing more is.
pub async fn put_in_parts<R>(rows: Vec<R>, put: impl AsyncFn(&[R]) -> Result<(), StoreError>) -> Parts<R> {
    let mut parts = Parts { stored: Vec::new(), left: Vec::new(), error: None, is_about_rows: true };
    let mut waiting = if rows.is_empty() { Vec::new() } else { vec![rows] };
    while let Some(mut rows) = waiting.pop() {
        if !parts.is_about_rows {
            parts.left.append(&mut rows);
            continue;
        }
        match put(&rows).await {
            Ok(()) => parts.stored.append(&mut rows),
            Err(StoreError::Query(_) | StoreError::Refused { .. }) if rows.len() > 1 => {
                let second = rows.split_off(rows.len() / 2);
                waiting.extend([second, rows]);
            }
            Err(error) => {
                parts.left.append(&mut rows);
                let is_query = matches!(error, StoreError::Query(_) | StoreError::Refused { .. });
                parts.is_about_rows = is_query && parts.left.len() < REFUSED_MAX;
                parts.error.get_or_insert(error);
            }
        }
    }
    parts
}
