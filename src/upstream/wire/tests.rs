use std::fs;
use std::path::Path;

use serde_json::Value;

use jiff::tz::TimeZone;

use super::*;
use crate::domain::{RecordText, RecordTime, ScreenRecord};

fn samples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samples/records")
}

fn read(body: &[u8]) -> Result<ScreenRecord, Unlike> {
    screen_record(body, &TimeZone::UTC)
}

/// The value of a field as the schema will show it.
fn shown(record: &ScreenRecord, field: &str) -> Value {
    let text = |of| record.text(of).and_then(Result::ok).into();
    match field {
        "size" => record.size().and_then(Result::ok).into(),
        "duration" => record.duration().and_then(Result::ok).into(),
        "username" => text(RecordText::Username),
        "endTime" => {
            let time = record.time(RecordTime::End).and_then(Result::ok);
            time.map(|time| time.to_string()).into()
        }
        "rawStatus" => text(RecordText::Status),
        "rawType" => text(RecordText::Type),
        "status" | "type" => Value::from("UNKNOWN"),
        other => panic!("the samples expect something of {other}"),
    }
}

#[test]
fn every_sample_is_a_record_and_shows_what_is_expected_of_it() {
    let index: Vec<Value> =
        serde_json::from_slice(&fs::read(samples().join("index.json")).unwrap()).unwrap();
    for sample in &index {
        let file = sample["file"].as_str().unwrap();
        let record = read(&fs::read(samples().join(file)).unwrap());

        let record = record.unwrap_or_else(|unlike| panic!("{file}: {unlike:?}"));
        for (field, expected) in sample["expect"].as_object().into_iter().flatten() {
            assert_eq!(&shown(&record, field), expected, "{field} of {file}");
        }
    }
    assert_eq!(index.len(), 36);
}

#[test]
fn a_value_that_no_reader_could_hold_costs_its_own_field_only() {
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    let body =
        format!(r#"{{"username": "\ud800", "size": 1e999, "policy_id": {deep}, "type": "FULL"}}"#);

    let record = read(body.as_bytes()).unwrap();

    assert!(matches!(record.text(RecordText::Username), Some(Err(_))));
    assert!(matches!(record.size(), Some(Err(_))));
    assert!(matches!(record.text(RecordText::PolicyId), Some(Err(_))));
    assert_eq!(record.text(RecordText::Type), Some(Ok("FULL")));
}

#[test]
fn rows_that_are_no_list_are_refused() {
    let refused = list(br#"{"screen_records": 7}"#, RECORDS, read).unwrap_err();

    assert_eq!(refused, Unlike::Malformed("holds screen_records, which is not a list".to_owned()));
}

#[test]
fn of_a_key_that_comes_twice_the_last_counts() {
    let record = read(br#"{"status": "RECORDING", "status": "UPLOADING"}"#).unwrap();

    assert_eq!(record.text(RecordText::Status), Some(Ok("UPLOADING")));
}

#[test]
fn a_success_with_an_error_code_and_no_record_is_an_error() {
    for body in [
        r#"{"error_code": "WKS.00010110", "error_msg": "no valid address"}"#,
        r#"{"errorCode": "X.1"}"#,
        r#"{"error": {"code": "X.1"}}"#,
        r#"{"code": 5, "message": "m", "request_id": "r"}"#,
    ] {
        assert_eq!(read(body.as_bytes()), Err(Unlike::Error), "of {body}");
    }
}

#[test]
fn what_is_no_record_is_refused_with_a_reason() {
    for (body, problem) in [
        (&b""[..], "is empty"),
        (b" \n", "is empty"),
        (b"<html>", "is not JSON"),
        (b"{\"id\": \"r\"", "is not JSON"),
        (b"{\"id\": \"r\"} {}", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"\"text\"", "is not a JSON object"),
        (b"{\"greeting\": \"hello\"}", "holds none of a recording's fields"),
        (b"{\"error_code\": null, \"greeting\": 1}", "holds none of a recording's fields"),
    ] {
        let expected = Err(Unlike::Malformed(problem.to_owned()));

        assert_eq!(read(body), expected, "of {}", String::from_utf8_lossy(body));
    }
}

const RECORDS: &str = "screen_records";

/// The ids of a list's rows, and its total.
fn listed(file: &str) -> (Vec<Option<String>>, Option<i64>) {
    let body = fs::read(samples().join("../other").join(file)).unwrap();
    let page = list(&body, RECORDS, read).unwrap();
    let id = |row: &Result<ScreenRecord, _>| row.as_ref().ok()?.id().map(str::to_owned);
    (page.rows.iter().map(id).collect(), page.total.and_then(Result::ok))
}

#[test]
fn a_list_is_read_row_by_row() {
    let (ids, total) = listed("list-page.json");
    assert_eq!(ids.first().unwrap().as_deref(), Some("6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082"));
    assert_eq!(total, Some(i64::try_from(ids.len()).unwrap()));

    let (ids, _) = listed("list-with-bad-item.json");
    let known: Vec<bool> = ids.iter().map(Option::is_some).collect();
    assert_eq!(known, [true, false, false, true]);

    let beyond_32_bits = listed("list-count-larger-than-page.json").1;
    assert_eq!(beyond_32_bits, Some(2_147_483_648));
}

#[test]
fn a_list_of_nothing_is_empty_however_it_is_written() {
    for file in ["list-empty.json", "list-null-array.json"] {
        assert_eq!(listed(file), (Vec::new(), Some(0)), "{file}");
    }
}
