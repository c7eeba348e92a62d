//! Parameters of a statement.

/// A parameter.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

impl From<i64> for Bind {
    fn from(value: i64) -> Bind {
        Bind::Int(Some(value))
    }
}
impl From<Option<i64>> for Bind {
    fn from(value: Option<i64>) -> Bind {
        Bind::Int(value)
    }
}
impl From<&str> for Bind {
    fn from(value: &str) -> Bind {
        Bind::Text(Some(value.to_owned()))
    }
}
impl From<String> for Bind {
    fn from(value: String) -> Bind {
        Bind::Text(Some(value))
    }
}
impl From<Option<String>> for Bind {
    fn from(value: Option<String>) -> Bind {
        Bind::Text(value)
    }
}
impl From<Vec<u8>> for Bind {
    fn from(value: Vec<u8>) -> Bind {
        Bind::Bytes(value)
    }
}

/// The parameters of a query, in order.
macro_rules! binds {
    ($($value:expr),* $(,)?) => { vec![$(crate::bind::Bind::from($value)),*] };
}
pub(crate) use binds;
