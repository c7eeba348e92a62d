//! What a miner asks for.
use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use units::Nonce;

use crate::job::parse_job_id;
use crate::json::Text;
use crate::reject::{LoginRefusal, Reject};

/// The name of a worker that gave none.
pub const WORKER_DEFAULT: &str = "default";
/// The answer to a method other than `login` and `submit`.
pub const UNKNOWN_METHOD: &str = "unknown method";
const WORKER_CHARS_MAX: usize = 64;
const ADDRESS_CHARS_MAX: usize = 128;

/// A line that is not a request. Answered with id 0; the connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON")]
pub struct BadLine;

/// A request: its id, and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// Names the address to pay.
    Login {
        /// Goes back in the answer.
        id: u64,
        /// Normalised, or why not.
        params: Result<Login, LoginRefusal>,
    },
    /// Offers a share.
    Submit {
        /// Goes back in the answer.
        id: u64,
        /// As sent, or [`Reject::InvalidParams`].
        params: Result<Submit<'a>, Reject>,
    },
    /// Any other method; answered [`UNKNOWN_METHOD`], the connection stays open.
    Unknown {
        /// Goes back in the answer.
        id: u64,
    },
}

impl<'a> Request<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is not a JSON object with an unsigned `id` and a string `method`.
    pub fn parse(line: &'a str) -> Result<Request<'a>, BadLine> {
        let envelope: Envelope<'a> = object(line).ok_or(BadLine)?;
        let id = envelope.id;
        let params = envelope.params.map_or("null", RawValue::get);
        Ok(match envelope.method.as_ref() {
            "submit" => Request::Submit { id, params: Submit::parse(params) },
            "login" => Request::Login { id, params: Login::parse(params) },
            _ => Request::Unknown { id },
        })
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: u64,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Reads a JSON object. (Serde alone would also take an array of the members in order.)
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

// === impl Login ===

/// A login as the pool uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Trimmed, 1 to 128 characters; whether it is an address is not known yet.
    pub address: String,
    /// Trimmed, without control characters, 1 to 64 characters.
    pub worker: String,
    /// 1 or 2.
    pub protocol_version: u32,
    /// Those of the capabilities it declared that mean something.
    pub capabilities: Capabilities,
    /// The share difficulty it wishes for.
    pub difficulty_hint: Option<u64>,
}

#[derive(Deserialize)]
struct LoginParams {
    address: String,
    worker: String,
    #[serde(default)]
    protocol_version: u32,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    difficulty_hint: Option<u64>,
}

impl Login {
    fn parse(params: &str) -> Result<Login, LoginRefusal> {
        let params: LoginParams = owned(params).ok_or(LoginRefusal::InvalidParams)?;
        let address = params.address.trim();
        if address.is_empty() || address.chars().nth(ADDRESS_CHARS_MAX).is_some() {
            return Err(LoginRefusal::InvalidAddress);
        }
        Ok(Login {
            address: address.to_owned(),
            worker: worker(&params.worker),
            protocol_version: params.protocol_version.clamp(1, 2),
            capabilities: params.capabilities.iter().map(String::as_str).collect(),
            difficulty_hint: params.difficulty_hint,
        })
    }
}

fn owned<T: DeserializeOwned>(text: &str) -> Option<T> {
    object(text)
}

/// Characters that do not print are left out: PostgreSQL cannot store a NUL, and a name that turns the direction of
/// writing or ends a line belongs neither into a log nor on a page.
fn worker(name: &str) -> String {
    let printable: String = name.chars().filter(|char| !char.is_control() && !is_format(*char)).collect();
    let cut: String = printable.trim().chars().take(WORKER_CHARS_MAX).collect();
    match cut.trim_end() {
        "" => WORKER_DEFAULT.to_owned(),
        name => name.to_owned(),
    }
}

/// Invisible characters: zero width, line and paragraph separators, marks and overrides of direction, tags.
fn is_format(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What a client may declare at login, and a pool in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// It understands the result of a login.
    LoginNegotiation = 1,
    /// It understands `verified` and `status` in the result of a submit.
    ShareValidationStatus = 2,
    /// Its submits carry the claimed hash.
    SubmitClaimedHash = 4,
    /// Its logins may carry a difficulty hint.
    DifficultyHint = 8,
}

impl Capability {
    /// All there are, in the order in which they are listed.
    pub const ALL: [Capability; 4] = [
        Capability::LoginNegotiation,
        Capability::ShareValidationStatus,
        Capability::SubmitClaimedHash,
        Capability::DifficultyHint,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Capability::LoginNegotiation => "login_negotiation",
            Capability::ShareValidationStatus => "share_validation_status",
            Capability::SubmitClaimedHash => "submit_claimed_hash",
            Capability::DifficultyHint => "difficulty_hint",
        }
    }
}

/// A set of capabilities; names that mean nothing are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// True when it was declared.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability as u8 != 0
    }
}

/// Names count trimmed and in any case.
impl<'a> FromIterator<&'a str> for Capabilities {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Capabilities {
        let mut set = 0;
        for name in names {
            let known = Capability::ALL.into_iter().find(|known| name.trim().eq_ignore_ascii_case(known.name()));
            set |= known.map_or(0, |known| known as u8);
        }
        Capabilities(set)
    }
}

// === impl Submit ===

/// A submit as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// The job that it says it worked on; any text.
    pub job_id: Cow<'a, str>,
    /// The nonce it found.
    pub nonce: Nonce,
    /// The hash it says it got: not blank, otherwise any text. See [`parse_claimed_hash`].
    pub claimed_hash: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct SubmitParams<'a> {
    #[serde(borrow)]
    job_id: Cow<'a, str>,
    nonce: u64,
    #[serde(borrow, default)]
    claimed_hash: Option<Text<'a>>,
}

impl<'a> Submit<'a> {
    fn parse(params: &'a str) -> Result<Submit<'a>, Reject> {
        let params: SubmitParams<'a> = object(params).ok_or(Reject::InvalidParams)?;
        let claimed_hash = params.claimed_hash.map(|text| text.0).filter(|text| !text.trim().is_empty());
        Ok(Submit { job_id: params.job_id, nonce: Nonce::new(params.nonce), claimed_hash })
    }

    /// The job id as a number; `None` for a text that no job of ours has.
    #[must_use]
    pub fn job(&self) -> Option<u64> {
        parse_job_id(&self.job_id)
    }

    /// The claimed hash, if there is one.
    ///
    /// # Errors
    /// As [`parse_claimed_hash`].
    pub fn claim(&self) -> Result<Option<[u8; 32]>, Reject> {
        self.claimed_hash.as_deref().map(parse_claimed_hash).transpose()
    }
}

/// 32 bytes from hex of any case, trimmed, without `0x`.
///
/// # Errors
/// The three ways in which it can fail to be that.
pub fn parse_claimed_hash(text: &str) -> Result<[u8; 32], Reject> {
    let text = text.trim().as_bytes();
    let mut hash = [0; 32];
    if text.len() == 64 && hex::decode_to_slice(text, &mut hash).is_ok() {
        return Ok(hash);
    }
    if !text.len().is_multiple_of(2) {
        return Err(Reject::ClaimedHashOdd);
    }
    if !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(Reject::ClaimedHashNotHex);
    }
    Err(Reject::ClaimedHashLength(text.len() / 2))
}
