//! The requests: what the one with a certain number asks, and whether an answer is right.
//!
//! Everything follows from the number, so that a later run can go on where an earlier one ended and
//! ask for what was never asked before.

use std::borrow::Cow;
use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::records::PROJECT;

/// The twelve fields of every query.
const FIELDS: [&str; 12] = [
    "id",
    "projectId",
    "desktopId",
    "desktopName",
    "username",
    "size",
    "duration",
    "type",
    "status",
    "startTime",
    "endTime",
    "updateTime",
];
/// Aliases of one request, and how many records they are shared out among.
const ALIASES: u64 = 50;
const ALIASED_RECORDS: u64 = 10;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Asks {
    /// One record by GraphQL.
    Record {
        /// Which.
        ids: Ids,
        /// How many callers ask for each of them, each with a token of its own.
        callers: u64,
        /// By which document.
        document: Document,
        /// Whether each request brings a `traceparent` and an `X-Request-Id` of its own.
        traced: bool,
    },
    /// The first page of 100 records by GraphQL.
    Page,
    /// 50 aliases over ten new ids by GraphQL.
    Aliases,
    /// One record from the upstream's own interface.
    Upstream(Ids),
}

/// Ids of records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ids {
    /// These, over and over.
    Listed(Vec<String>),
    /// A new one each time.
    New,
}

/// The text of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Document {
    /// The same always.
    Same,
    /// One of so many texts, which differ in the order of the fields. Once every caller has asked for
    /// every record by one of them the next is used, so that each comes together with each once.
    Known(u64),
    /// A text that no other request has: the operation's name, an alias, and the order of the fields.
    New,
}

/// What the request of a number is about.
struct Subject<'a> {
    id: Cow<'a, str>,
    caller: u64,
    /// The number of the document.
    text: u64,
}

impl Asks {
    /// Writes the request of a number; `body` is scratch space.
    pub fn write(
        &self,
        number: u64,
        host: &str,
        body: &mut Vec<u8>,
        request: &mut Vec<u8>,
    ) -> io::Result<()> {
        request.clear();
        body.clear();
        let mut caller = 0;
        match self {
            Self::Upstream(ids) => {
                let (id, token) = (ids.subject(number, 1).id, Token(0));
                write!(
                    request,
                    "GET /v2/{PROJECT}/screen-records/{id} HTTP/1.1\r\nHost: {host}\r\n"
                )?;
                return write!(request, "X-Auth-Token: {token}\r\n\r\n");
            }
            Self::Record { ids, callers, document, .. } => {
                let subject = ids.subject(number, *callers);
                caller = subject.caller;
                write_query(&subject, *document, body)?;
            }
            Self::Page => write_page(body)?,
            Self::Aliases => write_aliases(number, body)?,
        }
        let (token, length) = (Token(caller), body.len());
        write!(request, "POST /graphql HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n")?;
        write!(request, "Content-Type: application/json\r\nX-Auth-Token: {token}\r\n")?;
        if matches!(self, Self::Record { traced: true, .. }) {
            let (one, other) = (mixed(number), mixed(!number));
            write!(request, "traceparent: 00-{one:016x}{other:016x}-{one:016x}-01\r\n")?;
            write!(request, "X-Request-Id: {other:016x}{one:016x}\r\n")?;
        }
        write!(request, "Content-Length: {length}\r\n\r\n")?;
        request.write_all(body)
    }

    /// Whether the body of an answer is right for the request of a number: without errors, of the
    /// record and the caller, with the fields in the order of the document.
    pub fn check(&self, number: u64, body: &[u8]) -> anyhow::Result<()> {
        let mut rest = Rest::without_errors(body)?;
        match self {
            Self::Upstream(ids) => rest.pass(&["\"id\":\"", &ids.subject(number, 1).id, "\""]),
            Self::Record { ids, callers, document, .. } => {
                let subject = ids.subject(number, *callers);
                let token = (*callers > 1).then(|| Token(subject.caller).to_string());
                check_record(&subject, *document, token.as_deref(), &mut rest)
            }
            Self::Page => (0..100).try_for_each(|_| rest.pass(&["\"id\":\""])),
            Self::Aliases => (0..ALIASES).try_for_each(|alias| {
                rest.pass(&["\"id\":\"", &new_id(aliased(number, alias)), "\""])
            }),
        }
    }
}

