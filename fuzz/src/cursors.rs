//! The positions in client requests: `since` of `Subscribe`, and the offset of Socket.IO's recovery.

use std::collections::VecDeque;

use hubbub::codec::namespace;
use hubbub_actors::connection::tail;
use hubbub_actors::events::json::Readable as _;
use hubbub_actors::events::raw::Subscribe;
use hubbub_actors::model::fault::Code;
use hubbub_actors::model::position::Position;
use serde_json::{Value, json};

/// The data of `Subscribe`, or the offset of a session to recover.
pub(crate) fn cursors(bytes: &[u8]) {
    subscribe(bytes);
    offset(&String::from_utf8_lossy(bytes));
    missed(bytes);
}

fn subscribe(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Subscribe::read(text) {
        Ok(Subscribe { topics, since }) => {
            // Numbers beyond 64 bits and duplicate members are no positions.
            for Position { epoch, offset } in since.values() {
                let text = json!({ "epoch": epoch, "offset": offset }).to_string();
                let again: Position = serde_json::from_str(&text).expect("a position");
                assert_eq!((&again.epoch, again.offset), (epoch, *offset));
                let unknown = json!({ "epoch": epoch, "offset": offset, "offsets": 1 }).to_string();
                assert!(serde_json::from_str::<Position>(&unknown).is_err(), "a misspelt member is no position");
            }
            let Some(value) = value else { return };
            let given = |topic: &str| value["since"].get(topic).cloned();
            assert!(since.iter().all(|(topic, at)| given(topic) == serde_json::to_value(at).ok()));
            assert_eq!(value["since"].as_object().map_or(0, serde_json::Map::len), since.len());
            assert_eq!(value["topics"], json!(topics));
        }
        Err(fault) => {
            assert_eq!(fault.code, Code::InvalidRequest);
            assert!(fault.field.is_some(), "the invalid field");
            let is_plain = value.is_some_and(|value| {
                let is_text = |topic: &Value| topic.is_string();
                value.as_object().is_some_and(|members| members.len() == 1)
                    && value["topics"].as_array().is_some_and(|topics| topics.iter().all(is_text))
            });
            assert!(!is_plain, "topics without `since` are refused");
        }
    }
}

/// An offset of the hub is read as its number. Other texts are read as a number or as `u64::MAX`.
fn offset(text: &str) {
    let number = namespace::number(text);
    assert_eq!(namespace::number(&format!("{number:x}")), number);
    let is_number = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_number || number == u64::MAX || text.starts_with('0'), "{text:?} was read as {number}");
}

/// A client's missed deliveries are those stored after its offset. They are unknown if the offset is not stored.
fn missed(bytes: &[u8]) {
    let &[last, left, ref gaps @ ..] = bytes else { return };
    let offset = |byte: u8| (byte != 0xFF).then(|| u64::from(byte));
    let (last, left) = (offset(last), offset(left));
    let numbers: VecDeque<u64> = gaps
        .iter()
        .scan(left.unwrap_or(0), |number, gap| {
            *number += 1 + u64::from(gap % 4);
            Some(*number)
        })
        .collect();
    let missed = tail::lacking(last, left, numbers.clone(), |number| *number);
    let after = last.unwrap_or(0);
    match missed {
        Some(missed) if last == left => assert_eq!(missed, numbers),
        Some(missed) => {
            assert!(last.is_some_and(|last| numbers.contains(&last)));
            assert!(missed.iter().copied().eq(numbers.into_iter().filter(|&number| number > after)), "all, once");
        }
        None => assert!(last != left && !last.is_some_and(|last| numbers.contains(&last))),
    }
}
