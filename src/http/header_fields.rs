//! Header fields that may come once, and those that are lists.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;

/// Elements of a list that are read.
const MOST_ELEMENTS: usize = 64;
/// Bytes of a list that are read.
const MOST_BYTES: usize = 4096;

/// A field that may come once. Two values would let two servers read two different messages.
pub(crate) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => {
            Err(Refusal::bad_request(format!("the header {name} is given more than once")))
        }
    }
}

/// The elements of a list (RFC 9110, section 5.6.1), without the blanks around them. A header may have 96 KiB, and
/// clients send a handful of elements, so what is over the bounds is ignored. So is a line that is not visible
/// ASCII.
pub(crate) fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let mut bytes_left = MOST_BYTES;
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let bounded = lines.map(move |line| match line.get(..bytes_left) {
        Some(cut) if cut.len() < line.len() => {
            bytes_left = 0;
            whole_elements(cut)
        }
        _ => {
            bytes_left -= line.len();
            line
        }
    });
    let elements = bounded.flat_map(|line| line.split(',')).map(str::trim);
    elements.filter(|element| !element.is_empty()).take(MOST_ELEMENTS)
}

/// A truncated list without its last element, which may be incomplete.
fn whole_elements(cut: &str) -> &str {
    cut.rsplit_once(',').map_or("", |(whole, _)| whole)
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;

    use super::*;

    fn read(lines: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        list(&headers, &ACCEPT).map(str::to_owned).collect()
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(read(&["a, b ,,c", "d"]), ["a", "b", "c", "d"]);
        assert_eq!(read(&["a", "\u{e4}", "b"]), ["a", "b"]);
        assert_eq!(read(&[]), [""; 0]);
    }

    #[test]
    fn a_list_of_any_length_is_read_to_its_bounds() {
        let long = "x".repeat(MOST_BYTES - 10);

        assert_eq!(read(&["a,".repeat(45_000).as_str()]).len(), MOST_ELEMENTS);
        assert_eq!(read(&[&format!("a,{long},b")]), ["a", long.as_str(), "b"]);
        assert_eq!(read(&[&format!("a,{long},abcdefghij"), "c"]), ["a", long.as_str()]);
        assert_eq!(read(&["x".repeat(90_000).as_str(), "c"]), [""; 0]);
    }
}
