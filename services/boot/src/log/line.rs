//! What a line of the log may hold: one line, of a bounded length, whatever text of others is in it.
use std::borrow::Cow;

use serde_json::{Map, Value};
use settings::LogFormat;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// The longest line. Container engines and journals cut lines at 16 KiB or more.
const LINE_MAX_BYTES: usize = 8 * 1024;
/// The longest text in a JSON line that would be longer than [`LINE_MAX_BYTES`] otherwise.
const TEXT_MAX_BYTES: usize = 1024;

/// An event as the formatter wrote it, made one line of a bounded length: control characters are escaped, and what is
/// too long is cut. With `colours` the formatter's own escape sequences stay; those in texts it has escaped itself.
pub(crate) fn bounded(event: &[u8], format: LogFormat, colours: bool) -> Cow<'_, [u8]> {
    let Some(body) = event.strip_suffix(b"\n") else { return Cow::Owned(bounded_text(event, format, colours)) };
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') || (colours && *byte == 0x1b);
    if body.len() <= LINE_MAX_BYTES && body.iter().all(is_plain) {
        return Cow::Borrowed(event);
    }
    Cow::Owned(bounded_text(body, format, colours))
}

fn bounded_text(body: &[u8], format: LogFormat, colours: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let text = match format {
        LogFormat::Json if text.len() > LINE_MAX_BYTES => Cow::Owned(shortened(&text)),
        LogFormat::Text => Cow::Owned(cut(&text, LINE_MAX_BYTES)),
        LogFormat::Json => text,
    };
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if !is_control(character) || (colours && character == '\u{1b}') {
            line.push(character);
            continue;
        }
        line.push_str(&match (character, format) {
            // JSON has escaped those that it must, so the others are inside of strings.
            (_, LogFormat::Json) => format!("\\u{:04x}", u32::from(character)),
            ('\n' | '\r' | '\t', _) => character.escape_default().to_string(),
            _ => character.escape_unicode().to_string(),
        });
    }
    line.push('\n');
    line.into_bytes()
}

/// Moves the cursor, ends the line, or turns the direction of what follows.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many bytes, and how many are missing.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{}... ({} bytes more)", &text[..end], text.len() - end)
}

/// A JSON line with its long texts cut.
fn shortened(line: &str) -> String {
    fn shorten(value: &mut Value) {
        match value {
            Value::String(text) => *text = cut(text, TEXT_MAX_BYTES),
            Value::Array(values) => values.iter_mut().for_each(shorten),
            Value::Object(members) => members.values_mut().for_each(shorten),
            _ => {}
        }
    }
    match serde_json::from_str::<Value>(line) {
        Ok(mut value) => {
            shorten(&mut value);
            value.to_string()
        }
        Err(error) => {
            let fields = [("bytes", line.len().to_string()), ("error", error.to_string())];
            own(LogFormat::Json, Level::WARN, "log line too long, left out", &fields).trim_end().to_owned()
        }
    }
}

/// A line that no event makes: what must be said whatever the filter is, or where events cannot be used. It looks like
/// an event's, in bounds too.
pub(crate) fn own(format: LogFormat, level: Level, message: &str, fields: &[(&str, String)]) -> String {
    let mut time = String::new();
    if SystemTime.format_time(&mut Writer::new(&mut time)).is_err() {
        time.clear();
    }
    let line = match format {
        LogFormat::Text => {
            let mut line = format!("{time} {level:>5} {message}");
            for (name, value) in fields {
                line.push_str(&format!(" {name}={value}"));
            }
            line
        }
        LogFormat::Json => {
            let mut line = Map::new();
            line.insert("timestamp".to_owned(), time.into());
            line.insert("level".to_owned(), level.as_str().into());
            line.insert("message".to_owned(), message.into());
            line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
            Value::Object(line).to_string()
        }
    };
    String::from_utf8(bounded_text(line.as_bytes(), format, false)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(event: &str) -> String {
        String::from_utf8(bounded(event.as_bytes(), LogFormat::Text, false).into_owned()).unwrap()
    }

    #[test]
    fn a_text_of_several_lines_becomes_one_line() {
        assert_eq!(text("it said <html>\r\n\t<b>no</b>\n</html>\n"), "it said <html>\\r\\n\\t<b>no</b>\\n</html>\n");
        assert_eq!(text("plain\n"), "plain\n");
        assert_eq!(text("a\u{1b}[2Jb\u{7}\u{9b}\u{2028}\u{202e}\n"), "a\\u{1b}[2Jb\\u{7}\\u{9b}\\u{2028}\\u{202e}\n");
        assert_eq!(text("grüße ✓\n"), "grüße ✓\n");
    }

    #[test]
    fn colours_of_the_formatter_stay() {
        let event = "\u{1b}[2mdim\u{1b}[0m two\nlines\n";
        let line = bounded(event.as_bytes(), LogFormat::Text, true);
        assert_eq!(std::str::from_utf8(&line).unwrap(), "\u{1b}[2mdim\u{1b}[0m two\\nlines\n");
    }

    #[test]
    fn a_long_text_is_cut_and_says_by_how_much() {
        let line = text(&format!("{}ü and more\n", "x".repeat(LINE_MAX_BYTES - 1)));
        assert_eq!(line, format!("{}... (11 bytes more)\n", "x".repeat(LINE_MAX_BYTES - 1)));
        // Escapes make it longer, by a bounded factor.
        assert!(text(&format!("{}\n", "\u{1}".repeat(1 << 20))).len() < 6 * LINE_MAX_BYTES);
    }

    #[test]
    fn a_json_line_stays_json_whatever_is_in_it() {
        let json = |text: &str| {
            let event = serde_json::json!({ "level": "WARN", "fields": { "error": text, "n": 7 } }).to_string() + "\n";
            let line = bounded(event.as_bytes(), LogFormat::Json, false).into_owned();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            (line.len(), serde_json::from_slice::<Value>(&line).unwrap())
        };
        let odd = "a\nb\u{7f}\u{9b}\u{2028}\u{202e}\"\\ü";
        assert_eq!(json(odd).1["fields"]["error"], odd);
        let (length, value) = json(&"<p>\r\n".repeat(100_000));
        assert!(length < 2 * LINE_MAX_BYTES, "{length}");
        assert_eq!(value["fields"]["n"], 7);
        assert!(value["fields"]["error"].as_str().unwrap().ends_with("bytes more)"), "{value}");
    }

    #[test]
    fn our_own_lines_look_like_those_of_events() {
        let fields = [("dropped", "7".to_owned())];
        let line = own(LogFormat::Text, Level::WARN, "7 log lines\ndropped", &fields);
        assert!(line.ends_with("Z  WARN 7 log lines\\ndropped dropped=7\n"), "{line}");
        let line: Value = serde_json::from_str(&own(LogFormat::Json, Level::ERROR, "a\nb", &fields)).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["dropped"]),
            (&"ERROR".into(), &"a\nb".into(), &"7".into())
        );
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}
