//! `log` and `log_format`.

use super::settings::{EVERY_ROLE, Setting, one_of, settings};

settings! {
    /// How logs are written.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct LogConfig in "" for EVERY_ROLE {
        /// log level, or a level for each part of the program
        pub filter: String = filters().with_key("log").default("info"),
        /// format of a log line: text for people, or one JSON object
        pub format: Option<LogFormat> =
            one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)]).optional()
                .with_key("log_format")
                .shown_when_unset("text on a terminal, else json")
                .needs_restart(),
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn filters() -> Setting<String> {
    let allowed = "error, warn, info, debug, trace or off, or target=level directives with commas \
                   between them";
    Setting::new("LEVEL", allowed, filter)
}

/// Takes levels and `target=level` only. Filter parsers take any other word for the name of a target, so a
/// mistyped level would turn all logs off.
fn filter(text: &str) -> Option<String> {
    text.split(',').all(is_directive).then(|| text.to_owned())
}

fn is_directive(text: &str) -> bool {
    let (target, level) = text.split_once('=').unwrap_or(("all", text));
    let is_part = |part: char| part.is_ascii_alphanumeric() || "_:-".contains(part);
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = levels.iter().any(|known| level.eq_ignore_ascii_case(known));
    is_level && !target.is_empty() && target.chars().all(is_part)
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
