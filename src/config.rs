//! The configuration: one struct for each `[section]`, with the unit and the default of every key in one place. The bounds are
//! in [`check`].
//!
//! This module owns the keys, not their use. [`source`] reads the values and names the place of an error; [`check`]
//! refuses invalid values; [`secrets`] creates the secrets of the first start.

pub mod check;
pub mod diff;
mod duplicate;
mod expiry;
pub mod keys;
mod nearest;
mod positions;
mod read;
pub mod reference;
mod rules;
mod secret;
pub mod secrets;
pub mod source;
pub mod topic_rules;
pub mod warnings;

use std::path::PathBuf;

use hubbub_actors::limits::traffic::TrafficRule;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::{ChatId, UserId};
use hubbub_actors::store;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use crate::auth::scope::Scope;
pub use crate::logging::LogFormat;
pub use expiry::KeyExpiry;
pub use hubbub_actors::rooms::rules::AccessRule;
use keys::documented;
pub use rules::{Algorithm, AudienceSetting, Offsets, TopicRuleEntry};
pub use secret::Secret;
pub use source::{ConfigError, Flag, Sources};

/// A section: its struct, and the default next to the documentation of each key.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        $name:ident {
            $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])? $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        documented! {
            $(#[$attribute])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $field: $type,)*
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

section! {
    /// The whole configuration, with the built-in defaults.
    Config {
        /// `[server]`: addresses, connections, timeouts and shutdown.
        server: Server = Server::default(),
        /// `[auth]`: how tokens are verified and signed.
        auth: Auth = Auth::default(),
        /// `[api]`: the keys of the push API.
        api: Api = Api::default(),
        /// `[backend]`: the application that answers the messages of clients.
        backend: Backend = Backend::default(),
        /// `[socketio]`: intervals and bounds of Engine.IO.
        socketio: SocketIo = SocketIo::default(),
        /// `[recovery]`: the publications kept for sessions that recover.
        recovery: Recovery = Recovery::default(),
        /// `[[topics]]`: the access rules of topics; the first rule with a matching pattern applies. A topic without a
        /// matching rule is refused. A list in the file replaces the built-in rule for `*`.
        topics: Vec<TopicRuleEntry> = vec![TopicRuleEntry::any()],
        /// `[chat]`: the `/chat` surface.
        chat: Chat = Chat::default(),
        /// `[[chats]]`: chats that a start creates if they do not exist.
        chats: Vec<ChatRoom> = vec![ChatRoom::general()],
        /// `[presence]`: which clients receive presence changes.
        presence: Presence = Presence::default(),
        /// `[limits]`: rates and sizes.
        limits: Limits = Limits::default(),
        /// `[log]`: level and format of the log.
        log: Log = Log::default(),
        /// `[debug]`: access to debug information.
        debug: Debug = Debug::default(),
        /// `[cluster]`: how several hubs work together.
        cluster: Cluster = Cluster::default(),
    }
}

section! {
    /// `[server]`.
    Server {
        /// The address or host name to listen on. Default `127.0.0.1`.
        host: String = "127.0.0.1".into(),
        /// The TCP port; 0 lets the system choose. Default 8081.
        port: u16 = 8081,
        /// Worker threads; 0 starts one for each core. Default 0.
        workers: usize = 0,
        /// Connections at once; the next one is answered with 503. Default 10000.
        max_connections: usize = 10_000,
        /// Bytes of one assembled message; a longer one closes the connection with 1009. Default 65536.
        max_frame_size: usize = 65_536,
        /// Seconds between two WebSocket pings. Default 30.
        heartbeat_interval_secs: u32 = 30,
        /// Seconds of silence after which a connection is closed; more than `server.heartbeat_interval_secs`. Default 60.
        client_timeout_secs: u32 = 60,
        /// The directory for secrets and the store, relative to the working directory. Default `data`.
        data_dir: PathBuf = "data".into(),
        /// Origins that browsers may connect from: `scheme://host[:port]`, `null`, `file://`, or `*` for all. Empty:
        /// the same host only. Default empty.
        allowed_origins: Vec<String> = Vec::new(),
        /// Whether pages of listed origins may send cookies (`withCredentials`), except `null` and `file://`. Default
        /// false.
        allow_credentials: bool = false,
        /// Names and addresses accepted in `Host`, without a port, up to 256. Health checks may use any address.
        /// Default empty: any.
        hosts: Vec<String> = Vec::new(),
        /// The path prefix of all routes, like `/hub`, up to 256 bytes. Default empty.
        base_path: String = String::new(),
        /// Addresses or CIDR blocks of proxies with a trusted `X-Forwarded-For`. Default empty.
        #[serde(deserialize_with = "rules::blocks")]
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Longest shutdown in seconds. Default 15.
        shutdown_secs: u32 = 15,
        /// Sessions a second that a shutdown closes with a request to reconnect; 0 closes all at once.
        /// The rate rises if `server.shutdown_secs` is too short for it. Default 2000.
        drain_per_sec: u32 = 2_000,
        /// Bytes of a request's body; a longer one is answered with 413. Default 1048576.
        max_body: usize = 1_048_576,
        /// Seconds that the head of a request may take. Default 5.
        head_secs: u32 = 5,
        /// Seconds that the body of a request may take. Default 30.
        body_secs: u32 = 30,
        /// The environment that `/`, `/status` and `system:welcome` report: 1 to 64 printable characters. Default
        /// `production`.
        environment: String = "production".into(),
    }
}

impl Server {
    /// [`Self::host`] and [`Self::port`] as in a URL, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The number of worker threads: the configured number, or one for each core.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }
}

section! {
    /// `[auth]`.
    Auth {
        /// The secret for HS256, HS384 and HS512, at least 16 bytes. Default none: the first start
        /// creates one in `server.data_dir`.
        jwt_secret: Option<Secret> = None,
        /// The only algorithm accepted in tokens. All except HS* need `auth.public_key_file` or `auth.jwks`.
        /// Default `HS256`.
        algorithm: Algorithm = Algorithm::Hs256,
        /// A PEM file with the public key for RS*, PS*, ES* or Ed25519, read at the start and at a reload, relative to
        /// the working directory. Default none.
        public_key_file: Option<PathBuf> = None,
        /// A file or an `http(s)` URL with a JWKS. The file is read again when it changes. The URL is requested again
        /// every 10 minutes, and for an unknown `kid`. Default none.
        jwks: Option<String> = None,
        /// Whether a token must have an `exp`. Default true.
        require_exp: bool = true,
        /// Allowed difference between clocks in seconds. Default 5.
        leeway_secs: u32 = 5,
        /// Seconds that a Socket.IO client has to authenticate. Default 10.
        grace_secs: u32 = 10,
        /// Accepted values of a JWT's `iss`: 1 to 16 texts of at most 1024 characters, or a single text. Tokens that
        /// the hub signs contain the first. Default none: `iss` is not checked.
        #[serde(deserialize_with = "rules::one_or_several")]
        issuer: Vec<String> = Vec::new(),
        /// Accepted values of a JWT's `aud`, which may be a list with one of them; the same bounds. Default none: `aud`
        /// is not checked.
        #[serde(deserialize_with = "rules::one_or_several")]
        audience: Vec<String> = Vec::new(),
        /// Permissions that a token needs to connect; all of them are required. Default none.
        required_permissions: Vec<String> = Vec::new(),
        /// Seconds that an access token signed by the hub is valid. Default 3600.
        access_ttl_secs: u32 = 3_600,
        /// Seconds that a refresh token is valid. Default 2592000 (30 days).
        refresh_ttl_secs: u32 = 2_592_000,
        /// KiB of memory for the hash of a password. Default 19456.
        password_memory_kib: u32 = 19_456,
        /// Passes over the memory for the hash of a password. Default 2.
        password_passes: u32 = 2,
        /// `[auth.backend]`: the application that verifies opaque tokens.
        backend: AuthBackend = AuthBackend::default(),
    }
}

section! {
    /// `[auth.backend]`.
    AuthBackend {
        /// The `http(s)` URL that verifies opaque tokens, which are all tokens except JWTs. Default none: opaque
        /// tokens are refused.
        url: Option<String> = None,
        /// Seconds that an accepted token is cached; 0 asks each time. Default 60.
        cache_secs: u32 = 60,
    }
}

section! {
    /// `[api]`.
    Api {
        /// `[[api.keys]]`: the keys of the push API. Without any, [`secrets::ensure`] creates a key.
        keys: Vec<ApiKeyEntry> = Vec::new(),
    }
}

documented! {
    /// An item of `[[api.keys]]`, with its `key` or the key's `sha256`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ApiKeyEntry {
        /// The name of the key in logs and limits, unique among the keys.
        pub name: String,
        /// The key itself: printable ASCII. Default none: `sha256` is set.
        #[serde(default)]
        pub key: Option<Secret>,
        /// The SHA-256 of the key, 64 hex digits. Default none: `key` is set.
        #[serde(default)]
        pub sha256: Option<Secret>,
        /// Whether requests with this key must be signed. Default false.
        #[serde(default)]
        pub require_signature: bool,
        /// Requests a minute, 0 for no limit. Default `limits.http.requests_per_minute`.
        #[serde(default)]
        pub per_minute: Option<u32>,
        /// What the key may do: a list of scopes. Default all.
        #[serde(default)]
        pub scopes: Option<Vec<Scope>>,
        /// From when on the key is refused: an RFC 3339 time, or a date, which begins at 00:00 UTC. Default never.
        #[serde(default)]
        pub expires: Option<KeyExpiry>,
    }
}

impl ApiKeyEntry {
    /// A key with a name and nothing else.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            key: None,
            sha256: None,
            require_signature: false,
            per_minute: None,
            scopes: None,
            expires: None,
        }
    }
}

