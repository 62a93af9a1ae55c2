//! A wrong delivery fails the run, and latency starts when a message is due.

use super::*;

const SIZE: usize = 100;

fn delivery(room: usize, number: u64) -> String {
    let prefix = payload_prefix(room, number);
    format!(r#"{{"payload":"{prefix}{}@"}}"#, "x".repeat(SIZE - prefix.len() - 1))
}

fn ack(recipients: usize) -> String {
    format!(r#"{{"message_id":"m","recipients":{recipients}}}"#)
}

fn plan() -> RoomPlan {
    RoomPlan { publisher: 2, protocol: Protocol::Raw, members: vec![0, 1], stops_reading: None }
}

fn receive(load: &mut Broadcasts, index: usize, text: &str, now: Instant) -> Result<(), String> {
    let text = text.as_bytes();
    let message = if index == 2 && position(text, b"recipients").is_some() {
        ServerMessage::Reply(None, text)
    } else {
        ServerMessage::Delivery(text)
    };
    load.message(index, message, now, &mut Outgoing::default())
}

#[test]
fn a_lost_duplicate_or_wrong_message_fails_the_run() {
    let now = Instant::now();
    let fresh = || {
        let mut load = Broadcasts::new(vec![plan()], PublishRate::InFlight(1), SIZE);
        load.start(now, &mut Outgoing::default());
        load
    };
    let mut load = fresh();
    for (index, text) in [(0, delivery(0, 0)), (2, ack(2)), (1, delivery(0, 0)), (1, delivery(0, 1))] {
        receive(&mut load, index, &text, now).unwrap();
    }
    assert!(!load.is_settled() && load.verify().is_err());
    load.stop();
    for (index, text) in [(0, delivery(0, 1)), (2, ack(2))] {
        receive(&mut load, index, &text, now).unwrap();
    }
    assert!(load.is_settled() && load.verify().is_ok());
    for (index, text) in [(0, delivery(0, 1)), (0, delivery(1, 0)), (2, delivery(0, 0)), (2, ack(1)), (2, ack(20))] {
        assert!(receive(&mut fresh(), index, &text, now).is_err(), "{text}");
    }
    let answer = ServerMessage::Reply(Some(request(1)), b"\"recipients\":2");
    assert!(fresh().message(2, answer, now, &mut Outgoing::default()).is_err(), "the reply to another request");
}

#[test]
fn a_publisher_in_its_own_room_does_not_receive_its_messages() {
    let now = Instant::now();
    let mut load = Broadcasts::new(vec![RoomPlan { members: vec![0, 1, 2], ..plan() }], PublishRate::InFlight(1), SIZE);
    load.start(now, &mut Outgoing::default());
    assert!(receive(&mut load, 2, &delivery(0, 0), now).is_err());
    for (index, text) in [(0, delivery(0, 0)), (2, ack(2)), (1, delivery(0, 0))] {
        receive(&mut load, index, &text, now).unwrap();
    }
}

#[test]
fn a_member_that_reads_nothing_delays_no_message_and_can_be_disconnected() {
    let now = Instant::now();
    let plan = RoomPlan { stops_reading: Some(1), ..plan() };
    let mut load = Broadcasts::new(vec![plan], PublishRate::InFlight(1), SIZE);
    load.start(now, &mut Outgoing::default());
    for (index, text) in [(0, delivery(0, 0)), (2, ack(2)), (0, delivery(0, 1)), (2, ack(1))] {
        receive(&mut load, index, &text, now).unwrap();
    }
    assert_eq!(load.delivered(), 2);
}

#[test]
fn the_latency_of_a_late_message_starts_when_it_was_due() {
    let start = Instant::now();
    let mut load = Broadcasts::new(vec![plan()], PublishRate::PerSecond(50), SIZE);
    load.start(start, &mut Outgoing::default());
    // The generator paused for the time of three messages. It sends all three, each with its own delay.
    let late = start + Duration::from_millis(45);
    load.tick(late, &mut Outgoing::default()).unwrap();
    assert_eq!((load.rooms[0].sent, load.due()), (3, Some(start + Duration::from_millis(60))));
    for number in 0..3 {
        receive(&mut load, 0, &delivery(0, number), late).unwrap();
    }
    let quantiles = [0.3, 0.6, 1.0].map(|share| load.latency.quantile(share).round());
    assert_eq!(quantiles, [5.0, 25.0, 45.0]);
}
