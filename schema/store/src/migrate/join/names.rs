//! Tables that name a miner by its address.
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::Result;
use crate::migrate::tx::Tx;
use crate::sql::binds;

#[derive(QueryableByName, Clone)]
struct StoredPenalty {
    #[diesel(sql_type = Binary)]
    origin: Vec<u8>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    strikes: i64,
    #[diesel(sql_type = BigInt)]
    struck_at: i64,
    #[diesel(sql_type = BigInt)]
    forced_until: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    quarantined_until: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    void_before: Option<i64>,
    #[diesel(sql_type = BigInt)]
    ends_at: i64,
}

impl StoredPenalty {
    /// The stricter of both in everything: who was kept out under one text is not let in under the other.
    fn and(self, other: StoredPenalty) -> StoredPenalty {
        let reason = match (other.quarantined_until, other.struck_at) > (self.quarantined_until, self.struck_at) {
            true => other.reason,
            false => self.reason,
        };
        StoredPenalty {
            origin: self.origin,
            reason,
            strikes: self.strikes.max(other.strikes),
            struck_at: self.struck_at.max(other.struck_at),
            forced_until: self.forced_until.max(other.forced_until),
            quarantined_until: self.quarantined_until.max(other.quarantined_until),
            void_before: self.void_before.max(other.void_before),
            ends_at: self.ends_at.max(other.ends_at),
        }
    }
}

/// Penalties, by origin.
pub(super) fn penalties(c: &mut Tx<'_>, from: &str, to: &str) -> Result<()> {
    let select = "SELECT origin, reason, strikes, struck_at, forced_until, quarantined_until, void_before, ends_at \
                  FROM penalties WHERE address = $1";
    let moved: Vec<StoredPenalty> = c.rows(select, binds![from])?;
    let there: Vec<StoredPenalty> = c.rows(select, binds![to])?;
    c.run("DELETE FROM penalties WHERE address = $1", binds![from])?;
    for row in moved {
        let known = there.iter().find(|known| known.origin == row.origin).cloned();
        let row = match known {
            Some(known) => row.and(known),
            None => row,
        };
        c.run("DELETE FROM penalties WHERE address = $1 AND origin = $2", binds![to, row.origin.clone()])?;
        let insert = "INSERT INTO penalties (address, origin, reason, strikes, struck_at, forced_until, \
                      quarantined_until, void_before, ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let binds = binds![
            to,
            row.origin,
            row.reason,
            row.strikes,
            row.struck_at,
            row.forced_until,
            row.quarantined_until,
            row.void_before,
            row.ends_at,
        ];
        c.run(insert, binds)?;
    }
    Ok(())
}

/// Difficulties, by worker: the later measured one stays.
pub(super) fn hints(c: &mut Tx<'_>, from: &str, to: &str) -> Result<()> {
    let add = "INSERT INTO vardiff_hints (address, worker, origin, difficulty, measured_at) \
               SELECT $1, worker, origin, difficulty, measured_at FROM vardiff_hints WHERE address = $2 \
               ON CONFLICT (address, worker) DO UPDATE SET origin = excluded.origin, \
               difficulty = excluded.difficulty, measured_at = excluded.measured_at \
               WHERE vardiff_hints.measured_at < excluded.measured_at";
    c.run(add, binds![to, from])?;
    c.run("DELETE FROM vardiff_hints WHERE address = $1", binds![from])?;
    Ok(())
}
