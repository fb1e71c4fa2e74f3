//! Writes an answer as JSON, field by field from the record.

use async_graphql::{Error, PathSegment, Pos, ServerError};
use serde::Serialize;

use super::{LoadedRecord, RecordField, RootField, Selected};
use crate::domain::{Failure, Field, Timestamp};
use crate::graphql::operation::Executed;
use crate::graphql::response_size::json_len;

/// Room for an answer of common size, so that it grows in one piece.
const COMMON_BYTES: usize = 768;
const ABSENT: &[u8] = b"null";
/// A value that an enumeration does not know.
const UNKNOWN: &str = "UNKNOWN";

/// The writer of one answer.
pub(super) struct Writer {
    written: Executed,
    /// How many bytes body and errors may have.
    limit: usize,
    error_bytes: usize,
    /// Whether a member precedes the next one.
    follows: bool,
}

/// Where a failed field stands.
struct FieldPlace<'p> {
    root: &'p str,
    at: Pos,
    key: &'p str,
}

impl Writer {
    /// A writer of no more than `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let mut body = Vec::with_capacity(COMMON_BYTES);
        body.extend_from_slice(b"{\"data\":{");
        let written = Executed { body, ..Executed::default() };
        Self { written, limit, error_bytes: 0, follows: false }
    }

    /// The answer, once every field of the root is written, and the bytes it has. `None` where it would
    /// have more than it may.
    pub(super) fn end(mut self) -> Option<(Executed, usize)> {
        self.byte(b'}');
        (!self.is_full()).then(|| {
            let bytes = self.bytes_written();
            (self.written, bytes)
        })
    }

    fn bytes_written(&self) -> usize {
        self.written.body.len() + self.error_bytes
    }

    /// Whether the limit is exceeded, so that nothing more needs to be written. A single field may have
    /// exceeded it.
    fn is_full(&self) -> bool {
        self.bytes_written() > self.limit
    }

    /// Writes a field of the root.
    pub(super) fn root(
        &mut self,
        root: &Selected<RootField>,
        read: Option<Result<LoadedRecord<'_>, Failure>>,
    ) {
        if self.is_full() {
            return;
        }
        self.key(&root.key);
        match (&root.what, read) {
            (RootField::Record { fields, .. }, Some(Ok(loaded))) => {
                self.record(&root.key, fields, &loaded);
            }
            (RootField::Record { .. }, Some(Err(failure))) => {
                self.fail(failure, root.at, vec![name(&root.key)]);
            }
            (RootField::Typename, _) => self.bytes(b"\"Query\""),
            // A record of the answer has been read.
            (RootField::Record { .. }, None) => self.bytes(ABSENT),
        }
        self.follows = true;
    }

    fn record(&mut self, root: &str, fields: &[Selected<RecordField>], loaded: &LoadedRecord<'_>) {
        self.open();
        for field in fields {
            if self.is_full() {
                return;
            }
            self.key(&field.key);
            let place = FieldPlace { root, at: field.at, key: &field.key };
            self.scalar(field.what, loaded, &place);
            self.follows = true;
        }
        self.byte(b'}');
    }

    fn scalar(&mut self, field: RecordField, loaded: &LoadedRecord<'_>, place: &FieldPlace<'_>) {
        let record = &*loaded.record;
        match field {
            RecordField::Typename => self.bytes(b"\"ScreenRecord\""),
            RecordField::Id => match record.id() {
                Some(id) => self.text(id, record.is_plain()),
                // An id in a request needs no escapes.
                None => self.text(loaded.by.id.as_str(), true),
            },
            RecordField::ProjectId => self.text(loaded.by.project.as_str(), true),
            RecordField::Size => {
                self.field(record.size(), place, |writer, size| writer.json(&size));
            }
            RecordField::Duration => {
                self.field(record.duration(), place, |writer, duration| writer.json(&duration));
            }
            RecordField::Type => self.field(record.kind(), place, |writer, kind| {
                writer.text(kind.to_upstream().unwrap_or(UNKNOWN), true);
            }),
            RecordField::Status => self.field(record.status(), place, |writer, status| {
                writer.text(status.to_upstream().unwrap_or(UNKNOWN), true);
            }),
            RecordField::Text(of) => self.field(record.text(of), place, |writer, text| {
                writer.text(text, record.is_plain());
            }),
            RecordField::Time(of) => self.field(record.time(of), place, Self::time),
        }
    }

    /// Writes a field that may be absent or unreadable.
    fn field<T>(
        &mut self,
        field: Field<T>,
        place: &FieldPlace<'_>,
        write: impl FnOnce(&mut Self, T),
    ) {
        match field {
            Some(Ok(value)) => write(self, value),
            None => self.bytes(ABSENT),
            Some(Err(unreadable)) => {
                let path = vec![name(place.root), name(place.key)];
                self.fail(Failure::Unreadable(unreadable), place.at, path);
            }
        }
    }

    /// Writes `null` for a field that failed, with an error.
    fn fail(&mut self, failure: Failure, at: Pos, path: Vec<PathSegment>) {
        self.bytes(ABSENT);
        let error = ServerError { path, ..Error::from(failure).into_server_error(at) };
        self.error_bytes += json_len(&error);
        self.written.errors.push(error);
    }

    fn time(&mut self, time: Timestamp) {
        self.byte(b'"');
        self.bytes(&time.to_ascii());
        self.byte(b'"');
    }

    fn open(&mut self) {
        self.byte(b'{');
        self.follows = false;
    }

    fn key(&mut self, key: &str) {
        let from = usize::from(!self.follows);
        self.bytes(key.as_bytes().get(from..).unwrap_or_default());
    }

    /// Writes a text, as it is where it is known to need no escapes.
    fn text(&mut self, text: &str, is_plain: bool) {
        if is_plain {
            self.byte(b'"');
            self.bytes(text.as_bytes());
            self.byte(b'"');
        } else {
            self.json(text);
        }
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        // Texts and numbers can always be written, and a vector takes everything.
        let _ = serde_json::to_writer(&mut self.written.body, value);
    }

    fn byte(&mut self, byte: u8) {
        self.written.body.push(byte);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.written.body.extend_from_slice(bytes);
    }
}

/// The name in a key, which is written `,"name":`.
fn name(key: &str) -> PathSegment {
    PathSegment::Field(key.trim_matches([',', '"', ':']).to_owned())
}
