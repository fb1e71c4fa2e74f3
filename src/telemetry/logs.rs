//! Log lines: text for people at a terminal, JSON for collectors, always on standard error.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::json_line::{JsonLine, Members};
use crate::config::{LogConfig, LogFormat};

/// Writes log lines of this process to standard error from now on.
///
/// # Errors
/// When the process has a log already.
pub fn start_logging(config: &LogConfig) -> Result<(), TryInitError> {
    let default = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let format = config.format.unwrap_or(default);
    subscriber(&config.filter, format, io::stderr).try_init()
}

/// Formats log lines into any writer.
fn subscriber<W>(filter: &str, format: LogFormat, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter));
    match format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal();
            Box::new(lines.with_writer(writer).with_ansi(ansi).finish())
        }
        LogFormat::Json => {
            let lines = lines.event_format(JsonLine).fmt_fields(Members);
            Box::new(lines.with_writer(writer).finish())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The line that something logs.
    fn line_of(log: impl FnOnce()) -> serde_json::Value {
        let written = Written::default();
        let make = {
            let written = written.clone();
            move || written.clone()
        };
        tracing::subscriber::with_default(subscriber("info", LogFormat::Json, make), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_json_line_carries_fields_and_message_at_the_top_level() {
        let line = line_of(|| {
            tracing::info!(
                upstream.status = 404,
                ok = true,
                share = 0.5,
                none = f64::NAN,
                "answered"
            );
            tracing::debug!("not shown");
        });

        assert_eq!(line["message"], "answered");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["upstream.status"], 404);
        assert_eq!(
            (&line["ok"], &line["share"], &line["none"]),
            (&true.into(), &0.5.into(), &().into())
        );
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line["target"].as_str().unwrap().contains("telemetry"), "{line}");
        assert_eq!(line.get("span"), None);
    }

    #[test]
    fn a_json_line_carries_the_fields_of_its_span_and_those_that_came_later() {
        let line = line_of(|| {
            let span = tracing::info_span!("request", id = 7, name.of = tracing::field::Empty);
            let _entered = span.enter();
            span.record("name.of", "one");
            tracing::info!("within");
        });

        assert_eq!(
            line["span"],
            serde_json::json!({ "id": 7, "name.of": "one", "name": "request" })
        );
    }

    #[test]
    fn nothing_that_is_logged_can_end_a_line_or_a_text() {
        let nasty = "a \"b\" \\ c\nd\r\u{0}\u{1b}[31m é 😀";

        let line = line_of(
            || tracing::info!(text = nasty, shown = %nasty, debug = ?nasty, "message \"quoted\""),
        );

        assert_eq!((&line["text"], &line["shown"]), (&nasty.into(), &nasty.into()));
        assert_eq!(line["debug"], format!("{nasty:?}"));
        assert_eq!(line["message"], "message \"quoted\"");
    }
}
