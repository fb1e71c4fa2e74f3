//! Log lines: text on a terminal, JSON elsewhere, always on standard error.
//!
//! A thread writes the lines, so that a slow reader of standard error does not stop requests. No line
//! is lost: once [`BUFFERED_LINES`] wait, logging blocks until there is room.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::callsite::rebuild_interest_cache;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _};

use super::traces::Traces;
use crate::config::{Live, LogConfig, LogFormat};
use crate::spans;

/// Lines that may wait to be written: about 8 MiB.
const BUFFERED_LINES: usize = 16 * 1024;
/// A line that takes this long to hand over waited for room; a busy processor alone delays it less.
const WAITED: Duration = Duration::from_millis(100);

/// The log of this process. Dropping it writes the lines that wait.
pub struct Log {
    handle: LogHandle,
    _writer: WorkerGuard,
}

/// Changes what is logged while the process runs, and counts. Clones share both.
#[derive(Clone)]
pub struct LogHandle {
    filter: LogFilter,
    waits: Counter,
}

/// Writes the log lines of this process to standard error from now on, and exports its traces.
///
/// # Errors
/// When the process has a log already.
pub fn start_logging(config: &LogConfig, traces: &Traces) -> Result<Log, TryInitError> {
    let default = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let format = config.format.unwrap_or(default);
    let filter = LogFilter::new(config);
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("log")
        // The thread flushes once no line waits, so a busy log takes few system calls.
        .finish(io::BufWriter::new(io::stderr()));
    let waits = Counter::default();
    let lines = CountedWriter { lines, waits: waits.clone(), threshold: WAITED };
    subscriber(filter.clone(), format, traces, move || lines.clone()).try_init()?;
    Ok(Log { handle: LogHandle { filter, waits }, _writer: writer })
}

impl Log {
    /// Changes and counts this log.
    pub fn handle(&self) -> LogHandle {
        self.handle.clone()
    }
}

impl LogHandle {
    /// Logs by other settings from now on.
    pub fn change(&self, config: &LogConfig) {
        self.filter.change(config);
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "gateway_log_waits",
            "Log lines that waited because standard error is read too slowly",
            self.waits.clone(),
        );
    }
}

/// Hands lines to the thread that writes them, and counts those that had to wait for room.
#[derive(Clone)]
struct CountedWriter {
    lines: NonBlocking,
    waits: Counter,
    threshold: Duration,
}

impl io::Write for CountedWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = Instant::now();
        let written = self.lines.write(line);
        if before.elapsed() >= self.threshold {
            self.waits.inc();
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Which lines are logged; it may change at any time. Clones share it.
///
/// `tracing-subscriber` can reload filters too, but takes a lock for each line. Settings name levels and
/// targets only, so the filter keeps no state of spans.
#[derive(Clone)]
struct LogFilter(Live<EnvFilter>);

impl LogFilter {
    fn new(config: &LogConfig) -> Self {
        Self(Live::new(EnvFilter::new(&config.filter)))
    }

    fn change(&self, config: &LogConfig) {
        self.0.set(EnvFilter::new(&config.filter));
        // Each place that logs has remembered whether it is of interest.
        rebuild_interest_cache();
    }
}

impl<S: Subscriber> Filter<S> for LogFilter {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == spans::TARGET {
            return Interest::never();
        }
        Filter::<S>::callsite_enabled(&**self.0.load(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        metadata.target() != spans::TARGET
            && Filter::<S>::enabled(&**self.0.load(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&**self.0.load())
    }
}

/// Formats log lines into any writer, and hands the spans of traces to their exporter.
fn subscriber<W>(
    filter: LogFilter,
    format: LogFormat,
    traces: &Traces,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Box::new(tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces.layer()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TraceContextExt as _;

    use super::*;
    use crate::config::TracesConfig;

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
        let filter = LogFilter::new(&LogConfig::default());
        tracing::subscriber::with_default(
            subscriber(filter, LogFormat::Json, &Traces::default(), make),
            log,
        );
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
    fn a_line_that_waits_for_a_slow_reader_is_counted_and_written() {
        let (reader, writer) = io::pipe().unwrap();
        let (lines, guard) =
            NonBlockingBuilder::default().lossy(false).buffered_lines_limit(1).finish(writer);
        let waits = Counter::default();
        let threshold = Duration::from_micros(100);
        let mut counted = CountedWriter { lines, waits: waits.clone(), threshold };
        let line = vec![b'x'; 1024 * 1024];

        let reading = std::thread::spawn(move || {
            let mut reader = reader;
            io::copy(&mut reader, &mut io::sink()).unwrap()
        });
        for _ in 0..50 {
            io::Write::write_all(&mut counted, &line).unwrap();
        }
        drop(counted);
        drop(guard);

        assert_eq!(reading.join().unwrap(), 50 * 1024 * 1024);
        assert!(waits.get() > 0);
    }

    #[test]
    fn what_is_logged_may_change_at_any_time() {
        let written = Written::default();
        let make = {
            let written = written.clone();
            move || written.clone()
        };
        let filter = LogFilter::new(&LogConfig::default());
        let say = |number: u32| tracing::debug!(number, "said");

        tracing::subscriber::with_default(
            subscriber(filter.clone(), LogFormat::Json, &Traces::default(), make),
            || {
                say(1);
                filter.change(&LogConfig { filter: "debug".to_owned(), format: None });
                say(2);
                filter.change(&LogConfig { filter: "off".to_owned(), format: None });
                say(3);
            },
        );

        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["number"], 2);
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

    #[tokio::test]
    async fn the_log_setting_neither_shows_nor_ends_the_spans_of_traces() {
        let receiver = "http://127.0.0.1:1/v1/traces".parse().unwrap();
        let traces = Traces::start(Some(&TracesConfig::to(receiver))).unwrap();
        for (filter, lines) in [("trace", 1), ("off", 0)] {
            let written = Written::default();
            let make = {
                let written = written.clone();
                move || written.clone()
            };
            let filter = LogFilter::new(&LogConfig { filter: filter.to_owned(), format: None });
            let subscriber = subscriber(filter, LogFormat::Json, &traces, make);

            let (trace, text) = tracing::subscriber::with_default(subscriber, || {
                let span = tracing::info_span!(target: spans::TARGET, "read");
                span.in_scope(|| tracing::info!("within"));
                let shown = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
                (spans::context_of(&span), shown)
            });

            assert!(trace.has_active_span());
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(!text.contains("\"span\""), "{text}");
        }
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
