//! The options every verb takes.

use super::error::CliError;
use crate::config::{Config, ConfigError};
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use std::io;
use std::path::{Path, PathBuf};

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
    /// Colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Where the configuration is if nothing is said on the command line.
pub(super) fn default_config() -> PathBuf {
    std::env::var_os("FOG_CONFIG").map_or_else(|| PathBuf::from(CONFIG), PathBuf::from)
}

/// Longest configuration file in bytes.
const MAX_CONFIG: u64 = 1 << 20;

impl Global {
    /// Reads the configuration: the file, `conf.d/*.toml` beside it in the order of their names, then `--set`.
    ///
    /// # Errors
    /// `Config` with the place of what is wrong, or with what to type if there is no configuration yet.
    pub fn load(&self) -> Result<Config, CliError> {
        self.load_with(&self.set)
    }

    /// As `load`, with these settings in place of those of `--set`.
    pub(super) fn load_with(&self, set: &[String]) -> Result<Config, CliError> {
        let files = self.texts()?;
        Ok(Config::parse(&files, set, &self.dir())?)
    }

    /// The configuration's files as they are written, each with its name: the file itself, then those of `conf.d`.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, CliError> {
        self.files().map_err(|(path, error)| unreadable(&path, &error))
    }

    /// As `load`, for a program that is running and has nobody to tell.
    ///
    /// # Errors
    /// Where it is wrong: `FILE:LINE:COL`, or `FILE`.
    pub fn reload(&self) -> Result<Config, String> {
        let files = self.files().map_err(|(path, _)| path.display().to_string())?;
        Config::parse(&files, &self.set, &self.dir()).map_err(|error| error.place())
    }

    /// The configuration's files and their texts, or the one that can't be read.
    fn files(&self) -> Result<Vec<(String, String)>, (PathBuf, io::Error)> {
        let beside = self.dir().join("conf.d");
        let beside = conf_d(&beside).map_err(|error| (beside, error))?;
        let all = std::iter::once(self.config.clone()).chain(beside);
        all.map(|path| read(&path).map_err(|error| (path, error))).collect()
    }

    /// Whether the configuration is looked for where it always is, and the command line names no other.
    #[must_use]
    pub(super) fn is_usual(&self) -> bool {
        self.config == default_config()
    }

    /// Where the configuration file lies; relative paths in it start there.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        let parent = self.config.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let cli = Self::new(ExitCode::Config, error.headline());
        let cli = if error.text.is_empty() { cli } else { cli.found(error.text) };
        match error.hint {
            Some(hint) => cli.try_(hint),
            None => cli,
        }
    }
}

fn read(path: &Path) -> io::Result<(String, String)> {
    Ok((path.display().to_string(), file::read_text(path, MAX_CONFIG)?))
}

fn conf_d(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let found = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => {
            CliError::new(ExitCode::Config, "there is no configuration").found(found).try_("fog init --help")
        }
        io::ErrorKind::PermissionDenied => {
            CliError::new(ExitCode::Permission, "the configuration can't be read").found(found)
        }
        _ => CliError::new(ExitCode::Config, "the configuration can't be read").found(found),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    /// What `fog --config DIR/fog.toml` gives.
    pub(crate) fn in_dir(dir: &Path, set: &[&str]) -> Global {
        Global {
            config: dir.join("fog.toml"),
            set: set.iter().map(|&set| set.to_owned()).collect(),
            json: false,
            quiet: false,
            color: Color::Never,
        }
    }

    #[test]
    fn without_a_configuration_it_says_how_to_make_one() {
        let dir = tempfile::tempdir().unwrap();
        let error = in_dir(dir.path(), &[]).load().unwrap_err();
        assert_eq!((error.exit, error.try_.as_deref()), (ExitCode::Config, Some("fog init --help")));
        assert!(error.found.unwrap().contains("fog.toml"));
    }

    #[test]
    fn conf_d_is_read_in_the_order_of_names_and_nothing_else_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let trust = format!("directory.trust = [\"{}\"]\n", "0".repeat(64));
        fs::write(dir.path().join("fog.toml"), format!("node.name = \"a\"\nnode.onion = \"a:1\"\n{trust}")).unwrap();
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        for (name, text) in [("20.toml", "node.name = \"c\""), ("10.toml", "node.name = \"b\""), ("30.toml~", "x")] {
            fs::write(dir.path().join("conf.d").join(name), text).unwrap();
        }
        assert_eq!(in_dir(dir.path(), &[]).load().unwrap().node.name, "c");
        assert_eq!(in_dir(dir.path(), &["node.name=d"]).load().unwrap().node.name, "d");
        fs::write(dir.path().join("conf.d/40.toml"), "[node]\nnmae = 1\n").unwrap();
        let error = in_dir(dir.path(), &[]).load().unwrap_err();
        assert!(error.what.ends_with("conf.d/40.toml:2:1: there is no key `nmae` in [node]"), "{}", error.what);
        assert_eq!(error.try_.as_deref(), Some("did you mean `name`?"));
    }
}
