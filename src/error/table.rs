//! The tables of codes in `docs/errors.md`.

use hubbub_actors::model::close::Close;
use hubbub_actors::model::fault::Code;

/// The tables of codes and of closes as Markdown, as `docs/errors.md` shows them.
pub fn markdown() -> String {
    let mut text = String::from("| code | HTTP | meaning | what a client does |\n|---|---|---|---|\n");
    for &code in Code::ALL {
        let status = super::status(code).as_u16();
        text += &format!("| `{code}` | {status} | {} | {} |\n", code.meaning().trim(), code.advice());
    }
    text += "\n| close code | reason phrase | meaning | reconnect |\n|---|---|---|---|\n";
    for close in Close::ALL {
        let (code, reason) = (close.code(), close.reason());
        text += &format!("| {code} | {reason} | {} | {} |\n", close.meaning().trim(), close.reconnect());
    }
    text
}
