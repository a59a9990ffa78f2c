//! [`Request`]: what can be asked of hafnia, as data, and the command line that asks the same.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::session::Session;

/// A question as data: what a command of `hafnia` is given.
///
/// As JSON its fields have the names of the command's options. Its default asks for nothing: what is
/// required is empty, and all else is as the command has it unless it is told otherwise.
pub trait Request: Default + Serialize {
    /// The command, such as `model merge`.
    const COMMAND: &'static str;

    /// Fields that are typed without their name.
    const POSITIONAL: &'static [&'static str] = &["file"];

    /// The answer as data: what the command prints as JSON.
    type Outcome: Serialize + DeserializeOwned;

    /// Finds the answer, and writes the files that are asked for.
    ///
    /// # Errors
    /// If something asked for is out of range or cannot be read or computed, or [`Unwritten`](crate::Unwritten), with
    /// the answer, if it cannot be written.
    fn run(&self, session: &Session<'_>) -> anyhow::Result<Self::Outcome>;

    /// The command that asks the same, word by word.
    fn words(&self) -> Vec<String> {
        words(Self::COMMAND, Self::POSITIONAL, self)
    }

    /// What a person would type into a shell to ask the same.
    fn command_line(&self) -> String {
        command_line(&self.words())
    }
}

/// A request whose answer can be kept as long as nothing has changed.
pub trait Step: Request {
    /// The files that the answer depends on.
    fn inputs(&self) -> Vec<PathBuf>;

    /// The files that are written beside the answer.
    fn outputs(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// The words of a command: its fields as options, but for what is as usual.
pub(crate) fn words<T: Serialize + Default>(
    command: &str,
    positional: &[&str],
    request: &T,
) -> Vec<String> {
    let fields = |request: &T| match serde_json::to_value(request) {
        Ok(Value::Object(fields)) => fields,
        other => panic!("bug: {other:?} has no fields"),
    };
    let (given, usual) = (fields(request), fields(&T::default()));
    let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    positional
        .iter()
        .filter_map(|field| given.get(*field))
        .for_each(|value| each(value, &mut |text| words.push(text)));
    for (field, value) in &given {
        if usual.get(field) != Some(value) && !positional.contains(&field.as_str()) {
            option(&format!("--{}", field.replace('_', "-")), value, &mut words);
        }
    }
    words
}

/// A flag, an option as often as it has values, or a flag with options of its own.
fn option(name: &str, value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Bool(_) => words.push(name.to_owned()),
        Value::Object(fields) => {
            words.push(name.to_owned());
            fields
                .iter()
                .for_each(|(field, value)| option(&format!("{name}-{field}"), value, words));
        }
        value => each(value, &mut |text| words.push(format!("{name}={text}"))),
    }
}

/// The texts of a value: none, one, or those of a list.
fn each(value: &Value, put: &mut dyn FnMut(String)) {
    match value {
        Value::Null => {}
        Value::String(text) => put(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| each(value, put)),
        other => put(other.to_string()),
    }
}

/// The words of a command as a shell takes them.
pub(crate) fn command_line(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("hafnia {}", words.join(" "))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Fields that are read and written as what they display.
pub(crate) mod displayed {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(T::to_string).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse()).transpose().map_err(D::Error::custom)
    }
}

/// The name of a value, as JSON and the command line have it.
///
/// # Panics
/// If the value is not written as a string.
pub fn name_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        other => panic!("bug: {other:?} is no name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_are_quoted() {
        assert_eq!(quoted("/a/b.toml"), "/a/b.toml");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
