//! Templates and submits.
use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;
use units::{Nonce, Timestamp};

use crate::answers::{Accepted, TemplateAnswer};
use crate::error::Result;
use crate::http::{Call, Daemon, READ_LIMIT};

const SUBMIT: &str = "POST /api/mining/submitblock";
const SUBMIT_PATH: &str = "/api/mining/submitblock";

impl Daemon {
    /// A fresh block to mine that pays `address`, or the wallet when `None`. Each call takes one of the daemon's
    /// 512 leases.
    ///
    /// # Errors
    /// `Wallet(NotLoaded)` without a wallet, `Busy` while the daemon catches up or its lease cache is full.
    pub async fn template(&self, address: Option<&str>) -> Result<TemplateAnswer> {
        let path = match address {
            // An address is base58 text; anything else is refused by the daemon, but must not break the query.
            Some(address) => {
                let plain: String = address.chars().filter(char::is_ascii_alphanumeric).collect();
                format!("/api/mining/blocktemplate?address={plain}")
            }
            None => "/api/mining/blocktemplate".to_owned(),
        };
        self.json(Call::get("GET /api/mining/blocktemplate", path)).await
    }

    /// Makes a lease last ten more minutes; returns when it ends.
    ///
    /// # Errors
    /// `UnknownTemplate` when it is gone, `Stale` when the tip has moved on, `NoSuchRoute` before 0.16.
    pub async fn renew_template(&self, template_id: &str) -> Result<Timestamp> {
        #[derive(serde::Deserialize)]
        struct Renewed {
            template_expires_at_unix_ms: i64,
        }
        let body = json!({ "template_id": template_id }).to_string();
        let call = Call::post("POST /api/mining/renewtemplate", "/api/mining/renewtemplate", body);
        let call = Call { limit: READ_LIMIT, ..call };
        let renewed: Renewed = self.json(call).await?;
        Ok(Timestamp::from_ms(renewed.template_expires_at_unix_ms))
    }

    /// Submits a solved template by its lease's name.
    ///
    /// # Errors
    /// See [`crate::DaemonError`]: `Stale` also answers a block that was accepted before; `Unknown` says nothing
    /// about the outcome.
    pub async fn submit_compact(&self, template_id: &str, nonce: Nonce) -> Result<Accepted> {
        let body = json!({ "template_id": template_id, "nonce": nonce.get() }).to_string();
        self.json(Call::post(SUBMIT, SUBMIT_PATH, body)).await
    }

    /// Submits a whole block: the template's, with this nonce and, if given, this time (Unix seconds) in its header.
    ///
    /// # Errors
    /// As [`Daemon::submit_compact`]; `NotSent` also when `block` is not one.
    pub async fn submit_full(&self, block: &RawValue, nonce: Nonce, timestamp: Option<i64>) -> Result<Accepted> {
        let body = patched(block, nonce, timestamp)
            .map_err(|error| self.not_sent(format!("the stored block is not one: {error}")))?;
        self.json(Call::post(SUBMIT, SUBMIT_PATH, body)).await
    }
}

/// The block with another nonce and time; everything else stays byte for byte what the daemon wrote.
fn patched(block: &RawValue, nonce: Nonce, timestamp: Option<i64>) -> serde_json::Result<String> {
    let mut parts: BTreeMap<&str, &RawValue> = serde_json::from_str(block.get())?;
    let header = parts.get("header").ok_or_else(|| serde::de::Error::missing_field("header"))?;
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_str(header.get())?;
    let nonce = serde_json::value::to_raw_value(&nonce.get())?;
    fields.insert("Nonce", &nonce);
    let time = timestamp.map(|seconds| serde_json::value::to_raw_value(&seconds)).transpose()?;
    if let Some(time) = &time {
        fields.insert("Timestamp", time);
    }
    let header = serde_json::value::to_raw_value(&fields)?;
    parts.insert("header", &header);
    serde_json::to_string(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patched_block_differs_in_nonce_and_time_only() {
        let text = r#"{"header":{"Version":1,"Timestamp":5,"Nonce":0},"transactions":[{"fee":18446744073709551615}]}"#;
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        let nonce = Nonce::new(u64::MAX);
        let patched_text = patched(&raw, nonce, Some(6)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&patched_text).unwrap();
        assert_eq!(value["header"]["Nonce"], u64::MAX);
        assert_eq!(value["header"]["Timestamp"], 6);
        assert_eq!(value["header"]["Version"], 1);
        assert_eq!(value["transactions"][0]["fee"], u64::MAX);
        let kept: serde_json::Value = serde_json::from_str(&patched(&raw, nonce, None).unwrap()).unwrap();
        assert_eq!(kept["header"]["Timestamp"], 5);
    }

    #[test]
    fn what_is_no_block_is_not_submitted() {
        let raw: Box<RawValue> = serde_json::from_str(r#"{"transactions":[]}"#).unwrap();
        assert!(patched(&raw, Nonce::new(1), None).is_err());
    }
}
