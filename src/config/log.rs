//! `log` and `log_format`.

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
