//! The parts of a pool that a process may have.

/// A part of the pool. Every process with the same role does the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows the chain, serves miners, and makes their shares durable.
    Stratum,
    /// Checks shares.
    Validator,
    /// Follows blocks, credits and pays, and cleans up.
    Treasury,
    /// Serves the HTTP API and the page.
    Api,
    /// Samples the process's figures, and notices what is wrong around it.
    Monitor,
}

impl Role {
    /// All there are: a pool in one process.
    pub const ALL: &'static [Role] = &[Role::Stratum, Role::Validator, Role::Treasury, Role::Api, Role::Monitor];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Role::Stratum => "stratum",
            Role::Validator => "validator",
            Role::Treasury => "treasury",
            Role::Api => "api",
            Role::Monitor => "monitor",
        }
    }

    /// What does not happen in a process without it.
    pub(crate) const fn missed(self) -> &'static str {
        match self {
            Role::Stratum => "the chain is not followed and miners are not served",
            Role::Validator => "shares are not checked",
            Role::Treasury => "blocks are not credited and nothing is paid",
            Role::Api => "figures are not served",
            Role::Monitor => "figures are not sampled and faults around the process are not noticed",
        }
    }
}
