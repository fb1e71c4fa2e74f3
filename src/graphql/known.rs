//! Documents that are known: clients send the same few over and over, and reading one costs more than
//! all the rest of a query that is answered from the cache.
//!
//! A document is found by its whole text, so two that differ can never be taken for each other, and
//! what is kept is nothing but the text's own meaning: no caller, no variable, no answer.

use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{ServerError, parser};
use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::error::{ErrorCode, with_code};
use super::guard::Measure;
use super::plain::Plan;

/// Memory for documents, estimated: small beside the record cache.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// A longer text is read each time: it would push out many others.
const LONGEST: usize = 16 * 1024;
/// What a byte of text takes once it is parsed, estimated from the nodes of common queries.
const BYTES_FOR_EACH: usize = 40;
/// What an entry takes beside that.
const BOOKKEEPING: usize = 400;

/// The documents that the process knows. Clones share them.
#[derive(Clone)]
pub(crate) struct KnownDocuments(Cache<Arc<str>, Known, RandomState>);

/// What is known of a document.
#[derive(Clone)]
pub(crate) enum Known {
    /// It is a plain one.
    Planned(Planned),
    /// It is not, and reads so.
    Parsed(Arc<ExecutableDocument>),
}

/// The plan of a document and what it asks for, whatever its variables are.
#[derive(Clone)]
pub(crate) struct Planned {
    pub(crate) plan: Arc<Plan>,
    pub(crate) measure: Measure,
}

impl KnownDocuments {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST_BYTES).weigher(weight);
        Self(cache.build_with_hasher(RandomState::default()))
    }

    /// What is known of a text.
    pub(crate) fn get(&self, text: &str) -> Option<Known> {
        self.0.get(text)
    }

    /// Makes a plan for a text that the guard has let through and measured; nothing where it is not
    /// plain.
    pub(crate) fn plan(&self, text: &str, measure: Measure) -> Option<Planned> {
        if text.len() > LONGEST {
            return None;
        }
        let planned = Planned { plan: Arc::new(Plan::of(text)?), measure };
        self.0.insert(Arc::from(text), Known::Planned(planned.clone()));
        Some(planned)
    }

    /// The parsed document of a text.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, which is not kept.
    pub(crate) fn parse(&self, text: &str) -> Result<Arc<ExecutableDocument>, ServerError> {
        let known = self.get(text);
        if let Some(Known::Parsed(document)) = known {
            return Ok(document);
        }
        let document = parse_query(text)
            .map_err(|error: parser::Error| with_code(error.into(), ErrorCode::ParseFailed))?;
        let document = Arc::new(document);
        // A plan is worth more: only a request that is wrong in itself has its document parsed.
        if text.len() <= LONGEST && known.is_none() {
            self.0.insert(Arc::from(text), Known::Parsed(Arc::clone(&document)));
        }
        Ok(document)
    }

    /// Number of documents and their weight in bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

fn weight(text: &Arc<str>, known: &Known) -> u32 {
    let meaning = match known {
        Known::Planned(planned) => planned.plan.bytes(),
        Known::Parsed(_) => text.len() * BYTES_FOR_EACH,
    };
    u32::try_from(BOOKKEEPING + text.len() + meaning).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parsed_once_and_another_is_another() {
        let documents = KnownDocuments::new();

        let [first, again, other] =
            ["{ a }", "{ a }", "{ a  }"].map(|text| documents.parse(text).unwrap());

        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn what_is_wrong_or_long_is_not_kept() {
        let documents = KnownDocuments::new();
        let long = format!("{{ {} }}", "__typename ".repeat(LONGEST));

        assert!(documents.parse("{").is_err());
        documents.parse(&long).unwrap();
        assert!(documents.plan(&long, Measure::default()).is_none());

        assert_eq!(documents.size().0, 0);
    }

    #[test]
    fn a_flood_of_documents_stays_within_its_memory() {
        let documents = KnownDocuments::new();

        for number in 0..5000 {
            documents.parse(&format!("{{ a{number}: {} }}", "b ".repeat(200))).unwrap();
            let plain = format!("{{ a{number}: __typename {} }}", "__typename ".repeat(100));
            documents.plan(&plain, Measure::default()).unwrap();
        }

        let (entries, bytes) = documents.size();
        assert!(bytes <= MOST_BYTES, "{bytes}");
        assert!(entries > 100);
    }
}
