//! What is wrong with the settings, said so that it can be found.
use std::fmt;

use figment::error::Kind;

/// Everything that is wrong, one line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct SettingsError(pub Vec<Problem>);

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, like `stratum.listen`; a path when a whole file is meant.
    pub key: String,
    /// What is wrong with it. Never shows a secret.
    pub what: String,
    /// Where the value came from; `None` for a default.
    pub place: Option<String>,
}

impl Problem {
    /// What serde found at `path`.
    pub(crate) fn found(path: &[String], kind: &Kind, place: Option<String>) -> Problem {
        let key = path.join(".");
        let what = match kind {
            Kind::UnknownField(name, expected) => unknown(name, expected.iter().copied()),
            Kind::InvalidType(_, expected) if is_secret(path) => format!("expected {}", plain(expected)),
            _ if is_secret(path) => "not valid".to_owned(),
            Kind::InvalidType(found, expected) => format!("invalid type: found {found}, expected {}", plain(expected)),
            Kind::InvalidValue(found, expected) => format!("invalid value: found {found}, expected {expected}"),
            Kind::UnknownVariant(found, expected) => {
                format!("unknown value {found:?}, expected {}", expected.join(", "))
            }
            kind => kind.to_string(),
        };
        Problem { key, what, place }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config: {}: {}", self.key, self.what)?;
        match &self.place {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}

/// What was expected, without the name of a type of ours.
fn plain(expected: &str) -> &str {
    if expected.starts_with("struct ") { "a section" } else { expected }
}

/// Keys whose values no text may repeat.
fn is_secret(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["daemon", "token"] | ["database", "url"] | ["monitor", "ingest_secret"] | ["api", "keys", ..] => true,
        // A whole list or section shown where another type was expected would show what is in it.
        ["daemon", "fallback", rest @ ..] => rest.len() < 2 || rest.last() == Some(&"token"),
        _ => false,
    }
}

/// The text for a key that does not exist, with the one that was probably meant.
pub(crate) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 2 && distance < known.len() => {
            format!("unknown key, did you mean `{known}`?")
        }
        _ => "unknown key".to_owned(),
    }
}

/// Edits (insert, delete, replace) that make `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
