//! Standard output and standard error without the locks of the standard library: nobody who prints with those can hold
//! up the log, nor be held up by it.
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, poll};

/// A copy of a descriptor. Waits for its reader also where that is set not to wait.
pub(crate) struct Descriptor(File);

impl Descriptor {
    /// Of one that stays open.
    ///
    /// # Errors
    /// When the system gives no copy.
    pub(crate) fn copy(of: &impl AsFd) -> io::Result<Descriptor> {
        Ok(Descriptor(File::from(of.as_fd().try_clone_to_owned()?)))
    }

    /// Whether both write to one pipe, file or terminal.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn is_same(&self, other: &Descriptor) -> io::Result<bool> {
        let place = |of: &Descriptor| of.0.metadata().map(|data| (data.dev(), data.ino()));
        Ok(place(self)? == place(other)?)
    }
}

impl Write for Descriptor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // Whoever shares the pipe or the terminal has set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                outcome => return outcome,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // Nothing is kept here.
    }
}
