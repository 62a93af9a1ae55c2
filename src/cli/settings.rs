//! Flags that set configuration keys, and the location of the configuration. Each command accepts only the flags that
//! affect it.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flag, Server, Sources};

/// The location of the configuration and the data, for every command that reads them.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ConfigFlags {
    /// The configuration to read instead of ./config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, with the secrets and the store (server.data_dir)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

/// All flags, for the commands that listen or check the addresses.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ServerFlags {
    #[command(flatten)]
    location: ConfigFlags,
    /// The address or host name to listen on (server.host)
    #[arg(long)]
    host: Option<String>,
    /// The TCP port; 0 lets the system choose (server.port)
    #[arg(long, allow_negative_numbers = true)]
    port: Option<u16>,
    /// Worker threads; 0 starts one for each core (server.workers)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    workers: Option<u16>,
}

impl ConfigFlags {
    /// The names of its arguments, and its flags.
    pub(super) const ARGUMENTS: [&str; 2] = ["config", "data_dir"];
    pub(super) const FLAGS: [&str; 2] = ["--config", "--data-dir"];

    /// These flags, completed by the flags `before` the command.
    pub(super) fn over(self, before: ServerFlags) -> ServerFlags {
        ServerFlags { location: self, ..ServerFlags::default() }.over(before)
    }
}

impl ServerFlags {
    /// These flags, completed by the flags `before` the command.
    pub(super) fn over(self, before: Self) -> Self {
        Self {
            location: ConfigFlags {
                config: self.location.config.or(before.location.config),
                data_dir: self.location.data_dir.or(before.location.data_dir),
            },
            host: self.host.or(before.host),
            port: self.port.or(before.port),
            workers: self.workers.or(before.workers),
        }
    }

    /// The flags that are given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--config", self.location.config.is_some()),
            ("--data-dir", self.location.data_dir.is_some()),
            ("--host", self.host.is_some()),
            ("--port", self.port.is_some()),
            ("--workers", self.workers.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// `server` with the address of the flags.
    pub(super) fn over_server(&self, mut server: Server) -> Server {
        if let Some(host) = &self.host {
            server.host.clone_from(host);
        }
        server.port = self.port.unwrap_or(server.port);
        server
    }

    /// The sources of the configuration.
    pub(super) fn sources(self) -> Sources {
        let text =
            |name, key, value: Option<String>| value.map(|value| Flag { name, key, value: toml::Value::String(value) });
        let number = |name, key, value: Option<u16>| {
            value.map(|value| Flag { name, key, value: toml::Value::Integer(value.into()) })
        };
        let flags = [
            text("--host", "server.host", self.host),
            number("--port", "server.port", self.port),
            text("--data-dir", "server.data_dir", self.location.data_dir),
            number("--workers", "server.workers", self.workers),
        ];
        Sources::of_process(self.location.config, flags.into_iter().flatten().collect())
    }
}
