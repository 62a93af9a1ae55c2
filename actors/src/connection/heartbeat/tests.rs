//! The heartbeat: its times, and the reasons to close.

use std::rc::Rc;
use std::sync::Arc;

use super::super::tests::{connection_spec, session_table, text, waiting};
use super::*;
use crate::connection::{ConnectionSpec, SessionTable};

#[test]
fn silence_without_a_ping_ends_no_connection() {
    let session_table = session_table();
    let heartbeat = connection_spec().heartbeat.map(|heartbeat| Arc::new(Heartbeat { timeout_ms: 40, ..*heartbeat }));
    let connection = session_table.connect(ConnectionSpec { heartbeat, ..connection_spec() });
    // The check is too late for both: the ping is sent, and the client has half of the time to answer.
    assert_eq!((connection.check_heartbeat(50), connection.closed(), waiting(&connection).as_str()), (55, None, "?"));
    connection.note_pong(50);
    // A ping that is slightly late extends no deadline.
    assert_eq!((connection.check_heartbeat(82), connection.closed()), (90, None));
    assert_eq!((connection.check_heartbeat(89), connection.closed()), (90, None));
    assert_eq!((connection.check_heartbeat(90), connection.closed()), (i64::MAX, Some(Close::NoHeartbeat)));
}

#[test]
fn only_the_proof_of_life_breaks_the_silence() {
    let session_table = session_table();
    for (proof, closed) in [(ProofOfLife::AnyFrame, None), (ProofOfLife::Pong, Some(Close::NoHeartbeat))] {
        let heartbeat = connection_spec().heartbeat.map(|heartbeat| Arc::new(Heartbeat { proof, ..*heartbeat }));
        let connection = session_table.connect(ConnectionSpec { heartbeat, ..connection_spec() });
        connection.check_heartbeat(30);
        connection.note_activity(40);
        connection.check_heartbeat(60);
        assert_eq!(connection.closed(), closed, "{proof:?}");
    }
}

/// A connection that is more than half full, paused, and pinged at 30.
fn slow(session_table: &SessionTable) -> Rc<Connection> {
    let connection = session_table.connect(connection_spec());
    for _ in 0..4 {
        connection.send(text(&"x".repeat(15)));
    }
    assert!(!connection.is_under_half());
    connection.set_reads_paused(true, || 0);
    let _ = connection.check_heartbeat(30);
    connection
}

fn write(connection: &Connection, messages: usize) {
    connection.with_outbox(|outbox| outbox.advance(messages, 0));
}

#[test]
fn a_paused_connection_with_a_full_outbox_stays_open_only_while_its_client_reads() {
    let session_table = session_table();
    let (reading, stuck, free) = (slow(&session_table), slow(&session_table), slow(&session_table));
    reading.note_output_read();
    write(&free, 3);
    for connection in [&reading, &stuck, &free] {
        let _ = connection.check_heartbeat(90);
    }
    let closed = [&reading, &stuck, &free].map(|connection| connection.closed());
    assert_eq!(closed, [None, Some(Close::SlowConsumer), None]);
    assert_eq!(session_table.common.stats.slow_consumers.get(), 1);
    // The client read nothing since.
    let _ = (reading.check_heartbeat(120), reading.check_heartbeat(200));
    assert_eq!(reading.closed(), Some(Close::SlowConsumer));
}

#[test]
fn output_that_was_read_before_the_ping_and_polls_during_reads_do_not_count() {
    let session_table = session_table();
    let early = slow(&session_table);
    early.set_reads_paused(false, || 31);
    early.note_output_read();
    let _ = early.check_heartbeat(60);
    early.note_polled();
    let _ = early.check_heartbeat(120);
    assert_eq!(early.closed(), Some(Close::NoHeartbeat));
    let polling = slow(&session_table);
    polling.note_polled();
    let _ = polling.check_heartbeat(90);
    assert_eq!(polling.closed(), None);
}

#[test]
fn after_a_pause_the_client_has_the_whole_timeout() {
    let session_table = session_table();
    let again = slow(&session_table);
    write(&again, 4);
    again.set_reads_paused(false, || 89);
    let _ = (again.check_heartbeat(90), again.check_heartbeat(120));
    assert_eq!(again.closed(), None);
    let _ = (again.check_heartbeat(149), again.check_heartbeat(150));
    assert_eq!(again.closed(), Some(Close::NoHeartbeat));
}
