//! A whole hash on the best instruction set of this machine.
use std::fmt;

use crate::arena::Arena;
use crate::blake;
#[cfg(target_arch = "x86_64")]
use crate::{avx2::Avx2, avx512::Avx512};
use crate::{fill::fill, portable::Portable};

/// Bytes of a header without its nonce: the salt.
pub const HEADER_BASE_BYTES: usize = 92;

/// Which instructions compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain integers, on any processor.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
}

impl Isa {
    /// All of them, the slowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

/// Computes Argon2id over an [`Arena`]. Cheap to copy; a thread needs an arena of its own, not a kernel.
#[derive(Clone, Copy)]
pub struct Kernel(Engine);

#[derive(Clone, Copy)]
enum Engine {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernel {
    /// The fastest kernel that this machine can run.
    #[must_use]
    pub fn detect() -> Kernel {
        let fastest = Isa::ALL.into_iter().rev().find_map(Kernel::with);
        fastest.unwrap_or(Kernel(Engine::Portable(Portable)))
    }

    /// The kernel for one instruction set; `None` where the machine lacks it.
    #[must_use]
    pub fn with(isa: Isa) -> Option<Kernel> {
        let engine = match isa {
            Isa::Portable => Some(Engine::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Engine::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Engine::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
        };
        engine.map(Kernel)
    }

    /// Which instructions it uses.
    #[must_use]
    pub fn isa(&self) -> Isa {
        match self.0 {
            Engine::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512(_) => Isa::Avx512,
        }
    }

    /// The proof-of-work hash of a header and nonce: the nonce is the password, the header is the salt.
    ///
    /// With [`MemoryKib::MAINNET`](crate::MemoryKib::MAINNET) this takes most of a second: never call it where something
    /// else waits.
    #[must_use]
    pub fn hash(&self, arena: &mut Arena, header_base: &[u8; HEADER_BASE_BYTES], nonce: u64) -> [u8; 32] {
        self.argon2id(arena, &nonce.to_le_bytes(), header_base)
    }

    /// Argon2id version 0x13, one pass, one lane, 32 bytes, over the whole arena. What the arena held before does not
    /// matter.
    ///
    /// # Panics
    /// When an input is 4 GiB long or longer.
    #[must_use]
    pub fn argon2id(&self, arena: &mut Arena, password: &[u8], salt: &[u8]) -> [u8; 32] {
        let memory_kib = arena.memory().get();
        let memory = arena.blocks();
        memory[..2].copy_from_slice(&blake::first_blocks(password, salt, memory_kib));
        match self.0 {
            Engine::Portable(portable) => fill(portable, memory),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2(avx2) => fill(avx2, memory),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512(avx512) => fill(avx512, memory),
        }
        blake::tag(&memory[memory.len() - 1])
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.isa())
    }
}
