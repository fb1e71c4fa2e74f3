use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::domain::Failure;

fn samples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samples/errors")
}

fn index() -> Vec<Value> {
    serde_json::from_slice(&fs::read(samples().join("index.json")).unwrap()).unwrap()
}

fn answer(status: u16, body: &[u8]) -> HttpResponse {
    HttpResponse { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body) }
}

fn read_as(status: u16, body: &[u8], whose: Whose) -> Failure {
    Failure::Refused(read(&answer(status, body), whose, &[], Timestamp::UNIX_EPOCH).into())
}

#[test]
fn codes_and_messages_are_found_as_the_official_sdk_finds_them() {
    for sample in index() {
        let theirs = &sample["official_sdk"];
        let (file, message) = (sample["file"].as_str().unwrap(), theirs["error_msg"].as_str());
        // Without a code of the body the SDK makes do with the status and the whole body; those
        // shapes we either read better or leave out.
        let Some(message) = message.filter(|message| !["", "(whole body)"].contains(message))
        else {
            continue;
        };
        let said = said(&fs::read(samples().join(file)).unwrap());

        let code = theirs["error_code"].as_str().map(str::to_owned);
        let code = code.or_else(|| theirs["error_code"].as_u64().map(|code| code.to_string()));
        assert_eq!(said.error_code, code, "{file}");
        assert_eq!(said.error_message.as_deref(), Some(message), "{file}");
    }
}

#[test]
fn a_refused_key_is_told_from_a_refused_token_whatever_the_wording() {
    use ErrorCode::{Unauthenticated as OfCaller, UpstreamUnauthenticated as OfGateway};
    for (code, cause, meaning) in [
        ("APIGW.0301", "Get secretKey failed,ak:FAKEAK0EXAMPLE000001,err:ak not exist", OfGateway),
        ("APIGW.0301", "ak FAKEAK0EXAMPLE000001 not exist", OfGateway),
        ("APIGW.0301", "The AK does not exist.", OfGateway),
        ("APIG.0301", "AK/SK signature verification failed", OfGateway),
        ("APIGW.0301", "Signature has expired", OfGateway),
        ("APIGW.0301", "AK access reached the limit", OfGateway),
        ("APIGW.0301", "decrypt token fail", OfCaller),
        ("APIGW.0301", "token: decryption failed, token ak+sk/signature", OfCaller),
        ("APIGW.0301", "make a new one at the desk", OfCaller),
        ("APIGW.0307", "The token must be updated.", OfCaller),
        ("WKS.00211302", "ak not exist", OfCaller),
    ] {
        let message = format!("Incorrect IAM authentication information: {cause}");
        let body = json!({ "error_code": code, "error_msg": message }).to_string();

        let Failure::Refused(refusal) = read_as(401, body.as_bytes(), Whose::Caller) else {
            panic!("{cause} is no refusal");
        };

        assert_eq!(refusal.code, meaning, "of {code} {cause}");
        let message = refusal.answer.error_message.as_deref().unwrap();
        assert!(!message.contains("FAKEAK0EXAMPLE000001"), "{message}");
    }
}

#[test]
fn no_part_of_a_page_that_is_not_json_is_passed_on() {
    let failure = read_as(502, b"<html><body>secret internals</body></html>", Whose::Caller);

    let expected = UpstreamAnswer { status: 502, ..UpstreamAnswer::default() };
    assert_eq!(failure.upstream(), Some(&expected));
}

#[test]
fn long_texts_are_cut_at_a_thousand_characters() {
    let body = format!(r#"{{"error_code":"WKS.1","error_msg":"{}"}}"#, "é ".repeat(1000));

    let failure = read_as(400, body.as_bytes(), Whose::Caller);

    let message = failure.upstream().unwrap().error_message.clone().unwrap();
    assert_eq!(message.chars().count(), 1000);
}

#[test]
fn undocumented_statuses_are_errors_of_the_upstream() {
    for (status, retryable) in [(300, false), (402, false), (418, false), (499, false), (599, true)]
    {
        let failure = read_as(status, b"", Whose::Caller);

        assert_eq!(failure.code().as_str(), "UPSTREAM_ERROR", "of {status}");
        assert_eq!(failure.is_retryable(), retryable, "of {status}");
    }
}

#[test]
fn a_wait_is_read_in_seconds_or_until_a_date_and_believed_up_to_an_hour() {
    let now: Timestamp = "2024-10-15T10:04:41Z".parse().unwrap();
    for (written, expected) in [
        ("3", Some(3)),
        ("3.0", Some(3)),
        ("Tue, 15 Oct 2024 10:04:51 GMT", Some(10)),
        ("Tue, 15 Oct 2024 10:04:01 GMT", Some(0)),
        ("86400", Some(3600)),
        ("soon", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
    ] {
        let headers =
            HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(written).unwrap())]);

        let wait = retry_after(&headers, now);

        assert_eq!(wait, expected.map(Duration::from_secs), "of {written}");
    }
}

#[test]
fn a_denial_that_holds_a_secret_is_passed_on_without_it_and_one_that_is_too_long_not_at_all() {
    let secrets = ["the-token-of-the-caller"];
    let denials = ["HYthe-token-of-the-callerL".to_owned(), "H".repeat(LONGEST_DENIAL + 1)];
    let of = |denial: &str| {
        let body = json!({ "error_code": "X.1", "encoded_authorization_message": denial });
        let raw = answer(403, body.to_string().as_bytes());
        let refusal = read(&raw, Whose::Caller, &secrets, Timestamp::UNIX_EPOCH);
        refusal.answer.encoded_authorization_message
    };

    let [with_secret, too_long] = [&denials[0], &denials[1]].map(|denial| of(denial));

    assert_eq!(with_secret.as_deref(), Some("HY[redacted]L"));
    assert_eq!(too_long, None);
}
