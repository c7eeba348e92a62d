//! How single values are written: blank means unset, secrets are never shown.
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serializer};

/// A value that may be left blank.
pub(crate) trait Blank: Sized {
    /// Reads what is not blank; the error says what was expected.
    fn read(text: &str) -> Result<Self, String>;
    /// As a settings file writes it.
    fn text(&self) -> String;
}

impl Blank for String {
    fn read(text: &str) -> Result<String, String> {
        Ok(text.trim().to_owned())
    }
    fn text(&self) -> String {
        self.clone()
    }
}

impl Blank for PathBuf {
    fn read(text: &str) -> Result<PathBuf, String> {
        Ok(PathBuf::from(text))
    }
    fn text(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Blank for Duration {
    fn read(text: &str) -> Result<Duration, String> {
        match humantime::Duration::from_str(text.trim()) {
            Ok(duration) => Ok(duration.into()),
            Err(_) => Err(format!("invalid value: found string {text:?}, expected a duration or a blank")),
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
        type Error = String;
        fn try_from(text: String) -> Result<Network, String> {
            let trimmed = text.trim();
            let address = || trimmed.parse::<IpAddr>().map(IpNet::from);
            trimmed.parse().or_else(|_| address()).map(Network).map_err(|_| {
                format!("invalid value: found string {text:?}, expected an address or a network like \"10.0.0.0/8\"")
            })
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
