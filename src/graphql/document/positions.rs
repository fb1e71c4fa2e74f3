//! Lines and columns of a document's tokens, both from 1, as the specification counts them.

use async_graphql::Pos;

/// Where the tokens of a document stand.
#[derive(Debug, Default)]
pub(crate) struct TokenPositions(Vec<TokenPosition>);

#[derive(Clone, Copy, Debug)]
struct TokenPosition {
    offset: usize,
    position: Pos,
}

const START: TokenPosition = TokenPosition { offset: 0, position: Pos { line: 1, column: 1 } };

impl TokenPositions {
    /// Adds the token at an offset, which is behind those that were added.
    pub(super) fn add(&mut self, text: &str, offset: usize) {
        let last = self.0.last().copied().unwrap_or(START);
        let between = text.get(last.offset..offset).unwrap_or_default();
        let count = |end: &str| between.matches(end).count();
        // A return and a feed end one line.
        let lines = count("\r") + count("\n") - count("\r\n");
        let line_start = between.rfind(['\r', '\n']).map_or(0, |end| end + 1);
        let columns = between.get(line_start..).unwrap_or_default().chars().count();
        let column = if lines == 0 { last.position.column } else { 1 } + columns;
        let position = Pos { line: last.position.line + lines, column };
        self.0.push(TokenPosition { offset, position });
    }

    /// The position of the token at an offset, or of the last one before it.
    pub(crate) fn at(&self, offset: usize) -> Pos {
        let behind = self.0.partition_point(|token| token.offset <= offset);
        let token = behind.checked_sub(1).and_then(|index| self.0.get(index));
        token.unwrap_or(&START).position
    }
}
