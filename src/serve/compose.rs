//! Builds the hub and the state around it from the configuration and an open store.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hubbub_actors::application::Application;
use hubbub_actors::hub::{Authenticator, Hub, Settings};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::Store;

use super::{ServeError, settings};
use crate::accounts::Accounts;
use crate::config::Config;
use crate::policies::Policies;
use crate::state::{self, SharedState};

/// Starts the hub on `store`, and builds the policies, accounts and caches of the edge.
pub(super) async fn assemble(config: &Arc<Config>, store: &Store, clock: Clock) -> Result<SharedState, ServeError> {
    let config_error =
        |what: &dyn fmt::Display, fault: &dyn fmt::Display| ServeError::Config(format!("{what}: {fault}"));
    let revoked = Revoked::new(config.auth.token_life_ms());
    let revocations = revoked.clone();
    let tokens = state::tokens(&config.auth).map_err(ServeError::Config)?;
    let tokens = Arc::new(tokens.with_check(Arc::new(move |identity| revocations.check(identity))));
    let settings = Settings { clock, ..settings::of(config) };
    let backend = state::backend(&config.backend).map_err(ServeError::Config)?;
    let application = backend.clone().map(|backend| -> Arc<dyn Application> { backend });
    let policies = Policies::new(config.clone(), tokens.clone(), backend);
    let current = Arc::new(ArcSwap::from_pointee(policies.map_err(|error| ServeError::Config(error.to_string()))?));
    let authenticator = SessionAuthenticator { current: current.clone(), clock: settings.clock.clone() };
    let hub = Hub::start(settings, Arc::new(authenticator), application, store.clone(), revoked);

    let unreadable = |fault| config_error(&store.path().display(), &fault);
    let chats = config.chats.iter().map(|chat| chat.made(hub.clock().now_ms()));
    let chats: Vec<_> = chats.collect::<Result<_, _>>().map_err(|fault| config_error(&"[[chats]]", &fault))?;
    hub.open(chats.clone()).await.map_err(unreadable)?;
    let (following, opening) = (hub.clone(), hub.clone());
    actix_rt::spawn(async move { following.follow_store().await });

    let alive = hub.clone();
    tokens.start(move || alive.report_dead("token-keys"));
    let accounts = Accounts::new(store.clone(), &config.auth)?.with_revocations(hub.revoked().clone());
    let state = SharedState::new(hub, current, accounts);
    state.open_once().await.map_err(unreadable)?;
    actix_rt::spawn(async move { opening.open_late(chats).await });
    Ok(state)
}

/// Checks the tokens that a connected session sends, by the same rules as the token of its handshake.
struct SessionAuthenticator {
    current: Arc<ArcSwap<Policies>>,
    clock: Clock,
}

impl Authenticator for SessionAuthenticator {
    fn authenticate(&self, token: String) -> Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        let (policies, now) = (self.current.load_full(), self.clock.now_ms());
        Box::pin(async move {
            let identity = policies.tokens.verify(&token, now).await?;
            identity.require(&policies.config.auth.required_permissions)?;
            Ok(identity)
        })
    }
}
