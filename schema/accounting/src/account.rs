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

/// What an account is for: its key without the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    /// See [`Account::ChainRewards`].
    ChainRewards,
    /// See [`Account::Payable`].
    Payable,
    /// See [`Account::Inflight`].
    Inflight,
    /// See [`Account::PoolFee`].
    PoolFee,
    /// See [`Account::NetworkFee`].
    NetworkFee,
    /// See [`Account::PaidOut`].
    PaidOut,
    /// See [`Account::OrphanLoss`].
    OrphanLoss,
    /// See [`Account::Adjustment`].
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

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> AccountKind {
        match self {
            Account::ChainRewards => AccountKind::ChainRewards,
            Account::Payable(_) => AccountKind::Payable,
            Account::Inflight(_) => AccountKind::Inflight,
            Account::PoolFee => AccountKind::PoolFee,
            Account::NetworkFee => AccountKind::NetworkFee,
            Account::PaidOut(_) => AccountKind::PaidOut,
            Account::OrphanLoss => AccountKind::OrphanLoss,
            Account::Adjustment => AccountKind::Adjustment,
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

impl AccountKind {
    const ALL: [AccountKind; 8] = [
        AccountKind::ChainRewards,
        AccountKind::Payable,
        AccountKind::Inflight,
        AccountKind::PoolFee,
        AccountKind::NetworkFee,
        AccountKind::PaidOut,
        AccountKind::OrphanLoss,
        AccountKind::Adjustment,
    ];

    /// As keys and columns hold it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AccountKind::ChainRewards => "chain_rewards",
            AccountKind::Payable => "payable",
            AccountKind::Inflight => "inflight",
            AccountKind::PoolFee => "pool_fee",
            AccountKind::NetworkFee => "network_fee",
            AccountKind::PaidOut => "paid_out",
            AccountKind::OrphanLoss => "orphan_loss",
            AccountKind::Adjustment => "adjustment",
        }
    }

    /// The inverse of [`AccountKind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<AccountKind> {
        AccountKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
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
        shared.into_iter().find(|account| account.kind().as_str() == key).ok_or_else(unknown)
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
            let account: Account = key.parse().unwrap();
            assert_eq!(account.to_string(), key);
            assert_eq!(AccountKind::parse(account.kind().as_str()), Some(account.kind()));
        }
        for key in ["", "payable", "payable:", "pool_fee:x", "Payable:x", "cash"] {
            assert_eq!(
                key.parse::<Account>().unwrap_err().to_string(),
                format!("`{key}` is not the key of an account")
            );
        }
    }
}
