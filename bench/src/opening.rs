//! Connecting guests: the handshake, the welcome, the first request, its answer; a bounded number of them at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dialect::{Dialect, Heard, JOIN};
use crate::swarm::{Driver, Guest, Mail, Swarm};

/// Handshakes at once.
pub(crate) const OPENING: usize = 64;

/// How long all connections of a scenario may take to open.
const OPEN_TIME: Duration = Duration::from_secs(60);

/// How long nothing may happen before those who wait ask again: socketioxide loses what comes before its handlers stand.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Knocking,
    Joining,
    Ready,
}

struct Opening<'a> {
    first: usize,
    guests: &'a [Guest],
    stages: Vec<Stage>,
    ready: usize,
}

/// Connects the guests and subscribes those that want it. Says how many requests were lost and asked for again.
pub(crate) fn open(swarm: &mut Swarm, address: SocketAddr, guests: &[Guest]) -> Result<usize, String> {
    let deadline = Instant::now() + OPEN_TIME;
    let mut opening = Opening { first: swarm.len(), guests, stages: vec![Stage::Knocking; guests.len()], ready: 0 };
    let (mut lost, mut connected) = (0, 0);
    let (mut seen, mut moved) = (0, Instant::now());
    while opening.ready < guests.len() {
        while let Some(guest) = guests.get(connected)
            && connected - opening.ready < OPENING
        {
            swarm.connect(address, guest)?;
            if guest.dialect == Dialect::Http {
                opening.is_ready(connected);
            }
            connected += 1;
        }
        swarm.pump(Duration::from_millis(100), &mut opening)?;
        let now = Instant::now();
        if now > deadline {
            return Err(format!("only {} of {} connections opened", opening.ready, guests.len()));
        }
        if opening.ready != seen {
            (seen, moved) = (opening.ready, now);
        } else if now - moved > PATIENCE {
            moved = now;
            swarm.send(|mail| lost += opening.ask_again(mail))?;
        }
    }
    for (number, _) in guests.iter().enumerate().filter(|(_, guest)| guest.deaf) {
        swarm.deafen(opening.first + number);
    }
    Ok(lost)
}

impl Opening<'_> {
    fn is_ready(&mut self, number: usize) {
        if let Some(stage) = self.stages.get_mut(number).filter(|stage| **stage != Stage::Ready) {
            *stage = Stage::Ready;
            self.ready += 1;
        }
    }

    /// Joins, or asks something where there is nothing to join: who is answered is there for good.
    fn join(&mut self, number: usize, mail: &mut Mail) {
        if let (Some(guest), Some(stage)) = (self.guests.get(number), self.stages.get_mut(number)) {
            *stage = Stage::Joining;
            let Guest { dialect, topic, .. } = guest;
            let request = topic.as_ref().map_or_else(|| dialect.ask(JOIN), |topic| dialect.join(topic));
            mail.text(self.first + number, *dialect, request.as_bytes());
        }
    }

    fn ask_again(&mut self, mail: &mut Mail) -> usize {
        let joining = |(number, stage): (usize, &Stage)| (*stage == Stage::Joining).then_some(number);
        let joining: Vec<usize> = self.stages.iter().enumerate().filter_map(joining).collect();
        joining.iter().for_each(|&number| self.join(number, mail));
        joining.len()
    }
}

impl Driver for Opening<'_> {
    fn message(&mut self, who: usize, heard: Heard<'_>, _: Instant, mail: &mut Mail) -> Result<(), String> {
        let Some(number) = who.checked_sub(self.first) else { return Ok(()) };
        let guest = self.guests.get(number).ok_or("nobody is there")?;
        match heard {
            Heard::Opened => mail.text(who, guest.dialect, Dialect::sign_in(&guest.token).as_bytes()),
            Heard::Welcome(_) => self.join(number, mail),
            Heard::Answer(Some(JOIN), _) => self.is_ready(number),
            other => return Err(format!("unexpected at the start: {other:?}")),
        }
        Ok(())
    }
}