impl Ids {
    fn subject(&self, number: u64, callers: u64) -> Subject<'_> {
        match self {
            Self::Listed(ids) => {
                let count = ids.len() as u64;
                let place = spread(number, count * callers);
                let at = usize::try_from(place % count).unwrap_or_default();
                let id = Cow::Borrowed(ids.get(at).map_or("", String::as_str));
                Subject { id, caller: place / count, text: number / (count * callers) }
            }
            Self::New => {
                Subject { id: Cow::Owned(new_id(number)), caller: number % callers, text: number }
            }
        }
    }
}

/// The rest of an answer that has not been looked at.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn without_errors(body: &'b [u8]) -> anyhow::Result<Self> {
        if memmem::find(body, b"\"errors\"").is_some() {
            bail!("an answer with errors: {}", String::from_utf8_lossy(body));
        }
        Ok(Self(body))
    }

    /// Goes on behind the next place where all parts stand in a row.
    fn pass(&mut self, parts: &[&str]) -> anyhow::Result<()> {
        let sought = parts.concat();
        let missing = || {
            let rest = String::from_utf8_lossy(self.0.get(..500).unwrap_or(self.0)).into_owned();
            format!("{sought} is not in its place in an answer: {rest}")
        };
        let at = memmem::find(self.0, sought.as_bytes()).with_context(missing)?;
        self.0 = self.0.get(at + sought.len()..).unwrap_or_default();
        Ok(())
    }
}

fn check_record(
    subject: &Subject<'_>,
    document: Document,
    token: Option<&str>,
    rest: &mut Rest<'_>,
) -> anyhow::Result<()> {
    let Subject { id, text, .. } = subject;
    if document == Document::Same {
        rest.pass(&["\"id\":\"", id, "\""])?;
        return token.map_or(Ok(()), |token| rest.pass(&["\"username\":\"", token, "\""]));
    }
    match document {
        Document::New => rest.pass(&["\"r", &text.to_string(), "\":\"", id, "\""])?,
        _ => rest.pass(&["\"id\":\"", id, "\""])?,
    }
    for field in order(document, *text) {
        match (field, token) {
            ("username", Some(token)) => rest.pass(&["\"username\":\"", token, "\""])?,
            _ => rest.pass(&["\"", field, "\":"])?,
        }
    }
    Ok(())
}

/// The fields after `id` in the order of a document.
fn order(document: Document, text: u64) -> impl Iterator<Item = &'static str> {
    let [_, mut fields @ ..] = FIELDS;
    let mut text = match document {
        Document::Same => 0,
        Document::Known(count) => text % count,
        Document::New => text,
    };
    // The number in the factorial number system says which of the remaining fields is next.
    for place in (1..fields.len()).rev() {
        let choices = place as u64 + 1;
        fields.swap(place, usize::try_from(text % choices).unwrap_or_default());
        text /= choices;
    }
    fields.into_iter()
}

fn write_query(subject: &Subject<'_>, document: Document, body: &mut Vec<u8>) -> io::Result<()> {
    let Subject { id, text, .. } = subject;
    let arguments = "screenRecord(projectId: $projectId, id: $id)";
    match document {
        Document::New => write!(
            body,
            "{{\"query\":\"query Record{text}($projectId: ID!, $id: ID!) {{ {arguments} {{ r{text}: id"
        )?,
        _ => write!(
            body,
            "{{\"query\":\"query Record($projectId: ID!, $id: ID!) {{ {arguments} {{ id"
        )?,
    }
    for field in order(document, *text) {
        write!(body, " {field}")?;
    }
    write!(body, " }} }}\",\"variables\":{{\"projectId\":\"{PROJECT}\",\"id\":\"{id}\"}}}}")
}

fn write_page(body: &mut Vec<u8>) -> io::Result<()> {
    write!(
        body,
        "{{\"query\":\"query Page($projectId: ID!) {{ screenRecords(projectId: $projectId, first: 100) \
         {{ nodes {{"
    )?;
    for field in FIELDS {
        write!(body, " {field}")?;
    }
    write!(body, " }} }} }}\",\"variables\":{{\"projectId\":\"{PROJECT}\"}}}}")
}

