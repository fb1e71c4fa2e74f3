//! Fuzz targets: entries and messages in Redis, which any program that reaches it could have written.

use super::super::invalidation::{Invalidation, Purge};
use super::super::metrics::RecordMetrics;
use super::entry::{LARGEST, decode, encode};
use super::replicas::{ChannelReader, Message};

/// An entry, with some milliseconds until it expires.
pub fn entry(bytes: &[u8]) {
    let Some(stored) = decode(bytes) else { return };
    assert!(bytes.len() <= LARGEST);
    let lifetime = stored.lifetime;
    assert_eq!([i64::MIN, -1].map(|expired| lifetime.age(expired)), [None; 2]);
    // However long it was stored, it is no younger than when it was written.
    assert!(lifetime.age(0).is_none_or(|age| age >= lifetime.age));
    // One that needs more space when it is written in full is not written again.
    if let Some(again) = encode(&stored.record, stored.generations, lifetime) {
        assert_eq!(decode(&again).as_ref(), Some(&stored));
    }
}

/// Messages, one a line, as a replica receives them one after the other.
pub fn news(bytes: &[u8]) {
    const OWN: u64 = 7;
    let all = Some(Invalidation::Purge(Purge::All));
    let mut subscription = ChannelReader::new(OWN, RecordMetrics::default().shared_news);
    for line in bytes.split(|byte| *byte == b'\n') {
        let received = subscription.read(line);
        match serde_json::from_slice::<Message>(line) {
            Ok(message) => {
                let again = serde_json::to_vec(&message).expect("a message is JSON");
                assert_eq!(serde_json::from_slice::<Message>(&again).as_ref().ok(), Some(&message));
                let is_own = message.from == OWN && received.is_none();
                assert!(is_own || received == all || received == Some(message.invalidation));
            }
            // It may have been about a purge.
            Err(_) => assert_eq!(received, all),
        }
    }
}
