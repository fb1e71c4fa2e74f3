//! Errors and what they came from.

use std::error::Error;
use std::io;
use std::iter::successors;

/// What an error came from, the nearest first. The error itself is not among them.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |cause| (*cause).source())
}

/// An error and what it came from, for those who look for one of a kind: what an I/O error is made of is among
/// them, which its own source passes over.
pub(crate) fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    successors(Some(error), |error| below(*error))
}

fn below<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(made_of) => Some(made_of),
        None => error.source(),
    }
}

/// An error and what it came from, on one line.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut told = vec![error.to_string()];
    told.extend(causes(error).map(ToString::to_string));
    told.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_is_told_on_one_line_with_all_that_it_came_from() {
        let error = Outer(io::Error::other(Outer(io::Error::other("the inner\n  one"))));

        assert_eq!(on_one_line(&error), "the outer one: the outer one: the inner one");
    }

    #[test]
    fn what_an_io_error_is_made_of_is_in_the_chain() {
        let error = Outer(io::Error::other(Outer(io::Error::other("the inner one"))));

        assert_eq!(chain(&error).filter(|error| error.is::<Outer>()).count(), 2);
    }
}
