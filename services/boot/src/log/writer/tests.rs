//! Readers that never read, read slowly, or fail.
use std::io::{PipeReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn gap_line() -> GapLine {
    Box::new(|lines| format!("{lines} dropped\n"))
}

/// Writes on when it is told to, once for each word.
struct Gated {
    gate: Receiver<io::Result<()>>,
    reached: SyncSender<()>,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reached.try_send(()).is_err() {
            // It was told already.
        }
        self.gate.recv().unwrap_or(Ok(()))?;
        self.taken.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink, the gate before it, a sign that the writer has come to the gate, and what has passed.
type TestWriter = (Writer, SyncSender<io::Result<()>>, Receiver<()>, Arc<Mutex<Vec<u8>>>);

fn gated(bytes_max: usize) -> TestWriter {
    let (open, gate) = sync_channel(1000);
    let (reached, at_gate) = sync_channel(1);
    let taken = Arc::new(Mutex::new(Vec::new()));
    let sink = Gated { gate, reached, taken: Arc::clone(&taken) };
    (Writer::start("test", sink, bytes_max, gap_line()).unwrap(), open, at_gate, taken)
}

fn text(taken: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(taken.lock().unwrap().clone()).unwrap()
}

fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'#'; 16 * 4096]).unwrap();
    (reader, writer)
}

#[test]
fn a_reader_that_never_reads_holds_nobody_up_and_every_lost_line_is_counted() {
    const BOUND: usize = 100_000;
    let (_unread, pipe) = full_pipe();
    let writer = Writer::start("test", pipe, BOUND, gap_line()).unwrap();
    let line = [b"x".repeat(99).as_slice(), b"\n"].concat();
    let began_at = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50_000 {
                    writer.push(&line);
                    assert!(writer.unwritten() <= BOUND);
                }
            });
        }
    });
    // That nobody waited for the reader needs no clock: it never reads. The limit is for a machine under load.
    assert!(began_at.elapsed() < MINUTE);
    let kept = (writer.unwritten() / line.len()) as u64;
    assert_eq!(writer.unwritten(), BOUND);
    assert_eq!(writer.dropped(), 200_000 - kept);
    let began_at = Instant::now();
    assert!(!writer.flush(Duration::from_millis(50)), "nothing can have been flushed");
    assert!(began_at.elapsed() < MINUTE);
    assert!(writer.stands_for() > Duration::from_millis(40));
}

#[test]
fn the_count_of_lost_lines_stands_where_they_are_missing() {
    let (writer, open, at_gate, taken) = gated(30);
    writer.push(b"first line\n");
    at_gate.recv().unwrap(); // It is in the thread's hands.
    for line in [b"second one\n".as_slice(), b"third, too long\n", b"no\n", b"4\n"] {
        writer.push(line);
    }
    assert_eq!(writer.dropped(), 3, "once a line is missing, those behind it are not put in its place");
    open.send(Ok(())).unwrap();
    at_gate.recv().unwrap();
    writer.push(b"later\n");
    drop(open);
    assert!(writer.flush(MINUTE));
    assert_eq!(text(&taken), "first line\nsecond one\n3 dropped\nlater\n");
    assert_eq!((writer.unwritten(), writer.dropped(), writer.stands_for()), (0, 3, Duration::ZERO));
}

#[test]
fn a_slow_reader_loses_nothing_below_the_bound() {
    let (mut reader, pipe) = full_pipe();
    let writer = Writer::start("test", pipe, 4 << 20, gap_line()).unwrap();
    // A burst of four times what the pipe takes, before the reader reads at all.
    let expected: String = (0..8_000).map(|number| format!("line {number} with some text behind it\n")).collect();
    expected.lines().for_each(|line| writer.push(format!("{line}\n").as_bytes()));
    let mut bytes = vec![0; 16 * 4096 + expected.len()];
    for part in bytes.chunks_mut(1000) {
        reader.read_exact(part).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(String::from_utf8_lossy(&bytes[16 * 4096..]), expected);
    assert!(writer.flush(MINUTE));
    assert_eq!((writer.dropped(), writer.unwritten()), (0, 0));
}

#[test]
fn lines_that_the_system_refuses_are_counted_and_later_ones_are_written() {
    let (writer, open, at_gate, taken) = gated(1000);
    open.send(Err(ErrorKind::StorageFull.into())).unwrap();
    writer.push(b"one\ntwo\n");
    at_gate.recv().unwrap();
    assert!(writer.flush(MINUTE), "what is refused is not waited for");
    assert_eq!((writer.dropped(), writer.unwritten()), (2, 0));
    assert!(writer.refused().is_some());
    drop(open);
    writer.push(b"three\n");
    assert!(writer.flush(MINUTE));
    assert_eq!(text(&taken), "2 dropped\nthree\n");
    assert_eq!((writer.dropped(), writer.refused()), (2, None));
}

#[test]
fn that_the_system_takes_lines_again_is_known_without_a_new_one() {
    let (writer, open, _at_gate, taken) = gated(1000);
    open.send(Err(ErrorKind::StorageFull.into())).unwrap();
    writer.push(b"one\n");
    drop(open);
    let give_up_at = Instant::now() + MINUTE;
    while text(&taken) != "1 dropped\n" || writer.refused().is_some() {
        assert!(Instant::now() < give_up_at, "{:?}", text(&taken));
        std::thread::yield_now();
    }
}

/// Takes half of the first line only, and then refuses once.
struct Torn(Vec<usize>, Arc<Mutex<Vec<u8>>>);

impl Write for Torn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.0.pop().unwrap_or(bytes.len());
        if length == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.1.lock().unwrap().extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_was_torn_takes_no_other_one_along() {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let writer = Writer::start("test", Torn(vec![0, 5], Arc::clone(&taken)), 1000, gap_line()).unwrap();
    writer.push(b"the first\n");
    assert!(writer.flush(MINUTE));
    writer.push(b"the second\n");
    assert!(writer.flush(MINUTE));
    assert_eq!(text(&taken), "the f\n1 dropped\nthe second\n");
}

#[test]
fn lines_are_written_whole_as_far_as_a_pipe_takes_them_whole() {
    let short = b"short\n".repeat(1000);
    assert_eq!(chunk(&short).len(), CHUNK_BYTES / 6 * 6);
    let long = b"x".repeat(10_000);
    assert_eq!(chunk(&long).len(), CHUNK_BYTES);
    assert_eq!(chunk(b"one\ntwo"), b"one\n");
}