section! {
    /// `[backend]`.
    Backend {
        /// The application's base URL: `http://` or `https://`. Default none: the hub answers on its own.
        url: Option<String> = None,
        /// The key that the hub sends in `X-API-Key`. Default none.
        api_key: Option<Secret> = None,
        /// Milliseconds to wait for a response, retries included. Default 5000.
        timeout_ms: u32 = 5_000,
    }
}

section! {
    /// `[socketio]`.
    SocketIo {
        /// Milliseconds between two pings. Default 25000.
        ping_interval_ms: u32 = 25_000,
        /// Milliseconds to wait for a pong. Default 20000.
        ping_timeout_ms: u32 = 20_000,
        /// Milliseconds that a connection has to join a namespace. Default 45000.
        connect_timeout_ms: u32 = 45_000,
        /// Bytes of one message or polling body. Default 1000000.
        max_payload: usize = 1_000_000,
        /// Which clients receive events with offsets on `/`, so that they can recover missed events. `auto`: clients in
        /// JavaScript, which expect offsets, and clients with `?recovery=1`. Default `auto`.
        offsets: Offsets = Offsets::Auto,
    }
}

section! {
    /// `[recovery]`.
    Recovery {
        /// Seconds for which a suspended session can be recovered, and a publication is kept for that; 0 disables
        /// recovery. A topic with a history that has neither messages nor members keeps its position for this time or
        /// longer. Default 120.
        window_secs: u32 = 120,
        /// Publications kept of one room for recovery, and replayed to one session. Default 500.
        queue: u32 = 500,
        /// Bytes of all publications kept for recovery. A publication counts as 512 bytes and twice its data.
        /// Default 67108864.
        bytes: usize = 67_108_864,
    }
}

