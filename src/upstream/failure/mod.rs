//! What the upstream's error answers mean: body shapes, then one table of status and code.
//!
//! The status gives the meaning, the body's code refines it; messages are passed on, redacted, and
//! decide nothing but what is said at [`IS_ABOUT_A_SIGNATURE`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::redact::{redact, without};
use crate::domain::{Failure, Refusal, RefusalKind, UpstreamAnswer};

/// The longest text of the upstream that is passed on, in characters.
const LONGEST_TEXT: usize = 1000;
/// The longest encrypted reason of a denial that is passed on, in bytes. A part of one says nothing to
/// anybody, so a longer one is left out.
const LONGEST_DENIAL: usize = 16 * 1024;
/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Headers with the upstream's id of a request, best first; the body's `request_id` comes second.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-request-id", "x-iam-trace-id"];
/// Parts of messages that only ever answer a signed request. The caller's token was not signed, so
/// such an answer is about the gateway's credentials whoever seems to be meant.
const IS_ABOUT_A_SIGNATURE: [&str; 4] = [
    "verify aksk signature fail",
    "signature expired",
    "ak not exist",
    "failed to reach the limit",
];

/// An answer as it came.
pub(crate) struct RawAnswer<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// All headers.
    pub(crate) headers: &'a HeaderMap,
    /// The decompressed body.
    pub(crate) body: &'a [u8],
}

/// Whose credentials the call was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The caller's token.
    Caller,
    /// The gateway's own.
    Gateway,
}

/// An error answer, read.
pub(crate) struct ReadAnswer {
    /// What it means.
    pub(crate) failure: Failure,
    /// The encrypted reason of a denial of the gateway's own credentials: for the log, as it is no
    /// business of the caller's.
    pub(crate) own_denial: Option<String>,
}

/// What an error body says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    encoded_authorization_message: Option<String>,
    /// In IAM's own shape: it answers a login, and logins are the gateway's.
    answers_a_login: bool,
}

/// A meaning and whether the same read may succeed later.
type Verdict = (RefusalKind, bool);

/// Reads an error answer. `secrets` are cut out of its texts wherever they occur.
pub(crate) fn read(
    raw: &RawAnswer<'_>,
    whose: Whose,
    secrets: &[&str],
    now: Timestamp,
) -> ReadAnswer {
    let mut details = details(raw.body);
    let (kind, retryable) = verdict(raw.status, &details, whose);
    let denial = details.encoded_authorization_message.take();
    // It is one long word of the upstream's making, so only what is known to be secret is cut out.
    let denial = denial.map(|text| without(&text, secrets).into_owned());
    let denial = denial.filter(|text| text.len() <= LONGEST_DENIAL);
    let (callers_denial, own_denial) = match whose {
        Whose::Caller => (denial, None),
        Whose::Gateway => (None, denial),
    };
    let shown = |text: String| cut(&redact(&text, secrets));
    let request_id = header(raw.headers, REQUEST_ID_HEADERS[0])
        .or(details.request_id.take())
        .or_else(|| header(raw.headers, REQUEST_ID_HEADERS[1]));
    let answer = UpstreamAnswer {
        status: raw.status,
        error_code: details.code.map(shown),
        error_message: details.message.map(shown),
        request_id: request_id.map(shown),
        encoded_authorization_message: callers_denial,
    };
    let retry_after = retry_after(raw.headers, now);
    let refusal = Refusal { kind, retryable, retry_after, answer };
    ReadAnswer { failure: Failure::Refused(Arc::new(refusal)), own_denial }
}

/// The table: what a status means, unless the code says better.
fn verdict(status: u16, details: &Details, whose: Whose) -> Verdict {
    if let Some(verdict) = by_code(status, details.code.as_deref().unwrap_or_default()) {
        return verdict;
    }
    if details.answers_a_login {
        return match status {
            401 | 403 => (RefusalKind::GatewayUnauthenticated, false),
            429 => (RefusalKind::Throttled, true),
            503 => (RefusalKind::OutOfService, true),
            504 => (RefusalKind::TimedOut, true),
            _ => (RefusalKind::Broken, status >= 500),
        };
    }
    match status {
        400 => (RefusalKind::Invalid, false),
        401 => (unauthenticated(details, whose), false),
        403 => (RefusalKind::Forbidden, false),
        404 => (RefusalKind::NotFound, false),
        408 | 504 => (RefusalKind::TimedOut, true),
        409 => (RefusalKind::Conflict, false),
        429 => (RefusalKind::Throttled, true),
        503 => (RefusalKind::OutOfService, true),
        _ => (RefusalKind::Broken, status >= 500),
    }
}

/// Codes that say more than the status, in that status only: codes are not unique.
fn by_code(status: u16, code: &str) -> Option<Verdict> {
    let (product, number) = code.split_once('.')?;
    let verdict = match (product, status, number) {
        ("APIGW" | "APIG", _, "0308") => (RefusalKind::Throttled, true),
        // Host, path or region are wrong, or the way to the service is: no word on the record.
        ("APIGW" | "APIG", 404, "0101" | "0103")
        | ("APIGW" | "APIG", 400, "0104" | "0105" | "0106" | "0607")
        // Set up wrongly at the upstream's side: asking again will not help.
        | ("APIGW" | "APIG", 500, "0609" | "0611" | "0612" | "0705") => {
            (RefusalKind::Broken, false)
        }
        ("WKS", 500, "0202" | "0915")
        | ("WKS", 400, "00170312" | "00170208" | "00170117") => (RefusalKind::NotFound, false),
        ("WKS", 400, "0407") => (RefusalKind::Conflict, false),
        _ => return None,
    };
    Some(verdict)
}

fn unauthenticated(details: &Details, whose: Whose) -> RefusalKind {
    let message = details.message.as_deref().unwrap_or_default();
    let about_a_signature = IS_ABOUT_A_SIGNATURE.iter().any(|part| message.contains(part));
    if whose == Whose::Gateway || about_a_signature {
        RefusalKind::GatewayUnauthenticated
    } else {
        RefusalKind::CallerUnauthenticated
    }
}

/// Reads an error body, in whichever shape it is. A body that is not a JSON object says nothing.
fn details(body: &[u8]) -> Details {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Details::default();
    };
    let mut details = flat(&object).or_else(|| nested(&object)).unwrap_or_default();
    details.request_id = text(&object, "request_id");
    details.encoded_authorization_message = text(&object, "encoded_authorization_message");
    details
}

/// A code and a message side by side, under any of the names in use.
fn flat(object: &Map<String, Value>) -> Option<Details> {
    const NAMES: [(&str, &[&str]); 4] = [
        ("error_code", &["error_msg", "error_message"]),
        ("errorCode", &["errorMsg", "errorMessage"]),
        ("code", &["message"]),
        ("errCode", &["externalMessage", "errMsg"]),
    ];
    NAMES.into_iter().find_map(|(code, messages)| {
        let code = Some(text(object, code)?);
        let message = messages.iter().find_map(|message| text(object, message));
        Some(Details { code, message, ..Details::default() })
    })
}

/// The same inside any member that is an object. A number as `error.code` is IAM's own shape.
fn nested(object: &Map<String, Value>) -> Option<Details> {
    object.iter().find_map(|(name, member)| {
        let member = member.as_object()?;
        let details = flat(member)?;
        let answers_a_login = name == "error" && member.get("code").is_some_and(Value::is_number);
        Some(Details { answers_a_login, ..details })
    })
}

/// A text that is not empty, or a number as text.
fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The wait the upstream asks for, in seconds or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Duration::try_from(until.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests;
