//! Errors and what they came from.

use std::error::Error;
use std::iter::successors;

/// What an error came from, the nearest first. The error itself is not among them.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |cause| (*cause).source())
}

/// An error and what it came from, on one line.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut told = vec![error.to_string()];
    told.extend(causes(error).map(ToString::to_string));
    told.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_is_told_on_one_line_with_all_that_it_came_from() {
        let error = Outer(io::Error::other(Outer(io::Error::other("the inner\n  one"))));

        assert_eq!(on_one_line(&error), "the outer one: the outer one: the inner one");
    }
}
