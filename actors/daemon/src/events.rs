//! The daemon's event stream. A hint only: it is silent about much, and polling is the truth.
use std::collections::VecDeque;
use std::time::Duration;

use chain::BlockId;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use units::Height;

use crate::error::{DaemonError, Result};
use crate::http::{Body, Call, Daemon};

/// The daemon writes a comment every 30 s; after two and a half of them missed the stream is dead.
const DEAD_AFTER: Duration = Duration::from_secs(75);
/// First pause before connecting again; doubles with every failure.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest pause before connecting again.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A line longer than this is not the daemon's.
const LINE_LIMIT_BYTES: usize = 64 << 10;

const ROUTE: &str = "GET /api/events";

/// What the stream said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection stands; anything may have happened before it.
    Connected {
        /// The chain's height.
        height: Height,
    },
    /// A block became the main tip.
    NewBlock {
        /// Its id.
        hash: BlockId,
        /// Its height; not always above the one before.
        height: Height,
    },
    /// A block was accepted from a miner.
    MinedBlock {
        /// Its id.
        hash: BlockId,
        /// Its height.
        height: Height,
    },
    /// The connection is gone or could not be made; the stream goes on and tries again.
    Lost(DaemonError),
}

impl Daemon {
    /// The daemon's events, for ever: a broken or silent connection is made again after a growing pause.
    pub fn events(&self) -> impl Stream<Item = Event> + use<> {
        let feed = Feed { daemon: self.clone(), connection: None, waiting: VecDeque::new(), failures: 0 };
        stream::unfold(feed, |mut feed| async move {
            let event = feed.next().await;
            Some((event, feed))
        })
    }

    async fn connect_events(&self) -> Result<Connection> {
        let call = Call::get(ROUTE, "/api/events");
        let body = self.rereading(async || self.within(&call, self.open(&call)).await).await?;
        Ok(Connection { body, lines: Lines::default() })
    }
}

struct Connection {
    body: Body,
    lines: Lines,
}

struct Feed {
    daemon: Daemon,
    connection: Option<Connection>,
    waiting: VecDeque<Event>,
    failures: u32,
}

impl Feed {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let Some(connection) = &mut self.connection else {
                if self.failures > 0 {
                    tokio::time::sleep(backoff(self.failures)).await;
                }
                match self.daemon.connect_events().await {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => return self.lost(error),
                }
                continue;
            };
            let why = match tokio::time::timeout(DEAD_AFTER, connection.body.next()).await {
                Ok(Some(Ok(chunk))) => match connection.lines.push(&chunk) {
                    Ok(events) => {
                        self.failures = 0;
                        self.waiting.extend(events);
                        continue;
                    }
                    Err(why) => why.to_owned(),
                },
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) => "stream ended".to_owned(),
                Err(_) => format!("no byte within {DEAD_AFTER:?}"),
            };
            self.connection = None;
            let error = self.daemon.unknown(ROUTE, why);
            return self.lost(error);
        }
    }

    fn lost(&mut self, error: DaemonError) -> Event {
        self.failures = self.failures.saturating_add(1);
        Event::Lost(error)
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

/// Cuts a byte stream into lines and lines into events, wherever the chunks end.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    name: String,
    data: String,
}

#[derive(Deserialize)]
struct TipEvent {
    #[serde(default)]
    hash: Option<BlockId>,
    #[serde(default)]
    height: Option<Height>,
    #[serde(default)]
    chain_height: Option<Height>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> std::result::Result<Vec<Event>, &'static str> {
        let mut events = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.len() > LINE_LIMIT_BYTES {
                return Err("a line is too long");
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let line = String::from_utf8_lossy(&line);
                events.extend(self.line(line.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    /// An empty line ends an event; comments and unknown fields are nothing.
    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return event(&name, &data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => value.clone_into(&mut self.data),
            _ => {}
        }
        None
    }
}

/// `None` for names and bodies that mean nothing here: the stream is a hint, polling finds what it hid.
fn event(name: &str, data: &str) -> Option<Event> {
    let body: TipEvent = serde_json::from_str(data).ok()?;
    match name {
        "connected" => Some(Event::Connected { height: body.chain_height? }),
        "new_block" => Some(Event::NewBlock { hash: body.hash?, height: body.height? }),
        "mined_block" => Some(Event::MinedBlock { hash: body.hash?, height: body.height? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorded stream without its response head.
    fn recorded() -> &'static [u8] {
        let all = include_bytes!("../tests/data/daemon-events.txt");
        let head = all.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2);
        let head = all.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4).or(head);
        &all[head.unwrap()..]
    }

    fn whole() -> Vec<Event> {
        Lines::default().push(recorded()).unwrap()
    }

    #[test]
    fn the_recorded_stream_is_two_blocks_each_told_twice() {
        let names: Vec<_> = whole()
            .iter()
            .map(|event| match event {
                Event::Connected { height } => format!("connected {height}"),
                Event::NewBlock { height, .. } => format!("new {height}"),
                Event::MinedBlock { height, .. } => format!("mined {height}"),
                Event::Lost(error) => error.to_string(),
            })
            .collect();
        assert_eq!(names, ["connected 392", "new 393", "mined 393", "new 394", "mined 394"]);
    }

    #[test]
    fn a_stream_cut_at_any_byte_says_the_same() {
        let bytes = recorded();
        for cut in 0..=bytes.len() {
            let mut lines = Lines::default();
            let mut events = lines.push(&bytes[..cut]).unwrap();
            events.extend(lines.push(&bytes[cut..]).unwrap());
            assert_eq!(events, whole(), "cut at {cut}");
        }
        let mut lines = Lines::default();
        let single: Vec<_> = bytes.iter().flat_map(|byte| lines.push(&[*byte]).unwrap()).collect();
        assert_eq!(single, whole());
    }

    #[test]
    fn an_endless_line_ends_the_connection_and_not_the_memory() {
        let mut lines = Lines::default();
        let refused = (0..200).any(|_| lines.push(&[b'x'; 1024]).is_err());
        assert!(refused && lines.rest.len() <= LINE_LIMIT_BYTES + 1024);
    }

    #[test]
    fn pauses_grow_to_half_a_minute_and_stay_there() {
        assert_eq!(backoff(1), BACKOFF_MIN);
        assert_eq!(backoff(2), BACKOFF_MIN * 2);
        assert_eq!(backoff(60), BACKOFF_MAX);
    }
}
