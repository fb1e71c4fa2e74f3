use std::fs;
use std::path::Path;

use proptest::prelude::*;
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
fn one_bad_field_costs_nothing_else() {
    let body =
        br#"{"id": "r", "size": "unknown", "username": 7, "start_time": true, "status": []}"#;

    let record = read(body).unwrap();

    let problem = record.size().unwrap().unwrap_err();
    assert_eq!(
        (problem.problem.as_str(), problem.value.as_str()),
        ("is not a whole number", "unknown")
    );
    assert_eq!(record.text(RecordText::Username).unwrap().unwrap_err().value, "7");
    assert_eq!(record.time(RecordTime::Start).unwrap().unwrap_err().value, "true");
    assert_eq!(record.text(RecordText::Status).unwrap().unwrap_err().value, "[]");
    assert_eq!(record.id(), Some("r"));
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
fn a_value_that_is_not_json_costs_its_own_field_only() {
    for value in [
        &b"\"\xd5\xc5\xc8\xfd\""[..],
        b"\"\xd5\x5c\"",
        b"\"a\x00b\"",
        b"\"C:\\Users\"",
        b"NaN",
        b"-Infinity",
        b"undefined",
        b"007",
        b"[NaN, {\"a\": \"\xff\"}]",
    ] {
        let body = [
            b"{\"\xd5\xc5\": 1, \"id\": \"r\", \"size\": ",
            value,
            b", \"status\": \"UPLOADING\", \"future\": ",
            value,
            b"}",
        ];

        let record = read(&body.concat()).unwrap();

        let shown = String::from_utf8_lossy(value);
        assert!(matches!(record.size(), Some(Err(_))), "of {shown}");
        assert_eq!(record.text(RecordText::Status), Some(Ok("UPLOADING")), "of {shown}");
        assert_eq!(record.id(), Some("r"), "of {shown}");
    }
}

#[test]
fn a_row_that_is_not_json_costs_no_other() {
    let body = b"{\"screen_records\": [{\"id\": \"a\"}, NaN, {\"id\": \"b\", \"username\": \"\xff\"}], \"total_count\": 3.0}";

    let page = list(body, RECORDS, read).unwrap();

    let ids: Vec<_> = page.rows.iter().map(|row| row.as_ref().map(|row| row.id())).collect();
    assert_eq!((ids[0].ok(), ids[2].ok()), (Some(Some("a")), Some(Some("b"))));
    assert_eq!(ids[1].unwrap_err().value, "NaN");
    assert_eq!(page.total, Some(Ok(3)));
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

proptest! {
    #[test]
    fn no_field_of_any_value_loses_the_record(
        value in "(null|true|0|-?[1-9][0-9]{0,20}|\"[ !#-Z^-~]{0,20}\"|\\[1\\]|\\{\"a\":1\\})",
    ) {
        let fields = ["size", "duration", "type", "status", "start_time", "username", "id"];
        let members: Vec<_> = fields.iter().map(|name| format!("\"{name}\": {value}")).collect();
        let body = format!("{{{}, \"desktop_id\": \"d\"}}", members.join(", "));

        let record = read(body.as_bytes()).unwrap();

        prop_assert_eq!(record.text(RecordText::DesktopId), Some(Ok("d")));
    }
}

const RECORDS: Listed = Listed { rows: "screen_records", total: Some("total_count") };

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

#[test]
fn an_operation_is_read_field_by_field() {
    let body = fs::read(samples().join("../other/os-operations-200.json")).unwrap();
    let listed = Listed { rows: "operations", total: Some("total_count") };

    let page = list(&body, listed, |row| desktop_operation(row, &TimeZone::UTC)).unwrap();

    let operation = page.rows.into_iter().next().unwrap().unwrap();
    assert_eq!(operation.event, Some(Ok("APP_START".into())));
    assert_eq!(operation.offset, Some(Ok(19)));
    let time = operation.time.unwrap().unwrap().to_string();
    assert_eq!(time, "2024-10-15T10:05:00.000Z");
}

#[test]
fn links_are_read_and_what_is_none_is_not() {
    let body = fs::read(samples().join("../other/download-address-200.json")).unwrap();
    let links = download_links(&body).unwrap();
    let link = links.first().unwrap().link.clone().unwrap().unwrap();
    assert!(link.expose().starts_with("https://wks-screen-record-example.obs."));

    let body =
        br#"{"address": [{"id": "a", "download_url": ""}, {"id": "b"}, 5, {"download_url": 5}]}"#;
    let links: Vec<_> = download_links(body).unwrap();
    let shown: Vec<_> = links.iter().map(|row| (row.id.as_deref(), row.link.is_some())).collect();
    assert_eq!(shown, [(Some("a"), false), (Some("b"), false), (None, true)]);
}
