//! How publications and announcements reach the members on one worker.

use super::*;
use crate::connection::ConnectionSpec;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::tests::{sole, text, written};
use crate::model::ids::{EventName, UserId};
use crate::publication::{Correlation, Encoder, Event, EventError, Format, Offset, Payload};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;

/// Encodes an event as its name.
#[derive(Debug)]
pub(super) struct NameEncoder;

impl Encoder for NameEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        Surface::Raw
    }

    fn event(&self, event: &Event, _: Offset) -> Payload {
        text(event.name.as_str())
    }

    fn answer(&self, name: &str, _: &[u8], _: &Correlation, _: i64) -> Payload {
        text(name)
    }

    fn acknowledgement(&self, _: Option<&[u8]>, _: &bytes::Bytes, _: i64) -> Payload {
        text("")
    }

    fn refusal(&self, _: &EventError<'_>, _: i64) -> Option<Payload> {
        None
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id, "user").unwrap()
}

fn rooms(names: &[&str]) -> Vec<RoomName> {
    names.iter().map(|name| RoomName::parse(name, "room").unwrap()).collect()
}

fn fanout() -> Fanout {
    Fanout::new(Rc::new(SessionTable::new(0, Arc::new(Stats::default()), Clock::manual(0))))
}

fn handle(fanout: &mut Fanout, names: &[&str], listens_as: Option<(&str, Surface)>) -> Rc<SessionHandle> {
    let bound = OutboxCapacity { bytes: 100, entries: 10 };
    let handle = sole(&fanout.session_table, &NameEncoder, ConnectionSpec { bound, heartbeat: None, elapsed: 0 });
    handle.set_presence_listener(listens_as.map(|(own, surface)| (user(own), surface)));
    for room in rooms(names) {
        fanout.rooms.entry(room).or_default().insert(handle.addr().slot, handle.clone());
    }
    handle
}

/// Writes everything. Returns the values of the marks, and the messages.
fn write_all(handle: &SessionHandle) -> (Option<u64>, String) {
    let messages = written(handle);
    (handle.connection().unwrap().with_outbox(|outbox| outbox.advance(outbox.messages().count(), 0)), messages)
}

fn received(handle: &SessionHandle) -> String {
    write_all(handle).1
}

fn publication(name: &'static str) -> Publication {
    let name = EventName::of_hub(name);
    Publication::new(Event { name, topic: None, data: bytes::Bytes::new(), timestamp: 0, offset: None })
}

#[test]
fn a_listener_receives_an_announcement_once_in_the_form_of_its_surface() {
    let mut fanout = fanout();
    let chat = handle(&mut fanout, &["a", "b", "c"], Some(("x", Surface::Chat)));
    let root = handle(&mut fanout, &["a", "b"], Some(("y", Surface::Root)));
    let own = handle(&mut fanout, &["a"], Some(("z", Surface::Chat)));
    let knows = handle(&mut fanout, &["b", "d"], Some(("w", Surface::Raw)));
    let silent = handle(&mut fanout, &["c"], None);
    let announcement = |except: Option<&str>, plain: Option<&'static str>| Announcement {
        except: except.map(user),
        plain: plain.map(publication),
        chat: publication("chat"),
        rooms: rooms(&["a", "b", "c"]),
        known_in: rooms(&["d"]),
    };
    let all = |handles: [&Rc<SessionHandle>; 5]| handles.map(|handle| received(handle));
    let handles = [&chat, &root, &own, &knows, &silent];

    let AnnouncementReach { deliveries, examined } = fanout.announce(&announcement(Some("z"), Some("plain")));
    assert_eq!((deliveries, examined, all(handles)), (2, 8, ["chat", "plain", "", "", ""].map(String::from)));
    let AnnouncementReach { deliveries, examined } = fanout.announce(&announcement(None, None));
    assert_eq!((deliveries, examined, all(handles)), (2, 8, ["chat", "", "chat", "", ""].map(String::from)));
}

#[test]
fn a_sample_of_live_deliveries_is_marked_but_no_replayed_delivery() {
    let mut fanout = fanout();
    let handles: Vec<_> = (0..64).map(|_| handle(&mut fanout, &["a"], None)).collect();
    let marked = || handles.iter().filter_map(|handle| write_all(handle).0).collect::<Vec<_>>();
    let delivered = Arc::new(publication("news").with_accepted_us(7));
    let room = RoomName::parse("a", "room").unwrap();
    fanout.deliver(&Deliver { room: room.clone(), publication: delivered.clone(), except: None });
    assert_eq!(marked(), [7; 64 / 16]);
    assert!(handles.iter().all(|handle| fanout.replay(handle, &room, std::slice::from_ref(&delivered))));
    assert!(marked().is_empty());
    fanout.deliver(&Deliver { room, publication: Arc::new(publication("news")), except: None });
    assert!(marked().is_empty(), "without an acceptance time");
}

#[test]
fn only_listeners_are_examined_where_they_are_fewer_than_members() {
    let mut fanout = fanout();
    let listener = handle(&mut fanout, &["$all"], Some(("x", Surface::Raw)));
    let elsewhere = handle(&mut fanout, &["a"], Some(("y", Surface::Raw)));
    let gone = handle(&mut fanout, &["$all"], Some(("z", Surface::Raw)));
    let silent: Vec<_> = (0..9).map(|_| handle(&mut fanout, &["$all"], None)).collect();
    fanout.session_table.release(gone.addr().slot);
    silent[0].set_presence_listener(Some((user("d"), Surface::Raw)));
    silent[0].set_presence_listener(None);

    let announcement = Announcement {
        except: None,
        plain: Some(publication("came")),
        chat: publication("chat"),
        rooms: Vec::new(),
        known_in: Vec::new(),
    };
    let AnnouncementReach { deliveries, examined } = fanout.announce(&announcement);
    assert_eq!((deliveries, examined), (1, 2));
    assert_eq!(
        (received(&listener), received(&elsewhere), received(&silent[0])),
        ("came".into(), String::new(), String::new())
    );
}
