//! Log lines: text on a terminal, JSON elsewhere, always on standard error.
//!
//! A thread writes the lines, so that a slow reader of standard error does not stop requests. No line
//! is lost: once [`BUFFERED_LINES`] wait, logging blocks until there is room.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, Registry as Registered, reload};

use super::json_lines::JsonLines;
use super::traces::{SampledSpans, Traces};
use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat};
use crate::spans;

/// Lines that may wait to be written: about 8 MiB.
const BUFFERED_LINES: usize = 16 * 1024;
/// Bytes that one system call writes at most.
const WRITE_BYTES: usize = 64 * 1024;
/// How long the thread rests after it has written.
const REST: Duration = Duration::from_millis(2);
/// A line that takes this long to hand over waited for room; a busy processor alone delays it less.
const WAITED: Duration = Duration::from_millis(100);

/// The log of this process: changes what is logged, and counts. Clones share it; dropping the last one writes the
/// lines that wait.
#[derive(Clone)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registered>,
    waits: Counter,
    _writer: Arc<WorkerGuard>,
}

/// Writes the log lines of this process to standard error from now on, and exports its traces.
///
/// # Errors
/// When the process has a log already.
pub fn start_logging(config: &LogConfig, traces: &Traces) -> Result<Log, TryInitError> {
    let default = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let format = config.format.unwrap_or(default);
    let (filter, handle) = reload::Layer::new(filter(config));
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("log")
        .finish(RestingWriter(io::BufWriter::with_capacity(WRITE_BYTES, io::stderr())));
    let waits = Counter::default();
    let lines = CountedWriter { lines, waits: waits.clone(), threshold: WAITED };
    subscriber(filter, format, traces, move || lines.clone()).try_init()?;
    Ok(Log { filter: handle, waits, _writer: Arc::new(writer) })
}

impl Log {
    /// Logs by other settings from now on.
    pub fn change(&self, config: &LogConfig) {
        // Fails only if the subscriber is gone.
        let _ = self.filter.reload(filter(config));
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

/// Rests after each flush. The thread flushes when no line waits, and the next line would wake it: that takes
/// more time than the line itself. Lines that come during the rest are written together after it.
struct RestingWriter<W>(W);

impl<W: io::Write> io::Write for RestingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    #[expect(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(REST);
        Ok(())
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

/// Which lines are logged. The spans of traces never are.
fn filter(config: &LogConfig) -> EnvFilter {
    let no_traces = format!("{}=off", spans::TARGET).parse().expect("a target and a level");
    EnvFilter::new(&config.filter).add_directive(no_traces)
}

/// Formats log lines into any writer, and hands the spans of traces to their exporter.
fn subscriber<W>(
    filter: impl Filter<Registered> + Send + Sync + 'static,
    format: LogFormat,
    traces: &Traces,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = match format {
        LogFormat::Text => {
            let lines = tracing_subscriber::fmt::layer().with_writer(writer);
            lines.with_ansi(io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => JsonLines { writer, clock: Clock::default() }.boxed(),
    };
    let logging = tracing_subscriber::registry().with(lines.with_filter(filter));
    match traces.layer() {
        Some(traces) => Box::new(logging.with(traces).with(SampledSpans)),
        // With a layer that is `None`, `tracing-subscriber` would make spans that nothing reads.
        None => Box::new(logging),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    };

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

    fn filter_of(text: &str) -> EnvFilter {
        filter(&LogConfig { filter: text.to_owned(), format: None })
    }

    /// What is written while something logs.
    fn written<T>(
        filter: impl Filter<Registered> + Send + Sync + 'static,
        traces: &Traces,
        log: impl FnOnce() -> T,
    ) -> (String, T) {
        let written = Written::default();
        let make = {
            let written = written.clone();
            move || written.clone()
        };
        let subscriber = subscriber(filter, LogFormat::Json, traces, make);
        let result = tracing::subscriber::with_default(subscriber, log);
        let bytes = written.0.lock().unwrap().clone();
        (String::from_utf8(bytes).unwrap(), result)
    }

    /// The line that something logs.
    fn line_of(log: impl FnOnce()) -> serde_json::Value {
        let (text, ()) = written(filter_of("info"), &Traces::default(), log);
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
    }

    #[test]
    fn no_span_of_a_trace_is_made_that_is_not_exported() {
        let receiver = "http://127.0.0.1:1/v1/traces".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let on = runtime.block_on(async { Traces::start(Some(&TracesConfig::to(receiver))) });
        let (off, on) = (Traces::default(), on.unwrap());
        for (traces, parent, is_made) in [
            (&off, TraceFlags::SAMPLED, false),
            (&on, TraceFlags::NOT_SAMPLED, false),
            (&on, TraceFlags::SAMPLED, true),
        ] {
            let filter = filter(&LogConfig::default());
            let subscriber = subscriber(filter, LogFormat::Json, traces, io::sink);
            let (trace, span) = (TraceId::from(1), SpanId::from(1));
            let parent = SpanContext::new(trace, span, parent, true, TraceState::NONE);
            let parent = opentelemetry::Context::new().with_remote_span_context(parent);
            let _attached = parent.attach();

            let span = tracing::subscriber::with_default(
                subscriber,
                || tracing::info_span!(target: spans::TARGET, "read"),
            );

            assert_eq!(span.id().is_some(), is_made);
        }
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
        let (filter, handle) = reload::Layer::new(filter_of("info"));
        let say = |number: u32| tracing::debug!(number, "said");

        let (text, ()) = written(filter, &Traces::default(), || {
            say(1);
            handle.reload(filter_of("debug")).unwrap();
            say(2);
            handle.reload(filter_of("off")).unwrap();
            say(3);
        });

        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["number"], 2);
    }

    #[tokio::test]
    async fn the_log_setting_neither_shows_nor_ends_the_spans_of_traces() {
        let receiver = "http://127.0.0.1:1/v1/traces".parse().unwrap();
        let traces = Traces::start(Some(&TracesConfig::to(receiver))).unwrap();
        for (filter, lines) in [("trace", 1), ("off", 0)] {
            let (text, trace) = written(filter_of(filter), &traces, || {
                let span = tracing::info_span!(target: spans::TARGET, "read");
                span.in_scope(|| tracing::info!("within"));
                spans::context_of(&span)
            });

            assert!(trace.has_active_span());
            let within = text.lines().filter(|line| line.contains("within"));
            assert_eq!(within.count(), lines, "{text}");
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
