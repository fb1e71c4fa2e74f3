//! Fuzz targets: entries and messages in Redis, which any program that reaches it could have written.

use std::time::Duration;

use super::entry::{LARGEST, decode, encode};
use super::message::Message;
use super::subscriber::{Received, Subscription};

/// An entry, with some milliseconds until it expires.
pub fn entry(bytes: &[u8]) {
    let Some(stored) = decode(bytes) else { return };
    assert!(bytes.len() <= LARGEST);
    for expires_in_ms in [i64::MIN, -1, i64::MAX] {
        assert_eq!(stored.age(expires_in_ms).is_none(), expires_in_ms < 0);
    }
    let lifetime = stored.lifetime;
    // However long it was stored, it is no younger than when it was written.
    assert!(stored.age(0).is_none_or(|age| age >= lifetime.age));
    let times = [lifetime.ttl, lifetime.age, lifetime.expires_in];
    assert!(times.iter().all(|time| time.subsec_nanos().is_multiple_of(1_000_000)));
    assert!(lifetime.ttl <= Duration::from_millis(u64::MAX));
    // One that needs more space when it is written in full is not written again.
    if let Some(again) = encode(&stored.record, stored.generations, lifetime) {
        assert_eq!(decode(&again).as_ref(), Some(&stored));
    }
}

/// Messages, one a line, as a replica receives them one after the other.
pub fn news(bytes: &[u8]) {
    const OWN: u64 = 7;
    let mut subscription = Subscription::new(OWN);
    for line in bytes.split(|byte| *byte == b'\n') {
        let received = subscription.read(line);
        match (received, serde_json::from_slice::<Message>(line)) {
            (Some(Received::Invalidation(invalidation)), Ok(message)) => {
                assert!(message.from != OWN);
                let again = Message::new(message.from, message.purge, &invalidation);
                assert_eq!(again.invalidation(), Some(invalidation));
            }
            // It may have been about a purge.
            (received, Err(_)) => assert_eq!(received, Some(Received::MissedPurges)),
            (Some(Received::MissedPurges) | None, Ok(_)) => {}
        }
    }
}
