//! The table of cases. Each row is a test of its name: a configuration, the transports, and the steps that
//! [`script`](super::script) runs.

use super::script::{CutKind, OtherClient, RecoveryStep, Transports, WrongToken, run};
use CutKind::{Disconnected, PollAborted, Silent, StillOpen, Suspended, Unobserved};
use RecoveryStep::*;

use crate::support::SioTransport::{Polling, WebSocket};

const ALL: [Transports; 4] = [(WebSocket, WebSocket), (WebSocket, Polling), (Polling, WebSocket), (Polling, Polling)];
/// The client returns on the transport that it had.
const SAME: [Transports; 2] = [(Polling, Polling), (WebSocket, WebSocket)];
const BY_WEBSOCKET: [Transports; 1] = [(WebSocket, WebSocket)];
const TO_WEBSOCKET: [Transports; 2] = [(Polling, WebSocket), (WebSocket, WebSocket)];
const BY_POLLING: [Transports; 1] = [(Polling, Polling)];

const SUSPENDED: &str = "hubbub_suspended_sessions";
const SUSPENDED_MESSAGES: &str = "hubbub_buffered_messages";

macro_rules! cases {
    ($($name:ident: $config:literal, $transports:ident, $steps:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                run($config, &$transports, &$steps).await;
            }
        )*
    };
}

// Missed events.
cases! {
    a_session_resumes_with_all_missed_events_in_order_and_then_live_ones: "", ALL, [
        Connect, Join("one"), Join("other"), Join("none of these"), Each(0), Receive,
        Cut(Suspended), Each(10), Room("elsewhere", 1), OtherUser(1), Resume, Receive, Each(20), Receive,
        Cut(Suspended), Resume, Receive,
    ];
    a_session_resumes_after_the_connection_of_its_poll_ends: "socketio.ping_interval_ms = 120000", BY_POLLING, [
        Connect, Join("one"), Cut(PollAborted), Room("one", 1), User(2), Resume, Receive,
    ];
    events_that_were_written_and_not_read_are_sent_again: "", TO_WEBSOCKET, [
        Connect, Join("one"), Each(0), Receive,
        StartPoll, Room("one", 0), Room("one", 1), Room("one", 2), LoseReply,
        Cut(Suspended), Room("one", 3), Resume, Receive,
    ];
    a_session_resumes_while_its_old_connection_looks_alive: "", SAME, [
        Connect, Join("one"), Room("one", 0), Receive, Room("one", 1), Cut(StillOpen), Resume, Receive,
        Room("one", 2), Receive,
    ];
    a_session_without_an_offset_resumes_while_its_old_connection_looks_alive: "", SAME, [
        Connect, Join("one"), Room("one", 1), Cut(StillOpen), Resume, Receive,
    ];
    a_session_resumes_after_its_heartbeat_timed_out:
        "socketio.ping_interval_ms = 200\nsocketio.ping_timeout_ms = 1000", SAME, [
        Connect, Join("one"), Room("one", 0), Room("one", 1), Room("one", 2), Cut(Silent),
        Room("one", 3), Resume, Receive,
    ];
    a_session_resumes_only_if_the_missed_events_fit_in_half_an_outbox: "limits.outbox_bytes = 100000", SAME, [
        Connect, Join("one"), Cut(Suspended), Many(4, 10_000), Resume, Receive, Many(3, 10_000), Receive,
        Cut(Suspended), Many(30, 10_000), FailToResume, Receive,
    ];
    a_session_resumes_after_it_missed_as_many_events_as_the_queue_holds: "recovery.queue = 20", SAME, [
        Connect, Join("one"), Cut(Suspended), Many(20, 0), Metric(SUSPENDED_MESSAGES, 20.0), Resume, Receive,
        Many(3, 0), Receive, Cut(Suspended), Many(20, 0), Metric(SUSPENDED_MESSAGES, 20.0), Resume, Receive,
    ];
    a_session_ends_after_it_missed_one_event_more_than_the_queue_holds: "recovery.queue = 20", SAME, [
        Connect, Join("one"), Cut(Suspended), Many(21, 0), Metric(SUSPENDED_MESSAGES, 20.0), FailToResume, Receive,
        Join("one"), Many(3, 0), Receive, Cut(Suspended), Many(21, 0), Metric(SUSPENDED_MESSAGES, 20.0),
        FailToResume, Receive,
    ];
    without_a_queue_only_a_session_that_missed_nothing_resumes: "recovery.queue = 0", BY_WEBSOCKET, [
        Connect, Join("one"), Room("one", 1), Receive, Cut(Suspended), Resume,
        Cut(Suspended), Room("one", 2), FailToResume,
    ];
}

// Sessions that end.
cases! {
    a_session_ends_when_its_client_disconnects: "", SAME, [
        Connect, Join("one"), Cut(Disconnected), Room("one", 1), FailToResume, HasNewSid, Receive,
    ];
    a_suspended_session_ends_when_the_recovery_window_has_passed: "recovery.window_secs = 1", SAME, [
        Connect, Join("one"), Cut(Unobserved), WaitUntilEmpty, FailToResume, HasNewSid, Room("one", 1), Receive,
    ];
    a_connected_session_ends_when_the_application_disconnects_its_user: "", SAME, [
        Connect, Join("one"), Kick, FailToResume, Room("one", 1), Receive,
    ];
    a_suspended_session_ends_when_the_application_disconnects_its_user: "", SAME, [
        Connect, Join("one"), Cut(Suspended), Kick, FailToResume, Room("one", 1), Receive,
    ];
}

