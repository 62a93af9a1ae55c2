//! `hubbub user …`: manages the accounts on the command line. A running hub applies the changes.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::{Account, Grants, Role, Store};

use super::settings::ConfigFlags;
use super::{CommandError, configured};
use crate::accounts::{Accounts, NewUser, PASSWORD_BYTES, Username, check_password};
use crate::config::{Sources, secrets};

#[derive(Debug, Args)]
pub(super) struct Users {
    #[command(flatten)]
    pub(super) location: ConfigFlags,
    #[command(subcommand)]
    pub(super) action: UserCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add an account; the password is read from the terminal, or from the first line of standard input
    Add {
        /// The name to sign in with
        name: String,
        /// A role; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// A permission; may be given several times
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// The name to show
        #[arg(long = "name", value_name = "NAME", id = "shown")]
        shown: Option<String>,
        /// The mail address
        #[arg(long)]
        email: Option<String>,
    },
    /// Set the password of an account and end its sign-ins
    Passwd {
        /// The name to sign in with
        name: String,
    },
    /// Print the accounts: name, id, roles, active or disabled, and any permissions, separated by tabs
    List,
    /// Add or remove roles and permissions of an account, and print it
    ///
    /// An addition takes effect with the next access token. A removal ends the account's sign-ins.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Change {
        /// The name to sign in with
        name: String,
        /// A role to add; may be given several times, like the others
        #[arg(long, value_name = "ROLE", group = "change")]
        add_role: Vec<String>,
        /// A role to remove
        #[arg(long, value_name = "ROLE", group = "change")]
        remove_role: Vec<String>,
        /// A permission to add
        #[arg(long, value_name = "PERMISSION", group = "change")]
        add_permission: Vec<String>,
        /// A permission to remove
        #[arg(long, value_name = "PERMISSION", group = "change")]
        remove_permission: Vec<String>,
    },
    /// Disable an account and close its connections
    Disable {
        /// The name to sign in with
        name: String,
    },
    /// Enable a disabled account
    Enable {
        /// The name to sign in with
        name: String,
    },
}

/// Runs the command. Returns the text for standard output.
pub(super) fn run(sources: &Sources, user: UserCommand) -> Result<String, CommandError> {
    let config = configured(sources)?;
    secrets::check_data_dir(&config)?;
    let clock = Clock::System;
    // Check the input before the store is opened.
    let password = match &user {
        UserCommand::Add { name, .. } | UserCommand::Passwd { name } => {
            parse(name)?;
            read_password()?
        }
        UserCommand::Disable { name } | UserCommand::Enable { name } | UserCommand::Change { name, .. } => {
            parse(name).map(|_| String::new())?
        }
        UserCommand::List => String::new(),
    };
    let store = Store::open(&config.server.data_dir, Role::Command, clock.clone()).map_err(CommandError::of)?;
    let accounts = Accounts::new(store.clone(), &config.auth).map_err(CommandError::of)?;
    actix_rt::System::new().block_on(async {
        let answer = answer(&accounts, user, password, clock.now_ms()).await;
        store.close().await;
        answer
    })
}

async fn answer(accounts: &Accounts, user: UserCommand, password: String, now: i64) -> Result<String, CommandError> {
    let line = match user {
        UserCommand::List => {
            let all = accounts.all().await.map_err(refused)?;
            return Ok(all.iter().map(row).collect());
        }
        UserCommand::Add { name, roles, permissions, shown, email } => {
            let new = NewUser { username: name, password, roles, permissions, name: shown, email };
            accounts.add(new, now).await.map(|account| row(&account))
        }
        UserCommand::Change { name, add_role, remove_role, add_permission, remove_permission } => {
            let grants = Grants {
                add_roles: add_role,
                remove_roles: remove_role,
                add_permissions: add_permission,
                remove_permissions: remove_permission,
            };
            accounts.change_grants(&parse(&name)?, grants, now).await.map(|account| row(&account))
        }
        UserCommand::Passwd { name } => {
            accounts.change_password(&parse(&name)?, password, now).await.map(|_| String::new())
        }
        UserCommand::Disable { name } => accounts.set_disabled(&parse(&name)?, true, now).await.map(|_| String::new()),
        UserCommand::Enable { name } => accounts.set_disabled(&parse(&name)?, false, now).await.map(|_| String::new()),
    };
    line.map_err(refused)
}

fn row(account: &Account) -> String {
    let state = if account.disabled { "disabled" } else { "active" };
    let permissions = match account.permissions.join(",") {
        none if none.is_empty() => none,
        some => format!("\t{some}"),
    };
    format!("{}\t{}\t{}\t{state}{permissions}\n", account.username, account.id, account.roles.join(","))
}

fn parse(name: &str) -> Result<Username, CommandError> {
    Username::parse(name, "username").map_err(refused)
}

fn refused(fault: hubbub_actors::model::fault::Fault) -> CommandError {
    match fault.cause() {
        Some(cause) => CommandError::of(format!("{}: {cause}", fault.message)),
        None => CommandError::of(fault.message),
    }
}

/// Reads the password from the terminal, or from the first line of standard input. It is never an argument, because all
/// users of the machine can read the arguments.
fn read_password() -> Result<String, CommandError> {
    let failed = |error: io::Error| CommandError::of(format!("the password could not be read: {error}"));
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").map_err(failed)?;
        check_password(&password).map_err(refused)?;
        if rpassword::prompt_password("Again: ").map_err(failed)? != password {
            return Err(CommandError::of("the two passwords differ"));
        }
        password
    } else {
        let mut line = Vec::new();
        // A line end and one byte more than the longest password, so that a longer password is detected.
        let most = *PASSWORD_BYTES.end() + 3;
        io::stdin().lock().take(most as u64).read_until(b'\n', &mut line).map_err(failed)?;
        // A longer line may be cut within a character; then its length is the error to report.
        if line.len() < most && std::str::from_utf8(&line).is_err() {
            return Err(CommandError::of("the password is not UTF-8"));
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        line.strip_suffix('\r').unwrap_or(line).to_owned()
    };
    check_password(&password).map_err(refused)?;
    Ok(password)
}
