//! Where a page of a list ended, for the next one to begin: a text that means nothing to its holder.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Tells cursors of another list, and of another making, apart.
const VERSION: &str = "1";

/// The cursor behind the entry of a list that is named so.
pub fn after(list: &str, name: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{VERSION}\n{list}\n{name}"))
}

/// The name of the entry that a cursor of this list stands behind; none where it is no cursor of this list.
pub fn read(list: &str, cursor: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.splitn(3, '\n');
    let is_ours = parts.next() == Some(VERSION) && parts.next() == Some(list);
    let name = parts.next()?;
    (is_ours && !name.chars().any(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_of_another_list_is_none() {
        assert_eq!(read("keys", &after("orders", "x")), None);
    }

    proptest! {
        #[test]
        fn a_cursor_says_what_it_was_made_of(name in "[^\\p{Cc}]{0,60}") {
            prop_assert_eq!(read("orders", &after("orders", &name)), Some(name));
        }

        #[test]
        fn any_text_at_all_is_a_cursor_or_none(text in any::<String>()) {
            if let Some(name) = read("orders", &text) {
                prop_assert!(!name.chars().any(char::is_control));
            }
        }

        #[test]
        fn any_bytes_at_all_are_a_cursor_or_none(bytes in any::<Vec<u8>>()) {
            let _ = read("orders", &BASE64_URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