// Credentials.
cases! {
    a_suspended_session_is_resumed_by_its_own_user_alone: "", SAME, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1), OtherFails(OtherClient::Bob), OtherFails(OtherClient::Guest),
        ResumeAtAttempt(3), Receive,
    ];
    a_connected_session_is_not_ended_by_another_client_that_names_it: "", BY_WEBSOCKET, [
        Connect, Join("one"), OtherFails(OtherClient::Bob), OtherFails(OtherClient::Guest), Room("one", 1), Receive,
    ];
    a_reconnect_status_counts_the_attempts_since_the_cut: "auth.leeway_secs = 0", SAME, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1),
        Refused(WrongToken::Garbage, "INVALID_TOKEN"), Refused(WrongToken::Expired, "TOKEN_EXPIRED"),
        ResumeAtAttempt(3), Receive, Cut(Suspended), Resume,
    ];
    a_client_with_a_new_session_resumes_it_though_its_offset_is_older: "", SAME, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1), UsePid("another"), UseOffset("77"), FailToResume,
        Join("two"), Cut(Suspended), OffsetIs("77"), Room("two", 1), Resume, Receive, Kick,
    ];
    a_client_that_named_a_wrong_offset_resumes_its_next_session: "", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1), UseOffset("77"), FailToResume,
        Join("two"), Cut(Suspended), Room("two", 1), Resume, Receive,
    ];
}

/// Offsets that the hub never sent: the client gets a new session, which is in no room.
#[tokio::test]
async fn a_session_does_not_resume_at_an_offset_that_was_never_sent() {
    for offset in ["1", "no number", "", "ffffffffffffffff", "-1", "0", "1.1", "0.1", "1.", ".1", "1.1.1"] {
        let steps = [
            Connect,
            Join("one"),
            Room("one", 1),
            Receive,
            Cut(Suspended),
            Room("one", 2),
            UseOffset(offset),
            FailToResume,
            Room("one", 3),
            Receive,
        ];
        run("", &BY_WEBSOCKET, &steps).await;
    }
}

// Guests that authenticated.
cases! {
    an_authenticated_guest_resumes_as_its_user: "", SAME, [
        ConnectAsGuest, Authenticate, Join("one"), Room("one", 0), Receive,
        Cut(Suspended), Room("one", 1), User(1), All(1), Resume, Receive, Join("another"), IsAlice,
        Cut(Suspended), Room("one", 2), User(2), All(2), Resume, Receive, Join("another"), IsAlice,
    ];
    a_guest_that_sends_its_token_on_return_needs_it_from_then_on: "", BY_WEBSOCKET, [
        ConnectAsGuest, Authenticate, Cut(Suspended), User(1), OtherFails(OtherClient::Bob),
        UseToken, ResumeAtAttempt(2), Receive, Cut(Suspended), OtherFails(OtherClient::Guest), ResumeAtAttempt(2),
    ];
}

/// A cut with events missed before a stop of the hub, between two stops, and after the last start.
const OVER_TWO_RESTARTS: [RecoveryStep; 13] = [
    Each(0),
    Receive,
    Cut(Suspended),
    Each(10),
    Restart,
    Metric(SUSPENDED, 1.0),
    Each(20),
    Restart,
    Metric(SUSPENDED, 1.0),
    Each(30),
    UseToken,
    Resume,
    Receive,
];
const ALTERNATING: [Transports; 1] = [(WebSocket, Polling)];

// Restarts of the hub.
cases! {
    events_that_were_missed_before_and_after_restarts_come_once_and_in_order: "", ALTERNATING, [
        &[Connect, Join("one"), Join("other")][..], &OVER_TWO_RESTARTS, &OVER_TWO_RESTARTS, &OVER_TWO_RESTARTS,
        &[Each(40), Receive],
    ].concat();
    an_authenticated_guest_resumes_as_its_user_after_a_restart: "", BY_WEBSOCKET, [
        ConnectAsGuest, Authenticate, Join("one"), Cut(Suspended), Room("one", 1), Restart,
        Room("one", 2), Resume, Receive,
    ];
    the_count_of_attempts_survives_a_restart: "recovery.queue = 5", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Suspended), OtherFails(OtherClient::Bob), Many(3, 0), Restart, Many(2, 0),
        ResumeAtAttempt(2), Receive,
    ];
    the_count_of_missed_events_survives_a_restart: "recovery.queue = 5", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Suspended), Many(3, 0), Restart, Many(3, 0), FailToResume,
    ];
    a_suspended_session_ends_in_a_crash: "", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1), Crash, WaitUntilEmpty, FailToResume, Receive,
    ];
    a_suspended_session_ends_when_the_recovery_window_passes_over_a_restart: "recovery.window_secs = 1", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Unobserved), Room("one", 1), Restart, WaitUntilEmpty, FailToResume, Receive,
    ];
    a_session_that_was_stored_at_an_earlier_stop_ends_in_a_crash: "", BY_WEBSOCKET, [
        Connect, Join("one"), Cut(Suspended), Room("one", 1), Restart, Metric(SUSPENDED, 1.0), Crash, FailToResume,
    ];
}
