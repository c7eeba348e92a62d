//! A number that the data directory remembers beside the database, which may be put back from an older copy.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a number is not known or not kept. The operator mends the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HighMarkError {
    /// Somebody else wrote it.
    #[error("data.dir {}: `{text}` is no number", path.display())]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// It cannot be read or written.
    #[error("data.dir {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// The highest number of one kind that was used here. Never goes back.
pub(crate) struct HighMark {
    dir: PathBuf,
    name: &'static str,
    highest: u32,
}

impl HighMark {
    /// Reads it; zero where there is none.
    pub(crate) fn read(dir: &Path, name: &'static str) -> Result<HighMark, HighMarkError> {
        let path = dir.join(name);
        let highest = match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(highest) => highest,
                Err(_) => return Err(HighMarkError::NoNumber { path, text: text.trim().to_owned() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(HighMarkError::File { path, error }),
        };
        Ok(HighMark { dir: dir.to_owned(), name, highest })
    }

    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }

    /// Makes it durable that this number is used from now on.
    pub(crate) fn raise(&mut self, number: u32) -> Result<(), HighMarkError> {
        if number <= self.highest {
            return Ok(());
        }
        let path = self.dir.join(self.name);
        runtime::replace_file(&path, number.to_string().as_bytes())
            .map_err(|error| HighMarkError::File { path, error })?;
        self.highest = number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_again_after_a_restart_and_never_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let read = || HighMark::read(dir.path(), "era").unwrap();
        assert_eq!(read().highest(), 0);
        read().raise(7).unwrap();
        read().raise(3).unwrap();
        assert_eq!(read().highest(), 7);
        fs::write(dir.path().join("era"), "seven").unwrap();
        assert!(HighMark::read(dir.path(), "era").is_err_and(|why| why.to_string().contains("`seven` is no number")));
    }
}