section! {
    /// `[chat]`.
    Chat {
        /// Whether a join creates a chat that does not exist, as a public chat. Default false.
        auto_create: bool = false,
    }
}

documented! {
    /// An item of `[[chats]]`: a chat that a start creates if it does not exist. Later changes over HTTP are kept.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ChatRoom {
        /// Its id, 1 to 195 printable characters, unique among the chats.
        pub id: String,
        /// The name to show, up to 200 printable characters. Default empty: the id.
        #[serde(default)]
        pub name: String,
        /// The description, up to 2000 characters. Default empty.
        #[serde(default)]
        pub description: String,
        /// Whether every authenticated user may join; otherwise only the participants. Default false.
        #[serde(default)]
        pub public: bool,
        /// Ids of users that may join a chat that is not public, up to 10000. Default none.
        #[serde(default)]
        pub participants: Vec<UserId>,
    }
}

impl Auth {
    /// The issuer and audience claims of tokens that the hub signs.
    pub fn own_claims(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let claims = [("iss", &self.issuer), ("aud", &self.audience)];
        claims.into_iter().filter_map(|(claim, texts)| Some((claim, texts.first()?.as_str())))
    }

    /// Longest lifetime of a token that the hub signs, in ms.
    pub fn token_life_ms(&self) -> i64 {
        i64::from(self.access_ttl_secs.max(self.refresh_ttl_secs)) * 1_000 + self.leeway_ms()
    }

