//! Writes an answer as JSON, field by field from the record.

use std::sync::Arc;

use async_graphql::{Error, PathSegment, Pos, ServerError};
use serde::Serialize;

use super::execute::Asked;
use super::{Bound, DesktopField, Plain, RecordField, Root, Selected, Written};
use crate::domain::{Failure, Field, OpenEnum, ScreenRecord, Timestamp};

/// Room for an answer of common size, so that it grows in one piece.
const COMMON_BYTES: usize = 1024;
const ABSENT: &[u8] = b"null";

/// The writer of one answer.
pub(super) struct Writer<'b> {
    bound: &'b Bound,
    written: Written,
    /// Whether a member precedes the next one.
    follows: bool,
}

/// Where a failed field stands.
struct Place<'p> {
    root: &'p str,
    at: Pos,
    key: &'p str,
}

impl<'b> Writer<'b> {
    pub(super) fn new(bound: &'b Bound) -> Self {
        let mut body = Vec::with_capacity(COMMON_BYTES);
        body.extend_from_slice(b"{\"data\":{");
        Self { bound, written: Written { body, errors: Vec::new() }, follows: false }
    }

    /// The answer, once every field of the root is written.
    pub(super) fn end(mut self) -> Written {
        self.written.body.push(b'}');
        self.written
    }

    /// Writes a field of the root, unless it is left out.
    pub(super) fn root(&mut self, root: &Selected<Root>, read: Option<Result<Asked, Failure>>) {
        if !self.bound.shows(root) {
            return;
        }
        self.key(&root.key);
        match (&root.what, read) {
            (Root::Record { fields, .. }, Some(Ok(asked))) => {
                self.record(&root.key, fields, &asked);
            }
            (Root::Record { .. }, Some(Err(failure))) => {
                self.bytes(ABSENT);
                let path = vec![name(&root.key)];
                self.written.errors.push(error(failure, root.at, path));
            }
            (Root::Typename, _) => self.bytes(b"\"Query\""),
            // A record that is shown has been read.
            (Root::Record { .. }, None) => self.bytes(ABSENT),
        }
        self.follows = true;
    }

    fn record(&mut self, root: &str, fields: &[Selected<RecordField>], asked: &Asked) {
        self.open();
        for field in fields.iter().filter(|field| self.bound.shows(field)) {
            self.key(&field.key);
            let place = Place { root, at: field.at, key: &field.key };
            match &field.what {
                RecordField::Plain(plain) => self.plain(*plain, asked, &place),
                RecordField::Desktop(fields) => self.desktop(fields, &asked.record, &place),
            }
            self.follows = true;
        }
        self.bytes(b"}");
    }

    fn plain(&mut self, plain: Plain, asked: &Asked, place: &Place<'_>) {
        let record = &*asked.record;
        match plain {
            Plain::Typename => self.bytes(b"\"ScreenRecord\""),
            Plain::Id => self.json(record.id.as_deref().unwrap_or(asked.id.as_str())),
            Plain::ProjectId => self.json(asked.project.as_str()),
            Plain::Size => self.field(&record.size, place, Self::json),
            Plain::Duration => self.field(&record.duration, place, Self::json),
            Plain::Type => {
                self.open_enum(&record.kind, place, |kind| kind.known.to_upstream());
            }
            Plain::Status => {
                self.open_enum(&record.status, place, |status| status.known.to_upstream());
            }
            Plain::RawType => {
                self.field(&record.kind, place, |writer, kind| writer.json(&kind.raw));
            }
            Plain::RawStatus => {
                self.field(&record.status, place, |writer, status| writer.json(&status.raw));
            }
            Plain::Text(of) => self.field(of(record), place, Self::json),
            Plain::Time(of) => self.field(of(record), place, Self::time),
        }
    }

    fn desktop(
        &mut self,
        fields: &[Selected<DesktopField>],
        record: &ScreenRecord,
        place: &Place<'_>,
    ) {
        self.field(&record.desktop_id, place, |writer, id| {
            writer.open();
            for field in fields.iter().filter(|field| writer.bound.shows(field)) {
                writer.key(&field.key);
                match field.what {
                    DesktopField::Typename => writer.bytes(b"\"Desktop\""),
                    DesktopField::Id => writer.json(id),
                }
                writer.follows = true;
            }
            writer.bytes(b"}");
        });
    }

    /// Writes a field that may be absent or unreadable.
    fn field<T>(&mut self, field: &Field<T>, place: &Place<'_>, write: impl FnOnce(&mut Self, &T)) {
        match field {
            Some(Ok(value)) => write(self, value),
            None => self.bytes(ABSENT),
            Some(Err(unreadable)) => {
                self.bytes(ABSENT);
                let failure = Failure::Unreadable(Arc::clone(unreadable));
                let path = vec![name(place.root), name(place.key)];
                self.written.errors.push(error(failure, place.at, path));
            }
        }
    }

    fn open_enum<T>(
        &mut self,
        field: &Field<OpenEnum<T>>,
        place: &Place<'_>,
        known: impl FnOnce(&OpenEnum<T>) -> Option<&'static str>,
    ) {
        self.field(field, place, |writer, value| {
            writer.json(known(value).unwrap_or("UNKNOWN"));
        });
    }

    fn time(&mut self, time: &Timestamp) {
        self.bytes(b"\"");
        self.bytes(&time.to_ascii());
        self.bytes(b"\"");
    }

    fn open(&mut self) {
        self.bytes(b"{");
        self.follows = false;
    }

    fn key(&mut self, key: &str) {
        if self.follows {
            self.bytes(b",");
        }
        self.bytes(key.as_bytes());
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        // Texts and numbers can always be written, and a vector takes everything.
        let _ = serde_json::to_writer(&mut self.written.body, value);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.written.body.extend_from_slice(bytes);
    }
}

/// The name in a key, which is written `"name":`.
fn name(key: &str) -> PathSegment {
    PathSegment::Field(key.trim_matches(['"', ':']).to_owned())
}

fn error(failure: Failure, at: Pos, path: Vec<PathSegment>) -> ServerError {
    ServerError { path, ..Error::from(failure).into_server_error(at) }
}
