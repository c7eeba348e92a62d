//! The memory of one hash: mapped once, on huge pages where the system has them, and reused for every hash.
use std::io;
use std::ptr::NonNull;

use crate::block::Block;

const BLOCK_BYTES: usize = size_of::<Block>();
/// The size of a huge page on every system that matters here, and our alignment.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// Touching one byte in each of these makes the whole arena resident.
const SMALL_PAGE_BYTES: usize = 4 << 10;

/// Memory of one hash in KiB: at least 8 and a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryKib(u32);

impl MemoryKib {
    /// What the chain demands: 2 GiB.
    pub const MAINNET: MemoryKib = MemoryKib(2_097_152);

    /// `None` below 8 and for what is not a multiple of 4.
    #[must_use]
    pub const fn new(kib: u32) -> Option<MemoryKib> {
        if kib >= 8 && kib.is_multiple_of(4) { Some(MemoryKib(kib)) } else { None }
    }

    /// KiB.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn blocks(self) -> usize {
        self.0 as usize
    }
}

/// The system would not give the memory.
#[derive(Debug, thiserror::Error)]
#[error("could not {step} {kib} KiB for a proof-of-work arena")]
pub struct ArenaError {
    step: &'static str,
    kib: u32,
    source: io::Error,
}

/// Why there is no memory to hash in, for those who are told its size by somebody else.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// No [`MemoryKib`].
    #[error("{0} KiB is not a possible amount of proof-of-work memory")]
    Size(u32),
    /// The machine has not so much memory.
    #[error("cannot allocate the memory of proof of work")]
    Arena(#[from] ArenaError),
}

/// Exclusive memory for one hash at a time; one per verifying thread. Resident from the start, so that a machine with
/// too little memory says so at once and no hash pays for page faults.
pub struct Arena {
    reservation: NonNull<libc::c_void>,
    reserved_bytes: usize,
    start: NonNull<Block>,
    memory: MemoryKib,
    huge_page_bytes: u64,
}

// SAFETY: an arena is the only owner of its mapping, and the mapping belongs to the process, not to a thread.
unsafe impl Send for Arena {}

impl Arena {
    /// Maps and touches the memory.
    ///
    /// # Errors
    /// When the system refuses the address space or the memory.
    pub fn new(memory: MemoryKib) -> Result<Arena, ArenaError> {
        let failed = |step| ArenaError { step, kib: memory.get(), source: io::Error::last_os_error() };
        let bytes = memory.blocks() * BLOCK_BYTES;
        // Room to align, and unmapped space on both sides: neighbours do not merge with us, so that what the system
        // reports about huge pages is about this arena, and running over the end is a fault.
        let reserved_bytes = bytes + 2 * HUGE_PAGE_BYTES;
        // SAFETY: a new private mapping at an address of the system's choice touches nothing that exists.
        let reservation = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            libc::mmap(std::ptr::null_mut(), reserved_bytes, libc::PROT_NONE, flags, -1, 0)
        };
        let reservation = NonNull::new(reservation)
            .filter(|address| address.as_ptr() != libc::MAP_FAILED)
            .ok_or_else(|| failed("reserve"))?;
        let to_start = HUGE_PAGE_BYTES - reservation.addr().get() % HUGE_PAGE_BYTES;
        // SAFETY: at most one huge page into a reservation that is two of them longer than the arena.
        let start = unsafe { reservation.byte_add(to_start) };
        // From here on, dropping the arena gives the reservation back.
        let mut arena = Arena { reservation, reserved_bytes, start: start.cast(), memory, huge_page_bytes: 0 };

        // Only now does the system count the memory, and refuse what it obviously does not have.
        // SAFETY: the range lies in our own reservation, and nothing points into it yet.
        let refused = unsafe { libc::mprotect(start.as_ptr(), bytes, libc::PROT_READ | libc::PROT_WRITE) };
        if refused != 0 {
            return Err(failed("map"));
        }
        advise_huge_pages(start, bytes);
        for block in arena.blocks().iter_mut().step_by(SMALL_PAGE_BYTES / BLOCK_BYTES) {
            block.0[0] = 0;
        }
        arena.huge_page_bytes = huge_page_bytes_at(start.addr().get());
        Ok(arena)
    }

    /// Its size.
    #[must_use]
    pub fn memory(&self) -> MemoryKib {
        self.memory
    }

    /// How many of its bytes were on huge pages when it was made; 0 where the system does not say. All of them halve the
    /// time of a hash.
    #[must_use]
    pub fn huge_page_bytes(&self) -> u64 {
        self.huge_page_bytes
    }

    pub(crate) fn blocks(&mut self) -> &mut [Block] {
        // SAFETY: `start` is aligned to a huge page and followed by this many blocks of mapped memory that only this arena
        // owns; it came from the system zeroed, and any bytes are a valid block.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.memory.blocks()) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours, and every borrow of it has ended with the borrow of `self`. Should the system
        // refuse, which it does only for addresses that were never mapped, the memory stays mapped: no harm.
        unsafe { libc::munmap(self.reservation.as_ptr(), self.reserved_bytes) };
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("memory", &self.memory).field("huge_page_bytes", &self.huge_page_bytes).finish()
    }
}

/// Must come before the first touch. A wish: a system without huge pages serves small ones, only slower.
#[cfg(target_os = "linux")]
fn advise_huge_pages(start: NonNull<libc::c_void>, bytes: usize) {
    // SAFETY: advice about our own fresh mapping; this kind of it changes no contents.
    unsafe { libc::madvise(start.as_ptr(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_start: NonNull<libc::c_void>, _bytes: usize) {}

/// What the system reports about the mapping that starts at `address`; 0 when it reports nothing.
fn huge_page_bytes_at(address: usize) -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let header = format!("{address:x}-");
    let mapping = smaps.lines().skip_while(|line| !line.starts_with(&header));
    let huge = mapping.skip(1).find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kib = huge.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_have_no_whole_slices_are_refused() {
        let sizes = [0, 4, 7, 9, 10, 11, 1022];
        assert!(sizes.iter().all(|kib| MemoryKib::new(*kib).is_none()));
        assert_eq!(MemoryKib::new(8).map(MemoryKib::get), Some(8));
        assert_eq!(MemoryKib::new(2_097_152), Some(MemoryKib::MAINNET));
    }

    #[test]
    fn an_arena_is_zeroed_and_all_of_it_can_be_written_on_another_thread() {
        let mut arena = Arena::new(MemoryKib::new(8 * 1024).unwrap()).unwrap();
        assert!(arena.blocks().iter().all(|block| block.0 == [0; 128]));
        std::thread::spawn(move || arena.blocks().fill(Block([u64::MAX; 128]))).join().unwrap();
    }

    #[test]
    fn neighbouring_arenas_report_their_own_huge_pages() {
        let arenas: Vec<Arena> = (0..4).map(|_| Arena::new(MemoryKib::new(4 * 1024).unwrap()).unwrap()).collect();
        assert!(arenas.iter().all(|arena| arena.huge_page_bytes() <= 4 << 20));
    }
}
