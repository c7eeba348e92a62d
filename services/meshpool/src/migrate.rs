//! Migrations, with what the database cannot know by itself.
use accounting::{Booked, Entry};
use secrecy::ExposeSecret;
use settings::Settings;
use store::ledger::Balance;
use store::{Joining, OpenError, Store};

/// Applies the migrations that are missing; their names.
pub(crate) fn apply(settings: &Settings) -> Result<Vec<String>, OpenError> {
    let joining = Joining { network: settings.pool.network.addresses(), entry: accounts_joined };
    Store::migrate_joining(settings.database_url().expose_secret(), joining)
}

fn accounts_joined(from: &str, to: &str, balance: &Balance) -> Entry {
    let booked = Booked { payable: balance.payable, inflight: balance.inflight, paid_out: balance.paid };
    let entry = Entry::accounts_joined(from, to, &booked);
    entry.expect("two texts, and something is booked under the first")
}
