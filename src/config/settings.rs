//! Keys and values as they were written, each with its place.

use super::error::ConfigError;
use super::keys::NUMBERS;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest piece of a file that an error shows inside a sentence.
const SHOWN: usize = 60;

/// One key's value, and where it stands.
#[derive(Clone, Debug)]
struct Setting {
    value: Value,
    written: Written,
}

/// A value, or an item of one, as it was written.
#[derive(Clone, Debug)]
struct Written {
    /// An error at this place, still without a message.
    place: ConfigError,
    shown: String,
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// A number as it was written, without quotes.
    Number(String),
    /// Its items, those that are texts with their text.
    List(Vec<(Option<String>, Written)>),
    /// A boolean, a time, a table: nothing that any key takes.
    Other,
}

impl Written {
    /// The error that this is not what was `wanted` of `key`.
    fn wrong(&self, key: &str, wanted: &str) -> ConfigError {
        ConfigError { message: format!("{key} can't be {}", self.shown), ..self.place.clone() }
            .hint(format!("wanted: {wanted}"))
    }
}

/// All settings, later ones in the place of earlier ones.
pub(super) struct Settings {
    known: &'static [(&'static str, &'static [&'static str])],
    found: BTreeMap<String, Setting>,
    /// Where to look for what is missing.
    file: String,
}

impl Settings {
    pub(super) fn new(known: &'static [(&'static str, &'static [&'static str])]) -> Self {
        Self { known, found: BTreeMap::new(), file: "--set".into() }
    }

    /// Takes in a file.
    pub(super) fn read(&mut self, file: &str, text: &str) -> Result<(), ConfigError> {
        let error = |at: usize, message: String| ConfigError::at(file, text, at, message);
        let table =
            DeTable::parse(text).map_err(|bad| error(bad.span().map_or(0, |span| span.start), not_toml(&bad)))?;
        for (name, keys) in table.get_ref() {
            let at = name.span().start;
            self.keys_of(name.get_ref()).map_err(|(message, hint)| error(at, message).hint(hint))?;
            let Some(keys) = keys.get_ref().as_table() else {
                return Err(error(at, format!("`{}` is a table", name.get_ref())).hint(format!("[{}]", name.get_ref())));
            };
            for (key, value) in keys {
                let full = self.full(name.get_ref(), key.get_ref());
                let full = full.map_err(|(message, hint)| error(key.span().start, message).hint(hint))?;
                self.found.insert(full, setting(value, &|span| written(file, text, span)));
            }
        }
        // The first file is the main one: what is missing belongs there.
        if self.file == "--set" {
            file.clone_into(&mut self.file);
        }
        Ok(())
    }

    /// Takes in `table.key=value`.
    pub(super) fn set(&mut self, set: &str) -> Result<(), ConfigError> {
        let error = |message: String| ConfigError::of_file("--set", message);
        let (name, value) = set.split_once('=').unzip();
        let (table, key) = name.and_then(|name| name.trim().split_once('.')).unzip();
        let Some(((table, key), value)) = table.zip(key).zip(value) else {
            return Err(error(format!("`{set}` is no setting")).hint("wanted: TABLE.KEY=VALUE, as in spool.max=2G"));
        };
        let full = self.full(table, key).map_err(|(message, hint)| error(message).hint(hint))?;
        let value = value.trim().to_owned();
        let place = ConfigError { text: set.to_owned(), ..error(String::new()) };
        let written = Written { place, shown: quoted(&value) };
        self.found.insert(full, Setting { value: Value::Text(value), written });
        Ok(())
    }

    /// The value of `key`, if it is set; `wanted` says what `parse` takes.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(setting) = self.found.get(key) else { return Ok(None) };
        let value = match &setting.value {
            Value::Text(text) => parse(text),
            Value::Number(number) if NUMBERS.contains(&key) => parse(number),
            _ => None,
        };
        value.map(Some).ok_or_else(|| setting.written.wrong(key, wanted))
    }

    /// The value of `key`, or its default.
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.optional(key, wanted, parse).map(|value| value.unwrap_or(default))
    }

    /// The value of `key`, which has to be set.
    pub(super) fn required<T>(
        &self,
        key: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.optional(key, wanted, parse)?.ok_or_else(|| self.missing(key))
    }

    /// What `parse` makes of each item of the list `key`, if it is set; a text is a list of what stands between its
    /// commas.
    pub(super) fn items<T>(
        &self,
        key: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(Setting { value, written }) = self.found.get(key) else { return Ok(None) };
        let items: Result<Vec<T>, ConfigError> = match value {
            Value::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| parse(item).ok_or_else(|| written.wrong(key, wanted)))
                .collect(),
            Value::List(items) => items
                .iter()
                .map(|(text, item)| text.as_deref().and_then(&parse).ok_or_else(|| item.wrong(key, wanted)))
                .collect(),
            Value::Number(_) | Value::Other => Err(written.wrong(key, wanted)),
        };
        items.map(Some)
    }

    /// The error that `key` is not set.
    pub(super) fn missing(&self, key: &str) -> ConfigError {
        let (table, key) = key.split_once('.').unwrap_or(("", key));
        ConfigError::of_file(&self.file, format!("`{key}` is missing in [{table}]"))
    }

    /// The error that the value of `key` is not what was `wanted`, wherever it is set.
    pub(super) fn wrong(&self, key: &str, wanted: &str) -> ConfigError {
        self.found.get(key).map_or_else(|| self.missing(key), |setting| setting.written.wrong(key, wanted))
    }

    fn full(&self, table: &str, key: &str) -> Result<String, (String, String)> {
        let keys = self.keys_of(table)?;
        if keys.contains(&key) {
            return Ok(format!("{table}.{key}"));
        }
        let elsewhere = self.known.iter().find(|(_, keys)| keys.contains(&key));
        let hint = match (nearest(key, keys), elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some((right, _))) => format!("`{key}` belongs in [{right}]"),
            (None, None) => format!("[{table}] has {}", keys.join(", ")),
        };
        Err((format!("there is no key `{key}` in [{table}]"), hint))
    }

    fn keys_of(&self, table: &str) -> Result<&'static [&'static str], (String, String)> {
        let tables: Vec<_> = self.known.iter().map(|(name, _)| *name).collect();
        if let Some((_, keys)) = self.known.iter().find(|(name, _)| *name == table) {
            return Ok(keys);
        }
        let hint = if table == "network" {
            "the directory document has these; they are chosen once: fog init --new-network --set network.KEY=VALUE"
                .into()
        } else if let Some((right, _)) = self.known.iter().find(|(_, keys)| keys.contains(&table)) {
            format!("`{table}` is a key of [{right}]")
        } else {
            nearest(table, &tables)
                .map_or_else(|| format!("there are {}", tables.join(", ")), |near| format!("did you mean [{near}]?"))
        };
        Err((format!("there is no table [{table}]"), hint))
    }
}

