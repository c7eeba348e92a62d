//! Proof of work, one hash at a time.
use std::sync::{Mutex, PoisonError};

use chain::{HeaderBase, PowHash};
use pow::{Arena, Kernel, MemoryKib};
use units::Nonce;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HasherError {
    /// The algorithm needs at least 8 KiB, and a multiple of 4.
    #[error("{0} KiB is not a possible amount of proof-of-work memory")]
    Memory(u32),
    /// The machine has not so much memory.
    #[error("cannot allocate the memory of proof of work")]
    Arena(#[from] pow::ArenaError),
}

/// A kernel and its memory, which is allocated at the first hash.
pub(crate) struct Hasher {
    kernel: Kernel,
    memory: MemoryKib,
    arena: Mutex<Option<Arena>>,
}

impl Hasher {
    pub(crate) fn new(memory_kib: u32) -> Result<Hasher, HasherError> {
        let memory = MemoryKib::new(memory_kib).ok_or(HasherError::Memory(memory_kib))?;
        Ok(Hasher { kernel: Kernel::detect(), memory, arena: Mutex::new(None) })
    }

    /// Computes; a second caller waits, since the memory is there once.
    pub(crate) fn hash(&self, base: &HeaderBase, nonce: Nonce) -> Result<PowHash, HasherError> {
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
