//! Seconds per hash, ours beside RustCrypto's `argon2` in the same run and on the same kind of memory.
//!
//! `cargo bench -p pow` uses 64 MiB. The chain's real size takes 2 GiB per row and a quiet machine:
//! `MESHPOOL_POW_BENCH_KIB=2097152 cargo bench -p pow -- --sample-count 5 --sample-size 1`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to say")]

use std::hint::black_box;

use divan::Bencher;
use pow::{Arena, Isa, Kernel, MemoryKib};

const HEADER_BASE: [u8; 92] = [7; 92];

fn main() {
    divan::main();
}

fn memory() -> MemoryKib {
    let kib = std::env::var("MESHPOOL_POW_BENCH_KIB").map_or(65_536, |kib| kib.parse().unwrap());
    MemoryKib::new(kib).unwrap()
}

/// What this machine can run.
fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| Kernel::with(*isa).is_some())
}

#[divan::bench(args = available())]
fn own(bencher: Bencher<'_, '_>, isa: Isa) {
    let kernel = Kernel::with(isa).unwrap();
    let mut arena = Arena::new(memory()).unwrap();
    let mut nonce = 0;
    bencher.bench_local(|| {
        nonce += 1;
        black_box(kernel.hash(&mut arena, &HEADER_BASE, nonce))
    });
}

/// The baseline. It reuses its memory, on huge pages, as ours does: otherwise it would measure page faults.
#[divan::bench]
fn rustcrypto_argon2_0_6(bencher: Bencher<'_, '_>) {
    let kib = memory().get();
    let params = argon2::Params::new(kib, 1, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut blocks = Vec::<argon2::Block>::with_capacity(kib as usize);
    advise_huge_pages(&mut blocks);
    blocks.resize(kib as usize, argon2::Block::default());
    let mut nonce = 0_u64;
    bencher.bench_local(|| {
        nonce += 1;
        let mut hash = [0; 32];
        argon2.hash_password_into_with_memory(&nonce.to_le_bytes(), &HEADER_BASE, &mut hash, &mut blocks).unwrap();
        black_box(hash)
    });
}

fn advise_huge_pages(blocks: &mut Vec<argon2::Block>) {
    #[cfg(target_os = "linux")]
    {
        let spare = blocks.spare_capacity_mut();
        let to_page = spare.as_ptr().cast::<u8>().align_offset(4096);
        let bytes = size_of_val(spare).saturating_sub(to_page);
        let pages = spare.as_mut_ptr().wrapping_byte_add(to_page);
        // SAFETY: whole pages inside the vector's own untouched memory; the advice changes no contents.
        unsafe { libc::madvise(pages.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}
