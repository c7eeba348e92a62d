//! The name under which the database knows a log.
use share_log::{LogDirectory, LogError, at};

/// Drawn once and kept in the directory, so that a log which is lost with its disk never continues the positions of the
/// old one.
///
/// # Errors
/// [`LogError::Io`].
pub fn host_name(log: &LogDirectory, draw: impl FnOnce() -> String) -> Result<String, LogError> {
    if let Some(name) = log.stored_host_name()? {
        return Ok(name);
    }
    let name = draw();
    set_host_name(log, &name)?;
    Ok(name)
}

/// Gives the log another name: the database has more under the old one than this directory.
///
/// # Errors
/// [`LogError::Io`].
pub fn set_host_name(log: &LogDirectory, name: &str) -> Result<(), LogError> {
    let path = log.path().join("host");
    runtime::replace_file(&path, name.as_bytes()).map_err(at(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_is_drawn_once() {
        let place = tempfile::tempdir().unwrap();
        let log = LogDirectory::open(place.path()).unwrap();
        assert_eq!(host_name(&log, || "first".into()).unwrap(), "first");
        assert_eq!(host_name(&log, || "second".into()).unwrap(), "first");
    }
}
