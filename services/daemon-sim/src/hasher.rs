//! Proof of work, one hash at a time.
use std::sync::{Mutex, PoisonError};

use chain::{HeaderBase, PowHash};
use pow::{Arena, Kernel, MemoryError, MemoryKib};
use units::Nonce;

/// A kernel and its memory, which is allocated at the first hash.
pub(crate) struct Hasher {
    kernel: Kernel,
    memory: MemoryKib,
    arena: Mutex<Option<Arena>>,
}

impl Hasher {
    pub(crate) fn new(memory_kib: u32) -> Result<Hasher, MemoryError> {
        let memory = MemoryKib::new(memory_kib).ok_or(MemoryError::Size(memory_kib))?;
        Ok(Hasher { kernel: Kernel::detect(), memory, arena: Mutex::new(None) })
    }

    /// Computes; a second caller waits, since the memory is there once.
    pub(crate) fn hash(&self, base: &HeaderBase, nonce: Nonce) -> Result<PowHash, MemoryError> {
        let mut place = self.arena.lock().unwrap_or_else(PoisonError::into_inner);
        let mut arena = match place.take() {
            Some(arena) => arena,
            None => Arena::new(self.memory)?,
        };
        let hash = self.kernel.hash(&mut arena, base.as_bytes(), nonce.get());
        *place = Some(arena);
        Ok(PowHash(hash))
    }
}
