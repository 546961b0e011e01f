//! Text from elsewhere, made safe to show on one line of a terminal.
//!
//! A reference, a metadata value or a message may hold any character that Unicode has. A newline in
//! it would begin a row that nobody wrote; an escape sequence would move the cursor or repaint what
//! stands above; a mark of direction would show digits in another order than they have. So each
//! such character is shown as what it is, `\n` or `\u{202e}`. All others are left alone.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character does something to a terminal or to its neighbours rather than being shown.
fn acts(character: char) -> bool {
    match character {
        // C0, DEL and C1.
        control if control.is_control() => true,
        // Marks, embeddings, overrides and isolates of direction.
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}' => true,
        // Separators of lines and paragraphs.
        '\u{2028}' | '\u{2029}' => true,
        // What takes no room: a byte order mark, anchors of annotations, letters of tags.
        '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}' => true,
        _ => false,
    }
}

/// The text on one line, with every character shown that would act.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            acting if acts(acting) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(acting));
            }
            other => shown.push(other),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_acts_is_shown_and_no_other_is_changed() {
        for (text, shown) in [
            ("order-17", "order-17"),
            ("Zürich, 東京, שלום, 🙂, C:\\new", "Zürich, 東京, שלום, 🙂, C:\\new"),
            ("a\nb", "a\\nb"),
            ("a\r\tb", "a\\r\\tb"),
            ("\u{1b}[2J\u{7}\u{0}", "\\u{1b}[2J\\u{7}\\u{0}"),
            ("\u{7f}\u{80}\u{9b}31m\u{9f}", "\\u{7f}\\u{80}\\u{9b}31m\\u{9f}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}", "\\u{202a}\\u{202b}\\u{202c}\\u{202d}\\u{202e}"),
            ("\u{2066}\u{2067}\u{2068}\u{2069}", "\\u{2066}\\u{2067}\\u{2068}\\u{2069}"),
            ("\u{2028}\u{2029}\u{feff}\u{e0041}", "\\u{2028}\\u{2029}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn no_control_character_is_left_whatever_the_text() {
        for character in (0..=0x2FFF).filter_map(char::from_u32) {
            let text = format!("a{character}b");
            assert!(!plain(&text).chars().any(char::is_control), "{text:?}");
        }
    }
}
