//! The process's log and its first lines: standard error and standard output, by way of memory.
//!
//! Nothing that writes here ever waits for whoever reads it. A reader that reads loses nothing below [`BYTES_MAX`]; what
//! one that does not read loses is counted, in a metric and in a line for the reader, should it read again.
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::time::{Duration, Instant};

use settings::LogFormat;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::Queue;

mod fd;
mod line;
mod writer;

use fd::Descriptor;
use writer::Writer;

/// What may wait for the log's reader: some minutes of a busy pool's log, or its worst burst.
const BYTES_MAX: usize = 8 << 20;
/// The few lines that go to standard output.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// How long the last lines may take at an orderly end, while their reader reads.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// A reader that takes nothing for this long is not waited for at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a process that must end may take to say why.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);
/// A reader that takes nothing for this long does not read.
const UNREAD_AFTER: Duration = Duration::from_secs(3);

/// The log. Clones are the same one.
#[derive(Clone)]
pub struct Log {
    err: Writer,
    out: Writer,
    format: LogFormat,
    colours: bool,
}

impl Log {
    /// Starts it, and takes panics: each is one line of it from then on.
    ///
    /// # Errors
    /// When the system gives no threads or descriptors.
    pub fn start(format: LogFormat) -> io::Result<Log> {
        let gap = move || -> writer::GapLine {
            Box::new(move |lines| {
                let fields = [("dropped", lines.to_string())];
                line::own(format, Level::WARN, &format!("{lines} log lines dropped"), &fields)
            })
        };
        let colours = format == LogFormat::Text && io::stderr().is_terminal();
        let (err, out) = (Descriptor::copy(&io::stderr())?, Descriptor::copy(&io::stdout())?);
        // Two threads on one pipe would cut each other's long lines in two.
        let own_out = if err.is_same(&out)? { None } else { Some(Writer::start("output", out, OUT_BYTES_MAX, gap())?) };
        let err = Writer::start("log", err, BYTES_MAX, gap())?;
        let out = own_out.unwrap_or_else(|| err.clone());
        let log = Log { err, out, format, colours };
        let own = log.clone();
        std::panic::set_hook(Box::new(move |panic| own.note_panic(panic)));
        Ok(log)
    }

    /// Tells on standard output where something is.
    pub fn say(&self, what: &str, value: &str) {
        let line = match self.format {
            LogFormat::Text => format!("{what:<9}{value}\n"),
            LogFormat::Json => {
                let field = what.replace(' ', "_");
                line::own(self.format, Level::INFO, &format!("{what} {value}"), &[(&field, value.to_owned())])
            }
        };
        self.out.push(line.as_bytes());
    }

    /// Says why the process ends with this code, whatever the filter is.
    pub fn note_failure(&self, code: u8, text: &str) {
        self.own_line(text, &[("code", code.to_string())]);
    }

    /// Waits for the last lines, but not for a reader that does not read. Nothing may be written after it.
    pub fn close(&self) {
        let deadline = Instant::now() + CLOSE_MAX;
        for writer in [&self.out, &self.err] {
            while !writer.flush(CLOSE_PATIENCE / 10) {
                if writer.stands_for() >= CLOSE_PATIENCE || Instant::now() >= deadline {
                    break;
                }
            }
        }
    }

    /// Ends the process with this code whatever happens, and says why if that can be said within a second.
    pub fn end_process(&self, code: u8, last_words: impl FnOnce()) -> ! {
        let exit = move || std::process::exit(i32::from(code));
        // First of all, and of nothing that a thread which hangs could hold.
        let armed = std::thread::Builder::new().name("end".to_owned()).spawn(move || {
            std::thread::sleep(LAST_WORDS_MAX);
            exit();
        });
        if armed.is_ok() {
            last_words();
            self.err.flush(LAST_WORDS_MAX);
        }
        exit()
    }

    /// What waits for the log's reader, in bytes, and how many lines it lost.
    #[must_use]
    pub fn queue(&self) -> Queue {
        let (waiting, refused) = (self.err.clone(), self.err.clone());
        Queue {
            name: "log",
            depth: Box::new(move || waiting.unwritten() as u64),
            capacity: self.err.bytes_max() as u64,
            refused: Box::new(move || refused.dropped()),
        }
    }

    /// Lines of the log that nobody will read, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.err.dropped()
    }

    /// What is wrong with the log's reader, for everybody and for operators.
    #[must_use]
    pub fn trouble(&self) -> Option<(String, String)> {
        if let Some(error) = self.err.refused() {
            let detail = format!("log lines cannot be written and are lost, {} so far: {error}", self.err.dropped());
            return Some(("log cannot be written".to_owned(), detail));
        }
        let stands_for = self.err.stands_for();
        (stands_for >= UNREAD_AFTER).then(|| {
            let (waiting, most) = (self.err.unwritten() >> 10, self.err.bytes_max() >> 10);
            let detail = format!(
                "standard error is not read: {waiting} KiB of at most {most} wait, {} lines are lost so far; \
                 look at what takes the log (a paused terminal, a log driver)",
                self.err.dropped()
            );
            ("log is not read".to_owned(), detail)
        })
    }

    pub(crate) fn format(&self) -> LogFormat {
        self.format
    }

    pub(crate) fn has_colours(&self) -> bool {
        self.colours
    }

    /// No event: a panic may have happened in the middle of one.
    fn note_panic(&self, panic: &PanicHookInfo<'_>) {
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        let thread = std::thread::current();
        let mut fields = vec![("thread", thread.name().unwrap_or("unnamed").to_owned())];
        fields.extend(panic.location().map(|location| ("location", location.to_string())));
        self.own_line(&format!("panicked: {text}"), &fields);
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            backtrace.to_string().lines().for_each(|frame| self.own_line(frame.trim(), &[]));
        }
    }

    fn own_line(&self, message: &str, fields: &[(&str, String)]) {
        self.err.push(line::own(self.format, Level::ERROR, message, fields).as_bytes());
    }
}

/// The log as the formatter of events sees it.
pub(crate) struct Events(pub(crate) Log);

/// Takes one event.
pub(crate) struct EventWriter<'a>(&'a Log);

impl<'a> MakeWriter<'a> for Events {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> EventWriter<'a> {
        EventWriter(&self.0)
    }
}

impl Write for EventWriter<'_> {
    /// The formatter writes each event at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.err.push(&line::bounded(event, self.0.format, self.0.colours));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
