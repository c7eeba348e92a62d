//! The kernel against recorded hashes of the chain and against another implementation.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use pow::{Arena, Isa, Kernel, MemoryKib};
use serde_json::Value;

struct Vector {
    memory: MemoryKib,
    header_base: [u8; 92],
    nonce: u64,
    hash: [u8; 32],
}

fn vectors(section: &str) -> Vec<Vector> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    let cases = all[section].as_array().unwrap().iter();
    cases
        .map(|case| Vector {
            memory: MemoryKib::new(case["memory_kib"].as_u64().unwrap().try_into().unwrap()).unwrap(),
            header_base: hex::decode(text(case, "header_base_hex")).unwrap().try_into().unwrap(),
            nonce: text(case, "nonce").parse().unwrap(),
            hash: hex::decode(text(case, "hash_hex")).unwrap().try_into().unwrap(),
        })
        .collect()
}

fn kernels() -> Vec<Kernel> {
    Isa::ALL.into_iter().filter_map(Kernel::with).collect()
}

#[test]
fn every_instruction_set_gives_the_recorded_hashes() {
    let vectors = vectors("pow_small_memory");
    assert_eq!(vectors.len(), 8);
    println!("instruction sets of this machine: {:?}", kernels());
    for vector in vectors {
        let mut arena = Arena::new(vector.memory).unwrap();
        for kernel in kernels() {
            let hash = kernel.hash(&mut arena, &vector.header_base, vector.nonce);
            assert_eq!(hash, vector.hash, "{kernel:?} {:?} nonce {}", vector.memory, vector.nonce);
        }
    }
}

/// One hash over the chain's real 2 GiB always runs; `MESHPOOL_POW_FULL=1` runs all of them on all instruction sets.
#[test]
fn the_full_two_gigabytes_give_the_recorded_hashes() {
    let vectors = vectors("pow_full_2gib");
    assert_eq!(vectors.len(), 6);
    let all = std::env::var("MESHPOOL_POW_FULL").is_ok_and(|value| value == "1");
    let kernels = if all { kernels() } else { vec![Kernel::detect()] };
    let mut arena = Arena::new(MemoryKib::MAINNET).unwrap();
    // The last one has a full-range nonce and a large difficulty; it stands for the others.
    let chosen = if all { &vectors[..] } else { &vectors[5..] };
    println!("{} of {} vectors over 2 GiB on {kernels:?}, {arena:?}", chosen.len(), vectors.len());
    for vector in chosen {
        for kernel in &kernels {
            let hash = kernel.hash(&mut arena, &vector.header_base, vector.nonce);
            assert_eq!(hash, vector.hash, "{kernel:?} nonce {}", vector.nonce);
        }
    }
}

fn reference(memory_kib: u32, password: &[u8], salt: &[u8]) -> [u8; 32] {
    let params = argon2::Params::new(memory_kib, 1, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut hash = [0; 32];
    argon2.hash_password_into(password, salt, &mut hash).unwrap();
    hash
}

#[test]
fn another_implementation_agrees_for_many_sizes_and_lengths() {
    for memory_kib in [8, 12, 16, 20, 64, 508, 512, 516, 520, 1020, 1024, 1028, 4096, 8192] {
        let mut arena = Arena::new(MemoryKib::new(memory_kib).unwrap()).unwrap();
        for (password_len, salt_len) in [(8, 92), (8, 120), (0, 8), (1, 127), (128, 129), (200, 300)] {
            let password: Vec<u8> = (0_u8..=255).cycle().map(|byte| byte ^ 0x5a).take(password_len).collect();
            let salt: Vec<u8> = (0_u8..=255).cycle().map(|byte| byte.wrapping_mul(7)).take(salt_len).collect();
            let expected = reference(memory_kib, &password, &salt);
            for kernel in kernels() {
                let hash = kernel.argon2id(&mut arena, &password, &salt);
                assert_eq!(hash, expected, "{kernel:?} {memory_kib} KiB, {password_len} and {salt_len} bytes");
            }
        }
    }
}

#[test]
fn what_an_arena_held_before_does_not_matter() {
    let kernel = Kernel::detect();
    let mut used = Arena::new(MemoryKib::new(64).unwrap()).unwrap();
    let first = kernel.hash(&mut used, &[1; 92], 1);
    let second = kernel.hash(&mut used, &[2; 92], 2);
    assert_ne!(first, second);
    assert_eq!(kernel.hash(&mut used, &[1; 92], 1), first);
}
