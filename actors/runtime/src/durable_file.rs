//! Small files that outlive a crash.
use std::fs::{File, rename};
use std::io::{Result, Write};
use std::path::Path;

/// Replaces a file; after a crash it holds either what it held before or all of `bytes`. Durable when it returns. Waits for
/// the disk: an event loop hands it to another thread.
///
/// # Errors
/// What the system said; the file is as it was, or already replaced.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&beside, path)?;
    // The name as well.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("payout.steps");
        for bytes in [&b"a longer one"[..], b"short", b""] {
            replace_file(&path, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace_file(&dir.path().join("nowhere/file"), b"1").is_err());
    }
}
