//! Handlers for the application. Without an application the hub replies itself. Replies are unordered, so a slow
//! application delays nothing else.

use actix::fut::{ActorFutureExt, WrapFuture};
use serde_json::json;

use crate::application::{ApplicationFailure, ApplicationReply, ApplicationRequest, RequestBody};
use crate::events::application::{
    Action, ActionResult, ApplicationError, CustomEvent, Message, MessageAck, Response, Time,
};
use crate::events::json::{Entire, Json};
use crate::events::timestamp::Iso;
use crate::events::{ClientEvent, ServerEvent};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{MessageId, RequestId};
use crate::session::{Handle, Outcome, Session};

impl Session {
    /// Sends a request to the application, if there is one, and converts its result to the reply.
    fn ask_application<E, R>(
        &self,
        sent: RequestBody,
        request_id: RequestId,
        done: fn(RequestId, ApplicationReply) -> R,
        failed: fn(RequestId, ApplicationError) -> R,
    ) -> Result<Option<Outcome<R>>, Fault>
    where
        E: ClientEvent,
        R: ServerEvent,
    {
        let Some(application) = self.hub.application() else { return Ok(None) };
        self.check_unordered()?;
        let kind = sent.kind();
        let request = ApplicationRequest {
            user_id: self.identity()?.user.clone(),
            socket_id: self.handle.session(),
            event: E::NAME,
            sent,
            request_id,
            timestamp: Iso(self.now()),
        };
        let answer = application.ask(request).into_actor(self).map(move |answered, session, _| {
            Ok(match answered {
                Ok(answered) => done(request_id, answered),
                Err(ApplicationFailure { message, cause }) => {
                    let fault = Fault::new(Code::OutcomeUnknown, message).by("backend.url").caused_by(cause);
                    session.note_failed(E::NAME, request_id, kind.failure(), &fault);
                    failed(request_id, ApplicationError::of(kind.failure(), message))
                }
            })
        });
        Ok(Some(Outcome::Unordered(Box::pin(answer))))
    }

    /// Performs an action of the hub; `None` for an unknown action.
    fn act(&self, action: &Action) -> Result<Option<Json>, Fault> {
        let now = self.now();
        let identity = self.identity()?;
        Ok(Some(match action.action.as_str() {
            "echo" => action.params.clone().unwrap_or_else(Json::null),
            "time" => Json::of(&Time { iso: Iso(now), timestamp: now }),
            "whoami" => Json::of(&json!({
                "userId": identity.user,
                "name": identity.display_name(),
                "roles": identity.roles,
                "permissions": identity.permissions,
                "socketId": self.handle.session(),
            })),
            "rooms" => {
                let mut rooms: Vec<_> = self.rooms.keys().filter(|room| !room.is_internal()).collect();
                rooms.sort_unstable_by_key(|room| room.as_str());
                Json::of(&json!({ "rooms": rooms }))
            }
            _ => return Ok(None),
        }))
    }
}

impl Handle<Entire<CustomEvent>> for Session {
    fn handle(&mut self, event: Entire<CustomEvent>) -> Result<Outcome<Response>, Fault> {
        let request_id = RequestId::random();
        let done = |id, answered: ApplicationReply| Response::done(id, answered.data);
        let outcome = self.ask_application::<Entire<CustomEvent>, _>(
            RequestBody::Event(event.text),
            request_id,
            done,
            Response::failed,
        )?;
        let own = event.read.data;
        Ok(outcome.unwrap_or_else(|| Outcome::Reply(Response::done(request_id, own.unwrap_or_else(Json::null)))))
    }
}

impl Handle<Entire<Message>> for Session {
    fn handle(&mut self, message: Entire<Message>) -> Result<Outcome<MessageAck>, Fault> {
        let request_id = RequestId::random();
        let done = |id: RequestId, answered: ApplicationReply| {
            MessageAck::done(id, answered.message_id.unwrap_or_else(|| id.to_string()))
        };
        let sent = RequestBody::Message(message.text);
        let outcome = self.ask_application::<Entire<Message>, _>(sent, request_id, done, MessageAck::failed)?;
        Ok(outcome.unwrap_or_else(|| Outcome::Reply(MessageAck::done(request_id, MessageId::random().to_string()))))
    }
}

impl Handle<Entire<Action>> for Session {
    fn handle(&mut self, action: Entire<Action>) -> Result<Outcome<ActionResult>, Fault> {
        let request_id = RequestId::random();
        let done = |id, answered: ApplicationReply| ActionResult::done(id, answered.data);
        let sent = RequestBody::Action(action.text);
        if let Some(outcome) =
            self.ask_application::<Entire<Action>, _>(sent, request_id, done, ActionResult::failed)?
        {
            return Ok(outcome);
        }
        Ok(Outcome::Reply(match self.act(&action.read)? {
            Some(result) => ActionResult::done(request_id, result),
            None => {
                let fault = Fault::new(Code::NotFound, "There is no such action");
                let event = <Entire<Action> as ClientEvent>::NAME;
                self.note_failed(event, request_id, ApplicationError::UNKNOWN_ACTION, &fault);
                ActionResult::failed(request_id, ApplicationError::unknown_action(&action.read.action))
            }
        }))
    }
}
