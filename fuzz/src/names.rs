//! The names of rooms, users, chats, events and notifications: their validation and conversion.

use hubbub_actors::events::community::Id;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::ids::{
    ChatId, ChatMessageId, EVENT_NAME_MAX, EVENT_NAMES_RESERVED, EventName, IdText, NAME_MAX, NotificationId, RoomName,
    UserId,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Some invisible characters, and some that change the text direction.
const HIDDEN: [char; 8] =
    ['\u{ad}', '\u{61c}', '\u{200b}', '\u{200f}', '\u{202e}', '\u{2060}', '\u{feff}', '\u{e0041}'];

/// A text as a name of each kind.
pub(crate) fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = &*text;
    let room = checked(text, NAME_MAX, RoomName::parse(text, "name"), RoomName::as_str);
    let user = checked(text, NAME_MAX - "user:".len(), UserId::parse(text, "name"), UserId::as_str);
    let chat = checked(text, NAME_MAX - "chat:".len(), ChatId::parse(text, "name"), ChatId::as_str);
    for shown in [room.as_ref().map(RoomName::as_str), user.as_ref().map(UserId::as_str)].into_iter().flatten() {
        assert!(!shown.trim().is_empty() && !shown.contains(HIDDEN), "{shown:?} is invisible");
    }
    assert_eq!(user, chat.as_ref().map(|chat| UserId::parse(chat.as_str(), "name").expect("one rule for both")));
    checked(text, NAME_MAX, ChatMessageId::parse(text, "name"), ChatMessageId::as_str);
    checked(text, NAME_MAX, NotificationId::parse(text, "name"), NotificationId::as_str);
    if EVENT_NAMES_RESERVED.contains(&text) {
        assert!(EventName::parse(text, "name").is_err());
    } else {
        checked(text, EVENT_NAME_MAX, EventName::parse(text, "name"), EventName::as_str);
    }
    if let Some(room) = &room {
        check_room(room);
    }
    if let Some(user) = &user {
        let own = RoomName::of_user(user);
        assert_eq!(RoomName::parse(own.as_str(), "name").as_ref(), Ok(&own), "a user's room has a room's name");
        assert!(own.is_internal() && !own.is_optional() && own.chat().is_none());
        let shown = serde_json::to_value(Id(user.clone())).expect("an id");
        assert_eq!(
            serde_json::from_value::<UserId>(shown).as_ref().ok(),
            Some(user),
            "the serialised id is read as the same user"
        );
    }
    if let Some(chat) = &chat {
        let own = RoomName::of_chat(chat);
        assert_eq!(RoomName::parse(own.as_str(), "name").as_ref(), Ok(&own), "a chat's room has a room's name");
        assert_eq!(own.chat().as_ref(), Some(chat));
        assert!(own.is_optional() && !own.is_internal());
    }
    if let Ok(thread) = RoomName::of_thread(text, "name") {
        assert_eq!(RoomName::parse(thread.as_str(), "name").as_ref(), Ok(&thread));
        assert!(thread.chat().is_none() && thread.is_optional());
    }

    same_in_json(text, user.as_ref());
    same_in_json(text, chat.as_ref());
    number(bytes);
}

/// A name equals its text, or it is refused with its field.
fn checked<T>(text: &str, max: usize, parsed: Result<T, Fault>, as_str: fn(&T) -> &str) -> Option<T> {
    match parsed {
        Ok(name) => {
            assert_eq!(as_str(&name), text);
            assert!((1..=max).contains(&text.chars().count()));
            assert!(!text.contains(|letter: char| letter.is_control() || "\u{2028}\u{2029}".contains(letter)));
            Some(name)
        }
        Err(fault) => {
            assert_eq!((fault.code, fault.field.as_deref()), (Code::InvalidRequest, Some("name")));
            assert!(fault.message.contains("`name`") && !fault.message.contains(['\0', '\n']));
            let is_plain = !text.is_empty()
                && text.len() <= max
                && text.bytes().all(|byte| byte.is_ascii_graphic())
                && !EVENT_NAMES_RESERVED.contains(&text);
            assert!(!is_plain, "`{text}` was refused");
            None
        }
    }
}

fn check_room(room: &RoomName) {
    let name = room.as_str();
    assert_eq!(room.is_internal(), name.starts_with('$') || name.starts_with("user:"));
    assert!(room.is_optional() || room.is_internal());
    if let Some(chat) = room.chat() {
        assert_eq!(&RoomName::of_chat(&chat), room);
        assert_eq!(ChatId::parse(chat.as_str(), "name").as_ref(), Ok(&chat));
    }
}

/// A name in JSON follows the same rules as in a path.
fn same_in_json<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str, parsed: Option<&T>) {
    let quoted = serde_json::to_string(text).expect("a text");
    assert_eq!(serde_json::from_str::<T>(&quoted).ok().as_ref(), parsed);
}

/// A JSON number as a name equals its text.
fn number(bytes: &[u8]) {
    let Ok(value @ Value::Number(_)) = serde_json::from_slice::<Value>(bytes) else { return };
    match serde_json::from_value::<IdText>(value.clone()) {
        Ok(IdText(text)) => {
            assert_eq!(value.to_string(), text);
            let user = serde_json::from_value::<UserId>(value).expect("a number's text is short and printable");
            assert_eq!(UserId::parse(&text, "name").as_ref(), Ok(&user));
        }
        Err(_) => assert!(value.is_f64(), "{value} is refused as a name"),
    }
}
