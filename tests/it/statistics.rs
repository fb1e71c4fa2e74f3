//! Statistics of recordings, checked against a fold over all rows.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use screen_record_gateway::config::Config;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::filters::{Numbers, instant, listing, random_row};
use crate::support::{Gateway, PROJECT, Reply, ScriptedUpstream};

const FIELDS: &str = "groups { time username desktopId desktopPoolId status type \
                      count seconds bytes } scanned isComplete";
const GROUPS: [&str; 7] = ["HOUR", "DAY", "USERNAME", "DESKTOP", "DESKTOP_POOL", "STATUS", "TYPE"];

fn statistics(arguments: &str) -> String {
    format!(r#"screenRecordStatistics(projectId: "{PROJECT}" {arguments}) {{ {FIELDS} }}"#)
}

/// The statistics that a gateway answers.
async fn asked(gateway: &Gateway, arguments: &str) -> Value {
    let answer = gateway.query(&format!("{{ {} }}", statistics(arguments))).await;
    assert_eq!(answer.get("errors"), None, "{arguments}: {answer}");
    answer["data"]["screenRecordStatistics"].clone()
}

fn counts(statistics: &Value) -> Vec<i64> {
    let groups = statistics["groups"].as_array().unwrap().iter();
    groups.map(|group| group["count"].as_i64().unwrap()).collect()
}

/// Rows a minute apart, the newest first.
fn rows(count: usize) -> Vec<Value> {
    rows_from(0, 60, count)
}

/// Rows from a second of 2026 on.
fn rows_from(begin: i64, step: i64, count: usize) -> Vec<Value> {
    let mut numbers = Numbers(11);
    let mut row = |number: usize| {
        random_row(number, begin + step * i64::try_from(number).unwrap(), &mut numbers)
    };
    let mut rows: Vec<Value> = (0..count).map(&mut row).collect();
    rows.reverse();
    rows
}

/// Where each minute's hour and day begin, found by looking at a clock every minute.
struct Clock {
    first: i64,
    hours: Vec<i64>,
    days: Vec<i64>,
}

impl Clock {
    /// Some minutes since 1970, in a time zone.
    fn of(zone: &str, minutes: std::ops::Range<i64>) -> Self {
        let zone = TimeZone::get(zone).unwrap();
        let local = |minute: i64| zone.to_datetime(Timestamp::from_second(minute * 60).unwrap());
        let mut clock = Self { first: minutes.start, hours: Vec::new(), days: Vec::new() };
        let (mut hour, mut day) = (minutes.start, minutes.start);
        for minute in minutes {
            let (now, before) = (local(minute), local(minute - 1));
            if now.minute() == 0 || (now.date(), now.hour()) != (before.date(), before.hour()) {
                hour = minute;
            }
            if now.date() != before.date() {
                day = minute;
            }
            clock.hours.push(hour);
            clock.days.push(day);
        }
        clock
    }

    fn start(&self, group: &str, time: Timestamp) -> String {
        let at = usize::try_from(time.as_second().div_euclid(60) - self.first).unwrap();
        let minute = if group == "HOUR" { self.hours[at] } else { self.days[at] };
        Timestamp::from_second(minute * 60).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
    }
}

/// A value that recordings are grouped by.
type GroupValue = Option<String>;

/// The groups of rows, newest first.
fn fold<'r>(rows: impl IntoIterator<Item = &'r Value>, groups: &[&str], clock: &Clock) -> Value {
    let (mut sums, mut forms) = (BTreeMap::<Vec<GroupValue>, [i64; 3]>::new(), HashMap::new());
    if groups.is_empty() {
        sums.insert(vec![GroupValue::default(); 6], [0; 3]);
    }
    for row in rows {
        let mut key = vec![GroupValue::default(); 6];
        for group in groups {
            let text = |field: &str| row[field].as_str().map(str::to_owned);
            let mut id = |field: &str| {
                let text = text(field)?;
                let folded = (field.to_owned(), text.replace('-', "").to_lowercase());
                Some(forms.entry(folded).or_insert(text).clone())
            };
            let known = |known: &[&str], field: &str| {
                let text = text(field)?.replace("USER_OPERATION", "OPERATION");
                Some(if known.contains(&&*text) { text } else { "UNKNOWN".to_owned() })
            };
            let (at, value) = match *group {
                "HOUR" | "DAY" => {
                    (0, text("start_time").map(|time| clock.start(group, time.parse().unwrap())))
                }
                "USERNAME" => (1, text("username")),
                "DESKTOP" => (2, id("desktop_id")),
                "DESKTOP_POOL" => (3, id("desktop_pool_id")),
                "STATUS" => (4, known(&crate::filters::STATUSES[..6], "status")),
                _ => (5, known(&["FULL", "INTERVAL", "OPERATION", "SESSION"], "type")),
            };
            key[at] = value;
        }
        let [count, seconds, bytes] = sums.entry(key).or_default();
        *count += 1;
        *seconds += row["duration"].as_i64().unwrap_or_default();
        *bytes += row["size"].as_i64().unwrap_or_default();
    }
    let group = |(key, [count, seconds, bytes]): (Vec<GroupValue>, [i64; 3])| {
        json!({
            "time": key[0], "username": key[1], "desktopId": key[2], "desktopPoolId": key[3],
            "status": key[4], "type": key[5], "count": count, "seconds": seconds, "bytes": bytes,
        })
    };
    sums.into_iter().map(group).collect()
}

