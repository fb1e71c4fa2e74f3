use proptest::prelude::*;
use serde_json::Value;

use super::super::WireValue;
use super::*;
use crate::domain::Field;

const SHAPES: &str = include_str!("../../../../tests/fixtures/samples/timestamps/index.json");

fn read(json: &str, zone: &TimeZone) -> Field<Timestamp> {
    WireValue::Json(json).timestamp(zone)
}

fn read_text(text: &str) -> Option<String> {
    from_text(text, &TimeZone::UTC).ok().map(|timestamp| timestamp.to_string())
}

#[test]
fn every_shape_seen_in_the_field_is_read_or_refused_as_agreed() {
    let index: Value = serde_json::from_str(SHAPES).unwrap();
    let shapes = index["shapes"].as_array().unwrap();

    for shape in shapes {
        let (name, expected) = (&shape["name"], shape["expected"].as_str().map(str::to_owned));
        let value = read(&shape["value"].to_string(), &TimeZone::UTC);

        match shape["accept"].as_str().unwrap() {
            "null" => assert!(value.is_none(), "{name} is not absent: {value:?}"),
            "error" => assert!(matches!(value, Some(Err(_))), "{name} was read: {value:?}"),
            "error-or-clamp" => {
                assert_eq!(value.unwrap().unwrap().to_string(), "2016-12-31T23:59:59.000Z");
            }
            // Shapes that may be refused are all read as well, but for the one that is too long.
            _ if name == "very-long" => assert!(matches!(value, Some(Err(_))), "{name}"),
            _ => {
                let shown = value.unwrap().ok().map(|timestamp| timestamp.to_string());
                assert_eq!(shown, expected, "{name}");
            }
        }
    }
    assert_eq!(shapes.len(), 58);
}

#[test]
fn a_value_without_a_zone_is_read_in_the_configured_one() {
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    for (text, expected) in [
        ("2024-03-12 12:02:01", "2024-03-12T04:02:01.000Z"),
        ("2024-03-12", "2024-03-11T16:00:00.000Z"),
        ("20240312120201", "2024-03-12T04:02:01.000Z"),
        ("20240312120201.5", "2024-03-12T04:02:01.500Z"),
        ("20240312120201Z", "2024-03-12T12:02:01.000Z"),
        ("Mar 12, 2024 12:02:01 PM", "2024-03-12T04:02:01.000Z"),
        ("2024-03-12T12:02:01Z", "2024-03-12T12:02:01.000Z"),
        ("1710244921", "2024-03-12T12:02:01.000Z"),
    ] {
        let timestamp = from_text(text, &shanghai).unwrap();

        assert_eq!(timestamp.to_string(), expected, "of {text}");
    }
}

#[test]
fn an_epoch_may_have_a_fraction_or_an_exponent() {
    for (number, expected) in [
        ("1710244921.25", "2024-03-12T12:02:01.250Z"),
        ("1710244921.", "2024-03-12T12:02:01.000Z"),
        ("1710244921.9999999999", "2024-03-12T12:02:01.999Z"),
        ("1710244921263.5", "2024-03-12T12:02:01.263Z"),
        ("1710244921263000.125", "2024-03-12T12:02:01.263Z"),
        ("1710244921263000000.5", "2024-03-12T12:02:01.263Z"),
        ("1.71024492125e9", "2024-03-12T12:02:01.250Z"),
        ("1.710244921E+12", "2024-03-12T12:02:01.000Z"),
        ("171024492125e-2", "2024-03-12T12:02:01.250Z"),
        ("1e9", "2001-09-09T01:46:40.000Z"),
        ("20240312120201", "2024-03-12T12:02:01.000Z"),
    ] {
        for json in [number.to_owned(), format!("\"{number}\"")] {
            let value = read(&json, &TimeZone::UTC).unwrap();

            assert_eq!(value.map(|time| time.to_string()), Ok(expected.to_owned()), "of {json}");
        }
    }
}

