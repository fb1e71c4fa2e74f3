//! The recordings and what happened in them: made from a seed, with a status that follows the clock.

use std::collections::HashMap;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::random::Random;

const DAY: i64 = 24 * 60 * 60;
/// The greatest age of a recording at the start, in seconds.
const GREATEST_AGE: i64 = 14 * DAY - 7200;
/// The least age of one whose start time is drawn again, so that it is over.
const LEAST_AGE: i64 = 7500;
/// How often a start time is drawn again, at most, if it does not fit the hour and the day.
const DRAWS: usize = 40;
/// Seconds between new recordings.
const NEW_EVERY: i64 = 60;
/// One in this number of recordings is in progress at the start.
const LIVE_SHARE: usize = 25;
/// The first number of recordings that begin after the start.
const LATER: u64 = 1 << 40;
const DESKTOPS: u64 = 40;
/// Each desktop belongs to one pool.
const POOLS: u64 = 5;
const TYPES: [&str; 4] = ["FULL", "INTERVAL", "OPERATION", "SESSION"];
const USERS: [&str; 8] =
    ["chenwei", "wanghaha", "张三", "Ólafur", "محمد", "maria.garcia", "Amélie", "zoë-k"];

/// Type, id and data of what may happen on a desktop.
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

/// All recordings.
pub(super) struct SimulatedRecords {
    seed: u64,
    began: Timestamp,
    base: Vec<Record>,
    by_id: HashMap<String, usize>,
}

/// The fixed part of one recording.
#[derive(Clone, Debug)]
pub(super) struct Record {
    place: u64,
    pub(super) id: String,
    pub(super) desktop_id: String,
    pub(super) desktop_name: String,
    desktop_pool_id: String,
    pub(super) username: &'static str,
    pub(super) kind: &'static str,
    pub(super) start: Timestamp,
    /// Seconds of recording.
    length: i64,
    /// Seconds of uploading.
    upload: i64,
    /// The status in which its life ends.
    last_status: &'static str,
}

/// Seconds between the end of a recording and the beginning of its upload.
const WAIT_FOR_UPLOAD: i64 = 10;

impl SimulatedRecords {
    pub(super) fn new(seed: u64, count: usize, now: Timestamp) -> Self {
        // Whole minutes, so that two simulations of a seed begun together agree to the millisecond.
        let began = whole_minute(now);
        let live = (count / LIVE_SHARE).max(1) as u64;
        let ending_soon = (0..live).map(|place| Record::ending_soon(seed, place, began));
        let past = (live..).map(|place| Record::past(seed, place, began));
        let base: Vec<Record> = ending_soon.chain(past).take(count).collect();
        let by_id = base.iter().enumerate().map(|(at, record)| (folded(&record.id), at)).collect();
        Self { seed, began, base, by_id }
    }

    /// The id of a finished recording, for examples.
    pub(super) fn sample(&self) -> &str {
        let is_uploaded = |record: &&Record| record.status(self.began) == "UPLOAD_COMPLETED";
        let found = self.base.iter().find(is_uploaded).or(self.base.first());
        found.map_or("sample-all-fields", |record| &record.id)
    }

    /// The recording with an id, with or without dashes.
    pub(super) fn get(&self, id: &str, now: Timestamp) -> Option<Record> {
        let id = folded(id);
        if let Some(record) = self.by_id.get(&id).and_then(|at| self.base.get(*at)) {
            return Some(record.clone());
        }
        self.later(now).find(|record| folded(&record.id) == id)
    }

    /// Every recording that has begun.
    pub(super) fn all(&self, now: Timestamp) -> Vec<Record> {
        self.base.iter().cloned().chain(self.later(now)).collect()
    }

    /// Recordings that have begun since the start, one a minute.
    fn later(&self, now: Timestamp) -> impl Iterator<Item = Record> + '_ {
        let elapsed = now.duration_since(self.began).as_secs().max(0);
        (1..=elapsed / NEW_EVERY).map(|number| {
            let place = LATER + number.unsigned_abs();
            let mut random = Random::of(self.seed, place);
            let length = random.between(25, 65);
            Record::made(random, place, after(self.began, number * NEW_EVERY), length)
        })
    }
}