/// Every way to group.
fn groupings() -> Vec<Vec<&'static str>> {
    let mut all = vec![vec![]];
    for (at, one) in GROUPS.iter().enumerate() {
        all.push(vec![*one]);
        for other in &GROUPS[at + 1..] {
            if (*one, *other) != ("HOUR", "DAY") {
                all.push(if at % 2 == 0 { vec![*one, *other] } else { vec![*other, *one] });
            }
        }
    }
    all
}

/// Zones with an instant around which their clocks change, by half an hour, at midnight, or not at all.
const CHANGES: [(&str, &str); 11] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("America/Havana", "2026-03-08T05:00:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),
    ("Asia/Singapore", "2026-05-01T00:00:00Z"),
    ("Asia/Kolkata", "2026-05-01T00:00:00Z"),
    ("UTC", "2026-12-31T23:30:00Z"),
];

#[tokio::test]
async fn every_grouping_in_every_zone_is_a_fold_over_all_rows() {
    let begin = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second();
    for (zone, change) in CHANGES {
        let change = change.parse::<Timestamp>().unwrap().as_second();
        let around = change / 60 - 5 * 24 * 60..change / 60 + 3 * 24 * 60;
        let clock = Clock::of(zone, around);
        // Two days, in steps that meet every minute of an hour.
        let mut rows = rows_from(change - begin - 24 * 3600 + 59, 13 * 60 + 7, 215);
        rows.push(json!({ "id": "no-start", "size": 3, "duration": 5, "username": "bob" }));
        let gateway = Gateway::before(listing(rows.clone()).await).await;

        for groups in groupings() {
            let by = groups.join(", ");
            let answer = asked(&gateway, &format!("groupBy: [{by}] timeZone: \"{zone}\"")).await;

            let expected = fold(&rows, &groups, &clock);
            assert_eq!(answer["groups"], expected, "by {by} in {zone} around {change}");
            assert_eq!((&answer["scanned"], &answer["isComplete"]), (&json!(216), &json!(true)));
        }
        assert_eq!(gateway.upstream_requests(), 3, "in {zone}");
    }
}

#[tokio::test]
async fn the_days_on_which_clocks_change_have_23_and_25_hours_and_the_repeated_hour_is_two_groups()
{
    let minutes = |from: &str, hours: i64| {
        let from = from.parse::<Timestamp>().unwrap();
        let begin = instant(0).parse::<Timestamp>().unwrap();
        rows_from(from.as_second() - begin.as_second(), 600, usize::try_from(hours * 6).unwrap())
    };
    for (from, day_counts) in
        [("2026-03-28T23:00:00Z", vec![23 * 6, 6]), ("2026-10-24T22:00:00Z", vec![25 * 6, 6])]
    {
        let hours = day_counts.iter().sum::<i64>() / 6;
        let gateway = Gateway::before(listing(minutes(from, hours)).await).await;

        let days = asked(&gateway, "groupBy: [DAY] timeZone: \"Europe/Berlin\"").await;
        let by_hour = asked(&gateway, "groupBy: [HOUR] timeZone: \"Europe/Berlin\"").await;

        assert_eq!(counts(&days), day_counts, "from {from}");
        assert_eq!(counts(&by_hour), vec![6; usize::try_from(hours).unwrap()], "from {from}");
    }
}

