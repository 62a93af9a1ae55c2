//! Joins, leaves and member counts: a user with three sessions on different transports, and two other users.

use serde_json::{Value, json};

use super::{
    online, online_update, received_by, room_info, room_joined, room_left, sessions, settled, timeless, unlimited,
};
use super::{user_joined, user_left};
use crate::support::Hub;
use crate::support::chat_client::{ChatClient, ChatTransport};

const CHAT: &str = "general";
const LEFT: &str = "Left chat successfully";

/// Checks the answers about the chat: these users, in the order in which they joined.
async fn assert_members(member: &mut ChatClient, users: &[&str]) {
    let chat = json!({"chatId": CHAT});
    let info = timeless(member.request("room:info", chat.clone()).await);
    let ExpectedInfo { participant_count, is_active, last_activity } = ExpectedInfo::of(&room_info(CHAT, users.len()));
    let expected = json!({"success": true, "roomInfo": {
        "chatId": CHAT,
        "name": "General",
        "description": "",
        "participantCount": participant_count,
        "onlineCount": participant_count,
        "isActive": is_active,
        "lastActivity": last_activity,
    }});
    assert_eq!(info, expected);
    let online: Vec<_> = users.iter().map(|user| online(user)).collect();
    let expected = json!({"success": true, "onlineUsers": online});
    assert_eq!(timeless(member.request("room:online", chat).await), expected);
    let listed = timeless(member.request("room:list", json!({})).await);
    let expected =
        json!({"chatId": CHAT, "name": "General", "participantCount": participant_count, "lastActivity": "T"});
    assert_eq!(listed, json!({"success": true, "rooms": [expected]}));
}

struct ExpectedInfo {
    participant_count: Value,
    is_active: Value,
    last_activity: Value,
}

impl ExpectedInfo {
    fn of(info: &Value) -> Self {
        let field = |name: &str| info[name].clone();
        Self {
            participant_count: field("participantCount"),
            is_active: field("isActive"),
            last_activity: field("lastActivity"),
        }
    }
}