fn write_aliases(number: u64, body: &mut Vec<u8>) -> io::Result<()> {
    write!(body, "{{\"query\":\"{{")?;
    for alias in 0..ALIASES {
        let id = new_id(aliased(number, alias));
        write!(body, " a{alias}: screenRecord(projectId: \\\"{PROJECT}\\\", id: \\\"{id}\\\") {{")?;
        for field in FIELDS {
            write!(body, " {field}")?;
        }
        write!(body, " }}")?;
    }
    write!(body, " }}\"}}")
}

/// The number of the record behind an alias.
fn aliased(number: u64, alias: u64) -> u64 {
    number * ALIASED_RECORDS + alias % ALIASED_RECORDS
}

/// An id of its own for each number, as a UUID.
pub fn new_id(number: u64) -> String {
    let mix = mixed(number);
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", mix >> 32, mix & 0xFFFF)
}

/// A caller's token.
struct Token(u64);

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bench-caller-{:08}", self.0)
    }
}

/// The token of the one caller where there is but one.
pub fn only_token() -> String {
    Token(0).to_string()
}

/// Each number below `count` once, in an order that no cache of a processor can foresee. A prime
/// that does not divide `count` makes it so.
fn spread(number: u64, count: u64) -> u64 {
    const PRIME: u64 = 104_729;
    (number % count) * PRIME % count
}

/// A number that looks random (the last step of splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn asks(ids: Ids, callers: u64, document: Document) -> Asks {
        Asks::Record { ids, callers, document, traced: false }
    }

    fn request(asks: &Asks, number: u64) -> String {
        let (mut body, mut request) = (Vec::new(), Vec::new());
        asks.write(number, "host", &mut body, &mut request).unwrap();
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn every_caller_asks_for_every_record_by_every_known_document_once() {
        let ids = Ids::Listed(vec!["one".to_owned(), "two".to_owned(), "three".to_owned()]);
        let asks = asks(ids, 5, Document::Known(4));

        let requests: HashSet<String> = (0..60).map(|number| request(&asks, number)).collect();

        assert_eq!(requests.len(), 60);
        assert!(requests.contains(&request(&asks, 60)));
    }

    #[test]
    fn a_new_document_is_like_no_other() {
        let asks = asks(Ids::Listed(vec!["one".to_owned()]), 1, Document::New);

        let requests: HashSet<String> = (0..10_000).map(|number| request(&asks, number)).collect();

        assert_eq!(requests.len(), 10_000);
    }

    #[test]
    fn the_record_of_another_id_is_not_right() {
        let asks = asks(Ids::New, 1, Document::Same);
        let answer =
            |number| format!("{{\"data\":{{\"screenRecord\":{{\"id\":\"{}\"}}}}}}", new_id(number));

        assert!(asks.check(7, answer(7).as_bytes()).is_ok());
        assert!(asks.check(7, answer(8).as_bytes()).is_err());
    }

    #[test]
    fn the_record_of_another_caller_is_not_right() {
        let asks = asks(Ids::Listed(vec!["one".to_owned()]), 2, Document::Same);
        let answer = |caller| format!("{{\"id\":\"one\",\"username\":\"{}\"}}", Token(caller));

        assert!(asks.check(0, answer(0).as_bytes()).is_ok());
        assert!(asks.check(0, answer(1).as_bytes()).is_err());
    }

    #[test]
    fn fields_in_the_order_of_another_document_are_not_right() {
        let asks = asks(Ids::Listed(vec!["one".to_owned()]), 1, Document::Known(2));
        let answer = |text| {
            let fields = order(Document::Known(2), text).map(|field| format!(",\"{field}\":0"));
            format!("{{\"id\":\"one\"{}}}", fields.collect::<String>())
        };

        assert!(asks.check(0, answer(0).as_bytes()).is_ok());
        assert!(asks.check(0, answer(1).as_bytes()).is_err());
    }

    #[test]
    fn an_answer_with_errors_is_not_right() {
        let asks = asks(Ids::Listed(vec!["one".to_owned()]), 1, Document::Same);

        assert!(asks.check(0, br#"{"data":{"screenRecord":{"id":"one"}},"errors":[]}"#).is_err());
    }
}