#[tokio::test]
async fn a_filter_applies_before_the_fold() {
    let rows = rows(230);
    let gateway = Gateway::before(listing(rows.clone()).await).await;
    let clock = Clock::of("UTC", 0..0);
    let failed = |row: &&Value| {
        ["REC_FAILED", "UPLOAD_FAILED"].contains(&row["status"].as_str().unwrap_or_default())
    };

    let by_status = asked(
        &gateway,
        "filter: { statuses: [REC_FAILED, UPLOAD_FAILED] } groupBy: [STATUS, USERNAME]",
    )
    .await;
    let of_bob = asked(&gateway, "filter: { usernames: [\"bob\"] }").await;
    let of_no_users = asked(&gateway, "filter: { usernames: [] }").await;
    let no_group = asked(&gateway, "filter: { minDuration: 9999 } groupBy: [DAY]").await;

    let expected = fold(rows.iter().filter(failed), &["STATUS", "USERNAME"], &clock);
    assert_eq!(by_status["groups"], expected);
    assert_eq!(by_status["scanned"], 230);
    let expected = fold(rows.iter().filter(|row| row["username"] == "bob"), &[], &clock);
    assert_eq!(of_bob["groups"], expected);
    assert_eq!(of_no_users["groups"], fold([], &[], &clock));
    assert_eq!((&no_group["groups"], &no_group["isComplete"]), (&json!([]), &json!(true)));
    let seen = gateway.upstream.seen();
    assert!(seen.iter().any(|seen| seen.parameter("username").as_deref() == Some("bob")));
}

#[tokio::test]
async fn pages_of_100_are_read_side_by_side_once_the_first_has_told_the_total() {
    let rows = rows(730);
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream = ScriptedUpstream::start(move |seen| {
        let reply = seen.page_of("screen_records", &rows);
        let is_first = seen.parameter("offset").as_deref() == Some("0");
        if is_first { reply } else { Reply::Held(Arc::clone(&held), Box::new(reply)) }
    })
    .await;
    let gateway = Gateway::before(upstream).await;

    let (answer, side_by_side) = tokio::join!(asked(&gateway, ""), async {
        gateway.upstream.arrived(5).await;
        gateway.in_flight(1).await;
        let arrived = gateway.upstream_requests();
        gate.add_permits(100);
        arrived
    });

    assert_eq!((counts(&answer), side_by_side), (vec![730], 5));
    let pages = gateway.upstream.seen();
    let page = |name: &str| pages.iter().map(|seen| seen.parameter(name).unwrap()).collect();
    let (mut offsets, limits): (Vec<String>, Vec<String>) = (page("offset"), page("limit"));
    offsets.sort();
    assert_eq!(offsets, ["0", "100", "200", "300", "400", "500", "600", "700"]);
    assert_eq!(limits.iter().filter(|limit| *limit == "100").count(), 7);
}

#[tokio::test]
async fn another_question_about_the_same_list_costs_no_call() {
    let gateway = Gateway::before(listing(rows(230)).await).await;
    let mut calls = Vec::new();

    for question in [
        "groupBy: [DAY]",
        "groupBy: [DAY]",
        "groupBy: [HOUR, STATUS] timeZone: \"Asia/Singapore\"",
        "filter: { statuses: [REC_FAILED, UPLOAD_FAILED], minDuration: 10 }",
        "filter: { status: UPLOAD_COMPLETED }",
    ] {
        asked(&gateway, question).await;
        calls.push(gateway.upstream_requests());
    }
    let opened = format!(r#"{{ screenRecord(projectId: "{PROJECT}", id: "r7") {{ startTime }} }}"#);
    let opened = gateway.query(&opened).await;
    calls.push(gateway.upstream_requests());
    gateway.advance(Duration::from_secs(6));
    asked(&gateway, "groupBy: [TYPE]").await;
    calls.push(gateway.upstream_requests());

    assert_eq!(calls, [3, 3, 3, 3, 4, 4, 7]);
    assert_eq!(opened["data"]["screenRecord"]["startTime"], "2026-01-01T00:07:00.000Z");
}

#[tokio::test]
async fn questions_asked_at_the_same_time_share_their_calls() {
    let gateway = Gateway::before(listing(rows(230)).await).await;
    gateway.upstream.hold();
    let questions: Vec<String> = GROUPS.iter().map(|by| format!("groupBy: [{by}]")).collect();

    let asking = questions.iter().map(|question| asked(&gateway, question));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(asking), async {
        gateway.in_flight(GROUPS.len()).await;
        gateway.upstream.release();
    });

    assert!(answers.iter().all(|answer| counts(answer).iter().sum::<i64>() == 230));
    assert_eq!(gateway.upstream_requests(), 3);
}

