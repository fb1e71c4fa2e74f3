//! Who calls, as far as limits have to tell callers apart.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Token;

/// The best proof of identity that a caller has given.
#[derive(Clone, Default)]
pub enum CallerIdentity {
    /// The name of an API key, or the subject of a token that the gateway has verified.
    Name(Arc<str>),
    /// The token for the upstream. Only the upstream can verify it.
    Token(Token),
    /// The address the caller connects from.
    Address(IpAddr),
    /// Nothing is known of the caller.
    #[default]
    Unknown,
}

/// The key of per-caller limits. It says who calls, not whose data is read: under the gateway's own
/// credentials all callers read the same data.
///
/// Names and tokens are hashed. They may be long, and a token must not outlive its use.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKey {
    /// Hash of a verified name.
    Name([u8; 32]),
    /// Hash of a token for the upstream.
    Token([u8; 32]),
    /// An address, or the network of one host.
    Address(IpAddr),
    /// All callers without any identity.
    #[default]
    Unknown,
}

impl CallerIdentity {
    /// The name that the gateway has verified.
    pub fn name(&self) -> Option<&Arc<str>> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    /// The key under which limits count this caller.
    pub fn limit_key(&self) -> LimitKey {
        match self {
            Self::Name(name) => LimitKey::Name(hash(name)),
            Self::Token(token) => LimitKey::Token(hash(token.expose())),
            Self::Address(address) => LimitKey::Address(network(*address)),
            Self::Unknown => LimitKey::Unknown,
        }
    }
}

/// Shows neither names nor tokens.
impl fmt::Debug for CallerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerIdentity(…)")
    }
}

/// Shows no address: it may be personal data.
impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitKey(…)")
    }
}

fn hash(text: &str) -> [u8; 32] {
    blake3::hash(text.as_bytes()).into()
}

/// An IPv4 address, or the /64 network of an IPv6 address: one host commonly has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_by_name_token_or_network() {
        let token = |text: &str| CallerIdentity::Token(Token::new(text)).limit_key();
        let address = |text: &str| CallerIdentity::Address(text.parse().unwrap()).limit_key();

        assert!(token("one") == token("one") && token("one") != token("other"));
        assert!(CallerIdentity::Name("one".into()).limit_key() != token("one"));
        assert!(address("192.0.2.1") != address("192.0.2.2"));
        assert!(address("192.0.2.1") == address("::ffff:192.0.2.1"));
        assert!(address("2001:db8::1") == address("2001:db8::2"));
        assert!(address("2001:db8::1") != address("2001:db8:0:1::1"));
    }

    #[test]
    fn debug_shows_no_name_and_no_token() {
        let shown = format!("{:?}", CallerIdentity::Name("canary".into()));

        assert_eq!(shown, "CallerIdentity(…)");
    }
}
