//! `log` and `log_format`.

use super::form::{OneOf, Parsed};
use super::setting::{Role, Row, Setting};
use super::values::Values;

const EVERY_ROLE: &[Role] = &[Role::Serve, Role::Demo, Role::Simulate];

static FILTER: Setting<Parsed<String>> = Setting::new(
    "log",
    Parsed {
        allowed: "error, warn, info, debug, trace or off, or target=level directives with commas \
                  between them",
        placeholder: "LEVEL",
        parse: filter,
    },
    "what is logged: a level, or a level for each part of the program",
)
.or("info")
.only_for(EVERY_ROLE)
.changeable();
static FORMAT: Setting<OneOf<LogFormat>> = Setting::new(
    "log_format",
    OneOf(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
    "form of a log line: for people, or one JSON object",
)
.or_unset("text on a terminal, else json")
.only_for(EVERY_ROLE);

pub(super) static ROWS: &[&dyn Row] = &[&FILTER, &FORMAT];

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `log`: a level, or `target=level` directives.
    pub filter: String,
    /// `log_format`; `None` writes text on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: None }
    }
}

impl LogConfig {
    pub(super) fn read(values: &mut Values<'_>) -> Self {
        let default = Self::default();
        Self { filter: values.read_or(&FILTER, default.filter), format: values.read(&FORMAT) }
    }
}

/// Takes levels and `target=level` only. Filter parsers take any other word for the name of a
/// target, so that a mistyped level would turn all logs off.
fn filter(text: &str) -> Option<String> {
    text.split(',').all(is_directive).then(|| text.to_owned())
}

fn is_directive(text: &str) -> bool {
    let (target, level) = match text.split_once('=') {
        Some((target, level)) => (Some(target), level),
        None => (None, text),
    };
    let is_target = |target: &str| {
        let part = |character: char| character.is_ascii_alphanumeric() || "_:-".contains(character);
        !target.is_empty() && target.chars().all(part)
    };
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    target.is_none_or(is_target) && levels.iter().any(|known| level.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_target() {
        for (text, is_filter) in [
            ("info", true),
            ("WARN", true),
            ("warn,screen_record_gateway::records=debug", true),
            ("inof", false),
            ("info,", false),
            ("=debug", false),
            ("a b=debug", false),
        ] {
            assert_eq!(filter(text).is_some(), is_filter, "of {text:?}");
        }
    }
}
