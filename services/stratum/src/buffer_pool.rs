//! Buffers between two uses. An idle session owns none, and a busy one need not grow a new one for every answer.
use std::cell::RefCell;

/// What one thread keeps at most: as many sessions as one message to the ledger can have shares of.
const SPARES_MAX: usize = 512;
/// A buffer that had to grow beyond this is let go.
const SPARE_BYTES_MAX: usize = 2048;
/// Room for a job line, or for the answers to a handful of submits.
const NEW_BYTES: usize = 1024;

thread_local!(static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });

/// Gives `buffer` memory if it has none.
pub(crate) fn equip(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        *buffer = spare.unwrap_or_else(|| Vec::with_capacity(NEW_BYTES));
    }
}

/// Empties `buffer` and takes its memory for the next one.
pub(crate) fn strip(buffer: &mut Vec<u8>) {
    let mut spare = std::mem::take(buffer);
    SPARES.with_borrow_mut(|spares| {
        if spare.capacity() <= SPARE_BYTES_MAX && spares.len() < SPARES_MAX {
            spare.clear();
            spares.push(spare);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_from_one_buffer_to_the_next_and_a_large_one_is_let_go() {
        let mut first = Vec::new();
        equip(&mut first);
        first.extend_from_slice(b"answer");
        let memory = first.as_ptr();
        strip(&mut first);
        assert_eq!(first.capacity(), 0);
        let mut second = Vec::new();
        equip(&mut second);
        assert!(second.is_empty() && second.as_ptr() == memory);
        second.reserve(SPARE_BYTES_MAX + 1);
        strip(&mut second);
        assert!(SPARES.with_borrow(Vec::is_empty));
    }
}
