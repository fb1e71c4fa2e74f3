//! One recording, every field read on its own.

use std::borrow::Cow;
use std::mem::size_of;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ScreenRecordStatus, ScreenRecordType, Timestamp};

/// A field of an upstream object: absent, read, or there but not readable.
pub type Field<T> = Option<Result<T, Arc<Unreadable>>>;

/// Why a field could not be read. Its record stands all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// What is wrong, as a clause: "is not a number".
    pub problem: String,
    /// What the upstream wrote, as JSON text, cut at [`Unreadable::LONGEST_VALUE`] characters.
    pub value: String,
}

/// The texts and timestamps of a recording, each declared once. `$declare` is a macro that makes something
/// of them: the types here, the entries of the shared cache, the resolvers of the schema.
///
/// The comment is the field's description in the schema. The columns are the variant, the name in
/// Rust and in the shared cache, the name on the wire, the name in the schema and, of a text, the type
/// there.
macro_rules! record_fields {
    ($declare:ident) => {
        $declare! {
            texts {
                /// Id of the recorded desktop.
                DesktopId desktop_id "desktop_id" "desktopId" ID,
                /// Name of the recorded desktop.
                DesktopName desktop_name "desktop_name" "desktopName" String,
                /// Id of the pool that the desktop belongs to.
                DesktopPoolId desktop_pool_id "desktop_pool_id" "desktopPoolId" ID,
                /// Name of the user who was logged in to the desktop, in any script.
                Username username "username" "username" String,
                /// The type as the upstream wrote it.
                Type kind "type" "rawType" String,
                /// The status as the upstream wrote it.
                Status status "status" "rawStatus" String,
                /// Id of the recording policy.
                PolicyId policy_id "policy_id" "policyId" ID,
                /// Object storage bucket of the recording's files.
                ObsBucket obs_bucket "obs_bucket" "obsBucket" String,
                /// Directory of the files within `obsBucket`.
                FileDirectory file_directory "file_directory" "fileDirectory" String,
                /// Name of the video file.
                VideoFilename video_filename "video_filename" "videoFilename" String,
                /// SHA-256 of the video file, in hexadecimal digits.
                VideoFileSha256 video_file_sha256 "video_file_sha256" "videoFileSha256" String,
                /// Name of the file that holds the recording's events.
                EventFilename event_filename "event_filename" "eventFilename" String,
                /// SHA-256 of the event file, in hexadecimal digits.
                EventFileSha256 event_file_sha256 "event_file_sha256" "eventFileSha256" String,
                /// How the files were uploaded. The upstream does not document the values.
                UploadType upload_type "upload_type" "uploadType" String,
                /// Kind of site that the desktop is at. The upstream does not document the values.
                SiteType site_type "site_type" "siteType" String,
            }
            times {
                /// Time at which recording began.
                Start start_time "start_time" "startTime",
                /// Time at which recording ended. Usually `null` while it runs.
                End end_time "end_time" "endTime",
                /// Time of the last change of the record.
                Update update_time "update_time" "updateTime",
            }
        }
    };
}
pub(crate) use record_fields;

