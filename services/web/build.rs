//! The embedded page is tracked by the compiler file by file; a new file in it is not.
fn main() {
    println!("cargo:rerun-if-changed=../../ui/dist");
}
