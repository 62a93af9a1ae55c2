//! Generates requests from a few bytes: every event of the table by name, with mostly valid data.

use hubbub_actors::events::table::CLIENT;
use hubbub_actors::model::surface::Surface;

use super::Input;
use super::permissions::{self, CHATS, ROOMS, TOKENS, USERS};

/// Events that change the rooms or the user of a session. Their data is always generated, so that their effect is known.
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

/// Events without required fields, and without an effect on other clients.
const WITHOUT_FIELDS: [&str; 10] = [
    "room:list",
    "message:stats",
    "connection:session-info",
    "connection:stats",
    "presence:online-users",
    "presence:stats",
    "monitoring:metrics",
    "monitoring:events",
    "monitoring:stats",
    "monitoring:health",
];

/// A request and its effect.
#[derive(Debug, Clone)]
pub(super) struct GeneratedRequest {
    pub(super) event: &'static str,
    pub(super) data: String,
    pub(super) effect: RequestEffect,
}

/// The effect of a request on other clients.
#[derive(Debug, Clone)]
pub(super) enum RequestEffect {
    None,
    /// Joins rooms; `true` if their histories can be replayed.
    Join(Vec<String>, bool),
    /// Leaves rooms.
    Leave(Vec<String>),
    /// Publishes the tag to a room.
    Publish(String),
    /// Sends the tag to a user.
    DirectMessage(String),
    /// Returns the tag to the client only.
    Echo,
    /// Authenticates with a token.
    Authenticate(&'static str),
    /// Creates a recovery token.
    CreateToken,
    /// Recovers a session on `/chat`.
    Recover,
}

/// Values of earlier replies that later requests use.
#[derive(Debug, Default)]
pub(super) struct ReceivedValues {
    /// The user of the client, while it is a guest.
    pub(super) guest: Option<&'static str>,
    pub(super) recovery_token: Option<String>,
    pub(super) message_ids: Vec<String>,
    pub(super) epoch: Option<String>,
}

/// Whether a surface has this event.
pub(super) fn is_on(event: &str, surface: Surface) -> bool {
    CLIENT.iter().any(|row| row.name == event && row.on.contains(&surface))
}

/// Generates a request from the next bytes. Its publication contains `tag`.
pub(super) fn generate(input: &mut Input<'_>, values: &ReceivedValues, tag: &str) -> GeneratedRequest {
    let event = CLIENT[input.below(CLIENT.len())].name;
    let room = ROOMS[input.below(ROOMS.len())].to_owned();
    let chat = CHATS[input.below(CHATS.len())];
    let user = USERS[input.below(USERS.len())];
    let nothing = |data: String| (data, RequestEffect::None);
    let chat_room = || vec![format!("chat:{chat}")];
    let message = || values.message_ids.last().map_or("none", String::as_str);
    let (data, effect) = match event {
        "Ping" | "ping" => nothing(r#"{"timestamp":1e3}"#.into()),
        "Subscribe" => subscribe(input, values, room),
        "Unsubscribe" => {
            let other = ROOMS[input.below(ROOMS.len())];
            (format!(r#"{{"topics":["{room}","{other}"]}}"#), RequestEffect::Leave(vec![room, other.to_owned()]))
        }
        "Broadcast" => (format!(r#"{{"topic":"{room}","payload":"{tag}"}}"#), RequestEffect::Publish(room)),
        "DirectMessage" => (
            format!(r#"{{"target_user":"{user}","payload":["{tag}"]}}"#),
            RequestEffect::DirectMessage(user.to_owned()),
        ),
        "Authenticate" | "authenticate" => {
            let token = TOKENS[input.below(TOKENS.len())];
            // A guest authenticates only as its own user, so that each user has one client.
            let is_other = permissions::user_of(token).is_some_and(|user| Some(user) != values.guest);
            let token = if values.guest.is_some() && is_other { "bad" } else { token };
            (format!(r#"{{"token":"{token}"}}"#), RequestEffect::Authenticate(token))
        }
        "register" => nothing(format!(r#"{{"userId":"{user}"}}"#)),
        "room:join" => (format!(r#"{{"room":"{room}"}}"#), RequestEffect::Join(vec![room], false)),
        "room:leave" => (format!(r#"{{"room":"{room}"}}"#), RequestEffect::Leave(vec![room])),
        "typing_start" => (r#"{"thread_id":1}"#.into(), RequestEffect::Join(vec!["thread:1".into()], false)),
        "typing_stop" => nothing(r#"{"thread_id":"1"}"#.into()),
        "debug_mode" => nothing(format!(r#"{{"enabled":{}}}"#, input.next() & 1 == 1)),
        "client:event" => (format!(r#"{{"type":"x","data":"{tag}"}}"#), RequestEffect::Echo),
        "client:message" => (format!(r#"{{"content":"{tag}"}}"#), RequestEffect::Echo),
        "client:action" => {
            let action = ["echo", "time", "whoami", "rooms", "other"][input.below(5)];
            (format!(r#"{{"action":"{action}","params":{{"tag":"{tag}"}}}}"#), RequestEffect::Echo)
        }
        "join:chat" => (format!(r#"{{"chatId":"{chat}"}}"#), RequestEffect::Join(chat_room(), false)),
        "leave:chat" => (format!(r#"{{"chatId":"{chat}"}}"#), RequestEffect::Leave(chat_room())),
        "message:send" => {
            (format!(r#"{{"chatId":"{chat}","content":"{tag}"}}"#), RequestEffect::Publish(format!("chat:{chat}")))
        }
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
        "connection:create-session" => ("{}".into(), RequestEffect::CreateToken),
        "connection:recover" => {
            let token = values.recovery_token.as_deref().unwrap_or("none");
            (format!(r#"{{"recoveryToken":"{token}"}}"#), RequestEffect::Recover)
        }
        "presence:update-status" => {
            let status = ["online", "away", "busy", "offline", "elsewhere"][input.below(5)];
            nothing(format!(r#"{{"status":"{status}"}}"#))
        }
        "presence:user-status" => nothing(format!(r#"{{"userId":"{user}"}}"#)),
        "notification_read" => nothing(format!(r#"{{"notification_id":"{}"}}"#, input.below(3))),
        "room:info" | "room:online" | "message:typing-users" => nothing(format!(r#"{{"chatId":"{chat}"}}"#)),
        _ if WITHOUT_FIELDS.contains(&event) => nothing("{}".into()),
        _ => panic!("`{event}` is a new event: generate valid data for it in fuzz/src/sessions/requests.rs"),
    };
    GeneratedRequest { event, data, effect }
}

fn subscribe(input: &mut Input<'_>, values: &ReceivedValues, room: String) -> (String, RequestEffect) {
    let other = ROOMS[input.below(ROOMS.len())].to_owned();
    match input.below(3) {
        0 => (format!(r#"{{"topics":["{room}","{other}","{room}"]}}"#), RequestEffect::Join(vec![room, other], false)),
        1 => (format!(r#"{{"topics":["{room}"]}}"#), RequestEffect::Join(vec![room], false)),
        _ => {
            let epoch = values.epoch.as_deref().unwrap_or("none");
            let offset = input.below(6);
            let at = format!(r#"{{"epoch":"{epoch}","offset":{offset}}}"#);
            let since = format!(r#"{{"kept.a":{at},"feed.a":{at},"{room}":{at}}}"#);
            (
                format!(r#"{{"topics":["kept.a","{room}"],"since":{since}}}"#),
                RequestEffect::Join(vec!["kept.a".into(), room], true),
            )
        }
    }
}