#[tokio::test]
async fn statistics_end_with_the_rows_that_an_operation_may_read_and_say_so() {
    let few = |config: &mut Config| config.limits.max_scanned_rows = 330;
    let gateway = Gateway::configured(listing(rows(230)).await, few).await;
    let document = format!(
        "{{ one: {} other: {} }}",
        statistics(""),
        statistics("filter: { startedAfter: \"2026-01-01T00:00:00Z\" }")
    );

    let answer = gateway.query(&document).await;

    let read = |alias: &str| {
        let statistics = &answer["data"][alias];
        assert_eq!(statistics["groups"][0]["count"], statistics["scanned"]);
        (statistics["scanned"].as_i64().unwrap(), statistics["isComplete"].as_bool().unwrap())
    };
    let mut read = [read("one"), read("other")];
    read.sort_unstable();
    assert_eq!(read, [(100, false), (230, true)], "{answer}");
    let exact = |config: &mut Config| config.limits.max_scanned_rows = 230;
    let gateway = Gateway::configured(listing(rows(230)).await, exact).await;
    assert_eq!(asked(&gateway, "").await["isComplete"], true);
    assert_eq!(gateway.upstream_requests(), 3);
    let scanned = "gateway_access_scanned_rows_total 230";
    assert!(gateway.admin_get("/metrics").await.1.lines().any(|line| line == scanned));
}

/// An upstream whose list changes when its first page has been read.
async fn changing(before: Vec<Value>, after: Vec<Value>) -> ScriptedUpstream {
    let calls = AtomicUsize::new(0);
    ScriptedUpstream::start(move |seen| {
        let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        seen.page_of("screen_records", if is_first { &before } else { &after })
    })
    .await
}

#[tokio::test]
async fn rows_that_shift_while_they_are_read_are_counted_once_and_the_answer_is_incomplete() {
    let all = rows(231);
    for (name, before, after, expected) in [
        ("nothing changes", all.clone(), all.clone(), (231, true)),
        ("one is added", all[1..].to_vec(), all.clone(), (230, false)),
        ("one is removed", all.clone(), all[1..].to_vec(), (230, false)),
        // The total stays, and a row is read twice.
        ("one is added, one is removed", all[1..].to_vec(), all[..230].to_vec(), (229, false)),
    ] {
        let gateway = Gateway::before(changing(before, after).await).await;

        let answer = asked(&gateway, "").await;

        let is_complete = answer["isComplete"].as_bool().unwrap();
        assert_eq!((counts(&answer)[0], is_complete), expected, "{name}");
    }
}