impl Record {
    /// One that began within the last 14 days: mostly in working hours, seldom on a weekend. On one day many
    /// fail.
    fn past(seed: u64, place: u64, now: Timestamp) -> Self {
        let mut random = Random::of(seed, place);
        let (age, millis) = (random.between(0, GREATEST_AGE), random.between(0, 1000));
        let ago = |age| now - SignedDuration::from_millis((age + 60) * 1000 + millis);
        // Numbers of their own, so that the other values do not depend on how many are drawn.
        let mut shape = Random::of(!seed, place);
        let mut start = ago(age);
        for _ in 0..DRAWS {
            if shape.percent(workload(start)) {
                break;
            }
            start = ago(shape.between(LEAST_AGE, GREATEST_AGE));
        }
        let length = random.between(60, 7260);
        let mut record = Self::made(random, place, start, length);
        let is_bad_day = utc(start).date() == bad_day(now);
        if is_bad_day && Random::of(!seed, !place).percent(60) {
            record.last_status = "REC_FAILED";
        }
        record
    }

    /// One that is being recorded at the start and ends soon: the first within seconds, each further
    /// one a little later.
    fn ending_soon(seed: u64, place: u64, began: Timestamp) -> Self {
        let mut random = Random::of(seed, place);
        let length = random.between(600, 3600);
        let left = 75 + 20 * i64::try_from(place).unwrap_or_default();
        Self::made(random, place, after(began, left - length), length)
    }

    fn made(mut random: Random, place: u64, start: Timestamp, length: i64) -> Self {
        let id = if random.percent(50) { random.uuid() } else { random.hex32() };
        let desktop = random.below(DESKTOPS);
        Self {
            place,
            id,
            desktop_id: Random::of(desktop, 7).uuid(),
            desktop_name: format!("desktop{desktop:02}"),
            desktop_pool_id: Random::of(desktop % POOLS, 8).uuid(),
            username: random.pick(&USERS).copied().unwrap_or_default(),
            kind: random.pick(&TYPES).copied().unwrap_or_default(),
            start,
            length,
            upload: random.between(15, 45),
            last_status: match random.below(10) {
                0 => "REC_FAILED",
                1 => "UPLOAD_FAILED",
                _ => "UPLOAD_COMPLETED",
            },
        }
    }

