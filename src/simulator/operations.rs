//! What happened on the desktop while it was recorded.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::records::{Record, after};
use super::times;

const EVENTS: [(&str, &str, &str); 14] = [
    ("APP", "APP_START", "notepad.exe"),
    ("APP", "APP_STOP", "notepad.exe"),
    ("APP", "APP_CRASH", "legacy.exe"),
    ("APP", "APP_HANG", "browser.exe"),
    ("APP", "APP_INSTALL", "7zip.msi"),
    ("APP", "APP_UNINSTALL", "toolbar.msi"),
    ("FILE", "FILE_CREATE", "C:\\Users\\报告.docx"),
    ("FILE", "FILE_DELETE", "C:\\Temp\\old.log"),
    ("FILE", "FILE_RENAME", "C:\\Users\\a.txt -> b.txt"),
    ("HDP", "HDP_FILE", "upload 1.2 MiB"),
    ("HDP", "HDP_USB", "mass storage"),
    ("HDP", "HDP_CLIPBOARD", "text, 120 characters"),
    ("HDP", "HDP_INPUTIDLE", "300 s"),
    ("HDP", "HDP_PRINT", "3 pages"),
];

/// One operation on a desktop.
pub(super) struct Operation {
    pub(super) kind: &'static str,
    pub(super) event: &'static str,
    pub(super) level: &'static str,
    pub(super) data: &'static str,
    /// Seconds from the start of the video.
    offset: i64,
    id: String,
    at: Value,
}

/// The operations of a recording so far, in the order they happened.
pub(super) fn of(record: &Record, now: Timestamp) -> Vec<Operation> {
    let mut random = record.random(21);
    let seconds = record.seconds(now);
    let mut offset = 0;
    let mut operations = Vec::new();
    loop {
        offset += i64::try_from(5 + random.below(120)).unwrap_or(i64::MAX / 2);
        if offset > seconds {
            return operations;
        }
        let Some((kind, event, data)) = random.pick(&EVENTS).copied() else { return operations };
        let level = match event {
            "APP_CRASH" => "ERROR",
            "APP_HANG" | "HDP_USB" => "ALARM",
            _ => "INFO",
        };
        let id = random.hex32();
        let at = times::written(after(record.start, offset), &mut random);
        operations.push(Operation { kind, event, level, data, offset, id, at });
    }
}

impl Operation {
    pub(super) fn json(&self, record: &Record, project: &str) -> Value {
        json!({
            "id": self.id,
            "project_id": project,
            "desktop_id": record.desktop_id,
            "screen_record_id": record.id,
            "username": record.username,
            "event_type": self.kind,
            "event_level": self.level,
            "event_id": self.event,
            "event_data": self.data,
            "operation_time": self.at,
            "relative_start_time": self.offset,
        })
    }
}