#[tokio::test]
async fn a_list_without_a_total_or_with_smaller_pages_is_counted_to_its_end() {
    for (name, most, has_total) in
        [("no total", 100, false), ("pages of 30", 30, true), ("both", 30, false)]
    {
        let rows = rows(230);
        let number = |text: Option<String>| text.unwrap().parse::<usize>().unwrap();
        let upstream = ScriptedUpstream::start(move |seen| {
            let (offset, limit) = (seen.parameter("offset"), seen.parameter("limit"));
            let shown: Vec<&Value> =
                rows.iter().skip(number(offset)).take(number(limit).min(most)).collect();
            let mut body = json!({ "screen_records": shown });
            if has_total {
                body["total_count"] = json!(rows.len());
            }
            Reply::json(200, &body)
        })
        .await;
        let gateway = Gateway::before(upstream).await;

        let answer = asked(&gateway, "").await;

        assert_eq!((counts(&answer), &answer["isComplete"]), (vec![230], &json!(true)), "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_adds_nothing_and_a_whole_row_makes_the_answer_incomplete() {
    let fields = vec![
        json!({ "id": "r1", "size": "big", "duration": 5, "start_time": "soon" }),
        json!({ "id": "r2", "size": 7, "duration": {} }),
    ];
    let gateway = Gateway::before(listing(fields.clone()).await).await;
    let rows = [fields, vec![json!(7)]].concat();
    let broken = Gateway::before(listing(rows).await).await;

    let answer = asked(&gateway, "groupBy: [DAY]").await;
    let incomplete = asked(&broken, "").await;

    let group = &answer["groups"][0];
    assert_eq!(
        (&group["time"], &group["count"], &group["seconds"], &group["bytes"]),
        (&Value::Null, &json!(2), &json!(5), &json!(7))
    );
    assert_eq!(answer["isComplete"], true);
    assert_eq!((counts(&incomplete), &incomplete["isComplete"]), (vec![2], &json!(false)));
}

#[tokio::test]
async fn a_page_that_fails_makes_the_field_null_and_costs_no_other_field() {
    let rows = rows(230);
    let upstream = ScriptedUpstream::start(move |seen| match seen.parameter("offset").as_deref() {
        Some("200") => Reply::json(503, &json!({ "error_code": "WKS.00050902" })),
        _ => seen.page_of("screen_records", &rows),
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let list = format!(r#"screenRecords(projectId: "{PROJECT}", first: 1) {{ totalCount }}"#);

    let answer = gateway.query(&format!("{{ {} {list} }}", statistics(""))).await;

    assert_eq!(answer["data"]["screenRecordStatistics"], Value::Null);
    assert_eq!(answer["data"]["screenRecords"]["totalCount"], 230);
    assert_eq!(answer["errors"][0]["path"], json!(["screenRecordStatistics"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_by_name_and_sends_nothing() {
    let gateway = Gateway::before(listing(rows(10)).await).await;

    for (arguments, message) in [
        ("groupBy: [DAY, STATUS, TYPE]", "groupBy has 3 values: at most 2 are allowed"),
        ("groupBy: [DAY, HOUR]", "groupBy has HOUR and DAY: only one of them is allowed"),
        ("groupBy: [TYPE, TYPE]", "groupBy has a value twice"),
        (
            "timeZone: \"Mars/Olympus\"",
            "timeZone is \"Mars/Olympus\": an IANA time zone is allowed",
        ),
        ("timeZone: \"\"", "timeZone is \"\""),
        ("timeZone: \"+08:00\"", "timeZone is \"+08:00\""),
        ("timeZone: \"Etc/Unknown\"", "timeZone is \"Etc/Unknown\""),
        ("filter: { maxDuration: -1 }", "filter.maxDuration is -1"),
    ] {
        let answer = gateway.query(&format!("{{ {} }}", statistics(arguments))).await;

        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{arguments}: {answer}");
        assert!(error["message"].as_str().unwrap().contains(message), "{arguments}: {answer}");
        assert_eq!(answer["data"], json!({ "screenRecordStatistics": null }));
    }
    assert_eq!(gateway.upstream_requests(), 0);
    let defaults = asked(&gateway, "groupBy: null timeZone: null filter: null").await;
    assert_eq!(counts(&defaults), [10]);
}

#[tokio::test]
async fn aliases_cost_as_much_as_their_groups_may() {
    let gateway = Gateway::before(listing(rows(10)).await).await;
    let many = |aliases: usize| {
        let mut document = "{".to_owned();
        for alias in 0..aliases {
            write!(document, " a{alias}: {}", statistics("")).unwrap();
        }
        document + " }"
    };

    // Nine fields of a hundred groups each.
    let allowed = gateway.query(&many(11)).await;
    let refused = gateway.query(&many(12)).await;

    assert_eq!(allowed.get("errors"), None, "{allowed}");
    assert_eq!(refused["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{refused}");
}
