//! Changes inputs at random, the same way each time.

use std::fs;
use std::path::Path;

/// No input grows longer.
const LONGEST: usize = 4096;
/// The most changes to one input.
const MOST_CHANGES: u64 = 6;
/// Numbers at the edges of types.
const EDGES: [&str; 10] = [
    "0",
    "-1",
    "127",
    "65536",
    "2147483648",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "1e999",
];

/// Makes new inputs of old ones.
pub(super) struct Mutator {
    random: u64,
    inputs: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
}

impl Mutator {
    pub(super) fn new(name: &str, inputs: Vec<Vec<u8>>, tokens: Vec<Vec<u8>>) -> Self {
        let random = name.bytes().fold(0x9E37_79B9_7F4A_7C15, |random: u64, byte| {
            random.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        Self { random, inputs, tokens }
    }

    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any_input();
        for _ in 0..=self.below(MOST_CHANGES) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input);
        let end = (at + self.place(input).min(32)).min(input.len());
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.byte(),
            2 => drop(input.drain(at..end)),
            3 => {
                let copy = input[at..end].to_vec();
                insert(input, at, &copy);
            }
            4 => insert(input, at, &[self.byte()]),
            5 => {
                let other = self.any_input();
                let from = self.place(&other);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let edge = EDGES[self.index(EDGES.len())];
                let digits = input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                input.splice(at..at + digits, edge.bytes());
            }
            _ if !self.tokens.is_empty() => {
                let index = self.index(self.tokens.len());
                insert(input, at, &self.tokens[index]);
            }
            _ => {}
        }
    }

    fn any_input(&mut self) -> Vec<u8> {
        let index = self.index(self.inputs.len());
        self.inputs[index].clone()
    }

    /// A place in an input, or its end.
    fn place(&mut self, input: &[u8]) -> usize {
        self.index(input.len() + 1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.below(below as u64)).unwrap()
    }

    /// Marsaglia's xorshift.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// The tokens of a dictionary in libFuzzer's form, one a line: `"token"`, with `\\`, `\"` and `\xAB`.
pub(super) fn dictionary(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let tokens: Vec<Vec<u8>> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap())
        .map(unescaped)
        .collect();
    tokens
}

fn unescaped(token: &str) -> Vec<u8> {
    let mut bytes = token.bytes();
    let mut token = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next().unwrap() } else { byte };
        if byte == b'\\' && escaped == b'x' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            token.extend(hex::decode(digits).unwrap());
        } else {
            token.push(escaped);
        }
    }
    token
}

#[test]
fn tokens_are_read_as_libfuzzer_reads_them() {
    assert_eq!(unescaped(r#"a\\b\"c\x0a"#), b"a\\b\"c\n");
}

#[test]
fn the_same_changes_come_in_the_same_order() {
    let inputs = || {
        let mut mutator =
            Mutator::new("name", vec![b"one 1".to_vec(), b"two".to_vec()], Vec::new());
        (0..50).map(|_| mutator.next()).collect::<Vec<_>>()
    };

    let (first, second) = (inputs(), inputs());

    assert_eq!(first, second);
    assert!(first.iter().any(|input| input != &first[0]));
}
