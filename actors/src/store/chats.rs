//! Stores chats and their participants. The running hub uses the copy in [`crate::chats`].

use rusqlite::{Connection, OptionalExtension, params};

use super::health::StoreError;
use super::{Store, invalid, stored_id};
use crate::model::fault::Fault;
use crate::model::ids::{ChatId, UserId, printable};

/// Longest name of a chat, in characters.
pub const CHAT_NAME_MAX: usize = 200;
/// Longest description of a chat, in characters.
pub const CHAT_DESCRIPTION_MAX: usize = 2_000;
/// Most participants of a chat.
pub const PARTICIPANTS_MAX: usize = 10_000;

/// A stored chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The id.
    pub id: ChatId,
    /// The display name.
    pub name: String,
    /// The description.
    pub description: String,
    /// Whether every user may join.
    pub public: bool,
    /// The users allowed to join a chat that is not public, ordered by id, without duplicates.
    pub participants: Vec<UserId>,
    /// Creation time, ms since the epoch.
    pub created_at: i64,
    /// The user that creates the chat by joining it. Not filled by reads: access checks use
    /// [`ChatAccessRules::made_by`].
    pub made_by: Option<UserId>,
}

impl Chat {
    /// A chat created at `now`, from a client's `name` and `description`. An empty name is replaced by the id.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`], with the name of a field that is too long or not printable.
    pub fn new(id: ChatId, name: String, description: String, now: i64) -> Result<Self, Fault> {
        let name = if name.is_empty() { id.as_str().to_owned() } else { name };
        printable(&name, "name", CHAT_NAME_MAX)?;
        if description.chars().count() > CHAT_DESCRIPTION_MAX {
            let message = format!("`description` is longer than {CHAT_DESCRIPTION_MAX} characters");
            return Err(Fault::field("description", message));
        }
        if description.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(Fault::field("description", "`description` has a character that is not printable"));
        }
        Ok(Self { id, name, description, public: false, participants: Vec::new(), created_at: now, made_by: None })
    }

    /// Sets the participants.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::InvalidRequest`] for more than [`PARTICIPANTS_MAX`].
    pub fn with_participants(self, mut participants: Vec<UserId>) -> Result<Self, Fault> {
        participants.sort_unstable();
        participants.dedup();
        if participants.len() > PARTICIPANTS_MAX {
            let message = format!("`participants` has more than {PARTICIPANTS_MAX} users");
            return Err(Fault::field("participants", message));
        }
        Ok(Self { participants, ..self })
    }
}

/// The access rules of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAccessRules {
    /// The chat.
    pub id: ChatId,
    /// Whether every user may join.
    pub public: bool,
    /// The users allowed to join a chat that is not public; not filled for a public chat.
    pub participants: Vec<UserId>,
    /// The user that created the chat by joining it.
    pub made_by: Option<UserId>,
}

/// An entry in a user's list of chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChat {
    /// The chat.
    pub id: ChatId,
    /// Its name.
    pub name: String,
    /// Time of the last message, ms since the epoch; creation time when the chat has no messages.
    pub last_activity: i64,
}

impl Store {
    /// Creates or replaces a chat. Returns the stored chat and whether it is new. A replaced chat keeps its creation
    /// time and its messages.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn put_chat(&self, chat: Chat) -> Result<(Chat, bool), Fault> {
        self.write(move |conn| {
            let made_at = made_at(conn, &chat.id)?;
            put(conn, &chat)?;
            Ok((Chat { created_at: made_at.unwrap_or(chat.created_at), ..chat }, made_at.is_none()))
        })
        .await
    }

    /// Creates the chats that do not exist yet.
    ///
    /// # Errors
    /// As [`Store::put_chat`].
    pub async fn add_chats(&self, chats: Vec<Chat>) -> Result<(), Fault> {
        let add = move |conn: &Connection| {
            for chat in &chats {
                if made_at(conn, &chat.id)?.is_none() {
                    put(conn, chat)?;
                }
            }
            Ok(())
        };
        if self.is_waiting() {
            return self.change_in_memory(add).await;
        }
        self.write(add).await
    }

    /// The chat with this id.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn chat(&self, id: ChatId) -> Result<Option<Chat>, Fault> {
        self.read(move |conn| {
            let found = conn
                .prepare_cached(
                    "SELECT name, description, is_public, created_at FROM chats WHERE id = ?1 AND NOT is_deleted",
                )?
                .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()?;
            let Some((name, description, public, created_at)) = found else { return Ok(None) };
            let participants = participants(conn, &id)?;
            Ok(Some(Chat { id, name, description, public, participants, created_at, made_by: None }))
        })
        .await
    }

    /// The access rules of all chats.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn chat_access(&self) -> Result<Vec<ChatAccessRules>, Fault> {
        self.read(|conn| {
            let mut statement =
                conn.prepare("SELECT id, is_public, made_by FROM chats WHERE NOT is_deleted ORDER BY id")?;
            let mut rows = statement.query(())?;
            let mut chats = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, public): (String, bool) = (row.get(0)?, row.get(1)?);
                let id = stored_chat(&id)?;
                let participants = if public { Vec::new() } else { participants(conn, &id)? };
                let made_by: Option<String> = row.get(2)?;
                let made_by = made_by.map(|user| stored_id(&user)).transpose()?;
                chats.push(ChatAccessRules { id, public, participants, made_by });
            }
            Ok(chats)
        })
        .await
    }

    /// The chats that `user` may join: public chats and chats with `user` as a participant. Returns the first `most`,
    /// ordered by id.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub async fn chats_of(&self, user: UserId, most: usize) -> Result<Vec<ListedChat>, Fault> {
        self.read(move |conn| {
            // An index yields both halves in order, so that at most `most` rows of each are read.
            let mut statement = conn.prepare_cached(
                "WITH open (id) AS (
                     SELECT id FROM chats WHERE is_public
                     UNION SELECT chat_id FROM chat_participants WHERE user_id = ?1
                     ORDER BY 1 LIMIT ?2
                 )
                 SELECT id, name, coalesce(
                     (SELECT created_at FROM messages WHERE chat_id = chats.id AND seq > cleared_until
                      ORDER BY seq DESC LIMIT 1), created_at)
                 FROM open JOIN chats USING (id) ORDER BY id",
            )?;
            let mut rows = statement.query(params![user.as_str(), i64::try_from(most).unwrap_or(i64::MAX)])?;
            let mut chats = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                chats.push(ListedChat { id: stored_chat(&id)?, name: row.get(1)?, last_activity: row.get(2)? });
            }
            Ok(chats)
        })
        .await
    }
}

