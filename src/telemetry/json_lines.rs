//! Writes log lines as JSON. A line has the members that `tracing-subscriber`'s own JSON has, which writes every
//! quotation mark and every character between two escapes by itself: that takes three times as long.

use std::fmt;

use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// The length of most lines, in bytes.
const COMMON_BYTES: usize = 512;

/// Log lines as JSON: the fields of the event beside time, level and target, and those of its span in a member.
#[derive(Default)]
pub(super) struct JsonLines(Clock);

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Vec::with_capacity(COMMON_BYTES);
        self.write(&mut line, context, event).map_err(|_| fmt::Error)?;
        line.push(b'\n');
        writer.write_str(str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

impl JsonLines {
    fn write<S>(
        &self,
        line: &mut Vec<u8>,
        context: &FmtContext<'_, S, JsonFields>,
        event: &Event<'_>,
    ) -> serde_json::Result<()>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        let metadata = event.metadata();
        let mut json = serde_json::Serializer::new(line);
        let mut members = json.serialize_map(None)?;
        members.serialize_entry("timestamp", &format_args!("{:.6}", self.0.timestamp()))?;
        members.serialize_entry("level", metadata.level().as_str())?;
        let mut fields = SerdeMapVisitor::new(members);
        event.record(&mut fields);
        let mut members = fields.take_serializer()?;
        members.serialize_entry("target", metadata.target())?;
        if let Some(span) = context.lookup_current() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.map(|fields| serde_json::from_str::<Map<String, Value>>(fields));
            let mut fields = fields.transpose()?.unwrap_or_default();
            fields.insert("name".to_owned(), span.name().into());
            members.serialize_entry("span", &fields)?;
        }
        members.end()
    }
}
