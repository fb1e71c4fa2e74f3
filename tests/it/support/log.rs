//! What the gateway under test logs.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::EnvFilter;

thread_local! {
    /// The lines that this thread has logged. A test's gateway runs on the thread of the test.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
    STARTED.call_once(|| {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("trace"))
            .with_ansi(false)
            .with_writer(|| ThisThread)
            .finish();
        tracing::subscriber::set_global_default(lines).unwrap();
    });
}

/// The captured lines.
pub(crate) fn log() -> String {
    LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap())
}
