//! Keys and values as they were written, each with its place.

use super::error::ConfigError;
use std::collections::BTreeMap;
use std::fmt::Display;
use toml::de::{DeTable, DeValue};

/// One key's value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    value: Value,
    /// An error at this value, still without a message.
    place: ConfigError,
    key: String,
}

#[derive(Clone, Debug)]
enum Value {
    /// A string, or a number as it was written.
    Text(String),
    List(Vec<String>),
}

impl Setting {
    /// The items of a list; a text is a list of what stands between its commas.
    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match &self.value {
            Value::Text(text) => (Some(text.split(',').map(str::trim).filter(|item| !item.is_empty())), None),
            Value::List(list) => (None, Some(list.iter().map(String::as_str))),
        };
        text.into_iter().flatten().chain(list.into_iter().flatten())
    }

    /// The error that this value is not what was `wanted`.
    pub(super) fn wrong(&self, wanted: &str) -> ConfigError {
        ConfigError { message: format!("the value of {} is wrong", self.key), ..self.place.clone() }
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
                let place = error(value.span().start, String::new());
                let value = value_of(value.get_ref()).ok_or_else(|| {
                    let message = format!("the value of {full} is neither a text nor a list of texts");
                    ConfigError { message, ..place.clone() }
                })?;
                self.found.insert(full.clone(), Setting { value, place, key: full });
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
        let value = Value::Text(value.trim().to_owned());
        let place = ConfigError { text: set.to_owned(), ..error(String::new()) };
        self.found.insert(full.clone(), Setting { value, place, key: full });
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
            Value::List(_) => None,
        };
        value.map(Some).ok_or_else(|| setting.wrong(wanted))
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

    /// What `parse` makes of the list `key`, if it is set.
    pub(super) fn list<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&Setting) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.found.get(key).map(parse).transpose()
    }

    /// The error that `key` is not set.
    pub(super) fn missing(&self, key: &str) -> ConfigError {
        let (table, key) = key.split_once('.').unwrap_or(("", key));
        ConfigError::of_file(&self.file, format!("`{key}` is missing in [{table}]"))
    }

    /// An error at `key`, wherever it is set.
    pub(super) fn error(&self, key: &str, message: &str, hint: &str) -> ConfigError {
        let place = self.found.get(key).map(|setting| setting.place.clone());
        let place = place.unwrap_or_else(|| ConfigError::of_file(&self.file, String::new()));
        ConfigError { message: message.to_owned(), ..place }.hint(hint)
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

fn value_of(value: &DeValue<'_>) -> Option<Value> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(items) = value.as_array() {
        let items: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
        return items.map(Value::List);
    }
    scalar(value).map(Value::Text)
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
