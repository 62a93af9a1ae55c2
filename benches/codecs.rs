//! The codecs of the surfaces: from a client's message to a request, and from an event to its frame. A publication pays the
//! second once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed bench panics")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubbub::codec::namespace::{self, ROOT};
use hubbub::codec::raw::{self, RAW};
use hubbub::codec::socketio::{self, Whole};
use hubbub_actors::model::ids::{EventName, RoomName};
use hubbub_actors::publication::{Encoder, Event, Offset};
use hubbub_actors::session::Inbound;

/// A client's broadcast, on the raw surface and on Socket.IO.
fn broadcast(payload: usize) -> (Bytes, Bytes) {
    let data = format!(r#"{{"topic":"lobby","payload":"{}"}}"#, "x".repeat(payload));
    let raw = format!(r#"{{"type":"Broadcast","data":{data},"id":7}}"#);
    (raw.into(), format!(r#"27["Broadcast",{data}]"#).into())
}

fn socket_io(text: Bytes) -> Inbound {
    match socketio::decode(text) {
        Ok(packet) => namespace::request(Whole { packet, attachments: Vec::new() }),
        Err(_) => Inbound::Closing,
    }
}

/// Asserts that the message is a valid request, so that the bench measures no error path.
fn assert_decoded(inbound: &Inbound) {
    let Inbound::Request(request) = inbound else { panic!("{inbound:?}") };
    assert_eq!(&*request.event, "Broadcast");
}

fn decode(criterion: &mut Criterion) {
    for size in [100, 4_096] {
        let (raw, packet) = broadcast(size);
        assert_decoded(&raw::decode(raw.clone()));
        assert_decoded(&socket_io(packet.clone()));
        let mut group = criterion.benchmark_group(format!("decode/{size}"));
        group.throughput(Throughput::Bytes(raw.len() as u64));
        group.bench_function("raw", |bencher| bencher.iter(|| raw::decode(black_box(raw.clone()))));
        group.throughput(Throughput::Bytes(packet.len() as u64));
        group.bench_function("socket.io", |bencher| bencher.iter(|| socket_io(black_box(packet.clone()))));
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    for size in [100, 4_096] {
        let data = Bytes::from(format!(r#"{{"text":"{}"}}"#, "x".repeat(size)));
        let (name, room) = (EventName::parse("greeting", "event").unwrap(), RoomName::parse("lobby", "room").unwrap());
        let event = Event { name, topic: Some(room), data, timestamp: 1_795_217_905_590, offset: Some(42) };
        let mut group = criterion.benchmark_group(format!("encode/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("raw", |bencher| bencher.iter(|| RAW.event(black_box(&event), Offset::NONE)));
        group.bench_function("socket.io", |bencher| bencher.iter(|| ROOT.event(black_box(&event), Offset::NONE)));
        group.finish();
    }
}

criterion_group!(codecs, decode, encode);
criterion_main!(codecs);
