//! How single values are written: blank means unset, secrets are never shown.
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serializer};

/// A text that is not of the form that its key expects. Reads like serde's own errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid value: found string {found:?}, expected {expected}")]
pub struct FormError {
    found: String,
    expected: &'static str,
}

impl FormError {
    pub(crate) fn new(found: &str, expected: &'static str) -> FormError {
        FormError { found: found.to_owned(), expected }
    }
}

/// A value that may be left blank.
pub(crate) trait Blank: Sized {
    /// Reads what is not blank; the error says what was expected.
    fn read(text: &str) -> Result<Self, FormError>;
    /// As a settings file writes it.
    fn text(&self) -> String;
}

impl Blank for String {
    fn read(text: &str) -> Result<String, FormError> {
        Ok(text.trim().to_owned())
    }
    fn text(&self) -> String {
        self.clone()
    }
}

impl Blank for PathBuf {
    fn read(text: &str) -> Result<PathBuf, FormError> {
        Ok(PathBuf::from(text))
    }
    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Blank for Duration {
    fn read(text: &str) -> Result<Duration, FormError> {
        match humantime::Duration::from_str(text.trim()) {
            Ok(duration) => Ok(duration.into()),
            Err(_) => Err(FormError::new(text, "a duration or a blank")),
        }
    }
    fn text(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// `Option<T>` as a string in which blank is `None`.
pub(crate) mod optional {
    use super::{Blank, Deserialize, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Blank>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        T::read(&text).map(Some).map_err(serde::de::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer, T: Blank>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.as_ref().map_or_else(String::new, Blank::text))
    }
}

/// Networks; a single address is one as well.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Network(IpNet);

    impl TryFrom<String> for Network {
        type Error = FormError;
        fn try_from(text: String) -> Result<Network, FormError> {
            let trimmed = text.trim();
            let address = || trimmed.parse::<IpAddr>().map(IpNet::from);
            let network = trimmed.parse().or_else(|_| address()).map(Network);
            network.map_err(|_| FormError::new(&text, "an address or a network like \"10.0.0.0/8\""))
        }
    }

    Ok(Vec::<Network>::deserialize(deserializer)?.into_iter().map(|Network(network)| network).collect())
}

/// A secret is read but always written as if it were unset.
pub(crate) fn hide<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("")
}

/// The same for a list.
pub(crate) fn hide_all<S: Serializer>(_: &[SecretString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(std::iter::empty::<&str>())
}
