//! Output that nobody reads, until somebody does.
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::process::Stdio;

/// What a pipe takes before whoever writes to it waits: sixteen pages.
const PIPE_BYTES: usize = 16 * 4096;

/// The reading end of a pipe that was full before its process began to write.
pub struct UnreadPipe {
    reader: PipeReader,
    log: File,
}

impl UnreadPipe {
    /// The end to read from, and one to write to for each of standard output and standard error.
    pub(crate) fn new(log: File) -> (UnreadPipe, [Stdio; 2]) {
        let (reader, mut writer) = std::io::pipe().expect("the system gives a pipe");
        writer.write_all(&[b'#'; PIPE_BYTES]).expect("an empty pipe takes this much");
        let second = writer.try_clone().expect("a descriptor can be copied");
        (UnreadPipe { reader, log }, [writer.into(), second.into()])
    }

    /// Reads from now on, for as long as anybody writes, into the log of the process.
    ///
    /// # Panics
    /// When the pipe does not hold what it was filled with.
    pub fn read_on(mut self) {
        let mut filling = vec![0; PIPE_BYTES];
        self.reader.read_exact(&mut filling).expect("the pipe was filled");
        assert!(filling.iter().all(|byte| *byte == b'#'), "the pipe was read before");
        // Its end is that of the process.
        std::thread::spawn(move || drop(std::io::copy(&mut self.reader, &mut self.log)));
    }
}
