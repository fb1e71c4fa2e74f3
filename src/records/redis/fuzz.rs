//! Fuzz targets: entries of the tier and messages of other replicas, which any program with a way to the
//! server could have written.

use std::time::Duration;

use super::entry::{LARGEST, decode, encode};
use super::message::{Count, Heard, Message, Told};

/// An entry, with some milliseconds left.
pub(crate) fn entry(bytes: &[u8]) {
    let Some(stored) = decode(bytes) else { return };
    assert!(bytes.len() <= LARGEST);
    for left in [i64::MIN, -1, i64::MAX] {
        assert_eq!(stored.age(left).is_none(), left < 0);
    }
    // However long it was there, it is no younger than it was when it was written.
    assert!(stored.age(0).is_none_or(|age| age >= stored.age));
    let times = [stored.ttl, stored.age, stored.life];
    assert!(times.iter().all(|time| time.subsec_nanos().is_multiple_of(1_000_000)));
    assert!(stored.ttl <= Duration::from_millis(u64::MAX));
    // What needs more room when it is written in full need not come back.
    if let Some(again) = encode(&stored.record, stored.stamps, times) {
        assert_eq!(decode(&again).as_ref(), Some(&stored));
    }
}

/// Messages, one a line, as a replica hears them one after the other.
pub(crate) fn news(bytes: &[u8]) {
    const OWN: u64 = 7;
    let mut count = Count::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let heard = count.hear(OWN, line);
        let message = serde_json::from_slice::<Message>(line);
        match (heard, message) {
            (Some(Heard::News(news)), Ok(message)) => {
                assert!(message.from != OWN);
                is_told_again(&Told::of(&news), &message);
            }
            // What is not understood may have been a purge.
            (heard, Err(_)) => assert_eq!(heard, Some(Heard::Missed)),
            (Some(Heard::Missed) | None, Ok(_)) => {}
        }
    }
}

fn is_told_again(told: &Told, message: &Message) {
    let again = Message { from: message.from, purges: message.purges, told: None };
    let text = serde_json::to_string(told).unwrap_or_default();
    let told_again = serde_json::from_str::<Told>(&text);
    assert_eq!(told_again.as_ref().ok(), Some(told));
    // Another count: the message is the next one, so it means the same.
    let text = serde_json::to_string(&Message { told: told_again.ok(), ..again });
    let mut count = Count::default();
    count.catch_up(message.purges.unwrap_or_default().saturating_sub(1));
    let heard = count.hear(message.from.wrapping_add(1), text.unwrap_or_default().as_bytes());
    assert!(matches!(heard, Some(Heard::News(_))), "{heard:?}");
}
