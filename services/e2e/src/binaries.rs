//! Where the programs under test are. Cargo does not build other packages' programs for a test, so whoever starts the
//! tests does (`ops/test`, or `cargo build`); they lie beside the tests in the target directory.
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The directory of the profile that this test was built in, like `target/debug`.
#[must_use]
pub fn target_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    let deps = own.parent().expect("a program lies in a directory");
    deps.parent().expect("tests lie in `deps` of their profile").to_owned()
}

/// Programs that nearly every test needs.
const ALWAYS: [&str; 2] = ["meshpool", "meshpool-devnet"];

/// A program of this workspace, as new as its sources were when the tests began.
///
/// # Panics
/// When it was not built, or sources changed after it was.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static CHECKED: LazyLock<()> = LazyLock::new(|| ALWAYS.into_iter().for_each(check));
    LazyLock::force(&CHECKED);
    // Only the tests of the other hosts need those.
    if !ALWAYS.contains(&name) {
        check(name);
    }
    target_dir().join(name)
}

fn check(name: &str) {
    const BUILD: &str = "build the programs first: cargo build --locked (ops/test does)";
    let path = target_dir().join(name);
    let modified = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified());
    let Ok(built_at) = modified(&path) else { panic!("{} is missing; {BUILD}", path.display()) };
    let is_newer = |source: &str| modified(Path::new(source)).is_ok_and(|at| at > built_at);
    // Cargo's list of what went into it: `PROGRAM: SOURCE SOURCE ...`.
    let list = std::fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    if let Some(newer) = list.split_whitespace().skip(1).find(|source| is_newer(source)) {
        panic!("{newer} changed after {} was built; {BUILD}", path.display());
    }
}