#[tokio::test]
async fn a_user_is_in_a_chat_from_the_first_session_to_the_last_and_each_change_is_sent_once() {
    let hub = Hub::with(&unlimited("[server]\nworkers = 2\n[presence]\nlinger_ms = 10"));
    let (mut bob, mut carol) = (
        ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await,
        ChatClient::of(&hub, ChatTransport::Raw, "carol").await,
    );
    let nothing = || Vec::<Value>::new();

    let seen = |user: &str, status: &str| json!([format!("user:{status}"), {"userId": user, "username": user, "status": status, "lastSeen": "T"}]);

    // Bob joins, then Carol.
    assert_eq!(bob.join(CHAT).await, 1);
    assert_eq!(received_by(&hub, CHAT, [&mut bob]).await, [[room_joined(CHAT, 1), online_update(CHAT, &["bob"])]]);
    assert_eq!(carol.join(CHAT).await, 2);
    let both = online_update(CHAT, &["bob", "carol"]);
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol]).await;
    assert_eq!(received, [[user_joined("carol", CHAT, 2), both.clone()], [room_joined(CHAT, 2), both.clone()]]);
    assert_members(&mut bob, &["bob", "carol"]).await;
    assert_eq!(timeless(bob.presence_event().await), seen("carol", "online"));

    // Alice joins with three sessions; the first one is announced.
    let mut socket = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut polling = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    let mut raw = ChatClient::of(&hub, ChatTransport::Raw, "alice").await;
    let joined = json!({"success": true, "message": "Joined chat successfully", "roomInfo": room_info(CHAT, 3)});
    let chat = json!({"chatId": CHAT});
    assert_eq!(timeless(socket.request("join:chat", chat.clone()).await), joined);
    let three = online_update(CHAT, &["bob", "carol", "alice"]);
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, &mut socket, &mut polling, &mut raw]).await;
    let to_others = vec![user_joined("alice", CHAT, 3), three.clone()];
    let to_alice = vec![room_joined(CHAT, 3), three.clone()];
    assert_eq!(received, [to_others.clone(), to_others.clone(), to_alice, nothing(), nothing()]);

    assert_eq!(timeless(polling.request("join:chat", chat.clone()).await), joined);
    let subscribed = raw.request("Subscribe", json!({"topics": ["chat:general"]})).await;
    assert_eq!(subscribed["details"]["topics"], json!(["chat:general"]), "{subscribed}");
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, &mut socket, &mut polling, &mut raw]).await;
    assert_eq!(received, [nothing(), nothing(), nothing(), vec![room_joined(CHAT, 3)], nothing()]);
    assert_eq!(sessions(&hub, CHAT), json!({"alice": 3, "bob": 1, "carol": 1}));
    assert_members(&mut carol, &["bob", "carol", "alice"]).await;
    assert_eq!(timeless(bob.presence_event().await), seen("alice", "online"));

    // A second join is refused, for every way of joining.
    let refused = json!({"success": false, "message": "User already in this room", "code": "CONFLICT"});
    assert_eq!(socket.request("join:chat", chat.clone()).await, refused);
    assert_eq!(polling.request("join:chat", chat.clone()).await, refused);
    assert_eq!(raw.request("join:chat", chat.clone()).await["code"], "CONFLICT");

    // Two of the three sessions leave in different ways, and Alice stays a member.
    assert_eq!(socket.request("leave:chat", chat.clone()).await, json!({"success": true, "message": LEFT}));
    let unsubscribed = raw.request("Unsubscribe", json!({"topics": ["chat:general"]})).await;
    assert_eq!(unsubscribed["status"], "unsubscribed", "{unsubscribed}");
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, &mut socket, &mut polling, &mut raw]).await;
    assert_eq!(received, [nothing(), nothing(), vec![room_left(CHAT, LEFT, 3)], nothing(), nothing()]);
    let refused = json!({"success": false, "message": "User not in this room", "code": "FORBIDDEN"});
    assert_eq!(socket.request("leave:chat", chat.clone()).await, refused);
    assert_members(&mut socket, &["bob", "carol", "alice"]).await;

    // The last session leaves the namespace.
    polling.disconnect().await;
    settled(&hub, CHAT, json!({"bob": 1, "carol": 1})).await;
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, &mut socket, &mut raw]).await;
    let gone = vec![user_left("alice", CHAT, 2), both.clone()];
    assert_eq!(received, [gone.clone(), gone.clone(), nothing(), nothing()]);
    assert_members(&mut socket, &["bob", "carol"]).await;

    // Alice joins again with two sessions. Both connections are cut, one after the other.
    assert_eq!((raw.join(CHAT).await, socket.join(CHAT).await), (3, 3));
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol, &mut socket, &mut raw]).await;
    let to_raw = vec![room_joined(CHAT, 3), three];
    assert_eq!(received, [to_others.clone(), to_others, vec![room_joined(CHAT, 3)], to_raw]);
    socket.reset();
    settled(&hub, CHAT, json!({"alice": 1, "bob": 1, "carol": 1})).await;
    assert_eq!(received_by(&hub, CHAT, [&mut bob, &mut carol, &mut raw]).await, [nothing(), nothing(), nothing()]);
    raw.reset();
    settled(&hub, CHAT, json!({"bob": 1, "carol": 1})).await;
    assert_eq!(received_by(&hub, CHAT, [&mut bob, &mut carol]).await, [gone.clone(), gone]);
    assert_members(&mut bob, &["bob", "carol"]).await;
    // Her third session has ended, so the others receive `user:offline` now.
    assert_eq!(timeless(bob.presence_event().await), seen("alice", "offline"));

    // Bob, the first member, leaves; the others keep their order.
    let mut alice = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
    assert_eq!(alice.join(CHAT).await, 3);
    assert_eq!(bob.request("leave:chat", chat.clone()).await["success"], true);
    let _ = received_by(&hub, CHAT, [&mut alice, &mut bob, &mut carol]).await;
    assert_members(&mut bob, &["carol", "alice"]).await;
    assert_eq!(timeless(bob.presence_event().await), seen("alice", "online"));
    assert_eq!(bob.join(CHAT).await, 3);
    assert_members(&mut bob, &["carol", "alice", "bob"]).await;

    // All members leave, and the hub keeps nothing of them.
    assert_eq!(carol.request("leave:chat", chat.clone()).await["success"], true);
    assert_eq!(bob.take_presence_events(), nothing());
    bob.reset();
    assert_eq!(timeless(alice.presence_event().await), seen("bob", "offline"));
    alice.disconnect().await;
    settled(&hub, CHAT, json!({})).await;
    assert_members(&mut carol, &[]).await;
    assert_eq!((hub.metric("hubbub_rooms"), hub.metric("hubbub_suspended_sessions")), (0.0, 0.0));
}

#[tokio::test]
async fn joining_a_chat_and_joining_its_room_are_the_same() {
    let hub = Hub::with(&unlimited("[presence]\naudience = \"off\""));
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    let mut carol = ChatClient::of(&hub, ChatTransport::Polling, "carol").await;
    bob.join(CHAT).await;
    let room = json!({"room": "chat:general"});
    assert_eq!(carol.request("room:join", room.clone()).await["success"], true);
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol]).await;
    let both = online_update(CHAT, &["bob", "carol"]);
    let alone = online_update(CHAT, &["bob"]);
    let to_bob = vec![room_joined(CHAT, 1), alone.clone(), user_joined("carol", CHAT, 2), both.clone()];
    assert_eq!(received, [to_bob, vec![both]]);
    // Carol types and sends messages as a member.
    let chat = json!({"chatId": CHAT, "isTyping": true});
    assert_eq!(carol.request("message:typing", chat).await["success"], true);
    carol.send_message(CHAT, "hello").await;
    let [to_bob, to_carol] = received_by(&hub, CHAT, [&mut bob, &mut carol]).await;
    let typing = |typing: bool| {
        json!(["user:typing", {"userId": "carol", "username": "carol", "chatId": CHAT,
                                                       "isTyping": typing, "timestamp": "T"}])
    };
    assert_eq!((&to_bob[0], to_bob.len()), (&typing(true), 2), "{to_bob:?}");
    assert_eq!((&to_bob[1], &to_bob[1][0]), (&to_carol[0], &json!("message:new")));
    assert_eq!(to_carol[1][0], "message:sent", "{to_carol:?}");
    assert_eq!(carol.request("room:leave", room).await["success"], true);
    let received = received_by(&hub, CHAT, [&mut bob, &mut carol]).await;
    assert_eq!(received, [vec![typing(false), user_left("carol", CHAT, 1), alone], vec![]]);
}
