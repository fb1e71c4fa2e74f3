//! Walks and formats an error's source chain.

use std::error::Error;
use std::io;
use std::iter::successors;

/// The sources of an error, the nearest first, without the error itself.
pub(crate) fn sources(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |source| (*source).source())
}

/// An error and its sources, to look for one of a type. Includes the error inside an [`io::Error`], which
/// `Error::source` skips.
pub(crate) fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(Some(error), |error| next(*error))
}

fn next<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// An error and its sources on one line.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    texts.extend(sources(error).map(ToString::to_string));
    texts.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_and_its_sources_are_written_on_one_line() {
        let error = Outer(io::Error::other(Outer(io::Error::other("the inner\n  one"))));

        assert_eq!(on_one_line(&error), "the outer one: the outer one: the inner one");
    }

    #[test]
    fn the_error_inside_an_io_error_is_in_the_chain() {
        let error = Outer(io::Error::other(Outer(io::Error::other("the inner one"))));

        assert_eq!(chain(&error).filter(|error| error.is::<Outer>()).count(), 2);
    }
}
