//! The options every verb takes.

use std::path::PathBuf;

/// Where the configuration is, unless `--config` or `FOG_CONFIG` says otherwise.
const CONFIG: &str = "/etc/fog/fog.toml";

/// When to colour what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The options every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The configuration file; conf.d/*.toml beside it is read too
    #[arg(short, long, global = true, value_name = "FILE", default_value_os_t = default_config())]
    pub config: PathBuf,
    /// Override one key of the configuration, as in --set spool.max=2G
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print JSON, errors too
    #[arg(short, long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more; twice for more still
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

fn default_config() -> PathBuf {
    std::env::var_os("FOG_CONFIG").map_or_else(|| PathBuf::from(CONFIG), PathBuf::from)
}