macro_rules! declare_types {
    (
        texts { $($(#[$text_doc:meta])* $text:ident $text_name:ident $text_wire:literal $text_shown:literal $text_type:ident,)* }
        times { $($(#[$time_doc:meta])* $time:ident $time_name:ident $time_wire:literal $time_shown:literal,)* }
    ) => {
        declare_names! {
            /// A text of a recording.
            RecordText {
                /// The id the upstream gave.
                Id "id" "id",
                $($(#[$text_doc])* $text $text_wire $text_shown,)*
            }
        }
        declare_names! {
            /// A timestamp of a recording.
            RecordTime {
                $($(#[$time_doc])* $time $time_wire $time_shown,)*
            }
        }
    };
}

macro_rules! declare_names {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident $wire:literal $shown:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every one, in the order of a record.
            pub const ALL: [Self; [$($wire),*].len()] = [$(Self::$variant),*];

            /// The one that the upstream sends under a name.
            pub fn of_wire_name(name: &str) -> Option<Self> {
                match name {
                    $($wire => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name that the upstream sends it under.
            pub fn wire_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)*
                }
            }

            /// Its name in the schema.
            pub fn schema_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $shown,)*
                }
            }
        }
    };
}

record_fields!(declare_types);

const TEXTS: usize = RecordText::ALL.len();
const TIMES: usize = RecordTime::ALL.len();

/// The fields of a recording, before a [`ScreenRecord`] is made of them. Texts may borrow from what
/// they were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFields<'t> {
    texts: [Field<Cow<'t, str>>; TEXTS],
    times: [Field<Timestamp>; TIMES],
    /// Size of the video in bytes.
    pub size: Field<i64>,
    /// Length of the video in seconds.
    pub duration: Field<i32>,
}

/// A recording of a cloud desktop's screen, normalised.
///
/// Caches hold many, so it is made to be small: all texts are one, end to end, and a field takes a bit
/// to say whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenRecord {
    texts: Box<str>,
    /// Where each text ends.
    ends: [u32; TEXTS],
    /// A bit for each field that has a value: texts, instants, size, duration.
    readable: u32,
    /// The fields that are there but not readable, by their bits.
    unreadable: Vec<(u32, Arc<Unreadable>)>,
    times: [Timestamp; TIMES],
    size: i64,
    duration: i32,
}

const SIZE_BIT: u32 = 1 << (TEXTS + TIMES);
const DURATION_BIT: u32 = 1 << (TEXTS + TIMES + 1);

/// Each field has a bit.
const _: () = assert!(TEXTS + TIMES + 2 <= u32::BITS as usize);

impl RecordText {
    const fn bit(self) -> u32 {
        1 << self as usize
    }
}

impl RecordTime {
    const fn bit(self) -> u32 {
        1 << (TEXTS + self as usize)
    }
}

impl Unreadable {
    /// How much of the upstream's value is kept, in characters.
    pub const LONGEST_VALUE: usize = 64;

    /// Notes a problem with a value.
    pub fn new(problem: impl Into<String>, value: &str) -> Arc<Self> {
        let value = value.chars().take(Self::LONGEST_VALUE).collect();
        Arc::new(Self { problem: problem.into(), value })
    }

    /// The bytes it takes, wherever they are, without its count of references.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.problem.len() + self.value.len()
    }
}

impl<'t> RecordFields<'t> {
    /// The place of a text.
    #[expect(clippy::indexing_slicing, reason = "there is a place for each variant")]
    pub fn text(&mut self, of: RecordText) -> &mut Field<Cow<'t, str>> {
        &mut self.texts[of as usize]
    }

    /// The place of a timestamp.
    #[expect(clippy::indexing_slicing, reason = "there is a place for each variant")]
    pub fn time(&mut self, of: RecordTime) -> &mut Field<Timestamp> {
        &mut self.times[of as usize]
    }

    /// The same fields with a text.
    #[cfg(any(test, feature = "fuzzing"))]
    #[must_use]
    pub fn with_text(mut self, of: RecordText, text: impl Into<Cow<'t, str>>) -> Self {
        *self.text(of) = Some(Ok(text.into()));
        self
    }

    /// The same fields with an instant.
    #[cfg(any(test, feature = "fuzzing"))]
    #[must_use]
    pub fn with_time(mut self, of: RecordTime, time: Timestamp) -> Self {
        *self.time(of) = Some(Ok(time));
        self
    }
}

impl From<RecordFields<'_>> for ScreenRecord {
    fn from(mut fields: RecordFields<'_>) -> Self {
        let bytes = fields.texts.iter().flatten().flatten().map(|text| text.len()).sum();
        let mut texts = String::with_capacity(bytes);
        let mut record = Self {
            texts: Box::default(),
            ends: [0; TEXTS],
            readable: 0,
            unreadable: Vec::new(),
            times: [Timestamp::default(); TIMES],
            size: 0,
            duration: 0,
        };
        record.ends = RecordText::ALL.map(|of| {
            texts.push_str(record.note(of.bit(), fields.text(of)).map_or("", |text| text));
            // Bodies are far from four gigabytes.
            u32::try_from(texts.len()).unwrap_or(u32::MAX)
        });
        record.times = RecordTime::ALL
            .map(|of| record.note(of.bit(), fields.time(of)).copied().unwrap_or_default());
        record.size = record.note(SIZE_BIT, &fields.size).copied().unwrap_or_default();
        record.duration = record.note(DURATION_BIT, &fields.duration).copied().unwrap_or_default();
        record.texts = texts.into_boxed_str();
        record
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Default for ScreenRecord {
    fn default() -> Self {
        RecordFields::default().into()
    }
}

impl ScreenRecord {
    /// Notes whether a field has a value, which is handed out.
    fn note<'f, T>(&mut self, bit: u32, field: &'f Field<T>) -> Option<&'f T> {
        match field.as_ref()? {
            Ok(value) => {
                self.readable |= bit;
                Some(value)
            }
            Err(unreadable) => {
                self.unreadable.push((bit, Arc::clone(unreadable)));
                None
            }
        }
    }

    /// The id the upstream gave, absent where it gave none.
    pub fn id(&self) -> Option<&str> {
        self.readable_text(RecordText::Id)
    }

    /// A text.
    pub fn text(&self, of: RecordText) -> Field<&str> {
        self.field(of.bit(), self.readable_text(of))
    }

    /// A text that is not empty: an empty one says no more than none.
    pub fn filled_text(&self, of: RecordText) -> Option<&str> {
        self.readable_text(of).filter(|text| !text.is_empty())
    }

    /// An instant.
    pub fn time(&self, of: RecordTime) -> Field<Timestamp> {
        let time = self.times.get(of as usize).copied();
        self.field(of.bit(), time.filter(|_| self.has(of.bit())))
    }

    /// Size of the video in bytes.
    pub fn size(&self) -> Field<i64> {
        self.field(SIZE_BIT, self.has(SIZE_BIT).then_some(self.size))
    }

    /// Length of the video in seconds.
    pub fn duration(&self) -> Field<i32> {
        self.field(DURATION_BIT, self.has(DURATION_BIT).then_some(self.duration))
    }

    /// What made the recording run.
    pub fn kind(&self) -> Field<ScreenRecordType> {
        self.text(RecordText::Type).map(|text| text.map(ScreenRecordType::from_upstream))
    }

    /// Where the recording stands.
    pub fn status(&self) -> Field<ScreenRecordStatus> {
        self.text(RecordText::Status).map(|text| text.map(ScreenRecordStatus::from_upstream))
    }

    /// Whether the record will not change any more.
    pub fn is_final(&self) -> bool {
        self.status().and_then(Result::ok).is_some_and(ScreenRecordStatus::is_final)
    }

    /// The fields that the record was made of.
    pub fn fields(&self) -> RecordFields<'_> {
        RecordFields {
            texts: RecordText::ALL.map(|of| self.text(of).map(|text| text.map(Cow::Borrowed))),
            times: RecordTime::ALL.map(|of| self.time(of)),
            size: self.size(),
            duration: self.duration(),
        }
    }

    /// The bytes it takes, wherever they are.
    pub fn bytes(&self) -> usize {
        let unreadable = self.unreadable.iter().map(|(_, unreadable)| {
            size_of::<(u32, Arc<Unreadable>)>() + Unreadable::bytes(unreadable)
        });
        size_of::<Self>() + self.texts.len() + unreadable.sum::<usize>()
    }

    fn has(&self, bit: u32) -> bool {
        self.readable & bit != 0
    }

    fn readable_text(&self, of: RecordText) -> Option<&str> {
        if !self.has(of.bit()) {
            return None;
        }
        let before = (of as usize).checked_sub(1).and_then(|before| self.ends.get(before));
        let (from, to) = (before.copied().unwrap_or_default(), *self.ends.get(of as usize)?);
        self.texts.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }

    /// A field with its value, where it has one.
    fn field<T>(&self, bit: u32, value: Option<T>) -> Field<T> {
        value.map(Ok).or_else(|| {
            let unreadable = self.unreadable.iter().find(|(of, _)| *of == bit);
            unreadable.map(|(_, unreadable)| Err(Arc::clone(unreadable)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were() {
        let unreadable = Unreadable::new("is not a text", "7");
        let mut fields = RecordFields { size: Some(Ok(-1)), ..RecordFields::default() }
            .with_text(RecordText::Id, "r")
            .with_text(RecordText::Username, "")
            .with_text(RecordText::SiteType, "桌面")
            .with_time(RecordTime::End, Timestamp::default());
        *fields.text(RecordText::PolicyId) = Some(Err(Arc::clone(&unreadable)));
        fields.duration = Some(Err(unreadable));

        let record = ScreenRecord::from(fields.clone());

        assert_eq!(record.fields(), fields);
    }

    #[test]
    fn a_record_is_small_beside_its_texts() {
        let ends_and_times = size_of::<[u32; TEXTS]>() + size_of::<[Timestamp; TIMES]>();

        let rest = size_of::<ScreenRecord>() - ends_and_times;

        assert!(rest <= 64, "{rest}");
    }
}
