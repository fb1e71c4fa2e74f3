//! What the upstream's error answers mean: body shapes, then one table of status and code.
//!
//! The status gives the meaning, the body's code refines it. Messages are passed on, redacted, and
//! decide one thing only: see [`is_about_a_signature`].

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;

use super::attempt::HttpResponse;
use super::normalize::WireValue;
use super::redact::{redact, without};
use super::wire::read_object;
use crate::domain::{ErrorCode, Refusal, UpstreamAnswer};

/// The longest text of the upstream that is passed on, in characters.
const LONGEST_TEXT: usize = 1000;
/// The longest encrypted reason of a denial that is passed on, in bytes. A part of one says nothing to
/// anybody, so a longer one is left out.
const LONGEST_DENIAL: usize = 16 * 1024;
/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Headers with the upstream's id of a request, best first; the body's `request_id` comes second.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-request-id", "x-iam-trace-id"];

/// Whose credentials the call was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The caller's token.
    Caller,
    /// The gateway's own.
    Gateway,
}

/// A meaning and whether the same read may succeed later.
type Verdict = (ErrorCode, bool);

/// Reads an error response. `secrets` are cut out of its texts wherever they occur.
pub(crate) fn read(
    response: &HttpResponse,
    whose: Whose,
    secrets: &[&str],
    now: Timestamp,
) -> Refusal {
    let HttpResponse { status, headers, body } = response;
    let said = UpstreamAnswer { status: *status, ..said(body) };
    let (code, retryable) = verdict(&said, whose);
    // It is one long word of the upstream's making, so only what is known to be secret is cut out.
    let denial = said.encoded_authorization_message;
    let denial = denial.map(|text| without(&text, secrets).into_owned());
    let [best, other] = REQUEST_ID_HEADERS.map(|name| header(headers, name));
    let shown = |text: String| cut(&redact(&text, secrets));
    let answer = UpstreamAnswer {
        status: *status,
        error_code: said.error_code.map(shown),
        error_message: said.error_message.map(shown),
        request_id: best.or(said.request_id).or(other).map(shown),
        encoded_authorization_message: denial.filter(|text| text.len() <= LONGEST_DENIAL),
    };
    Refusal { code, retryable, retry_after: retry_after(headers, now), answer }
}

/// What an error means. One that came as a success means what its code means with the status that it is
/// documented for.
fn verdict(said: &UpstreamAnswer, whose: Whose) -> Verdict {
    let status = said.status;
    let is_success = (200..300).contains(&status);
    match said.error_code.as_deref().and_then(Code::of).and_then(documented) {
        Some((_, Some(ErrorCode::RateLimited))) => (ErrorCode::RateLimited, true),
        Some((its, Some(kind))) if its == status || is_success => (kind, false),
        Some((its, None)) if is_success => (by_status(its, said, whose).0, false),
        Some(_) | None if is_success => (ErrorCode::UpstreamError, false),
        Some(_) | None => by_status(status, said, whose),
    }
}

/// What a status means.
fn by_status(status: u16, said: &UpstreamAnswer, whose: Whose) -> Verdict {
    match status {
        400 => (ErrorCode::BadUserInput, false),
        401 => (unauthenticated(said, whose), false),
        403 => (ErrorCode::Forbidden, false),
        404 => (ErrorCode::NotFound, false),
        408 | 504 => (ErrorCode::UpstreamTimeout, true),
        409 => (ErrorCode::Conflict, false),
        429 => (ErrorCode::RateLimited, true),
        503 => (ErrorCode::UpstreamUnavailable, true),
        _ => (ErrorCode::UpstreamError, status >= 500),
    }
}

/// The status that a code is documented for, and its meaning in that status if it says more than the status.
/// Codes are not unique, so in another status they say nothing. Left out are codes that only say what an
/// error without a code says.
fn documented(code: Code<'_>) -> Option<(u16, Option<ErrorCode>)> {
    use ErrorCode::{Conflict, NotFound, RateLimited, UpstreamError};
    let found = match code {
        Code::Gateway(number) => match number {
            "0201" | "0602" => (400, None),
            "0301" | "0303" | "0305" | "0307" | "0311" => (401, None),
            "0302" | "0304" | "0306" | "0310" | "0401" | "0402" | "0404" | "0801" | "0802" => {
                (403, None)
            }
            // In any status.
            "0308" => (429, Some(RateLimited)),
            "0613" => (503, None),
            // Host, path or region are wrong, or the way to the service is: no word on the record.
            "0101" | "0103" => (404, Some(UpstreamError)),
            "0104" | "0105" | "0106" | "0607" => (400, Some(UpstreamError)),
            // Set up wrongly at the upstream's side: asking again will not help.
            "0609" | "0611" | "0612" | "0705" => (500, Some(UpstreamError)),
            _ => return None,
        },
        Code::Workspace(number) => match number {
            "0001" | "00211102" | "00139901" | "00149901" | "00169901" => (400, None),
            "00170312" | "00170208" | "00170117" => (400, Some(NotFound)),
            "0407" => (400, Some(Conflict)),
            "00211302" => (401, None),
            "00010099" | "00081102" => (403, None),
            "00211902" | "00081103" | "00081104" => (404, None),
            "00211103" | "00010032" | "00081101" => (409, None),
            "0202" | "0915" => (500, Some(NotFound)),
            "00050902" | "00129901" => (503, None),
            _ => return None,
        },
    };
    Some(found)
}

