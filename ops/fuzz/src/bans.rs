//! The table of bans and its way to the database and back, against rules that are written down in the plainest way.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use messages::write_behind::{BanRecord, WrittenBehind};
use stratum::{Bans, Client, StratumMetrics, fuzzing};
use units::Timestamp;

use crate::draw;

const REASONS: [&str; 3] = ["bytes", "invalid_lines", "login_deadline"];
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Steps of one script.
const STEPS_MAX: usize = 128;

/// The table, the database, and what must be in both.
struct Story {
    bans: Bans,
    metrics: Arc<StratumMetrics>,
    now: Timestamp,
    /// Rows of the database.
    stored: BTreeMap<String, BanRecord>,
    /// What the table must know; whether it is still to be stored.
    known: BTreeMap<String, (BanRecord, bool)>,
}

/// A script of bans, saves that succeed or fail, other hosts, an operator who lifts bans, and restarts. Three bytes are
/// a step.
pub fn bans(data: &[u8]) {
    let metrics = Arc::<StratumMetrics>::default();
    let now = Timestamp::from_ms(1_800_000_000_000);
    let bans = Bans::new(Vec::new(), Arc::clone(&metrics), now);
    let mut story = Story { bans, metrics, now, stored: BTreeMap::new(), known: BTreeMap::new() };
    let mut input = Unstructured::new(data);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let (what, who, more): (u8, u8, u8) = draw(&mut input);
        story.step(what % 8, client(who), more);
        story.check();
    }
}

/// How many there are in [`client`].
const CLIENTS: u8 = 12;

/// One of four IPv4 addresses, each in two forms, or of eight IPv6 networks.
fn client(which: u8) -> Client {
    let low = u16::from(which % 4);
    Client::of(IpAddr::V6(match which / 4 % 4 {
        0 => Ipv4Addr::from(0x0a00_0000 | u32::from(low)).to_ipv6_mapped(),
        1 => return Client::of(IpAddr::V4((0x0a00_0000 | u32::from(low)).into())),
        network => Ipv6Addr::new(0x2001, 0xdb8, network.into(), low, which.into(), 0, 0, 1),
    }))
}

impl Story {
    fn step(&mut self, what: u8, client: Client, more: u8) {
        match what {
            0 | 1 => self.ban(client, REASONS[usize::from(more) % REASONS.len()]),
            2 => {
                let pace = [MINUTE, 10 * MINUTE, 160 * MINUTE, DAY, WEEK];
                self.now = self.now.plus(pace[usize::from(more) % pace.len()]);
            }
            3 => self.save(client, more),
            4 => {
                let rows = self.list();
                self.bans.load(rows, self.now);
                self.known.retain(|_, (_, unsaved)| *unsaved);
                self.take_over();
            }
            5 => drop(self.stored.remove(&client.to_string())),
            6 => {
                let until = self.now.plus(u32::from(more) * 7 * MINUTE);
                let row = BanRecord {
                    client: client.to_string(),
                    reason: "elsewhere".into(),
                    begun: self.now,
                    until,
                    times: more.into(),
                };
                self.put(vec![row]);
            }
            _ => {
                self.metrics = Arc::default();
                self.bans = Bans::new(self.list(), Arc::clone(&self.metrics), self.now);
                self.known.clear();
                self.take_over();
            }
        }
    }

    /// The first ban lasts ten minutes, each further one four times longer, but a day at most. A week after its end it is
    /// forgotten.
    fn ban(&mut self, client: Client, reason: &'static str) {
        let before = self.known.get(&client.to_string()).filter(|(row, _)| row.until.plus(WEEK) > self.now);
        let times = before.map_or(0, |(row, _)| row.times) + 1;
        let mut length = 10 * MINUTE;
        (1..times).for_each(|_| length = (length * 4).min(DAY));
        let client_text = client.to_string();
        let row = BanRecord {
            client: client_text.clone(),
            reason: reason.into(),
            begun: self.now,
            until: self.now.plus(length),
            times,
        };
        assert_eq!(fuzzing::ban(&self.bans, client, reason, self.now), row);
        self.known.insert(client_text, (row, true));
        self.check_gauge();
    }

    fn check_gauge(&self) {
        let in_force = self.known.values().filter(|(row, _)| row.until > self.now).count();
        assert_eq!(self.metrics.stratum_bans.get(), in_force as u64, "the gauge");
    }

    /// Saves; it may fail, and a client may be banned while the database is busy.
    fn save(&mut self, client: Client, how: u8) {
        let rows = self.bans.take_unsaved(usize::MAX);
        if how & 1 != 0 {
            self.ban(client, REASONS[0]);
        }
        if how & 2 != 0 {
            return self.bans.put_back(&rows);
        }
        self.put(rows.clone());
        for row in rows {
            if let Some((_, unsaved)) = self.known.get_mut(&row.client).filter(|(known, _)| *known == row) {
                *unsaved = false;
            }
        }
    }

    /// Of two bans of one client the one that ends later stays, and what is forgotten goes.
    fn put(&mut self, rows: Vec<BanRecord>) {
        for row in rows {
            match self.stored.get(&row.client) {
                Some(stored) if stored.until >= row.until => {}
                _ => drop(self.stored.insert(row.client.clone(), row)),
            }
        }
        let begin = Bans::memory_begins(self.now);
        self.stored.retain(|_, row| row.until >= begin);
    }

    fn list(&self) -> Vec<BanRecord> {
        let begin = Bans::memory_begins(self.now);
        self.stored.values().filter(|row| row.until >= begin).cloned().collect()
    }

    fn take_over(&mut self) {
        for row in self.list() {
            self.known.entry(row.client.clone()).or_insert((row, false));
        }
        self.check_gauge();
    }

    fn check(&self) {
        let mut unsaved = self.bans.take_unsaved(usize::MAX);
        self.bans.put_back(&unsaved);
        unsaved.sort_by(|one, other| one.client.cmp(&other.client));
        let due: Vec<_> = self.known.values().filter(|(_, unsaved)| *unsaved).map(|(row, _)| row.clone()).collect();
        assert_eq!(unsaved, due, "what is still to be stored");
        for client in (4..4 + CLIENTS).map(client) {
            let text = client.to_string();
            assert_eq!(text.parse::<Client>().as_ref(), Ok(&client));
            let due = self.known.get(&text).map(|(row, _)| row).filter(|row| row.until > self.now);
            assert_eq!(fuzzing::banned(&self.bans, client, self.now).as_ref(), due, "{client}");
        }
    }
}