fn setting(value: &Spanned<DeValue<'_>>, written: &impl Fn(Range<usize>) -> Written) -> Setting {
    let item = |item: &Spanned<DeValue<'_>>| {
        let text = item.get_ref().as_str().map(str::to_owned);
        (text, written(item.span()))
    };
    let parsed = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Number(number.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(item).collect()),
        _ => Value::Other,
    };
    Setting { value: parsed, written: written(value.span()) }
}

/// What stands in `span` of a file, on one line.
fn written(file: &str, text: &str, span: Range<usize>) -> Written {
    let place = ConfigError::at(file, text, span.start, String::new());
    let whole = text.get(span).unwrap_or_default();
    let line = whole.lines().next().unwrap_or_default();
    let short: String = line.chars().take(SHOWN).collect();
    Written { place, shown: if short == whole { short } else { format!("{short}...") } }
}

/// What was given on the command line, as it would stand in a file.
fn quoted(value: &str) -> String {
    let short: String = value.chars().take(SHOWN).collect();
    let dots = if short == value { "" } else { "..." };
    format!("\"{}\"{dots}", short.escape_debug())
}

fn not_toml(bad: &impl Display) -> String {
    // Its `Display` shows the line; that is ours to do.
    let text = bad.to_string();
    text.lines().last().unwrap_or("no TOML").to_owned()
}

/// The one of `names` that `typed` is most likely a slip of, if any is near.
fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (strsim::osa_distance(typed, name), *name)).min();
    near.filter(|(distance, name)| *distance <= 1 + name.len() / 4).map(|(_, name)| name)
}
