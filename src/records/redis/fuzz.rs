//! Fuzz targets: entries and messages in Redis, which any program that reaches it could have written.

use super::entry::{LARGEST, decode, encode};
use super::outbox::Message;
use super::subscriber::{Received, Subscription};

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
    let mut subscription = Subscription::new(OWN);
    for line in bytes.split(|byte| *byte == b'\n') {
        let received = subscription.read(line);
        match (received, serde_json::from_slice::<Message>(line)) {
            (Some(Received::Invalidation(invalidation)), Ok(message)) => {
                assert!(message.from != OWN);
                assert_eq!(message.invalidation, invalidation);
                let again = serde_json::to_vec(&message).expect("a message is JSON");
                assert_eq!(serde_json::from_slice::<Message>(&again).ok(), Some(message));
            }
            // It may have been about a purge.
            (received, Err(_)) => assert_eq!(received, Some(Received::MissedPurges)),
            (Some(Received::MissedPurges) | None, Ok(_)) => {}
        }
    }
}