/// An error code of one of the two services on the way, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code<'a> {
    /// Of the API gateway, which writes `APIGW.` or `APIG.` before it.
    Gateway(&'a str),
    /// Of Workspace.
    Workspace(&'a str),
}

impl<'a> Code<'a> {
    /// Reads a code as it stands in a body.
    pub(crate) fn of(code: &'a str) -> Option<Self> {
        match code.trim().split_once('.')? {
            ("APIGW" | "APIG", number) => Some(Self::Gateway(number)),
            ("WKS", number) => Some(Self::Workspace(number)),
            _ => None,
        }
    }
}

fn unauthenticated(said: &UpstreamAnswer, whose: Whose) -> ErrorCode {
    if whose == Whose::Gateway || is_about_a_signature(said) {
        ErrorCode::UpstreamUnauthenticated
    } else {
        ErrorCode::Unauthenticated
    }
}

/// Whether a 401 is about an access key or a signature and not about a token. A caller's token is not
/// signed, so such an answer is about the gateway's credentials.
///
/// `0301` stands for both. Its messages change in wording, but those about keys hold one of these words
/// and those about tokens say so: "decrypt token fail", "verify aksk signature fail", "ak X not exist".
fn is_about_a_signature(said: &UpstreamAnswer) -> bool {
    let code = said.error_code.as_deref().and_then(Code::of);
    let message = said.error_message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let words = || message.split(|c: char| !c.is_ascii_alphanumeric());
    code == Some(Code::Gateway("0301"))
        && words().any(|word| ["ak", "sk", "aksk", "signature"].contains(&word))
        && !words().any(|word| word == "token")
}

/// Reads an error body, in whichever shape it is. A body that is not a JSON object says nothing.
fn said(body: &[u8]) -> UpstreamAnswer {
    let Some(members) = members(body) else { return UpstreamAnswer::default() };
    UpstreamAnswer {
        request_id: text(&members, "request_id"),
        encoded_authorization_message: text(&members, "encoded_authorization_message"),
        ..flat(&members).or_else(|| nested(&members)).unwrap_or_default()
    }
}

type ObjectMembers<'b> = Vec<(String, WireValue<'b>)>;

fn members<'b>(body: &'b [u8]) -> Option<ObjectMembers<'b>> {
    read_object(body, |members: &mut ObjectMembers<'b>, name, value| {
        members.push((name.to_owned(), value));
    })
    .ok()
}

/// A code and a message side by side, under any of the names in use.
fn flat(members: &ObjectMembers<'_>) -> Option<UpstreamAnswer> {
    const NAMES: [(&str, &[&str]); 4] = [
        ("error_code", &["error_msg", "error_message"]),
        ("errorCode", &["errorMsg", "errorMessage"]),
        ("code", &["message"]),
        ("errCode", &["externalMessage", "errMsg"]),
    ];
    NAMES.into_iter().find_map(|(code, messages)| {
        let error_code = Some(text(members, code)?);
        let error_message = messages.iter().find_map(|message| text(members, message));
        Some(UpstreamAnswer { error_code, error_message, ..UpstreamAnswer::default() })
    })
}

/// The same inside any member that is an object, as IAM writes it.
fn nested(object: &ObjectMembers<'_>) -> Option<UpstreamAnswer> {
    object.iter().find_map(|(_, member)| flat(&members(member.as_bytes())?))
}

/// A text that is not empty, or a number as text. Of a name that comes twice, the last counts.
fn text(members: &ObjectMembers<'_>, name: &str) -> Option<String> {
    members.iter().rev().find(|(other, _)| other == name)?.1.words()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The wait the upstream asks for: seconds, with or without a fraction, or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wait = if let Some(wait) = seconds {
        wait
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
