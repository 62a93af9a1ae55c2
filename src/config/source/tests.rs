//! Tests: the precedence of sources, and the position that an error names.

use super::*;

/// Loads `text` as a file named `config.toml`; removes the directory from errors.
fn load(text: &str, variables: &[(&str, &str)], flags: Vec<Flag>) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let prefix = format!("{}/", directory.path().display());
    Config::load(&Sources {
        file: Some(path),
        variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags,
    })
    .map_err(|error| error.to_string().replace(&prefix, ""))
}

fn refused(text: &str) -> String {
    load(text, &[], vec![]).unwrap_err()
}

fn refused_variable(name: &str, value: &str) -> String {
    load("", &[(name, value)], vec![]).unwrap_err()
}

fn port_flag(port: u16) -> Flag {
    Flag { name: "--port", key: "server.port", value: Value::Integer(port.into()) }
}

#[test]
fn flags_override_variables_then_the_file_then_defaults() {
    let file = "[server]\nport = 1\nhost = '::1'\nshutdown_secs = 3";
    let variables = [("HUBBUB_SERVER__PORT", "2"), ("HUBBUB_SERVER__HOST", "0.0.0.0")];
    let config = load(file, &variables, vec![port_flag(3)]).unwrap();
    assert_eq!(config.server.port, 3);
    assert_eq!(config.server.host, "0.0.0.0");
    assert_eq!(config.server.shutdown_secs, 3);
    assert_eq!(config.server.max_connections, 10_000);
}

#[test]
fn the_data_directory_is_found_although_other_keys_have_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let data_dir = |text: &str, variables: &[(&str, &str)], flags: Vec<Flag>| {
        std::fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Config::data_dir(&Sources { file: Some(path.clone()), variables, flags })
    };
    let variables = [("HUBBUB_SERVER__DATA_DIR", "by variable"), ("HUBBUB_SERVER__PORT", "eighty")];
    let flag = Flag { name: "--data-dir", key: "server.data_dir", value: "by flag".into() };
    let file = "[server]\nprot = 1\ndata_dir = 'by file'";
    assert_eq!(data_dir(file, &variables, vec![flag]), PathBuf::from("by flag"));
    assert_eq!(data_dir(file, &variables, vec![]), PathBuf::from("by variable"));
    assert_eq!(data_dir("wrong", &variables, vec![]), PathBuf::from("by variable"));
    assert_eq!(data_dir(file, &[], vec![]), PathBuf::from("by file"));
    assert_eq!(data_dir("wrong", &[], vec![]), PathBuf::from("data"));
    assert_eq!(data_dir("[server]\ndata_dir = 1", &[], vec![]), PathBuf::from("data"));
}

#[test]
fn keys_of_the_file_that_a_later_source_overrides_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, "[server]\nport = 1\nshutdown_secs = 3\n\n[[api.keys]]\nname = 'a'\nkey = 'k'\n").unwrap();
    let variables = [("HUBBUB_API__KEYS", "[]"), ("HUBBUB_SERVER__HOST", "::1"), ("HUBBUB_SERVER__PORT", "2")];
    let variables = variables.map(|(name, value)| (name.into(), value.into())).into();
    let sources = Sources { file: Some(path.clone()), variables, flags: vec![port_flag(3)] };
    let file = path.display();
    assert_eq!(
        Config::load_noting_overrides(&sources).unwrap().1,
        [
            format!("api.keys: HUBBUB_API__KEYS overrides {file}:5"),
            format!("server.port: HUBBUB_SERVER__PORT overrides {file}:2"),
        ]
    );
}

