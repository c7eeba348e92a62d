//! A byte stream as lines.
use std::borrow::Cow;

/// Longest request: bytes before its LF, CRs included.
pub const LINE_MAX: usize = 8192;

/// Why a stream cannot be read on. The connection is told with id 0 and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// More than [`LINE_MAX`] bytes without an LF.
    #[error("request exceeds {LINE_MAX} bytes")]
    Overlong,
    /// A line that is not UTF-8.
    #[error("request is not valid UTF-8")]
    NotUtf8,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// Something to parse, without its CRs.
    Line(Cow<'a, str>),
    /// Only whitespace: a keepalive. It has no answer but counts as activity.
    Blank,
    /// The end of reading; nothing comes after it.
    Broken(LineError),
}

/// The complete lines of the bytes received so far.
///
/// The caller keeps the buffer: after the last line it drops [`Lines::consumed`] bytes, and shows the rest again with
/// more behind it. At the end of the stream, [`Lines::last`] reads what has no LF.
#[derive(Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    consumed: usize,
    broken: bool,
}

impl<'a> Lines<'a> {
    /// Over all bytes that were received and not consumed yet.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Lines<'a> {
        Lines { bytes, consumed: 0, broken: false }
    }

    /// Bytes of the lines given out so far, terminators included.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The line that has not ended yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.consumed..]
    }

    /// The unfinished line at the end of the stream, which counts as if it were complete; `None` when there is none.
    #[must_use]
    pub fn last(rest: &'a [u8]) -> Option<LineEvent<'a>> {
        if rest.is_empty() { None } else { Some(event(rest)) }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = LineEvent<'a>;

    fn next(&mut self) -> Option<LineEvent<'a>> {
        if self.broken {
            return None;
        }
        let rest = self.rest();
        let found = match memchr::memchr(b'\n', rest) {
            Some(end) => {
                self.consumed += end + 1;
                event(&rest[..end])
            }
            None if rest.len() > LINE_MAX => LineEvent::Broken(LineError::Overlong),
            None => return None,
        };
        self.broken = matches!(found, LineEvent::Broken(_));
        Some(found)
    }
}

/// Reads a line without its LF.
fn event(line: &[u8]) -> LineEvent<'_> {
    if line.len() > LINE_MAX {
        return LineEvent::Broken(LineError::Overlong);
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(_) => return LineEvent::Broken(LineError::NotUtf8),
    };
    // CRs are whitespace at the ends, where they nearly always are, so only one in the middle costs a copy.
    let text = text.trim();
    if text.is_empty() {
        LineEvent::Blank
    } else if memchr::memchr(b'\r', text.as_bytes()).is_some() {
        LineEvent::Line(Cow::Owned(text.replace('\r', "")))
    } else {
        LineEvent::Line(Cow::Borrowed(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> LineEvent<'_> {
        LineEvent::Line(text.into())
    }

    #[test]
    fn a_line_ends_at_lf_and_the_rest_is_kept() {
        let mut lines = Lines::new(b"one\ntwo\r\n\r\n \t\n{\r\"a\"\r:1}\nthr");
        assert_eq!(lines.next(), Some(line("one")));
        assert_eq!(lines.next(), Some(line("two")));
        assert_eq!(lines.next(), Some(LineEvent::Blank));
        assert_eq!(lines.next(), Some(LineEvent::Blank));
        assert_eq!(lines.next(), Some(line("{\"a\":1}")));
        assert_eq!(lines.next(), None);
        assert_eq!(lines.rest(), b"thr");
        assert_eq!(lines.consumed(), 24);
    }

    #[test]
    fn a_line_cut_by_the_end_of_the_stream_counts_as_complete() {
        assert_eq!(Lines::last(b""), None);
        assert_eq!(Lines::last(b"\r"), Some(LineEvent::Blank));
        assert_eq!(Lines::last(b"half"), Some(line("half")));
    }

    #[test]
    fn the_limit_counts_the_bytes_before_the_lf() {
        let mut bytes = vec![b'x'; LINE_MAX];
        assert_eq!(Lines::new(&bytes).next(), None, "8192 bytes may still get their LF");
        bytes.push(b'\n');
        assert!(matches!(Lines::new(&bytes).next(), Some(LineEvent::Line(text)) if text.len() == LINE_MAX));

        let mut bytes = vec![b'x'; LINE_MAX + 1];
        assert_eq!(Lines::new(&bytes).next(), Some(LineEvent::Broken(LineError::Overlong)));
        bytes.extend(b"\nnext\n");
        let events: Vec<_> = Lines::new(&bytes).collect();
        assert_eq!(events, [LineEvent::Broken(LineError::Overlong)], "nothing is read behind it");
        assert_eq!(LineError::Overlong.to_string(), "request exceeds 8192 bytes");
    }

    #[test]
    fn bytes_that_are_not_utf8_end_the_reading() {
        let events: Vec<_> = Lines::new(b"ok\n\xff\nmore\n").collect();
        assert_eq!(events, [line("ok"), LineEvent::Broken(LineError::NotUtf8)]);
        assert_eq!(LineError::NotUtf8.to_string(), "request is not valid UTF-8");
    }

    /// The events of a stream that arrives in the given pieces, as a session reads it.
    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut buffer, mut events) = (Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            let mut lines = Lines::new(&buffer);
            for event in lines.by_ref() {
                events.push(format!("{event:?}"));
                if matches!(event, LineEvent::Broken(_)) {
                    return events;
                }
            }
            let consumed = lines.consumed();
            buffer.drain(..consumed);
        }
        events.extend(Lines::last(&buffer).map(|event| format!("{event:?}")));
        events
    }

    proptest! {
        #[test]
        fn a_split_anywhere_changes_nothing(
            parts in proptest::collection::vec(prop_oneof![
                Just(b"\n".to_vec()), Just(b"\r\n".to_vec()), Just(b" ".to_vec()), Just("ä".as_bytes().to_vec()),
                Just(vec![0xff]), Just(vec![b'x'; 4096]), proptest::collection::vec(any::<u8>(), 0..8),
            ], 0..12),
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
        ) {
            let bytes = parts.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&bytes]));
        }
    }
}
