//! Documents that have been parsed: clients send the same few over and over, and parsing is more than
//! half of what a query that is answered from the cache costs.
//!
//! A document is found by its whole text, so two that differ can never be taken for each other, and
//! what is kept is nothing but the text's own meaning: no caller, no variable, no answer.

use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{ServerError, parser};
use moka::sync::Cache;

use super::error::{ErrorCode, with_code};

/// Memory for parsed documents, estimated: small beside the record cache.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// A longer text is parsed each time: it would push out many others.
const LONGEST: usize = 16 * 1024;
/// What a byte of text takes once it is parsed, estimated from the nodes of common queries.
const BYTES_FOR_EACH: usize = 40;
/// What an entry takes beside that.
const BOOKKEEPING: usize = 400;

/// The parsed documents of the process. Clones share them.
#[derive(Clone)]
pub(crate) struct ParsedDocuments(Cache<Arc<str>, Arc<ExecutableDocument>>);

impl ParsedDocuments {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weight).build())
    }

    /// The parsed document of a text.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, which is not kept.
    pub(crate) fn parse(&self, text: &str) -> Result<Arc<ExecutableDocument>, ServerError> {
        if let Some(document) = self.0.get(text) {
            return Ok(document);
        }
        let document = parse_query(text)
            .map_err(|error: parser::Error| with_code(error.into(), ErrorCode::ParseFailed))?;
        let document = Arc::new(document);
        if text.len() <= LONGEST {
            self.0.insert(Arc::from(text), Arc::clone(&document));
        }
        Ok(document)
    }
}

fn weight(text: &Arc<str>, _: &Arc<ExecutableDocument>) -> u32 {
    u32::try_from(BOOKKEEPING + text.len() * (1 + BYTES_FOR_EACH)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_parsed_once_and_another_is_another() {
        let documents = ParsedDocuments::new();

        let [first, again, other] =
            ["{ a }", "{ a }", "{ a  }"].map(|text| documents.parse(text).unwrap());

        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &other));
    }

    #[test]
    fn what_is_wrong_or_long_is_not_kept() {
        let documents = ParsedDocuments::new();
        let long = format!("{{ {} }}", "a ".repeat(LONGEST));

        assert!(documents.parse("{").is_err());
        documents.parse(&long).unwrap();

        documents.0.run_pending_tasks();
        assert_eq!(documents.0.entry_count(), 0);
    }

    #[test]
    fn a_flood_of_documents_stays_within_its_memory() {
        let documents = ParsedDocuments::new();

        for number in 0..5000 {
            documents.parse(&format!("{{ a{number}: {} }}", "b ".repeat(200))).unwrap();
        }

        documents.0.run_pending_tasks();
        assert!(documents.0.weighted_size() <= MOST_BYTES, "{}", documents.0.weighted_size());
        assert!(documents.0.entry_count() > 100);
    }
}
