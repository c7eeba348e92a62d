//! Accounts of the books.
use std::fmt;
use std::str::FromStr;

/// Where money is. Positive balances are what the pool owes or has spent; [`ChainRewards`](Account::ChainRewards) is the
/// other side of what it was ever given, so it is negative.
///
/// Prints as its key: the kind, and for a miner's account a colon and the address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Where all money comes from.
    ChainRewards,
    /// Owed to a miner.
    Payable(Box<str>),
    /// Owed to a miner, and reserved by a payout that is not settled.
    Inflight(Box<str>),
    /// What the pool has earned and not spent.
    PoolFee,
    /// What was burned for sending.
    NetworkFee,
    /// What a miner was sent.
    PaidOut(Box<str>),
    /// Credits for blocks that the chain took back and nobody could return, and payments that no balance covered. Zero or
    /// negative.
    OrphanLoss,
    /// The other side of what an operator changed by hand.
    Adjustment,
}

/// A text that is not the key of an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the key of an account")]
pub struct UnknownAccount(String);

impl Account {
    /// What is owed to `address`.
    #[must_use]
    pub fn payable(address: &str) -> Account {
        Account::Payable(address.into())
    }

    /// What is being sent to `address`.
    #[must_use]
    pub fn inflight(address: &str) -> Account {
        Account::Inflight(address.into())
    }

    /// What `address` was sent.
    #[must_use]
    pub fn paid_out(address: &str) -> Account {
        Account::PaidOut(address.into())
    }

    /// The same account of another miner; itself where it is no miner's.
    #[must_use]
    pub fn of(&self, address: &str) -> Account {
        match self {
            Account::Payable(_) => Account::payable(address),
            Account::Inflight(_) => Account::inflight(address),
            Account::PaidOut(_) => Account::paid_out(address),
            shared => shared.clone(),
        }
    }

    /// The key without the address.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Account::ChainRewards => "chain_rewards",
            Account::Payable(_) => "payable",
            Account::Inflight(_) => "inflight",
            Account::PoolFee => "pool_fee",
            Account::NetworkFee => "network_fee",
            Account::PaidOut(_) => "paid_out",
            Account::OrphanLoss => "orphan_loss",
            Account::Adjustment => "adjustment",
        }
    }

    /// The miner whose account it is.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match self {
            Account::Payable(address) | Account::Inflight(address) | Account::PaidOut(address) => Some(address),
            _ => None,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        self.owner().map_or(Ok(()), |address| write!(f, ":{address}"))
    }
}

impl FromStr for Account {
    type Err = UnknownAccount;

    fn from_str(key: &str) -> Result<Account, UnknownAccount> {
        let unknown = || UnknownAccount(key.to_owned());
        if let Some((kind, address)) = key.split_once(':') {
            return match kind {
                _ if address.is_empty() => Err(unknown()),
                "payable" => Ok(Account::payable(address)),
                "inflight" => Ok(Account::inflight(address)),
                "paid_out" => Ok(Account::paid_out(address)),
                _ => Err(unknown()),
            };
        }
        let shared =
            [Account::ChainRewards, Account::PoolFee, Account::NetworkFee, Account::OrphanLoss, Account::Adjustment];
        shared.into_iter().find(|account| account.kind() == key).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_others_are_refused() {
        let keys = [
            "chain_rewards",
            "payable:Sw9Z",
            "inflight:Sw9Z",
            "pool_fee",
            "network_fee",
            "paid_out:Sw9Z",
            "orphan_loss",
            "adjustment",
        ];
        for key in keys {
            assert_eq!(key.parse::<Account>().unwrap().to_string(), key);
        }
        for key in ["", "payable", "payable:", "pool_fee:x", "Payable:x", "cash"] {
            assert_eq!(
                key.parse::<Account>().unwrap_err().to_string(),
                format!("`{key}` is not the key of an account")
            );
        }
    }
}
