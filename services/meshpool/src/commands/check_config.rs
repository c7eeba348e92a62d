//! `meshpool check-config`: what `up` would refuse, and what it would miss, without starting anything.
use std::path::Path;
use std::process::ExitCode;

use secrecy::ExposeSecret;
use settings::{Listen, Settings};
use store::Store;

use crate::output::{fail, say};

/// Says what is wrong with the files and names that the settings, good by themselves, lead to.
pub(crate) fn run(settings: &Settings, devnet: bool) -> ExitCode {
    let wrong = mistakes(settings);
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.iter().map(|mistake| format!("config: {mistake}")).collect();
        return fail(boot::CONFIG, &lines.join("\n"));
    }
    // The simulated daemon makes its files when it starts.
    let missing = if devnet { Vec::new() } else { missing_files(settings) };
    for warning in settings.warnings().into_iter().chain(missing) {
        say(&format!("warning: {warning}"));
    }
    say("settings are good");
    ExitCode::SUCCESS
}

/// Each of these ends `up` at once.
fn mistakes(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = stratum::check_certificate(&settings.stratum) {
        wrong.push(format!("stratum.tls_cert, stratum.tls_key: {error}"));
    }
    let stratum = &settings.stratum;
    unresolved("stratum.listen", Some(&stratum.listen), &mut wrong);
    unresolved("stratum.tls_listen", stratum.tls_listen.as_ref(), &mut wrong);
    unresolved("api.listen", Some(&settings.api.listen), &mut wrong);
    if let Some(dir) = settings.api.ui_dir.as_deref().filter(|dir| !dir.join("index.html").is_file()) {
        wrong.push(format!("api.ui_dir: there is no index.html in {}", dir.display()));
    }
    if settings.data.dir.exists() && !settings.data.dir.is_dir() {
        wrong.push(format!("data.dir: {} is no directory", settings.data.dir.display()));
    }
    if let Err(error) = Store::check_url(settings.database_url().expose_secret()) {
        wrong.push(format!("database.url: {error}"));
    }
    wrong
}

fn unresolved(key: &str, listen: Option<&Listen>, wrong: &mut Vec<String>) {
    for address in listen.map_or(&[][..], Listen::addresses) {
        if let Err(error) = address.resolve() {
            wrong.push(format!("{key}: cannot resolve {address}: {error}"));
        }
    }
}

/// `up` waits for these: others make them, also later.
fn missing_files(settings: &Settings) -> Vec<String> {
    let mut missing = Vec::new();
    for (index, daemon) in settings.daemon.endpoints().iter().enumerate() {
        let section = index.checked_sub(1).map_or("daemon".to_owned(), |index| format!("daemon.fallback.{index}"));
        let cookies = daemon.cookie_files();
        if daemon.token.expose_secret().is_empty() && !cookies.iter().any(|file| file.exists()) {
            let files: Vec<String> = cookies.iter().map(|file| file.display().to_string()).collect();
            let files = if files.is_empty() { "no file is set".to_owned() } else { files.join(" nor ") };
            missing.push(format!("{section}.cookie_path, {section}.data_dir: there is no daemon's token yet: {files}"));
        }
        if let Some(file) = daemon.wallet_password_file.as_deref().filter(|file| !Path::exists(file)) {
            missing.push(format!("{section}.wallet_password_file: {} does not exist yet", file.display()));
        }
    }
    missing
}
