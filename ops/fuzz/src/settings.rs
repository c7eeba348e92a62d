//! The settings of an operator who mistypes.
use std::io::Write;

use settings::{Load, load};

/// Any file and any environment are settings or errors that can be shown, never a panic. Lines of the form
/// `POOL_NAME=VALUE` are the environment, the others the file.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (env, toml): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("POOL_"));
    let env = env.iter().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into()));
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(toml.join("\n").as_bytes()).expect("room for it");
    let place = Load { file: Some(file.path().into()), devnet: false, flags: Vec::new(), env: env.collect() };
    match load(&place) {
        // What is good can be shown and checked further.
        Ok(settings) => drop((format!("{settings:?}"), settings.database_url())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
