//! What differs between the tables that are written behind.
use messages::write_behind::WrittenBehind;
use runtime::Message;
use store::Store;
use units::Timestamp;

/// Memory that records of a table come from.
pub(crate) type Records<T> = dyn WrittenBehind<Record = <T as Table>::Record>;

/// One table. Its value is what the keeper remembers about it from tick to tick.
#[expect(async_fn_in_trait, reason = "an actor's futures stay on its arbiter; `Send` is not wanted")]
pub trait Table: Default + Unpin + 'static {
    /// What is stored.
    type Record: Clone;
    /// Asks the keeper for one round.
    type Tick: Message<Reply = ()>;
    /// The keeper's name in spans, metrics and health.
    const NAME: &'static str;
    /// What is stored, in logs.
    const WHAT: &'static str;
    /// Logged when storing begins to fail.
    const NOT_STORED: &'static str;
    /// Records of one statement.
    const BATCH: usize;
    /// Ticks between two looks at what other hosts and the operator stored.
    const TICKS_PER_REFRESH: u32;
    /// The number of the first tick: 0 looks at once.
    const FIRST_TICK: u32;

    /// Stores records; those that ended before `oldest` may go.
    async fn put(&self, store: &Store, records: &[Self::Record], oldest: Timestamp) -> store::Result<()>;

    /// What is stored and new since the last call, from `oldest` on.
    async fn list(&mut self, store: &Store, oldest: Timestamp, now: Timestamp) -> store::Result<Vec<Self::Record>>;

    /// Removes what nobody needs, where [`Table::put`] does not.
    async fn prune(&self, _store: &Store, _oldest: Timestamp) -> store::Result<()> {
        Ok(())
    }
}
