//! What every host takes on its command line.
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use settings::Load;

/// Where a host's settings come from.
#[derive(Args, Clone, Debug)]
pub struct HostArgs {
    /// Settings file; without it `./pool.toml` if there is one.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Directory of the share log and the embedded database.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl HostArgs {
    /// The layers of settings; `devnet`: on the preset of the simulated network.
    #[must_use]
    pub fn load(&self, devnet: bool) -> Load {
        let load = Load::from_process(self.config.clone(), devnet);
        match &self.data_dir {
            Some(dir) => load.flag("--data-dir", "data.dir", dir.to_string_lossy()),
            None => load,
        }
    }
}

/// Says what is wrong with a command line, or the help that was asked for.
#[must_use]
pub fn misused(error: &clap::Error) -> ExitCode {
    // Nowhere to say so if the terminal is gone.
    drop(error.print());
    ExitCode::from(if error.use_stderr() { boot::CONFIG } else { 0 })
}