    /// The status now.
    pub(super) fn status(&self, now: Timestamp) -> &'static str {
        self.phase(now).0
    }

    /// The status now, and the age in seconds at which it began.
    fn phase(&self, now: Timestamp) -> (&'static str, i64) {
        let age = now.duration_since(self.start).as_secs();
        let uploading = self.length + WAIT_FOR_UPLOAD;
        let uploaded = uploading + self.upload;
        match self.last_status {
            _ if age < self.length => ("RECORDING", 0),
            "REC_FAILED" => ("REC_FAILED", self.length),
            _ if age < uploading => ("REC_COMPLETED", self.length),
            _ if age < uploaded => ("UPLOADING", uploading),
            last => (last, uploaded),
        }
    }

    /// Seconds of video by now.
    fn seconds(&self, now: Timestamp) -> i64 {
        now.duration_since(self.start).as_secs().clamp(0, self.length)
    }

    /// Numbers of its own, the same every time.
    fn random(&self, purpose: u64) -> Random {
        Random::of(self.place, purpose)
    }

    /// As the upstream writes it: absent fields are left out.
    pub(super) fn json(&self, project: &str, now: Timestamp) -> Value {
        let mut random = self.random(11);
        let (status, changed) = self.phase(now);
        let ended = status != "RECORDING";
        let has_file = ended && status != "REC_FAILED";
        // Some recordings are larger than 32 bits can count.
        let bytes = self.length * self.random(12).between(200_000, 600_000);
        let name = format!("{project}_{}_{:04}", self.username, self.place % 10_000);
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("id", self.id.clone().into());
        set("desktop_id", self.desktop_id.clone().into());
        set("desktop_name", self.desktop_name.clone().into());
        set("desktop_pool_id", self.desktop_pool_id.clone().into());
        set("username", self.username.into());
        set("type", self.kind.into());
        set("status", status.into());
        set("size", if ended { bytes } else { 0 }.into());
        set("duration", self.seconds(now).into());
        set("start_time", written_time(self.start, &mut random));
        set("update_time", written_time(after(self.start, changed), &mut random));
        if ended {
            set("end_time", written_time(after(self.start, self.length), &mut random));
        }
        if random.percent(80) {
            set("policy_id", Random::of(random.below(3), 9).hex32().into());
        }
        if has_file {
            let directory = self.start.strftime("records/%Y/%m/%d/").to_string();
            set("obs_bucket", "wks-screen-record-example".into());
            set("file_directory", directory.into());
            set("video_filename", format!("video_{name}.mp4").into());
            set("event_filename", format!("event_{name}.json").into());
            set("video_file_sha256", (random.hex32() + &random.hex32()).into());
            set("event_file_sha256", (random.hex32() + &random.hex32()).into());
        }
        if random.percent(60) {
            set("upload_type", "NORMAL".into());
            set("site_type", "CENTER".into());
        }
        Value::Object(fields)
    }

    /// The operations so far, in the order they happened.
    pub(super) fn operations(&self, project: &str, now: Timestamp) -> Vec<Value> {
        let mut random = self.random(21);
        let seconds = self.seconds(now);
        let mut offset = 0;
        let mut operations = Vec::new();
        loop {
            offset += random.between(5, 125);
            let Some((kind, event, data)) = random.pick(&EVENTS).filter(|_| offset <= seconds)
            else {
                return operations;
            };
            let level = match *event {
                "APP_CRASH" => "ERROR",
                "APP_HANG" | "HDP_USB" => "ALARM",
                _ => "INFO",
            };
            operations.push(json!({
                "id": random.hex32(),
                "project_id": project,
                "desktop_id": self.desktop_id,
                "screen_record_id": self.id,
                "username": self.username,
                "event_type": kind,
                "event_level": level,
                "event_id": event,
                "event_data": data,
                "operation_time": written_time(after(self.start, offset), &mut random),
                "relative_start_time": offset,
            }));
        }
    }
}

/// An instant in one of the shapes seen in the field; zone-less ones are in UTC.
fn written_time(instant: Timestamp, random: &mut Random) -> Value {
    let format = match random.below(20) {
        0..=8 => "%Y-%m-%dT%H:%M:%S.%3fZ",
        9..=14 => "%Y-%m-%d %H:%M:%S",
        15 => "%Y-%m-%dT%H:%M:%SZ",
        16 => "%Y-%m-%dT%H:%M:%S.%3f+00:00",
        17 => "%Y-%m-%dT%H:%M:%S.%6fZ",
        18 => "%Y-%m-%d %H:%M:%S.%1f",
        _ => return Value::from(instant.as_millisecond()),
    };
    Value::String(instant.strftime(format).to_string())
}

/// How likely a recording begins at an instant, in percent of the busiest hours.
fn workload(start: Timestamp) -> u64 {
    let start = utc(start);
    let of_hour = match start.hour() {
        9..=11 | 14..=16 => 100,
        8 | 12 | 13 | 17 => 60,
        7 | 18 | 19 => 25,
        _ => 6,
    };
    if is_weekend(start.date()) { of_hour / 8 } else { of_hour }
}

/// The last working day that is at least four days ago.
fn bad_day(now: Timestamp) -> Date {
    let mut days = (4..).map(|days| utc(after(now, -days * DAY)).date());
    days.find(|day| !is_weekend(*day)).unwrap_or_default()
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn utc(instant: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(instant)
}

pub(super) fn after(instant: Timestamp, seconds: i64) -> Timestamp {
    instant.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(instant)
}

/// The beginning of an instant's minute.
fn whole_minute(instant: Timestamp) -> Timestamp {
    let second = instant.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(instant)
}

/// Ids are the same whatever their case and dashes.
fn folded(id: &str) -> String {
    id.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}