    /// Allowed difference between clocks, in ms.
    pub fn leeway_ms(&self) -> i64 {
        i64::from(self.leeway_secs) * 1_000
    }
}

impl ChatRoom {
    /// The chat, created at `now`.
    ///
    /// # Errors
    /// The first invalid value, with its key as the field.
    pub fn made(&self, now: i64) -> Result<store::Chat, Fault> {
        let chat = store::Chat::new(ChatId::parse(&self.id, "id")?, self.name.clone(), self.description.clone(), now)?;
        let chat = chat.with_participants(self.participants.clone())?;
        Ok(store::Chat { public: self.public, ..chat })
    }

    /// The default public chat.
    pub fn general() -> Self {
        Self {
            id: "general".into(),
            name: "General".into(),
            description: String::new(),
            public: true,
            participants: Vec::new(),
        }
    }
}

section! {
    /// `[presence]`.
    Presence {
        /// Which clients receive presence changes of a user. `shared-rooms`: clients in a room of the user. Default
        /// `all`.
        audience: AudienceSetting = AudienceSetting::All,
        /// Milliseconds after which a disconnected user counts as offline. Default 1000.
        linger_ms: u32 = 1_000,
        /// Presence messages a second to all clients together, 0 for any number; a change that waited for 30 seconds is
        /// dropped. Default 50000.
        deliveries_per_second: u32 = 50_000,
    }
}

section! {
    /// `[limits]`. In limits per minute, 0 means no limit.
    Limits {
        /// Whether direct connections from loopback are exempt from the limits of connections. Default true.
        exempt_loopback: bool = true,
        /// Bytes waiting for one slow connection, at least `server.max_frame_size`; over it, it is closed with
        /// 1008. If not set, it grows to four frames of that size. Default 1048576.
        outbox_bytes: usize = 1_048_576,
        /// Messages waiting for one slow connection. Default 16384.
        outbox_frames: usize = 16_384,
        /// Rooms that clients may create by joining them, in total. Default 1000000.
        rooms: usize = 1_000_000,
        /// Existing rooms that one user created, over all sessions, 0 for any number. If not set, it is at most
        /// half of `limits.rooms`. Default 1000.
        rooms_per_user: usize = 1_000,
        /// Chats that one user may create by joining them with `chat.auto_create`, 0 for any number. Default 100.
        chats_per_user: usize = 100,
        /// Bytes of message history of all rooms together; over it, kept positions of empty topics are forgotten, then
        /// the least recently used history is evicted. Default 67108864.
        history_bytes: usize = 67_108_864,
        /// Rooms that one session may join, 0 for any number. Default 1000.
        rooms_per_session: usize = 1_000,
        /// Topics in one `Subscribe` or `Unsubscribe`, 0 for any number. Default 100.
        topics_per_request: usize = 100,
        /// Bytes of a notification's data, as JSON with no unnecessary escapes; more is answered with
        /// 413. Default 65536.
        notification_bytes: usize = 65_536,
        /// Messages in the mailbox of a central actor; the next one is refused. Default 1024.
        mailbox: usize = 1_024,
        /// Publications and joins that wait for one worker; beyond it, publishers to its members and its joins are
        /// refused with `OVERLOADED`. Default 100000.
        lag: usize = 100_000,
        /// Bytes of publications that wait for one worker, likewise. Default 67108864.
        lag_bytes: usize = 67_108_864,
        /// Frames a second that one connection may send, averaged over 5 seconds; 0 for any number. A
        /// polling request counts as one frame, and each packet in it as another. Over it, the connection is closed
        /// with 4429. Default 2000.
        frames_per_second: u32 = 2_000,
        /// Bytes a second that one connection may send, averaged over 5 seconds; 0 for any number.
        /// The largest message must fit into 5 seconds. Over it, the connection is closed with 4429. Default 8388608.
        bytes_per_second: u32 = 8_388_608,
        /// `[limits.raw]`: the raw WebSocket.
        raw: ConnectionLimits = ConnectionLimits::default(),
        /// `[limits.push]`: Socket.IO with a token at connect.
        push: ConnectionLimits = ConnectionLimits::default(),
        /// `[limits.community]`: Socket.IO with a late `authenticate`.
        community: CommunityLimits = CommunityLimits::default(),
        /// `[limits.chat]`: `/chat`, and the chat events of all surfaces.
        chat: ChatLimits = ChatLimits::default(),
        /// `[limits.http]`: the HTTP service.
        http: HttpLimits = HttpLimits::default(),
        /// `[limits.login]`: `POST /sessions`.
        login: LoginLimits = LoginLimits::default(),
    }
}

