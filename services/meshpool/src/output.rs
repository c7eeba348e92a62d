//! What a command says to the operator, and what it asks.
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// A line for the operator on standard output. It waits for its reader: what a command prints is never left out.
pub(crate) fn say(text: &str) {
    // A reader that has gone away is not this program's trouble.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// The same on standard error, and the exit code.
pub(crate) fn fail(code: u8, text: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "meshpool: {text}"));
    ExitCode::from(code)
}

/// Asks on the terminal whether to go on; elsewhere only `--yes` will do.
///
/// # Errors
/// With how the process is to end, having changed nothing.
pub(crate) fn confirmed(question: &str, yes: bool) -> Result<(), ExitCode> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(fail(boot::CONFIG, "nothing was changed: run it on a terminal, which asks, or add --yes"));
    }
    say(&format!("{question} [y/N]"));
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        Ok(_) => Err(fail(boot::CONFIG, "nothing was changed")),
        Err(error) => Err(fail(boot::CONFIG, &format!("nothing was changed: no answer: {error}"))),
    }
}
