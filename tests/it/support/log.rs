//! What the gateway under test logs.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use screen_record_gateway::config::TracesConfig;
use screen_record_gateway::telemetry::Traces;
use tracing::Subscriber;
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, registry};

thread_local! {
    /// The lines that this thread has logged. A test's gateway runs on the thread of the test.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Hands the spans of this thread to the gateway that was started last with traces.
    static EXPORT: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Writes to the log of the current thread.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps every line from now on, of every level and every crate.
pub(crate) fn keep_log() {
    static STARTED: Once = Once::new();
    // One for all threads, because levels are enabled for the whole process.
    STARTED.call_once(|| set_global_default(registry().with(lines())).unwrap());
}

/// Exports the traces of this thread, if the settings say so. Its lines are kept too.
pub(crate) fn export_traces(config: Option<&TracesConfig>) -> Traces {
    let traces = Traces::start(config).unwrap();
    if config.is_some() {
        EXPORT.take();
        EXPORT.set(Some(set_default(registry().with(lines()).with(traces.layer()))));
    }
    traces
}

fn lines<S: Subscriber + for<'span> LookupSpan<'span>>() -> impl Layer<S> {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| ThisThread);
    lines.with_filter(EnvFilter::new("trace,traces=off"))
}

/// The captured lines.
pub(crate) fn log() -> String {
    LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap())
}
