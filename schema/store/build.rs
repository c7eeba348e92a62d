//! Cargo does not see new files in `migrations/` by itself.
fn main() {
    std::io::Write::write_all(&mut std::io::stdout(), b"cargo:rerun-if-changed=migrations\n")
        .expect("cargo reads this pipe until the script ends");
}
