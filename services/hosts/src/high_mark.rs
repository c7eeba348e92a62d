//! A number that the data directory remembers beside the database, which may be put back from an older copy.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The highest number of one kind that was used here. Never goes back.
pub(crate) struct HighMark {
    dir: PathBuf,
    name: &'static str,
    highest: u32,
}

impl HighMark {
    /// Reads it; zero where there is none.
    pub(crate) fn read(dir: &Path, name: &'static str) -> Result<HighMark, String> {
        let said = |why: String| format!("data.dir {}: {why}", dir.join(name).display());
        let highest = match fs::read_to_string(dir.join(name)) {
            Ok(text) => text.trim().parse().map_err(|_| said(format!("`{}` is no number", text.trim())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(said(error.to_string())),
        };
        Ok(HighMark { dir: dir.to_owned(), name, highest })
    }

    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }

    /// Makes it durable that this number is used from now on.
    pub(crate) fn raise(&mut self, number: u32) -> Result<(), String> {
        if number <= self.highest {
            return Ok(());
        }
        let path = self.dir.join(self.name);
        runtime::replace_file(&path, number.to_string().as_bytes())
            .map_err(|error| format!("data.dir {}: {error}", path.display()))?;
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
        assert!(HighMark::read(dir.path(), "era").is_err_and(|why| why.contains("`seven` is no number")));
    }
}
