//! What a client asks, made of a few bytes: every event of the table by its name, with data that is mostly right.

use hubbub_actors::events::table::CLIENT;
use hubbub_actors::model::surface::Surface;

use super::Input;
use super::rights::{self, CHATS, ROOMS, TOKENS, USERS};

/// Events that change which rooms a session is in, or whose it is: what they are given is always known.
pub(super) const MEMBERSHIP: [&str; 11] = [
    "Subscribe",
    "Unsubscribe",
    "Authenticate",
    "room:join",
    "room:leave",
    "authenticate",
    "typing_start",
    "join:chat",
    "leave:chat",
    "connection:recover",
    "connection:create-session",
];

/// A request, and what it means.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) event: &'static str,
    pub(super) data: String,
    pub(super) means: Means,
}

/// What a request asks for, as far as somebody else may notice.
#[derive(Debug, Clone)]
pub(super) enum Means {
    /// Nothing.
    Nothing,
    /// To hear of rooms; whether it may be told again what it was told before.
    Join(Vec<String>, bool),
    /// To hear of rooms no more.
    Leave(Vec<String>),
    /// To say the mark in a room.
    Say(String),
    /// To say the mark to a user.
    Tell(String),
    /// To be told the mark alone.
    Echo,
    /// To be the holder of a token.
    Be(&'static str),
    /// A token for recovery.
    Token,
    /// To go on with a session on `/chat`.
    Recover,
}

/// What a client knows that it may ask with.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whose client it is, while it has no user.
    pub(super) guest: Option<&'static str>,
    pub(super) recovery_token: Option<String>,
    pub(super) message_ids: Vec<String>,
    pub(super) epoch: Option<String>,
}

/// Whether an event is understood on a surface.
pub(super) fn is_on(event: &str, surface: Surface) -> bool {
    CLIENT.iter().any(|row| row.name == event && row.on.contains(&surface))
}

/// A request made of the next bytes; `mark` is in what it publishes.
pub(super) fn ask(input: &mut Input<'_>, known: &Known, mark: &str) -> Ask {
    let event = CLIENT[input.below(CLIENT.len())].name;
    let room = ROOMS[input.below(ROOMS.len())].to_owned();
    let chat = CHATS[input.below(CHATS.len())];
    let user = USERS[input.below(USERS.len())];
    let nothing = |data: String| (data, Means::Nothing);
    let chat_room = || vec![format!("chat:{chat}")];
    let message = || known.message_ids.last().map_or("none", String::as_str);
    let (data, means) = match event {
        "Ping" | "ping" => nothing(r#"{"timestamp":1e3}"#.into()),
        "Subscribe" => subscribe(input, known, room),
        "Unsubscribe" => {
            let other = ROOMS[input.below(ROOMS.len())];
            (format!(r#"{{"topics":["{room}","{other}"]}}"#), Means::Leave(vec![room, other.to_owned()]))
        }
        "Broadcast" => (format!(r#"{{"topic":"{room}","payload":"{mark}"}}"#), Means::Say(room)),
        "DirectMessage" => {
            (format!(r#"{{"target_user":"{user}","payload":["{mark}"]}}"#), Means::Tell(user.to_owned()))
        }
        "Authenticate" | "authenticate" => {
            let token = TOKENS[input.below(TOKENS.len())];
            // A guest is no other client's user, so that a user has one client.
            let is_other = rights::user_of(token).is_some_and(|user| Some(user) != known.guest);
            let token = if known.guest.is_some() && is_other { "bad" } else { token };
            (format!(r#"{{"token":"{token}"}}"#), Means::Be(token))
        }
        "register" => nothing(format!(r#"{{"userId":"{user}"}}"#)),
        "room:join" => (format!(r#"{{"room":"{room}"}}"#), Means::Join(vec![room], false)),
        "room:leave" => (format!(r#"{{"room":"{room}"}}"#), Means::Leave(vec![room])),
        "typing_start" => (r#"{"thread_id":1}"#.into(), Means::Join(vec!["thread:1".into()], false)),
        "typing_stop" => nothing(r#"{"thread_id":"1"}"#.into()),
        "debug_mode" => nothing(format!(r#"{{"enabled":{}}}"#, input.next() & 1 == 1)),
        "client:event" => (format!(r#"{{"type":"x","data":"{mark}"}}"#), Means::Echo),
        "client:message" => (format!(r#"{{"content":"{mark}"}}"#), Means::Echo),
        "client:action" => {
            let action = ["echo", "time", "whoami", "rooms", "other"][input.below(5)];
            (format!(r#"{{"action":"{action}","params":{{"mark":"{mark}"}}}}"#), Means::Echo)
        }
        "join:chat" => (format!(r#"{{"chatId":"{chat}"}}"#), Means::Join(chat_room(), false)),
        "leave:chat" => (format!(r#"{{"chatId":"{chat}"}}"#), Means::Leave(chat_room())),
        "message:send" => (format!(r#"{{"chatId":"{chat}","content":"{mark}"}}"#), Means::Say(format!("chat:{chat}"))),
        "message:typing" => nothing(format!(r#"{{"chatId":"{chat}","isTyping":{}}}"#, input.next() & 1 == 1)),
        "message:delivered" | "message:read" => {
            nothing(format!(r#"{{"messageId":"{}","chatId":"{chat}"}}"#, message()))
        }
        "message:delivery-status" => nothing(format!(r#"{{"messageId":"{}"}}"#, message())),
        "message:history" => nothing(match input.below(3) {
            0 => format!(r#"{{"chatId":"{chat}"}}"#),
            1 => format!(r#"{{"chatId":"{chat}","limit":{}}}"#, input.next()),
            _ => format!(r#"{{"chatId":"{chat}","before":"{}","limit":2}}"#, message()),
        }),
        "connection:create-session" => ("{}".into(), Means::Token),
        "connection:recover" => {
            let token = known.recovery_token.as_deref().unwrap_or("none");
            (format!(r#"{{"recoveryToken":"{token}"}}"#), Means::Recover)
        }
        "presence:update-status" => {
            let status = ["online", "away", "busy", "offline", "elsewhere"][input.below(5)];
            nothing(format!(r#"{{"status":"{status}"}}"#))
        }
        "presence:user-status" => nothing(format!(r#"{{"userId":"{user}"}}"#)),
        "notification_read" => nothing(format!(r#"{{"notification_id":"{}"}}"#, input.below(3))),
        _ => nothing(format!(r#"{{"chatId":"{chat}"}}"#)),
    };
    Ask { event, data, means }
}

fn subscribe(input: &mut Input<'_>, known: &Known, room: String) -> (String, Means) {
    let other = ROOMS[input.below(ROOMS.len())].to_owned();
    match input.below(3) {
        0 => (format!(r#"{{"topics":["{room}","{other}","{room}"]}}"#), Means::Join(vec![room, other], false)),
        1 => (format!(r#"{{"topics":["{room}"]}}"#), Means::Join(vec![room], false)),
        _ => {
            let epoch = known.epoch.as_deref().unwrap_or("none");
            let offset = input.below(6);
            let at = format!(r#"{{"epoch":"{epoch}","offset":{offset}}}"#);
            let since = format!(r#"{{"kept.a":{at},"feed.a":{at},"{room}":{at}}}"#);
            (
                format!(r#"{{"topics":["kept.a","{room}"],"since":{since}}}"#),
                Means::Join(vec!["kept.a".into(), room], true),
            )
        }
    }
}