fn made_at(conn: &Connection, id: &ChatId) -> Result<Option<i64>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT created_at FROM chats WHERE id = ?1 AND NOT is_deleted")?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

fn put(conn: &Connection, chat: &Chat) -> Result<(), StoreError> {
    let id = chat.id.as_str();
    conn.prepare_cached(
        "INSERT INTO chats (id, name, description, is_public, created_at, changed_at, made_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET name = ?2, description = ?3, is_public = ?4, changed_at = ?5,
             created_at = CASE WHEN is_deleted THEN ?5 ELSE created_at END,
             made_by = CASE WHEN is_deleted THEN ?6 ELSE made_by END, is_deleted = 0",
    )?
    .execute(params![
        id,
        chat.name,
        chat.description,
        chat.public,
        chat.created_at,
        chat.made_by.as_ref().map(UserId::as_str)
    ])?;
    conn.prepare_cached("DELETE FROM chat_participants WHERE chat_id = ?1")?.execute([id])?;
    let mut add = conn.prepare_cached("INSERT INTO chat_participants (chat_id, user_id) VALUES (?1, ?2)")?;
    for user in &chat.participants {
        add.execute([id, user.as_str()])?;
    }
    Ok(())
}

fn participants(conn: &Connection, id: &ChatId) -> Result<Vec<UserId>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT user_id FROM chat_participants WHERE chat_id = ?1 ORDER BY user_id")?;
    let users = statement.query_map([id.as_str()], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    users.iter().map(|user| stored_id(user)).collect()
}

