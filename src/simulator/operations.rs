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

/// The operations of a recording so far, in the order they happened.
pub(super) fn of(record: &Record, project: &str, now: Timestamp) -> Vec<Value> {
    let mut random = record.random(21);
    let seconds = record.seconds(now);
    let mut offset = 0;
    let mut operations = Vec::new();
    loop {
        offset += random.between(5, 125);
        if offset > seconds {
            return operations;
        }
        let Some((kind, event, data)) = random.pick(&EVENTS).copied() else { return operations };
        let level = match event {
            "APP_CRASH" => "ERROR",
            "APP_HANG" | "HDP_USB" => "ALARM",
            _ => "INFO",
        };
        operations.push(json!({
            "id": random.hex32(),
            "project_id": project,
            "desktop_id": record.desktop_id,
            "screen_record_id": record.id,
            "username": record.username,
            "event_type": kind,
            "event_level": level,
            "event_id": event,
            "event_data": data,
            "operation_time": times::written(after(record.start, offset), &mut random),
            "relative_start_time": offset,
        }));
    }
}