impl Limits {
    /// The rule for the traffic of one connection.
    pub fn traffic(&self) -> TrafficRule {
        TrafficRule { frames_per_second: self.frames_per_second, bytes_per_second: self.bytes_per_second }
    }
}

section! {
    /// `[limits.raw]` and `[limits.push]`.
    ConnectionLimits {
        /// Connections a minute from an address. Default 100.
        connections_per_minute: u32 = 100,
        /// Messages a minute on a connection. Default 1000.
        messages_per_minute: u32 = 1_000,
    }
}

section! {
    /// `[limits.community]`.
    CommunityLimits {
        /// Connections a minute from an address. Default 5.
        connections_per_minute: u32 = 5,
        /// Connections at once from an address, of clients without a token. Default 10.
        connections_per_address: u32 = 10,
        /// Connections at once of a user, of clients that connected without a token. Default 5.
        connections_per_user: u32 = 5,
        /// Messages a minute on a connection. Default 60.
        messages_per_minute: u32 = 60,
        /// `notification_read` a minute on a connection, on all surfaces. Default 30.
        notifications_per_minute: u32 = 30,
        /// Typing events a minute on a connection. Default 120.
        typing_per_minute: u32 = 120,
    }
}

section! {
    /// `[limits.chat]`.
    ChatLimits {
        /// Connection attempts from an address in the window, 0 for any number. Default 5.
        connection_attempts: u32 = 5,
        /// Length of the window in seconds. Default 300.
        attempts_window_secs: u32 = 300,
        /// Seconds that an address is blocked after it exceeds the limit, at least to the end of the window. Default
        /// 900.
        block_secs: u32 = 900,
        /// `message:send` requests a minute of a user, on all surfaces together. Default 100.
        messages_per_minute: u32 = 100,
        /// `message:typing` requests a minute of a user, on all surfaces together. Default 10.
        typing_per_minute: u32 = 10,
        /// All other requests a minute on a connection to `/chat`. Default 1000.
        requests_per_minute: u32 = 1_000,
    }
}

section! {
    /// `[limits.http]`.
    HttpLimits {
        /// Requests a minute for a key without `per_minute`, and for an address without a valid key. Default 100.
        requests_per_minute: u32 = 100,
        /// Plain HTTP connections at once from an address; loopback and `server.trusted_proxies` are exempt. 0 for any
        /// number. Default 256.
        connections_per_address: u32 = 256,
    }
}

section! {
    /// `[limits.login]`.
    LoginLimits {
        /// Attempts a minute of an address, and for a user name. Default 10.
        attempts_per_minute: u32 = 10,
    }
}

section! {
    /// `[log]`. `RUST_LOG` overrides the level.
    Log {
        /// The log level: `error`, `warn`, `info`, `debug`, `trace`, `off`, or a list in the form of `RUST_LOG`
        /// (`info,hubbub::refused=off`). Default `info`.
        level: String = "info".into(),
        /// The format of a line: `text`, or `json` with one object per line. Default `text`.
        format: LogFormat = LogFormat::Text,
    }
}

section! {
    /// `[debug]`.
    Debug {
        /// Whether every user may use `debug_mode`, not only admins. Default false.
        open: bool = false,
    }
}

section! {
    /// `[cluster]`.
    Cluster {
        /// How hubs reach each other. Only `local`, a single hub, is supported yet. Default `local`.
        driver: String = "local".into(),
        /// The address of the cluster; may contain a password. Default none.
        url: Option<Secret> = None,
    }
}

#[cfg(test)]
mod tests;
