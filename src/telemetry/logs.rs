//! Log lines: text for people at a terminal, JSON for collectors, always on standard error.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

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
            let lines = lines.with_writer(writer).json().flatten_event(true);
            Box::new(lines.with_current_span(true).with_span_list(false).finish())
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

    #[test]
    fn a_json_line_carries_fields_and_message_at_the_top_level() {
        let written = Written::default();
        let make = {
            let written = written.clone();
            move || written.clone()
        };

        tracing::subscriber::with_default(subscriber("info", LogFormat::Json, make), || {
            tracing::info!(upstream.status = 404, "answered");
            tracing::debug!("not shown");
        });

        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "answered");
        assert_eq!(line["upstream.status"], 404);
    }
}
