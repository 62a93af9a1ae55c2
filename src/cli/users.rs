//! `hubbub user …`: the accounts, from the command line. Works beside a running hub, which heeds what changes here.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::store::{Account, Grants, Role, Store};

use super::settings::Place;
use super::{Failure, configured};
use crate::accounts::{Accounts, NewUser, PASSWORD_BYTES, Username, check_password};
use crate::config::{Sources, secrets};

#[derive(Debug, Args)]
pub(super) struct Users {
    #[command(flatten)]
    pub(super) place: Place,
    #[command(subcommand)]
    pub(super) action: User,
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make an account; the password is asked for, or the first line of standard input
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
        /// Where mail goes
        #[arg(long)]
        email: Option<String>,
    },
    /// Give an account another password, and end what it was signed in to
    Passwd {
        /// The name to sign in with
        name: String,
    },
    /// Print the accounts: name, id, roles, active or disabled, and permissions where there are any, with tabs between
    List,
    /// Give an account roles and permissions, or take some away, and print it
    ///
    /// What it gets is in its next access token. Where it loses something, its sessions end.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Change {
        /// The name to sign in with
        name: String,
        /// A role to give; may be given several times, as the others
        #[arg(long, value_name = "ROLE", group = "change")]
        add_role: Vec<String>,
        /// A role to take away
        #[arg(long, value_name = "ROLE", group = "change")]
        remove_role: Vec<String>,
        /// A permission to give
        #[arg(long, value_name = "PERMISSION", group = "change")]
        add_permission: Vec<String>,
        /// A permission to take away
        #[arg(long, value_name = "PERMISSION", group = "change")]
        remove_permission: Vec<String>,
    },
    /// Let an account sign in no more, and close its connections
    Disable {
        /// The name to sign in with
        name: String,
    },
    /// Let a disabled account sign in again
    Enable {
        /// The name to sign in with
        name: String,
    },
}

/// Does what is asked for; the answer is for standard output.
pub(super) fn run(sources: &Sources, user: User) -> Result<String, Failure> {
    let config = configured(sources)?;
    secrets::check_folder(&config)?;
    let clock = Clock::System;
    // Whatever can be wrong without the store is said before it is opened.
    let password = match &user {
        User::Add { name, .. } | User::Passwd { name } => {
            parse(name)?;
            read_password()?
        }
        User::Disable { name } | User::Enable { name } | User::Change { name, .. } => {
            parse(name).map(|_| String::new())?
        }
        User::List => String::new(),
    };
    let store = Store::open(&config.server.data_dir, Role::Command, clock.clone()).map_err(Failure::of)?;
    let accounts = Accounts::new(store.clone(), &config.auth).map_err(Failure::of)?;
    actix_rt::System::new().block_on(async {
        let answer = answer(&accounts, user, password, clock.now_ms()).await;
        store.close().await;
        answer
    })
}

async fn answer(accounts: &Accounts, user: User, password: String, now: i64) -> Result<String, Failure> {
    let line = match user {
        User::List => {
            let all = accounts.all().await.map_err(refused)?;
            return Ok(all.iter().map(row).collect());
        }
        User::Add { name, roles, permissions, shown, email } => {
            let new = NewUser { username: name, password, roles, permissions, name: shown, email };
            accounts.add(new, now).await.map(|account| row(&account))
        }
        User::Change { name, add_role, remove_role, add_permission, remove_permission } => {
            let grants = Grants {
                add_roles: add_role,
                remove_roles: remove_role,
                add_permissions: add_permission,
                remove_permissions: remove_permission,
            };
            accounts.change_grants(&parse(&name)?, grants, now).await.map(|account| row(&account))
        }
        User::Passwd { name } => accounts.change_password(&parse(&name)?, password, now).await.map(|_| String::new()),
        User::Disable { name } => accounts.set_disabled(&parse(&name)?, true, now).await.map(|_| String::new()),
        User::Enable { name } => accounts.set_disabled(&parse(&name)?, false, now).await.map(|_| String::new()),
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

fn parse(name: &str) -> Result<Username, Failure> {
    Username::parse(name, "username").map_err(refused)
}

fn refused(fault: hubbub_actors::model::fault::Fault) -> Failure {
    Failure::of(fault.message)
}

/// The password, from whoever sits there, or from the first line of standard input; never from an argument, which
/// everybody on the machine can read.
fn read_password() -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::of(format!("the password could not be read: {error}"));
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").map_err(failed)?;
        check_password(&password).map_err(refused)?;
        if rpassword::prompt_password("Again: ").map_err(failed)? != password {
            return Err(Failure::of("the two passwords differ"));
        }
        password
    } else {
        let mut line = Vec::new();
        // A line end and one byte more than a password has, so that a longer one is told from the longest.
        let most = *PASSWORD_BYTES.end() + 3;
        io::stdin().lock().take(most as u64).read_until(b'\n', &mut line).map_err(failed)?;
        // One that is longer may be cut within a character; its length is what is wrong with it.
        if line.len() < most && std::str::from_utf8(&line).is_err() {
            return Err(Failure::of("the password is not UTF-8"));
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        line.strip_suffix('\r').unwrap_or(line).to_owned()
    };
    check_password(&password).map_err(refused)?;
    Ok(password)
}