#[test]
fn a_variable_is_read_as_the_type_of_its_key() {
    let variables = [
        ("HUBBUB_AUTH__JWT_SECRET", "12345678901234567890"),
        ("HUBBUB_AUTH__REQUIRE_EXP", "false"),
        ("HUBBUB_LIMITS__RAW__CONNECTIONS_PER_MINUTE", "0"),
        ("HUBBUB_SERVER__ALLOWED_ORIGINS", r#"["https://a.example"]"#),
        ("HUBBUB_API__KEYS", r#"[{ name = "app", key = "abc" }]"#),
        ("HUBBUB_PRESENCE__AUDIENCE", "shared-rooms"),
        ("HUBBUB_AUTH__ISSUER", "https://id.example"),
        ("HUBBUB_AUTH__AUDIENCE", r#"["chat", "push"]"#),
        ("UNRELATED", "1"),
    ];
    let config = load("", &variables, vec![]).unwrap();
    assert_eq!(config.auth.jwt_secret.unwrap().expose(), "12345678901234567890");
    assert!(!config.auth.require_exp);
    assert_eq!(config.limits.raw.connections_per_minute, 0);
    assert_eq!(config.server.allowed_origins, ["https://a.example"]);
    assert_eq!(config.api.keys[0].name, "app");
    assert_eq!(config.auth.issuer, ["https://id.example"]);
    assert_eq!(config.auth.audience, ["chat", "push"]);
    assert_eq!(config.presence.audience, super::super::AudienceSetting::SharedRooms);
}

#[test]
fn a_variable_with_a_list_is_toml_or_json_or_has_commas() {
    let origins = |text: &str| load("", &[("HUBBUB_SERVER__ALLOWED_ORIGINS", text)], vec![]).unwrap();
    for (text, list) in [
        ("*", &["*"][..]),
        (" https://a.example , https://b.example,", &["https://a.example", "https://b.example"]),
        (r#"["https://a.example", 'https://b.example']"#, &["https://a.example", "https://b.example"]),
        ("[]", &[]),
    ] {
        assert_eq!(origins(text).server.allowed_origins, list, "{text}");
    }
    // An unset variable of a script must not open what the file closes.
    for empty in ["", " ", ",", " , "] {
        let refused = refused_variable("HUBBUB_SERVER__HOSTS", empty);
        assert!(refused.ends_with("server.hosts: is empty; write [] for an empty list"), "{refused}");
    }
    let keys = |text: &str| load("", &[("HUBBUB_API__KEYS", text)], vec![]).unwrap().api.keys;
    let toml = keys(r#"[{name = "app", key = "abc", per_minute = 5}]"#);
    assert_eq!(toml, keys(r#"[{"name": "app", "key": "abc", "per_minute": 5}]"#));
    assert_eq!((toml[0].name.as_str(), toml[0].per_minute), ("app", Some(5)));
    for (variable, example) in [
        ("HUBBUB_API__KEYS", r#"[{name = "app", sha256 = "…"}]"#),
        ("HUBBUB_TOPICS", r#"[{pattern = "news.*", publish = "server"}]"#),
        ("HUBBUB_CHATS", r#"[{id = "general", public = true}]"#),
    ] {
        for text in ["", "general", "[{", "'[]'"] {
            assert!(refused_variable(variable, text).ends_with(example), "{variable}={text}");
        }
    }
    // `docker run --env-file` keeps quotes.
    assert!(refused_variable("HUBBUB_AUTH__REQUIRED_PERMISSIONS", r#"'["connect"]'"#).contains("expected a list"));
    let issuer = load("", &[("HUBBUB_AUTH__ISSUER", "https://id.example/a,b")], vec![]).unwrap().auth.issuer;
    assert_eq!(issuer, ["https://id.example/a,b"], "a name may have a comma");
}

#[test]
fn a_secret_can_be_in_a_file_that_a_variable_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let named = path.to_str().unwrap();
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    for variable in ["HUBBUB_AUTH__JWT_SECRET_FILE", "HUBBUB_BACKEND__API_KEY_FILE"] {
        let config = load("auth.jwt_secret = 'the secret in the file'", &[(variable, named)], vec![]).unwrap();
        let secret = if variable.contains("JWT") { config.auth.jwt_secret } else { config.backend.api_key };
        assert_eq!(secret.unwrap().expose(), "0123456789abcdef", "{variable}");
    }
    let both = [("HUBBUB_AUTH__JWT_SECRET", "0123456789abcdef"), ("HUBBUB_AUTH__JWT_SECRET_FILE", named)];
    assert_eq!(
        load("", &both, vec![]).unwrap_err(),
        "HUBBUB_AUTH__JWT_SECRET_FILE: auth.jwt_secret: HUBBUB_AUTH__JWT_SECRET is set too; set only one of them"
    );
    assert_eq!(
        refused_variable("HUBBUB_AUTH__JWT_SECRET_FILE", "/nowhere/secret"),
        "HUBBUB_AUTH__JWT_SECRET_FILE: auth.jwt_secret: /nowhere/secret: cannot be read: No such file or directory \
         (os error 2)"
    );
    std::fs::write(&path, "hunter2").unwrap();
    let short = refused_variable("HUBBUB_AUTH__JWT_SECRET_FILE", named);
    assert_eq!(short, "HUBBUB_AUTH__JWT_SECRET_FILE: auth.jwt_secret: expected at least 16 bytes, got 7");
    assert!(refused_variable("HUBBUB_CLUSTER__URL_FILE", named).contains("unknown key"));
}

#[test]
fn an_error_names_file_line_and_key() {
    for (text, line) in [
        ("[server]\n\nprot = 1", "config.toml:3: server.prot: unknown key; did you mean server.port?"),
        ("[servr]", "config.toml:1: servr: unknown key; did you mean server?"),
        (
            "[server]\nfrobnicate = 1",
            "config.toml:2: server.frobnicate: unknown key (expected one of host, port, workers,",
        ),
        ("[[topics]]\npatern = '*'", "config.toml:2: topics[0].patern: unknown key; did you mean topics[0].pattern?"),
        ("[server]\nport = 'abc'", "config.toml:2: server.port: expected an integer from 0 to 65535, got \"abc\""),
        ("server.port = 65536", "config.toml:1: server.port: expected an integer from 0 to 65535, got 65536"),
        ("[server]\nworkers = -1", "config.toml:2: server.workers: expected an integer from 0 up, got -1"),
        ("[auth]\nrequire_exp = 'no'", "config.toml:2: auth.require_exp: expected true or false, got \"no\""),
        ("server = 3", "config.toml:1: server: expected a section, got 3"),
        ("[auth]\nalgorithm = 'none'", "config.toml:2: auth.algorithm: expected one of HS256, HS384,"),
        (
            "[server]\ntrusted_proxies = [\n'::1',\n'10.0.0.0/33']",
            "config.toml:4: server.trusted_proxies[1]: expected an address or a CIDR block like 10.0.0.0/8, got \"10.0.0.0/33\"",
        ),
        ("[[topics]]\nhistory = 3", "config.toml:1: topics[0].pattern: missing"),
        (
            "[[topics]]\npattern = '*'\nsubscribe = 'nobody'",
            "config.toml:3: topics[0].subscribe: expected anyone, authenticated,",
        ),
        (
            "[[topics]]\npattern = '*'\npublish = ['server', 'role:']",
            "config.toml:3: topics[0].publish[1]: expected anyone,",
        ),
        ("[server]\nport = 1\nport = 2", "config.toml:3: server.port: is set twice; the first is in line 2"),
        ("server.port = 1\nserver.port = 2", "config.toml:2: server.port: is set twice; the first is in line 1"),
        ("server = {port = 1, port = 2}", "config.toml:1: port: is set twice"),
        ("[log]\n[server]\n[log]", "config.toml:3: log: is set twice; the first is in line 1"),
        (
            "[[topics]]\npattern = 'a'\n[[topics]]\npattern = 'b' # not this\n pattern = 'c'",
            "config.toml:5: topics[1].pattern: is set twice; the first is in line 4",
        ),
        ("[server]\nport 1", "config.toml:2:6: "),
        ("[server]\nport = 99999999999999999999999", "config.toml:2:8: the number is too large"),
        ("[server]\r\nport = 1\r\nprot = 2\r\n", "config.toml:3: server.prot: unknown key; did you mean server.port?"),
        ("[server]\r\nport = 1\r\nport = 2\r\n", "config.toml:3: server.port: is set twice; the first is in line 2"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(line), "{error}\n{line}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn an_error_names_the_variable_or_the_flag() {
    assert_eq!(
        refused_variable("HUBBUB_SERVER__PORT", "abc"),
        "HUBBUB_SERVER__PORT: server.port: expected an integer from 0 to 65535, got \"abc\""
    );
    assert!(
        refused_variable("HUBBUB_SERVER__PROT", "1")
            .ends_with("HUBBUB_SERVER__PROT: server.prot: unknown key; did you mean HUBBUB_SERVER__PORT?")
    );
    assert!(refused_variable("HUBBUB_SERVER__FROBNICATE", "1").contains("unknown key (expected one of "));
    assert_eq!(
        refused_variable("HUBBUB_SERVER_PORT", "9000"),
        "HUBBUB_SERVER_PORT: server_port: unknown key; did you mean HUBBUB_SERVER__PORT, with two underscores between \
         section and key?"
    );
    assert!(refused_variable("HUBBUB_SERVER_PORT", "1").starts_with("HUBBUB_SERVER_PORT: "));
    assert!(refused_variable("HUBBUB_SERVER", "1").contains("a section, not a key"));
    assert!(refused_variable("HUBBUB_SERVER__ALLOWED_ORIGINS", "[\"*\"").contains("in TOML or JSON syntax"));
    for host in ["127.0.0.1:8081", "[::1", "[::1]:80", "localhost:80"] {
        let flag = Flag { name: "--host", key: "server.host", value: Value::String(host.into()) };
        assert!(load("", &[], vec![flag]).unwrap_err().contains("without a port"), "{host}");
    }
    for host in ["::1", "[::1]", "fe80::1%eth0", "localhost", "0.0.0.0"] {
        let flag = Flag { name: "--host", key: "server.host", value: Value::String(host.into()) };
        assert_eq!(load("", &[], vec![flag]).unwrap().server.host, host);
    }
    let host = Flag { name: "--host", key: "server.host", value: Value::String(String::new()) };
    assert_eq!(
        load("server.host = 'a'", &[], vec![host]).unwrap_err(),
        "--host: server.host: expected an address or a host name, got \"\""
    );
}

#[test]
fn an_error_about_an_unset_key_names_the_contradicting_line() {
    assert_eq!(
        refused("[server]\nheartbeat_interval_secs = 60"),
        "config.toml:2: server.client_timeout_secs: expected more than server.heartbeat_interval_secs (60), got 60"
    );
}

#[test]
fn no_error_shows_a_secret() {
    let secret = "hunter2hunter2";
    for text in [
        "auth.jwt_secret = ['hunter2hunter2']",
        "auth.jwt_secret = hunter2hunter2",
        "auth.jwt_secret = 'hunter2hunter2",
        "auth.jwt_secret = 'hunter2hunter2'",
        "api = 'hunter2hunter2'",
        "api.keys = ['hunter2hunter2']",
        "[[api.keys]]\nname = 'a'\nsha256 = 'hunter2hunter2'",
        "[[api.keys]]\nname = 'a'\nkey = 'hunter2hunter2 '",
        "cluster.url = 'redis://hunter2hunter2@host'",
    ] {
        let error = refused(text);
        assert!(!error.contains(secret), "{error}");
    }
    assert!(refused("auth.jwt_secret = 1234567890").ends_with("expected a string, got a value of type integer"));
    assert!(!refused_variable("HUBBUB_API__KEYS", secret).contains(secret));
}

#[test]
fn a_variable_sets_the_whole_list_of_api_keys() {
    let file = "[[api.keys]]\nname = 'old'\nkey = 'k1'";
    let list = r#"[{name = "shop", key = "k2", scopes = ["push"], expires = 2027-01-31}]"#;
    let keys = load(file, &[("HUBBUB_API__KEYS", list)], vec![]).unwrap().api.keys;
    let found: Vec<_> = keys.iter().map(|key| (key.name.as_str(), key.scopes.clone(), key.expires.is_some())).collect();
    assert_eq!(found, [("shop", Some(vec![crate::auth::scope::Scope::Push]), true)]);
    let error = refused_variable("HUBBUB_API__KEYS", &list.replace("push", "pull"));
    let expected = "HUBBUB_API__KEYS: api.keys[0].scopes[0]: expected one of push, sessions, users, ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::load(&Sources { file: Some("/nowhere/hub.toml".into()), ..Sources::default() });
    assert_eq!(
        error.unwrap_err().to_string(),
        "/nowhere/hub.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_byte_order_mark_and_crlf_are_read_and_invalid_utf8_is_refused() {
    assert_eq!(load("\u{feff}[server]\r\nport = 1\r\n", &[], vec![]).unwrap().server.port, 1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let load = || Config::load(&Sources { file: Some(path.clone()), ..Sources::default() }).unwrap_err().to_string();
    std::fs::write(&path, b"[server]\n\xff\xfe").unwrap();
    assert!(load().ends_with("config.toml:2: not UTF-8"));
    std::fs::write(&path, vec![b'\n'; FILE_MAX + 1]).unwrap();
    assert!(load().ends_with(&format!("config.toml: is longer than {FILE_MAX} bytes")));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(load().contains("cannot be read: Is a directory"));
}

#[test]
fn variables_of_a_kubernetes_service_named_hubbub_are_ignored() {
    let variables = [
        ("HUBBUB_SERVICE_HOST", "10.0.0.1"),
        ("HUBBUB_SERVICE_PORT_HTTP", "8081"),
        ("HUBBUB_PORT", "tcp://10.0.0.1:8081"),
        ("HUBBUB_PORT_8081_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(load("", &variables, vec![]), Ok(Config::default()));
    assert!(refused_variable("HUBBUB_PORT", "9000").contains("unknown key"));
}

#[test]
fn by_default_the_outbox_grows_with_the_frame_size() {
    let large = load("server.max_frame_size = 1000000", &[], vec![]).unwrap();
    assert_eq!(large.limits.outbox_bytes, 4_000_000);
    let set = "limits.outbox_bytes = 70000\nserver.max_frame_size = 65536";
    assert_eq!(load(set, &[], vec![]).unwrap().limits.outbox_bytes, 70_000);
    assert_eq!(
        refused("limits.outbox_bytes = 65535"),
        "config.toml:1: limits.outbox_bytes: expected at least server.max_frame_size (65536), got 65535"
    );
}

#[test]
fn by_default_one_user_makes_at_most_half_of_the_rooms() {
    for (set, rooms_per_user) in [
        ("", 1_000),
        ("limits.rooms = 1000", 500),
        ("limits.rooms = 1", 1),
        ("limits.rooms = 1000\nlimits.rooms_per_user = 900", 900),
        ("limits.rooms = 1000\nlimits.rooms_per_user = 0", 0),
    ] {
        assert_eq!(load(set, &[], vec![]).unwrap().limits.rooms_per_user, rooms_per_user, "{set}");
    }
}

#[test]
fn every_impossible_value_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.toml");
    std::fs::write(&path, "server.shutdown_secs = 0\nserver.max_connections = 0").unwrap();
    let error = Config::load(&Sources { file: Some(path), ..Sources::default() }).unwrap_err();
    assert_eq!(error.lines().len(), 2);
    assert_eq!(error.to_string(), error.lines()[0]);
}
