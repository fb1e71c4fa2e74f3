//! The rows of the table: what is asked, of whom, and what the goal is.

use bench::asks::{Asks, Document, Ids};

use crate::setup::{Setup, Sizes};

/// One row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it says in the table.
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    pub(crate) upstream: Source,
    /// Processor time for one request, of the gateway over the server it is held against.
    pub(crate) goal: f64,
    /// Whether plain async-graphql and Yoga are driven too.
    pub(crate) is_compared: bool,
}

/// What is asked in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OneKey,
    Keys,
    Callers,
    Selection,
    Document,
    Cold,
    Page,
}

/// Who is behind the servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The project's own simulator.
    Simulator,
    /// The benchmark's, which has a record for any id and token.
    AnyRecord,
}

pub(crate) const ROWS: [Row; 7] = [
    Row {
        name: "warm",
        title: "one warm key",
        kind: Kind::OneKey,
        upstream: Source::Simulator,
        goal: 1.2,
        is_compared: true,
    },
    Row {
        name: "keys",
        title: "10,000 warm keys, each request with its own `traceparent` and `X-Request-Id`",
        kind: Kind::Keys,
        upstream: Source::Simulator,
        goal: 1.35,
        is_compared: true,
    },
    Row {
        name: "callers",
        title: "10,000 callers with 10 warm records each",
        kind: Kind::Callers,
        upstream: Source::AnyRecord,
        goal: 1.5,
        is_compared: false,
    },
    Row {
        name: "selection",
        title: "warm record, known document that it was never asked by",
        kind: Kind::Selection,
        upstream: Source::Simulator,
        goal: 2.0,
        is_compared: false,
    },
    Row {
        name: "document",
        title: "warm record, a new document each time",
        kind: Kind::Document,
        upstream: Source::Simulator,
        goal: 3.5,
        is_compared: false,
    },
    Row {
        name: "cold",
        title: "a new key each time",
        kind: Kind::Cold,
        upstream: Source::AnyRecord,
        goal: 1.7,
        is_compared: true,
    },
    Row {
        name: "page",
        title: "a warm page of 100 records",
        kind: Kind::Page,
        upstream: Source::Simulator,
        goal: 1.5,
        is_compared: false,
    },
];

impl Row {
    /// What is asked while it counts.
    pub(crate) fn asks(&self, ids: &[String], sizes: &Sizes) -> Asks {
        let some = |count: usize| Ids::Listed(ids.iter().take(count).cloned().collect());
        let all = || some(ids.len());
        match self.kind {
            Kind::OneKey => record(some(1), 1, Document::Same),
            Kind::Keys => {
                Asks::Record { ids: all(), callers: 1, document: Document::Same, traced: true }
            }
            Kind::Callers => record(some(10), sizes.callers, Document::Same),
            Kind::Selection => record(all(), 1, Document::Known(sizes.documents)),
            Kind::Document => record(all(), 1, Document::New),
            Kind::Cold => record(Ids::New, 1, Document::Same),
            Kind::Page => Asks::Page,
        }
    }

    /// What is asked before anything counts, each so many times.
    pub(crate) fn warm_up(&self, ids: &[String], other: &str, sizes: &Sizes) -> Vec<(Asks, u64)> {
        let all = Ids::Listed(ids.to_vec());
        match self.kind {
            Kind::OneKey | Kind::Page => vec![(self.asks(ids, sizes), 1)],
            Kind::Callers => vec![(self.asks(ids, sizes), sizes.callers * 10)],
            Kind::Keys | Kind::Document => {
                vec![(record(all, 1, Document::Same), ids.len() as u64)]
            }
            Kind::Selection => {
                // Every record once, and every document once, on a record that is not asked for later.
                let other = Ids::Listed(vec![other.to_owned()]);
                let documents = record(other, 1, Document::Known(sizes.documents));
                vec![
                    (record(all, 1, Document::Same), ids.len() as u64),
                    (documents, sizes.documents),
                ]
            }
            Kind::Cold => Vec::new(),
        }
    }

    /// The number of the first request that counts.
    pub(crate) fn first(&self, ids: &[String]) -> u64 {
        match self.kind {
            // The first document is the one that the records were warmed by.
            Kind::Selection => ids.len() as u64,
            _ => 0,
        }
    }

    /// The number from which on requests are no longer of the kind that the row is about.
    pub(crate) fn last(&self, ids: &[String], sizes: &Sizes) -> u64 {
        match self.kind {
            Kind::Selection => ids.len() as u64 * sizes.documents,
            _ => u64::MAX,
        }
    }
}

/// Whether a row of the table is wanted.
pub(crate) fn wanted(setup: &Setup) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| setup.wants(row.name))
}

/// One record for each request.
pub(crate) fn record(ids: Ids, callers: u64, document: Document) -> Asks {
    Asks::Record { ids, callers, document, traced: false }
}
