//! Sessions of a hub with one worker, through [`crate::testkit`].

mod application;
mod chats;
mod debug;
mod guests;
mod history;
mod idempotent_publish;
mod lag;
mod limits;
mod monitoring;
mod presence_changes;
mod publication_order;
mod publishing;
mod recovery_model;
mod restart;
mod room_counts;
mod settings_reload;
mod slow_store;
mod surfaces;
mod typing;
mod unread_notifications;

use std::pin::Pin;
use std::time::Duration;

use actix_rt::time::{sleep, timeout};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::application::Application;
use crate::connection::outbox::OutboxCapacity;
use crate::hub::{ChatPerMinute, MessagesPerMinute, PublishTarget, Settings};
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{ChatId, EventName, UserId};
use crate::model::topic_pattern::Pattern;
use crate::presence;
use crate::publication::{Event, EventError, Format, Payload};
use crate::rooms::rules::{AccessRule, TopicRule};
use crate::runtime::clock::Expiry;
use crate::store::{Chat, Revocation};
use crate::testkit::{
    AT_ONCE, DEADLINE, GRACE_MS, LineEncoder, TestClient, TestHub, identity, session_start, wait_until,
};
