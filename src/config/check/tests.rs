//! Tests: invalid values are rejected, and valid values are accepted.

use super::*;

/// The invalid keys in a configuration with `text`.
fn wrong(text: &str) -> Vec<String> {
    let config: Config = toml::from_str(text).unwrap();
    problems(&config).into_iter().map(|it| it.key).collect()
}

#[test]
fn impossible_values_are_named() {
    for (text, key) in [
        ("server.host = ''", "server.host"),
        ("server.host = '[::1]:8081'", "server.host"),
        ("server.host = '[::1'", "server.host"),
        ("server.host = '[hub]'", "server.host"),
        ("server.host = 'localhost:8081'", "server.host"),
        ("server.hosts = ['hub.example', 'https://hub.example']", "server.hosts[1]"),
        ("server.hosts = ['hub.example:8081']", "server.hosts[0]"),
        ("server.base_path = 'hub'", "server.base_path"),
        ("server.base_path = '/a/../b'", "server.base_path"),
        ("server.workers = 1025", "server.workers"),
        ("server.max_connections = 0", "server.max_connections"),
        ("server.max_frame_size = 0", "server.max_frame_size"),
        ("server.max_frame_size = 124", "server.max_frame_size"),
        ("server.heartbeat_interval_secs = 0", "server.heartbeat_interval_secs"),
        ("server.client_timeout_secs = 30", "server.client_timeout_secs"),
        ("server.data_dir = ''", "server.data_dir"),
        ("server.allowed_origins = ['*', 'example.com']", "server.allowed_origins[1]"),
        ("server.allowed_origins = ['null', 'file://', 'file://a']", "server.allowed_origins[2]"),
        ("server.shutdown_secs = 0", "server.shutdown_secs"),
        ("server.shutdown_secs = 3601", "server.shutdown_secs"),
        ("server.max_body = 0", "server.max_body"),
        ("server.environment = ''", "server.environment"),
        ("server.environment = \"a\\tb\"", "server.environment"),
        (
            "server.environment = '12345678901234567890123456789012345678901234567890123456789012345'",
            "server.environment",
        ),
        ("[[topics]]\npattern = '*'\npresence = true", "topics[0].presence"),
        ("auth.jwt_secret = '123456789012345'", "auth.jwt_secret"),
        ("auth.algorithm = 'RS256'", "auth.algorithm"),
        ("auth.algorithm = 'EdDSA'", "auth.algorithm"),
        ("auth.public_key_file = 'a.pem'", "auth.public_key_file"),
        ("auth.jwks = 'https://a/jwks'", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.jwks = 'a'\nauth.public_key_file = 'a.pem'", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.jwks = ''", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.jwks = 'ftp://a/jwks'", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.jwks = 'http://'", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.jwks = 'https://me:secret@a/jwks'", "auth.jwks"),
        ("auth.algorithm = 'ES256'\nauth.public_key_file = ''", "auth.public_key_file"),
        ("auth.issuer = ''", "auth.issuer"),
        ("auth.audience = ['chat', \"two\\nlines\"]", "auth.audience"),
        ("auth.grace_secs = 0", "auth.grace_secs"),
        ("auth.backend.url = 'a'", "auth.backend.url"),
        ("auth.backend.url = 'file:///etc/passwd'", "auth.backend.url"),
        ("auth.backend.url = 'https://secret@a'", "auth.backend.url"),
        ("auth.backend.url = 'https://a/#me'", "auth.backend.url"),
        ("auth.backend.cache_secs = 86401", "auth.backend.cache_secs"),
        ("backend.url = 'a'", "backend.url"),
        ("backend.url = 'https://secret@a'", "backend.url"),
        ("backend.api_key = 'two words'", "backend.api_key"),
        ("backend.timeout_ms = 0", "backend.timeout_ms"),
        ("socketio.ping_interval_ms = 0", "socketio.ping_interval_ms"),
        ("limits.mailbox = 0", "limits.mailbox"),
        ("limits.outbox_frames = 0", "limits.outbox_frames"),
        ("limits.history_bytes = 0", "limits.history_bytes"),
        ("limits.frames_per_second = 1000001", "limits.frames_per_second"),
        ("limits.bytes_per_second = 1073741825", "limits.bytes_per_second"),
        ("limits.bytes_per_second = 200000", "limits.bytes_per_second"),
        ("limits.bytes_per_second = 13109\nsocketio.max_payload = 125", "limits.bytes_per_second"),
        ("limits.chat.attempts_window_secs = 0", "limits.chat.attempts_window_secs"),
        ("cluster.driver = 'redis'", "cluster.driver"),
        ("cluster.url = 'redis://a'", "cluster.url"),
    ] {
        assert_eq!(wrong(text), [key], "{text}");
    }
    assert_eq!(wrong("server.max_frame_size = 16777217\nlimits.outbox_bytes = 16777217"), ["server.max_frame_size"]);
}

#[test]
fn the_largest_message_fits_into_the_budget_of_a_connection() {
    for text in ["limits.bytes_per_second = 200003", "limits.bytes_per_second = 0\nlimits.frames_per_second = 0"] {
        assert_eq!(wrong(text), [""; 0], "{text}");
    }
}

#[test]
fn each_way_to_verify_tokens_can_be_configured() {
    for text in [
        "auth.algorithm = 'HS512'",
        "auth.algorithm = 'RS256'\nauth.public_key_file = 'keys/issuer.pem'",
        "auth.algorithm = 'PS384'\nauth.jwks = 'keys/jwks.json'",
        "auth.algorithm = 'EdDSA'\nauth.jwks = 'https://issuer.example.com:8443/.well-known/jwks.json?v=1'",
        "auth.backend.url = 'http://127.0.0.1:8000/api/user'\nauth.backend.cache_secs = 0",
    ] {
        assert_eq!(wrong(text), [""; 0], "{text}");
    }
}

#[test]
fn an_api_key_has_a_unique_name_and_either_key_or_sha256() {
    let digest = "a".repeat(64);
    for (keys, key) in [
        ("{ name = 'a' }".to_owned(), "api.keys[0]"),
        (format!("{{ name = 'a', key = 'k', sha256 = '{digest}' }}"), "api.keys[0]"),
        ("{ name = 'a', sha256 = 'abc' }".to_owned(), "api.keys[0].sha256"),
        (format!("{{ name = 'a', sha256 = 'z{}' }}", &digest[1..]), "api.keys[0].sha256"),
        ("{ name = 'a', key = '' }".to_owned(), "api.keys[0].key"),
        ("{ name = 'a', key = 'two words' }".to_owned(), "api.keys[0].key"),
        ("{ name = '', key = 'k' }".to_owned(), "api.keys[0].name"),
        ("{ name = 'a', key = 'k', scopes = [] }".to_owned(), "api.keys[0].scopes"),
        ("{ name = 'a', key = 'k' }, { name = 'a', key = 'l' }".to_owned(), "api.keys[1].name"),
        ("{ name = 'a', key = 'k' }, { name = 'b', key = 'k' }".to_owned(), "api.keys[1]"),
    ] {
        assert_eq!(wrong(&format!("api.keys = [{keys}]")), [key], "{keys}");
    }
}

#[test]
fn a_key_and_its_sha256_have_one_digest() {
    let keys = "[[keys]]\nname = 'a'\nkey = 'abc'\n[[keys]]\nname = 'b'\nsha256 = \
                'BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD'";
    let api: super::super::Api = toml::from_str(keys).unwrap();
    assert!(api.keys[0].digest().is_some());
    assert_eq!(api.keys[0].digest(), api.keys[1].digest());
}

#[test]
fn an_impossible_topic_rule_is_refused() {
    for (rule, key) in [
        ("pattern = ''", "pattern"),
        ("pattern = 'user:*'", "pattern"),
        ("pattern = '*'\nsubscribe = []", "subscribe"),
        ("pattern = '*'\nhistory_secs = 60", "history_secs"),
        ("pattern = '*'\nhistory = 1000001", "history"),
    ] {
        assert_eq!(wrong(&format!("[[topics]]\n{rule}")), [format!("topics[0].{key}")]);
    }
    let twice = "[[topics]]\npattern = 'a'\n[[topics]]\npattern = 'a'";
    assert_eq!(wrong(twice), ["topics[1].pattern"]);
    let errors =
        |text: &str| problems(&toml::from_str(text).unwrap()).into_iter().map(|it| it.text).collect::<Vec<_>>();
    assert_eq!(errors(twice), ["topics[0] has the pattern \"a\" too; the first one applies"]);
    let key = |name: &str, key: &str| format!("[[api.keys]]\nname = '{name}'\nkey = '{key}'\n");
    assert_eq!(errors(&(key("a", "1") + &key("a", "2"))), ["api.keys[0] has the name \"a\" too"]);
    let sha256 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    let hashed = format!("[[api.keys]]\nname = 'b'\nsha256 = '{sha256}'\n");
    assert_eq!(errors(&(key("a", "1") + &hashed)), ["\"b\" is the same key as \"a\" (api.keys[0])"]);
    assert_eq!(errors("[[chats]]\nid = 'a'\n[[chats]]\nid = 'a'"), ["chats[0] has the id \"a\" too"]);
}

#[test]
fn chats_have_unique_ids() {
    assert_eq!(wrong("[[chats]]\nid = ''"), ["chats[0].id"]);
    assert_eq!(wrong("[[chats]]\nid = 'a'\n[[chats]]\nid = 'a'"), ["chats[1].id"]);
    assert_eq!(wrong(&format!("[[chats]]\nid = 'a'\nname = '{}'", "x".repeat(201))), ["chats[0].name"]);
    assert_eq!(wrong("[[chats]]\nid = 'a'\ndescription = \"\\u0007\""), ["chats[0].description"]);
}