pub(super) fn stored_chat(id: &str) -> Result<ChatId, StoreError> {
    ChatId::parse_existing(id, "id").map_err(|fault| invalid(format!("the store holds {id:?} as a chat's id: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    fn id(text: &str) -> ChatId {
        ChatId::parse(text, "id").unwrap()
    }

    fn chat(text: &str, users: &[&str], now: i64) -> Chat {
        let users = users.iter().map(|user| UserId::parse(user, "user").unwrap()).collect();
        Chat::new(id(text), String::new(), "about".into(), now).unwrap().with_participants(users).unwrap()
    }

    #[tokio::test]
    async fn a_replaced_chat_keeps_its_creation_time_and_its_messages() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let first = chat("c", &["b", "a", "b"], 1);
        assert_eq!(store.put_chat(first.clone()).await.unwrap(), (first.clone(), true));
        assert_eq!(store.chat(id("c")).await.unwrap(), Some(first));
        let insert = |conn: &Connection| {
            let sql = "INSERT INTO messages VALUES (1, 'm', 'c', 'a', 'a', 'text', 'hello', 2)";
            Ok(conn.execute(sql, ())?)
        };
        store.write(insert).await.unwrap();

        let second = Chat { public: true, name: "C".into(), ..chat("c", &["z"], 5) };
        let kept = Chat { created_at: 1, ..second.clone() };
        assert_eq!(store.put_chat(second).await.unwrap(), (kept.clone(), false));
        assert_eq!(store.chat(id("c")).await.unwrap(), Some(kept));
        let messages = async || {
            store.read(|conn| Ok(conn.query_row("SELECT count(*) FROM messages", (), |row| row.get(0))?)).await
        };
        assert_eq!(messages().await, Ok(1));

        assert_eq!(store.delete_chat(id("c")).await, Ok(true));
        assert_eq!(store.delete_chat(id("c")).await, Ok(false));
        assert_eq!(store.chat(id("c")).await, Ok(None));
        store.purged().await;
        assert_eq!(messages().await, Ok(0));
    }

    #[tokio::test]
    async fn existing_chats_are_not_added_again_and_access_rules_of_public_chats_omit_participants() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        store.put_chat(Chat { public: true, ..chat("b", &["x"], 1) }).await.unwrap();
        store.add_chats(vec![chat("a", &["x"], 2), chat("b", &["y"], 2)]).await.unwrap();
        let x = UserId::parse("x", "user").unwrap();
        let private = ChatAccessRules { id: id("a"), public: false, participants: vec![x], made_by: None };
        let public = ChatAccessRules { id: id("b"), public: true, participants: Vec::new(), made_by: None };
        assert_eq!(store.chat_access().await.unwrap(), [private, public]);
    }

    #[tokio::test]
    async fn the_creator_of_a_chat_is_stored_until_the_chat_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let store = open();
        let by = |name: &str| Some(UserId::parse(name, "user").unwrap());
        store.put_chat(Chat { public: true, made_by: by("alice"), ..chat("a", &[], 1) }).await.unwrap();
        store.put_chat(Chat { public: true, ..chat("a", &[], 2) }).await.unwrap();
        store.put_chat(Chat { public: true, made_by: by("alice"), ..chat("b", &[], 1) }).await.unwrap();
        store.delete_chat(id("b")).await.unwrap();
        store.put_chat(Chat { public: true, made_by: by("bob"), ..chat("b", &[], 1) }).await.unwrap();
        store.close().await;
        let access = open().chat_access().await.unwrap();
        let makers: Vec<_> = access.into_iter().map(|access| access.made_by).collect();
        assert_eq!(makers, [by("alice"), by("bob")]);
    }

    #[tokio::test]
    async fn the_chats_of_a_user_are_public_or_joined_and_ordered_by_id() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        for (text, public, users) in [
            ("d", true, &["x"][..]),
            ("b", true, &[]),
            ("c", false, &["x", "y"]),
            ("a", false, &["y"]),
            ("e", false, &["x"]),
        ] {
            store.put_chat(Chat { public, ..chat(text, users, 5) }).await.unwrap();
        }
        let insert = |conn: &Connection| {
            let sql = "INSERT INTO messages VALUES (1, 'm', 'c', 'a', 'a', 'text', 'hello', 7),
                       (2, 'n', 'c', 'a', 'a', 'text', 'hello', 6)";
            Ok(conn.execute(sql, ())?)
        };
        store.write(insert).await.unwrap();
        let listed = async |name: &str, most| {
            let chats = store.chats_of(UserId::parse(name, "user").unwrap(), most).await.unwrap();
            chats.into_iter().map(|chat| (chat.id.to_string(), chat.name, chat.last_activity)).collect::<Vec<_>>()
        };
        let expected = |chats: &[(&str, i64)]| -> Vec<_> {
            chats.iter().map(|&(id, at)| (id.to_owned(), id.to_owned(), at)).collect()
        };
        assert_eq!(listed("x", 1_000).await, expected(&[("b", 5), ("c", 6), ("d", 5), ("e", 5)]));
        assert_eq!(listed("x", 2).await, expected(&[("b", 5), ("c", 6)]));
        assert_eq!(listed("nobody", 1_000).await, expected(&[("b", 5), ("d", 5)]));
    }

    #[test]
    fn the_name_the_description_and_the_participants_of_a_chat_are_bounded() {
        let new = |name: &str, description: &str| Chat::new(id("c"), name.into(), description.into(), 0);
        assert_eq!(new("", "").unwrap().name, "c");
        assert!(new(&"é".repeat(CHAT_NAME_MAX), &"é\n\t".repeat(CHAT_DESCRIPTION_MAX / 3)).is_ok());
        for (name, description, field) in [
            ("é".repeat(CHAT_NAME_MAX + 1), String::new(), "name"),
            ("a\nb".into(), String::new(), "name"),
            (String::new(), "é".repeat(CHAT_DESCRIPTION_MAX + 1), "description"),
            (String::new(), "bell\u{7}".into(), "description"),
        ] {
            assert_eq!(new(&name, &description).unwrap_err().field.as_deref(), Some(field));
        }
        let users = |count: usize| (0..count).map(|n| UserId::parse(&n.to_string(), "user").unwrap()).collect();
        assert!(new("", "").unwrap().with_participants(users(PARTICIPANTS_MAX)).is_ok());
        let fault = new("", "").unwrap().with_participants(users(PARTICIPANTS_MAX + 1)).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("participants"));
    }
}