#[test]
fn a_skipped_time_moves_on_and_a_repeated_one_is_the_first() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();

    let skipped = from_text("2024-03-31 02:30:00", &berlin).unwrap();
    let repeated = from_text("2024-10-27 02:30:00", &berlin).unwrap();

    assert_eq!(skipped.to_string(), "2024-03-31T01:30:00.000Z");
    assert_eq!(repeated.to_string(), "2024-10-27T00:30:00.000Z");
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "2024-10-15T10:04:41+24:00",
        "2024-10-15T10:04:41.Z",
        "2024-10-15T10:04:41Zulu",
        "2024-10-15T",
        "2024-10/15",
        "24-10-15",
        "20241015",
        "2024-10-15T10",
        "Mon, 15 Oct 2024 10:04:41 GMT",
        "Oct 15, 2024 13:04:41 PM",
        "9999-12-31T23:59:59-05:00",
        "12345678901",
        "1e8x",
        "1e7",
        "1e-9",
        "0.5",
        "-1710244921.25",
        "1710244921.25.5",
        "17102449211.5",
        "20241015.5",
        "٢٠٢٤-١٠-١٥",
    ] {
        assert_eq!(read_text(text), None, "{text} was read");
    }
}

/// Any instant of the years 1 to 9999, a day off the ends so that offsets stay inside.
fn instants() -> impl Strategy<Value = jiff::Timestamp> {
    (-62_135_500_000_i64..253_402_200_000, 0..1_000_000_000_i32)
        .prop_map(|(second, nano)| jiff::Timestamp::new(second, nano).unwrap())
}

/// How a shape is written, and how many digits of the fraction it keeps.
const FORMATS: [(&str, i64); 15] = [
    ("%Y-%m-%dT%H:%M:%S.%3fZ", 1_000_000),
    ("%Y-%m-%dT%H:%M:%S.%6fZ", 1_000),
    ("%Y-%m-%dT%H:%M:%S.%9fZ", 1),
    ("%Y-%m-%d %H:%M:%S", 1_000_000_000),
    ("%Y-%m-%dT%H:%M:%SZ", 1_000_000_000),
    ("%Y-%m-%dT%H:%M:%S", 1_000_000_000),
    ("%Y-%m-%dt%H:%M:%S:%6fz", 1_000),
    ("%Y-%m-%dT%H:%M:%S,%3f", 1_000_000),
    ("%Y/%m/%d %H:%M:%S UTC", 1_000_000_000),
    ("%Y/%m/%d %H:%M:%S.%9f GMT", 1),
    ("%Y%m%dT%H%M%SZ", 1_000_000_000),
    ("%Y%m%d%H%M%S", 1_000_000_000),
    ("%a, %d %b %Y %H:%M:%S GMT", 1_000_000_000),
    ("%b %d, %Y %I:%M:%S %p", 1_000_000_000),
    ("%Y-%m-%d %H:%MZ", 60_000_000_000),
];

fn nanosecond(read: Timestamp) -> i128 {
    Offset::UTC.to_timestamp(read.as_utc()).unwrap().as_nanosecond()
}

fn cut(instant: jiff::Timestamp, unit: i64) -> i128 {
    instant.as_nanosecond().div_euclid(i128::from(unit)) * i128::from(unit)
}

proptest! {
    #[test]
    fn any_instant_comes_back_from_every_shape(instant in instants()) {
        for (format, unit) in FORMATS {
            let text = instant.strftime(format).to_string();
            let read = from_text(&text, &TimeZone::UTC);
            let nanosecond = read.map(nanosecond);
            prop_assert_eq!(nanosecond, Ok(cut(instant, unit)), "{} as {}", text, format);
        }
    }

    #[test]
    fn any_instant_comes_back_from_every_offset(instant in instants(), minutes in -1439..1440_i32) {
        let offset = Offset::from_seconds(minutes * 60).unwrap();
        let local = offset.to_datetime(instant).strftime("%Y-%m-%dT%H:%M:%S.%9f").to_string();
        let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
        let (hours, minutes) = (minutes / 60, minutes % 60);
        for text in [
            format!("{local}{sign}{hours:02}:{minutes:02}"),
            format!("{local}{sign}{hours:02}{minutes:02}"),
            format!("{local} {sign}{hours:02}{minutes:02}"),
            format!("{local} GMT{sign}{hours:02}:{minutes:02}"),
            format!("{local}Z{sign}{hours:02}{minutes:02}"),
        ] {
            let read = from_text(&text, &TimeZone::UTC).map(nanosecond);
            prop_assert_eq!(read, Ok(instant.as_nanosecond()), "{}", text);
        }
    }
}
