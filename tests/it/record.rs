//! One recording, from the upstream's JSON to the answer.

use insta::assert_json_snapshot;
use screen_record_gateway::domain::{RecordText, RecordTime};
use serde_json::{Value, json};

use crate::support::{Gateway, Reply, ScriptedUpstream, screen_record};

const ALL_FIELDS: &str = include_str!("../fixtures/samples/records/all-fields.json");
const EXAMPLE: &str = include_str!("../fixtures/samples/records/seed-example.json");
const EVERYTHING: &str = "id projectId desktopId desktopName desktopPoolId username size duration \
     type rawType status rawStatus policyId obsBucket fileDirectory videoFilename videoFileSha256 \
     eventFilename eventFileSha256 startTime endTime updateTime uploadType siteType desktop { id }";

async fn gateway_with(body: &'static str) -> Gateway {
    let headers = [("content-type", "application/json")];
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(200, &headers, body)).await;
    Gateway::before(upstream).await
}

#[tokio::test]
async fn all_21_fields_of_the_upstream_are_mapped() {
    let gateway = gateway_with(ALL_FIELDS).await;

    let answer = gateway.query(&screen_record(EVERYTHING)).await;

    assert_json_snapshot!(answer, @r#"
    {
      "data": {
        "screenRecord": {
          "desktop": {
            "id": "7f1ac068-2c1d-4e5f-9a0b-535f4b315959"
          },
          "desktopId": "7f1ac068-2c1d-4e5f-9a0b-535f4b315959",
          "desktopName": "desktop01",
          "desktopPoolId": "3c0f2068-4b5a-4c6d-8e7f-535f4b315364",
          "duration": 3600,
          "endTime": "2024-10-15T11:04:41.263Z",
          "eventFileSha256": "5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c",
          "eventFilename": "event_089b2f9a3d80d3062f24c00ca4ed5cbd_chenwei_0001.json",
          "fileDirectory": "records/2024/10/15/",
          "id": "6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082",
          "obsBucket": "wks-screen-record-example",
          "policyId": "8ac225c2781edb0d01781edde3f40001",
          "projectId": "089b2f9a3d80d3062f24c00ca4ed5cbd",
          "rawStatus": "UPLOAD_COMPLETED",
          "rawType": "FULL",
          "siteType": "CENTER",
          "size": 734003200,
          "startTime": "2024-10-15T10:04:41.263Z",
          "status": "UPLOAD_COMPLETED",
          "type": "FULL",
          "updateTime": "2024-10-15T11:06:02.100Z",
          "uploadType": "NORMAL",
          "username": "chenwei",
          "videoFileSha256": "a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3",
          "videoFilename": "video_089b2f9a3d80d3062f24c00ca4ed5cbd_chenwei_0001.mp4"
        }
      }
    }
    "#);
}

#[tokio::test]
async fn every_text_and_timestamp_is_read_from_its_wire_name() {
    let mut body = serde_json::Map::new();
    let mut expected = serde_json::Map::new();
    for text in RecordText::ALL {
        body.insert(text.wire_name().to_owned(), format!("a {text:?}").into());
        expected.insert(text.schema_name().to_owned(), format!("a {text:?}").into());
    }
    for (time, second) in RecordTime::ALL.into_iter().zip(10..) {
        body.insert(time.wire_name().to_owned(), format!("2026-01-01 00:00:{second}").into());
        let shown = format!("2026-01-01T00:00:{second}.000Z");
        expected.insert(time.schema_name().to_owned(), shown.into());
    }
    let selection: Vec<_> = expected.keys().map(String::as_str).collect();
    let selection = selection.join(" ");
    let body = Value::from(body);
    let upstream = ScriptedUpstream::start(move |_| Reply::json(200, &body)).await;
    let gateway = Gateway::before(upstream).await;

    let by_plan = gateway.query(&screen_record(&selection)).await;
    // A link has no plan, so async-graphql answers.
    let by_resolvers = gateway.query(&screen_record(&format!("{selection} downloadUrl"))).await;

    assert_eq!(by_plan["data"]["screenRecord"], Value::from(expected.clone()));
    expected.insert("downloadUrl".to_owned(), Value::Null);
    assert_eq!(by_resolvers["data"]["screenRecord"], Value::from(expected));
}

#[tokio::test]
async fn the_documented_example_is_read_with_its_times_and_id() {
    let gateway = gateway_with(EXAMPLE).await;

    let answer = gateway.query(&screen_record("id startTime endTime duration status")).await;

    assert_json_snapshot!(answer, @r#"
    {
      "data": {
        "screenRecord": {
          "duration": 1826,
          "endTime": "2024-03-12T12:52:01.000Z",
          "id": "8ac225c2781f230a01781f29b2e7xxxx",
          "startTime": "2024-03-12T12:02:01.000Z",
          "status": "RECORDING"
        }
      }
    }
    "#);
}

#[tokio::test]
async fn absent_fields_are_null_without_an_error() {
    let gateway = gateway_with("{}").await;

    let answer = gateway.query(&screen_record(EVERYTHING)).await;

    assert_eq!(answer.get("errors"), None);
    let record = answer["data"]["screenRecord"].as_object().unwrap();
    let present: Vec<_> = record.iter().filter(|(_, value)| !value.is_null()).collect();
    assert_eq!(record.len(), 25);
    assert_eq!(
        json!(present),
        json!([
            ["id", "6c655e6a-1b2c-4d3e-8f90-b7f0edc7a082"],
            ["projectId", "089b2f9a3d80d3062f24c00ca4ed5cbd"],
        ])
    );
}

#[tokio::test]
async fn a_field_that_cannot_be_read_is_null_with_its_own_error() {
    let gateway = gateway_with(r#"{"start_time": "yesterday", "size": {}, "username": "u"}"#).await;

    let answer = gateway.query(&screen_record("username startTime size")).await;

    assert_json_snapshot!(answer, @r#"
    {
      "data": {
        "screenRecord": {
          "size": null,
          "startTime": null,
          "username": "u"
        }
      },
      "errors": [
        {
          "extensions": {
            "code": "UPSTREAM_INVALID_RESPONSE",
            "retryable": false,
            "upstream": {
              "value": "yesterday"
            }
          },
          "locations": [
            {
              "column": 118,
              "line": 1
            }
          ],
          "message": "the upstream's value is not a time in a known shape",
          "path": [
            "screenRecord",
            "startTime"
          ]
        },
        {
          "extensions": {
            "code": "UPSTREAM_INVALID_RESPONSE",
            "retryable": false,
            "upstream": {
              "value": "{}"
            }
          },
          "locations": [
            {
              "column": 128,
              "line": 1
            }
          ],
          "message": "the upstream's value is not a whole number",
          "path": [
            "screenRecord",
            "size"
          ]
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_value_that_is_not_json_costs_its_own_field_only() {
    let [long, shown_of_long] = [100, 64].map(|length| "\u{1}".repeat(length));
    for (value, shown) in [
        (&b"\"\xd5\xc5\xc8\xfd\""[..], "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        // In GBK, Big5 and Shift_JIS the second byte of a character may be a backslash.
        (b"\"\xd5\x5c\"", "\u{fffd}\\"),
        (b"\"a\tb\nc\"", "a\tb\nc"),
        (b"\"C:\\Users\"", "C:\\Users"),
        (format!("\"{long}\"").as_bytes(), &shown_of_long),
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"[1, NaN]", "[1, NaN]"),
        (b"{\"a\": undefined}", "{\"a\": undefined}"),
    ] {
        let body = [
            b"{\"id\": \"r\", \"username\": ",
            value,
            b", \"size\": 7, \"status\": \"RECORDING\"}",
        ]
        .concat();
        let upstream = ScriptedUpstream::start(move |_| Reply::bytes(200, &[], body.clone())).await;
        let gateway = Gateway::before(upstream).await;

        let answer = gateway.query(&screen_record("id username size status")).await;

        let record = json!({ "id": "r", "username": null, "size": 7, "status": "RECORDING" });
        assert_eq!(answer["data"]["screenRecord"], record, "of {shown:?}: {answer}");
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "of {shown:?}: {answer}");
        assert_eq!(errors[0]["path"], json!(["screenRecord", "username"]));
        assert_eq!(errors[0]["extensions"]["code"], "UPSTREAM_INVALID_RESPONSE");
        assert_eq!(errors[0]["extensions"]["upstream"], json!({ "value": shown }));
    }
}

#[tokio::test]
async fn an_epoch_with_a_fraction_is_an_instant() {
    let gateway = gateway_with(
        r#"{"start_time": 1710244921.25, "end_time": "1710244921263.9", "update_time": "20240312120201.5"}"#,
    )
    .await;

    let answer = gateway.query(&screen_record("startTime endTime updateTime")).await;

    assert_eq!(
        answer["data"]["screenRecord"],
        json!({
            "startTime": "2024-03-12T12:02:01.250Z",
            "endTime": "2024-03-12T12:02:01.263Z",
            "updateTime": "2024-03-12T12:02:01.500Z",
        })
    );
}

#[tokio::test]
async fn an_unknown_enum_value_is_unknown_with_its_raw_text() {
    let gateway = gateway_with(r#"{"status": "ARCHIVED", "type": "USER_OPERATION"}"#).await;

    let answer = gateway.query(&screen_record("status rawStatus type rawType")).await;

    assert_eq!(
        answer["data"]["screenRecord"],
        json!({
            "status": "UNKNOWN", "rawStatus": "ARCHIVED",
            "type": "OPERATION", "rawType": "USER_OPERATION",
        })
    );
}

#[tokio::test]
async fn a_time_without_a_zone_is_read_in_the_configured_zone() {
    let body = r#"{"start_time": "2024-03-12 12:02:01"}"#;
    let upstream = ScriptedUpstream::start(move |_| Reply::bytes(200, &[], body)).await;
    let gateway = Gateway::configured(upstream, |config| {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        config.upstream.default.as_mut().unwrap().time_zone = zone;
    })
    .await;

    let answer = gateway.query(&screen_record("startTime")).await;

    assert_eq!(answer["data"]["screenRecord"]["startTime"], "2024-03-12T04:02:01.000Z");
}
