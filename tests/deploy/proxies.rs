//! `deploy/nginx/hubbub.conf` and `deploy/haproxy/haproxy.cfg` run unchanged except for addresses, networks and paths: every
//! kind of client passes with its own address, and endpoints for operators are hidden.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use hubbub::config::Config;
use serde_json::{Value, json};

use crate::support::blocks::block;
use crate::support::port::ReservedPort;
use crate::support::token::token;
use crate::support::tools::{Program, debian_program, node_modules};
use crate::support::{API_KEY, DEADLINE, Hub, wait_until};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A hub as docs/deploy.md sets it for both files, with the name of the tests' certificate.
fn proxied_hub() -> Hub {
    let settings = block("deploy", "deploy-proxied").text.replace("hub.example.com", "localhost");
    Hub::with(&format!(
        "{settings}[log]\nlevel = \"info,hubbub::session=debug\"\n[limits.chat]\nconnection_attempts = 0"
    ))
}

/// A file of `deploy/` with replacements; each is needed.
fn replaced(name: &str, replacements: &[(&str, String)]) -> String {
    let text = fs::read_to_string(format!("{ROOT}/deploy/{name}")).unwrap();
    replacements.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "deploy/{name} has no {from:?}");
        text.replace(from, to)
    })
}

/// Makes a certificate for `localhost`, and its key, in `dir`.
fn certificate(dir: &Path) {
    let mut openssl = Command::new(debian_program("openssl", "openssl"));
    openssl.current_dir(dir).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    let output = openssl.args(["-keyout", "key.pem", "-out", "fullchain.pem"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let both = ["fullchain.pem", "key.pem"].map(|name| fs::read_to_string(dir.join(name)).unwrap()).concat();
    fs::write(dir.join("both.pem"), both).unwrap();
}

/// A running proxy.
struct RunningProxy {
    secure: ReservedPort,
    plain: ReservedPort,
    dir: tempfile::TempDir,
    program: Option<Program>,
}

impl RunningProxy {
    /// A proxy before its start, with its certificate.
    fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificate(dir.path());
        Self { secure: ReservedPort::reserve_both(), plain: ReservedPort::reserve_both(), dir, program: None }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn start(&mut self, command: &mut Command) {
        let mut program = Program::start(command);
        let address: SocketAddr = self.secure.address();
        wait_until(DEADLINE, "the proxy listens", || {
            assert!(!program.has_ended(), "{}", program.output());
            TcpStream::connect(address).is_ok()
        });
        self.program = Some(program);
    }

    /// The report of the clients.
    #[track_caller]
    fn drive(&self) -> Value {
        let mut node = Command::new("node");
        node.env("NODE_PATH", node_modules(format!("{ROOT}/tests/clients/socketio").as_ref()));
        node.arg(format!("{ROOT}/tests/deploy/proxy.js"));
        node.arg(format!("https://localhost:{}", self.secure.address().port()));
        node.arg(format!("http://127.0.0.1:{}", self.plain.address().port()));
        Program::start(node.args([&self.path("fullchain.pem"), &token("alice"), API_KEY])).report()
    }
}

/// The line of nginx for IPv6; empty on a machine without it.
fn listen_ipv6(port: &ReservedPort, end: &str) -> String {
    if port.has_ipv6() { format!("listen [::1]:{}{end}", port.address().port()) } else { String::new() }
}

fn nginx(hub: &Hub) -> RunningProxy {
    let program = debian_program("nginx", "nginx-light");
    let mut proxy = RunningProxy::prepare();
    let host = replaced(
        "nginx/hubbub.conf",
        &[
            ("127.0.0.1:8081", hub.address().to_string()),
            ("listen 80;", format!("listen {};", proxy.plain.address())),
            ("listen [::]:80;", listen_ipv6(&proxy.plain, ";")),
            ("listen 443 ", format!("listen {} ", proxy.secure.address())),
            ("listen [::]:443 ssl http2;", listen_ipv6(&proxy.secure, " ssl http2;")),
            ("/etc/ssl/hub.example.com/fullchain.pem", proxy.path("fullchain.pem")),
            ("/etc/ssl/hub.example.com/privkey.pem", proxy.path("key.pem")),
            ("/var/log/nginx/hubbub.log", proxy.path("access.log")),
            (
                "#location /sessions {\n    #    proxy_pass http://hubbub;\n    #}",
                "location /sessions {\nproxy_pass http://hubbub;\n}".to_owned(),
            ),
            ("allow 10.0.0.0/8;", "allow 127.0.0.2/32;".to_owned()),
        ],
    );
    fs::write(proxy.path("hubbub.conf"), host).unwrap();
    // The temporary paths belong to the test. One process, so that none is left when the test ends it.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {};\n", proxy.path(name)))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {};\n{}http {{\n{temporary}include {};\n}}\n",
        proxy.path("pid"),
        block("deploy", "deploy-nginx-main").text,
        proxy.path("hubbub.conf")
    );
    fs::write(proxy.path("nginx.conf"), main).unwrap();
    let mut command = Command::new(program);
    command.args(["-p", &proxy.path(""), "-e", "stderr", "-c", &proxy.path("nginx.conf")]);
    proxy.start(&mut command);
    proxy
}

fn haproxy(hub: &Hub) -> RunningProxy {
    let program = debian_program("haproxy", "haproxy");
    let mut proxy = RunningProxy::prepare();
    let text = replaced(
        "haproxy/haproxy.cfg",
        &[
            ("127.0.0.1:8081", hub.address().to_string()),
            ("bind :::80 v4v6", format!("bind {}", proxy.plain.address())),
            ("bind :::443 v4v6", format!("bind {}", proxy.secure.address())),
            ("#acl", "acl".to_owned()),
            ("/etc/haproxy/hub.example.com.pem", proxy.path("both.pem")),
            ("log /dev/log local0", "log stdout format raw local0".to_owned()),
            ("10.0.0.0/8", "127.0.0.2/32".to_owned()),
            ("maxconn 20000", "maxconn 256".to_owned()),
        ],
    );
    fs::write(proxy.path("haproxy.cfg"), text).unwrap();
    let mut command = Command::new(program);
    command.args(["-db", "-f", &proxy.path("haproxy.cfg")]);
    proxy.start(&mut command);
    proxy
}

/// What all clients get behind either proxy.
#[track_caller]
fn assert_served(hub: &Hub, report: &Value) {
    assert_eq!(report["raw"]["status"], "connected", "{report}");
    assert_eq!(report["raw"]["received"]["data"], json!({"n": 1}), "{report}");
    assert_eq!(report["raw"]["pushed"], 1, "{report}");
    assert_eq!(report["socketio"]["first"], "polling", "{report}");
    assert_eq!(report["socketio"]["second"], "websocket", "{report}");
    assert_eq!(report["socketio"]["received"]["n"], 2, "{report}");
    for (path, status) in report["hidden"].as_object().unwrap() {
        assert_eq!(status, 404, "{path}");
    }
    assert_eq!(report["push_from_outside"], 403, "{report}");
    assert_eq!(report["push_from_this_machine"], 200, "{report}");
    assert_eq!(report["other_host"], 403, "the hub does not know the name: {report}");
    assert_eq!(report["push_without_key"], 401, "the hub still wants the key: {report}");
    assert_eq!(report["large"], json!([413, "PAYLOAD_TOO_LARGE"]), "{report}");
    assert_eq!(report["http2"], 401, "{report}");
    assert_eq!(report["request_to_ws"], 426, "{report}");
    assert_eq!(report["request_to_ws_over_http2"], 426, "{report}");
    assert_eq!(report["redirect"], json!([301, "https:"]), "{report}");
    assert_eq!(hub.get("/status").status, 200, "an operator on this machine");

    let output = hub.output();
    let connected: Vec<_> = output.lines().filter(|line| line.contains("hubbub::session: connected")).collect();
    // The raw WebSocket and Socket.IO have addresses of their own.
    for line in &connected[..2] {
        assert!(line.contains("address=127.0.0.3"), "the client's own address: {line}");
    }
    assert!(!output.contains("X-Forwarded-For is ignored"), "{output}");
}

/// The proxy logs a WebSocket when it ends, and no token.
#[track_caller]
fn assert_logged(log: impl Fn() -> String) {
    wait_until(DEADLINE, "the proxy logs the WebSocket", || {
        log().lines().any(|line| line.contains("GET /ws") && line.contains("101"))
    });
    assert!(!log().contains("token="), "{}", log());
}

#[test]
fn every_client_works_behind_nginx_with_tls() {
    let hub = proxied_hub();
    let proxy = nginx(&hub);
    let report = proxy.drive();
    assert_served(&hub, &report);
    assert_eq!(report["socket_over_http2"], "not offered", "clients open WebSockets over HTTP/1.1");
    assert_logged(|| fs::read_to_string(proxy.path("access.log")).unwrap());
}

#[test]
fn every_client_works_behind_haproxy_with_tls() {
    let hub = proxied_hub();
    let proxy = haproxy(&hub);
    let report = proxy.drive();
    assert_served(&hub, &report);
    assert_eq!(report["socket_over_http2"], json!([200, true]), "{report}");
    assert_logged(|| proxy.program.as_ref().unwrap().output());
}

/// The seconds behind `name` in a file of `deploy/`.
#[track_caller]
fn seconds(text: &str, name: &str) -> u32 {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line[name.len()..].trim().trim_end_matches([';', 's']).parse().unwrap()
}

#[test]
fn the_timeouts_of_the_proxies_fit_those_of_the_hub() {
    let config = Config::default();
    let (server, socketio) = (&config.server, &config.socketio);
    let silence = u64::from(server.client_timeout_secs)
        .max((u64::from(socketio.ping_interval_ms) + u64::from(socketio.ping_timeout_ms)).div_ceil(1_000));
    let (nginx, haproxy) = (replaced("nginx/hubbub.conf", &[]), replaced("haproxy/haproxy.cfg", &[]));
    for (text, name) in [
        (&nginx, "proxy_read_timeout"),
        (&nginx, "proxy_send_timeout"),
        (&haproxy, "timeout client"),
        (&haproxy, "timeout server"),
        (&haproxy, "timeout tunnel"),
    ] {
        assert!(u64::from(seconds(text, name)) > silence, "{name} ends connections that the hub keeps");
    }
    for (text, name) in [(&nginx, "keepalive_timeout"), (&haproxy, "timeout http-keep-alive")] {
        assert!(seconds(text, name) < 75, "{name}: the hub would close a connection that the proxy uses");
    }
    assert!(nginx.contains("client_max_body_size 2m;") && server.max_body < 2 << 20, "the hub refuses a body itself");
}
