//! Lines to a reader that may stop reading: whoever writes one waits for nobody.
//!
//! Lines wait in memory, bounded in bytes, for a thread of their own, the only one that ever waits for the reader. What
//! finds no place is left out and counted; the line that says how many were stands where they are missing. A thread
//! that waits for ever holds no lock.
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Written at once, as far as whole lines go: a pipe takes this much in one piece, so that lines of two processes on one
/// pipe do not mix.
const CHUNK_BYTES: usize = 4096;
/// How often the number of lines that the system refused is offered to it again when nothing else is: so it is known
/// soon that a full disk has room.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// A buffer that a stall has made larger is given back.
const KEPT_BYTES: usize = 256 * 1024;

/// Takes lines for one reader. Clones write to the same one.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

/// Makes the line that says how many are missing.
pub(crate) type GapLine = Box<dyn Fn(u64) -> String + Send>;

struct Shared {
    bytes_max: usize,
    queue: Mutex<Queue>,
    /// The thread waits here for lines.
    filled: Condvar,
    /// Whoever flushes waits here for the thread.
    written: Condvar,
    /// Bytes that were accepted and that the reader has not got.
    unwritten: AtomicUsize,
    /// Lines that were left out, or that the system refused, since the start.
    dropped: AtomicU64,
    started: Instant,
    /// Milliseconds after `started`, plus one, at which the write under way began; 0 when there is none.
    writing_since: AtomicU64,
    /// Whether the system refused the last write.
    refused: Mutex<Option<io::Error>>,
}

#[derive(Default)]
struct Queue {
    /// Whole lines.
    lines: Vec<u8>,
    /// Lines left out after those. Until the thread has taken both, all others are left out too: so the gap has a place.
    left_out: u64,
    /// The thread has taken lines and not written them all.
    in_hand: bool,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread, which lives as long as the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        bytes_max: usize,
        gap_line: GapLine,
    ) -> io::Result<Writer> {
        let shared = Arc::new(Shared {
            bytes_max,
            queue: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            unwritten: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            started: Instant::now(),
            writing_since: AtomicU64::new(0),
            refused: Mutex::new(None),
        });
        let pump = Pump { shared: Arc::clone(&shared), sink, gap_line, untold: 0, is_mid_line: false };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || pump.run())?;
        Ok(Writer(shared))
    }

    /// Takes a whole line with its end, or leaves it out and counts it.
    pub(crate) fn push(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut queue = shared.queue();
        let unwritten = shared.unwritten.load(Ordering::Relaxed);
        if queue.left_out > 0 || unwritten.saturating_add(line.len()) > shared.bytes_max {
            queue.left_out += 1;
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = queue.lines.is_empty();
        queue.lines.extend_from_slice(line);
        shared.unwritten.fetch_add(line.len(), Ordering::Relaxed);
        drop(queue);
        if was_empty {
            shared.filled.notify_one();
        }
    }

    /// Waits until the reader has everything, but not longer than that. Says whether it has.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut queue = self.0.queue();
        while queue.in_hand || !queue.lines.is_empty() || queue.left_out > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.0.written.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Bytes that wait for the reader.
    pub(crate) fn unwritten(&self) -> usize {
        self.0.unwritten.load(Ordering::Relaxed)
    }

    /// The most bytes that may wait.
    pub(crate) fn bytes_max(&self) -> usize {
        self.0.bytes_max
    }

    /// Lines that no reader will get, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// For how long the reader has taken nothing of what waits.
    pub(crate) fn stands_for(&self) -> Duration {
        let now = self.0.now_ms();
        match self.0.writing_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now.saturating_sub(since)),
        }
    }

    /// Why the last write was refused; `None` when it was not.
    pub(crate) fn refused(&self) -> Option<String> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(io::Error::to_string)
    }
}

// === impl Shared ===

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Waits for something to write, but not for longer than that. `batch` is empty before and takes the lines; returns
    /// how many were left out after.
    fn take(&self, batch: &mut Vec<u8>, patience: Option<Duration>) -> u64 {
        let mut queue = self.queue();
        queue.in_hand = false;
        self.written.notify_all();
        while queue.lines.is_empty() && queue.left_out == 0 {
            match patience {
                None => queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    queue = self.filled.wait_timeout(queue, patience).unwrap_or_else(PoisonError::into_inner).0;
                    break;
                }
            }
        }
        std::mem::swap(&mut queue.lines, batch);
        queue.in_hand = true;
        std::mem::take(&mut queue.left_out)
    }

    fn note(&self, refused: Option<io::Error>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}

/// What the thread owns.
struct Pump<W> {
    shared: Arc<Shared>,
    sink: W,
    gap_line: GapLine,
    /// Lines that are missing before whatever is written next.
    untold: u64,
    is_mid_line: bool,
}

// === impl Pump ===

impl<W: Write> Pump<W> {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let left_out = self.shared.take(&mut batch, (self.untold > 0).then_some(RETRY_EVERY));
            self.tell_gap();
            let written = self.write(&batch);
            let lost = batch.get(written..).unwrap_or_default();
            self.shared.unwritten.fetch_sub(lost.len(), Ordering::Relaxed);
            let lost = lost.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
            self.untold += lost + left_out;
            if lost == 0 {
                self.tell_gap();
            }
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
        }
    }

    fn tell_gap(&mut self) {
        if self.untold == 0 {
            return;
        }
        let line = (self.gap_line)(self.untold);
        // Counted among what is unwritten like any other line, though nothing may refuse it.
        self.shared.unwritten.fetch_add(line.len(), Ordering::Relaxed);
        let written = self.write(line.as_bytes());
        self.shared.unwritten.fetch_sub(line.len() - written, Ordering::Relaxed);
        if written == line.len() {
            self.untold = 0;
        }
    }

    /// Writes until all is written or the system refuses; says how far it came.
    fn write(&mut self, lines: &[u8]) -> usize {
        let mut at = 0;
        if self.is_mid_line && !lines.is_empty() {
            // What was refused in the middle of a line takes no other one along.
            match self.write_some(b"\n") {
                Ok(_) => self.is_mid_line = false,
                Err(error) => return self.give_up(at, error),
            }
        }
        while at < lines.len() {
            match self.write_some(chunk(&lines[at..])) {
                Ok(length) => {
                    at += length;
                    self.is_mid_line = lines[at - 1] != b'\n';
                    self.shared.unwritten.fetch_sub(length, Ordering::Relaxed);
                }
                Err(error) => return self.give_up(at, error),
            }
        }
        if !lines.is_empty() {
            self.shared.note(None);
        }
        at
    }

    fn give_up(&mut self, at: usize, error: io::Error) -> usize {
        self.shared.note(Some(error));
        at
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.writing_since.store(self.shared.now_ms(), Ordering::Relaxed);
        let outcome = loop {
            match self.sink.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                outcome => break outcome,
            }
        };
        self.shared.writing_since.store(0, Ordering::Relaxed);
        outcome
    }
}

/// As many whole lines as fit, else the beginning of one.
fn chunk(lines: &[u8]) -> &[u8] {
    let longest = &lines[..lines.len().min(CHUNK_BYTES)];
    match longest.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => &longest[..=end],
        None => longest,
    }
}

#[cfg(test)]
mod tests;
