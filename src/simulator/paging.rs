//! Query parameters: filters and pages.

use std::collections::HashMap;
use std::str::FromStr;

use serde::Deserialize;

/// The rows of a page, as the newer one of the upstream's two documents has them.
const LARGEST_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;

/// What is wrong with the parameters: the name of the one that is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParameter(pub(super) String);

/// The query's parameters by name; of one that comes twice the last counts.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Parameters(HashMap<String, String>);

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Parameters {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter read, if it is there.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadParameter> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| BadParameter(name.to_owned()))
    }

    /// One of some values, if it is there.
    pub(super) fn one_of(&self, name: &str, values: &[&str]) -> Result<Option<&str>, BadParameter> {
        match self.get(name) {
            Some(text) if !values.contains(&text) => Err(BadParameter(name.to_owned())),
            found => Ok(found),
        }
    }

    /// The page.
    pub(super) fn page(&self) -> Result<Page, BadParameter> {
        let offset = self.read("offset", |text| usize::from_str(text).ok())?.unwrap_or_default();
        let fits = |limit: &usize| *limit <= LARGEST_PAGE;
        let limit = self.read("limit", |text| usize::from_str(text).ok().filter(fits))?;
        Ok(Page { offset, limit: limit.unwrap_or(DEFAULT_PAGE) })
    }
}

impl Page {
    /// The rows of this page.
    pub(super) fn of<T>(self, rows: Vec<T>) -> impl Iterator<Item = T> {
        rows.into_iter().skip(self.offset).take(self.limit)
    }
}
