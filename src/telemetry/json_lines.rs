//! Writes log lines as JSON, each field as it comes. A line has the members that `tracing-subscriber`'s own
//! JSON has, which writes every character between two escapes by itself: that takes four times as long.

use std::fmt;
use std::io::Write as _;

use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use crate::clock::Clock;

/// The length of most lines, in bytes.
const COMMON_BYTES: usize = 1024;
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Log lines as JSON: the fields of the event beside time, level and target.
pub(super) struct JsonLines<W> {
    pub(super) writer: W,
    pub(super) clock: Clock,
}

/// Members of a JSON object.
struct Members(Vec<u8>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Members(Vec::with_capacity(COMMON_BYTES));
        line.0.extend_from_slice(b"{\"timestamp\":\"");
        // A vector takes everything.
        let _ = PRINTER.print_timestamp(&self.clock.timestamp(), &mut line.0);
        line.0.push(b'"');
        line.add("level", metadata.level().as_str());
        event.record(&mut line);
        line.add("target", metadata.target());
        line.0.extend_from_slice(b"}\n");
        // There is nowhere to say that the log cannot be written.
        let _ = self.writer.make_writer().write_all(&line.0);
    }
}

impl Members {
    /// Adds a member. Names stand in the source, and need no escapes.
    fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        let begin = self.0.len();
        if serde_json::to_writer(&mut self.0, value).is_err() {
            // The value could not be shown.
            self.0.truncate(begin);
            self.0.extend_from_slice(b"null");
        }
    }
}

impl Visit for Members {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format_args!("{value:?}"));
    }
}
