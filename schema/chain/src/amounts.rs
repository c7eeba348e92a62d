//! Amounts that the chain and the daemon's wallet fix: the subsidy of a block and the fee of a send.
use units::{Amount, Height};

/// Heights that share one subsidy: about a month of five-minute blocks.
pub const BLOCKS_PER_MONTH: u64 = 8_640;

/// Subsidy of every later month, in atoms.
const TAIL_ATOMS: u64 = 200_000_000;

/// Atoms per block in each of the first 48 months. The rule is `trunc(72125093035 * exp(-0.75 * month / 12) +
/// 200000000)`; no value lies within 0.009 of an integer, so the table and any sane `exp` agree, and money
/// stays free of floats.
#[rustfmt::skip]
const MONTH_ATOMS: [u64; 48] = [
    72_325_093_035, 67_955_254_553, 63_850_171_202, 59_993_802_277, 56_371_078_934, 52_967_845_303,
    49_770_803_174, 46_767_460_036, 43_946_080_260, 41_295_639_243, 38_805_780_329, 36_466_774_342,
    34_269_481_563, 32_205_316_023, 30_266_211_952, 28_444_592_257, 26_733_338_920, 25_125_765_181,
    23_615_589_412, 22_196_910_567, 20_864_185_128, 19_612_205_442, 18_436_079_370, 17_331_211_175,
    16_293_283_559, 15_318_240_799, 14_402_272_893, 13_541_800_678, 12_733_461_838, 11_974_097_773,
    11_260_741_251, 10_590_604_815, 9_961_069_894, 9_369_676_565, 8_814_113_947, 8_292_211_167,
    7_801_928_877, 7_341_351_289, 6_908_678_687, 6_502_220_393, 6_120_388_162, 5_761_689_976,
    5_424_724_215, 5_108_174_177, 4_810_802_937, 4_531_448_509, 4_269_019_310, 4_022_489_893,
];

/// The new coins of the block at `height`. Height 0 has no coinbase, but the formula (and the daemon) gives it a
/// subsidy too.
#[must_use]
pub fn block_reward(height: Height) -> Amount {
    let month = usize::try_from(height.get() / BLOCKS_PER_MONTH).unwrap_or(usize::MAX);
    let atoms = MONTH_ATOMS.get(month).copied().unwrap_or(TAIL_ATOMS);
    Amount::from_atoms(atoms).expect("every subsidy is below the largest amount")
}

/// Least fee of a send, in atoms.
const FEE_MIN_ATOMS: u64 = 1_000;
/// Atoms per byte.
const FEE_RATE_ATOMS: u64 = 10;
/// What the wallet estimates for a transaction without inputs and outputs.
const ENVELOPE_BYTES: u64 = 49;
/// What it estimates per output, range proof included.
const OUTPUT_BYTES: u64 = 1_228;
/// What it estimates per input, ring signature included.
const INPUT_BYTES: u64 = 2_216;

/// What the daemon's wallet pays to the network for a send. `outputs` counts the change.
#[must_use]
pub fn send_fee(inputs: u64, outputs: u64) -> Amount {
    let bytes = ENVELOPE_BYTES
        .saturating_add(OUTPUT_BYTES.saturating_mul(outputs))
        .saturating_add(INPUT_BYTES.saturating_mul(inputs));
    let atoms = bytes.saturating_mul(FEE_RATE_ATOMS).max(FEE_MIN_ATOMS);
    Amount::from_atoms(atoms).unwrap_or(Amount::MAX)
}
