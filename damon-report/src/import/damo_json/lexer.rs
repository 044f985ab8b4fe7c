//! JSON, piece by piece, whoever has written it.

use super::text::Text;
use crate::import::number::Quantity;
use crate::import::{ImportError, Position};
use memchr::memchr2;

/// Lists and objects inside one another. damo needs eight; a text that goes deeper is no recording.
const DEEPEST: usize = 128;

/// Longest text that means something; of longer ones only the start is kept.
pub(super) const LONGEST: usize = 256;

/// Reads JSON in order and holds no more of it than the text of one value.
#[derive(Debug)]
pub(super) struct Lexer {
    pub(super) text: Text,
    /// The last key, text or number.
    token: Vec<u8>,
    /// True when it was longer than what is kept.
    cut: bool,
    /// Collects what is passed over, up to so many bytes.
    kept: Option<(Vec<u8>, usize)>,
}

impl Lexer {
    pub(super) fn new(text: Text) -> Self {
        Self { text, token: Vec::new(), cut: false, kept: None }
    }

    /// The last key or text; empty when it was too long to mean anything.
    pub(super) fn token(&self) -> &[u8] {
        if self.cut { &[] } else { &self.token }
    }

    fn advance(&mut self, count: usize) {
        if let Some((kept, most)) = &mut self.kept {
            let rest = self.text.rest();
            let room = most.saturating_sub(kept.len());
            kept.extend_from_slice(rest.get(..count.min(room)).unwrap_or_default());
        }
        self.text.advance(count);
    }

    /// The next byte that is no white space, which stays where it is.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, ImportError> {
        loop {
            let rest = self.text.rest();
            let white = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            let found = rest.iter().position(|byte| !white(byte));
            self.advance(found.unwrap_or(rest.len()));
            if found.is_some() {
                return Ok(self.text.rest().first().copied());
            }
            if !self.text.more()? {
                return Ok(None);
            }
        }
    }

    /// Takes `byte` if it is next.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, ImportError> {
        let found = self.peek()? == Some(byte);
        if found {
            self.advance(1);
        }
        Ok(found)
    }

    /// Takes `byte`, which has to be next.
    pub(super) fn expect(&mut self, byte: u8, expected: &str) -> Result<(), ImportError> {
        if self.take(byte)? { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// What is next is not what should be.
    pub(super) fn unexpected(&mut self, expected: &str) -> ImportError {
        if let Err(error) = self.text.have(SHOWN) {
            return error;
        }
        let rest = self.text.rest();
        let shown = rest.get(..SHOWN.min(rest.len())).unwrap_or_default();
        error(self.text.position(), expected, shown)
    }

    /// In an object: the next key, with its colon; false after the last. `first` is true after the `{`.
    pub(super) fn key(&mut self, first: &mut bool) -> Result<bool, ImportError> {
        if self.take(b'}')? {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "a comma or }")?;
        }
        if self.peek()? != Some(b'"') {
            return Err(self.unexpected("a key in quotation marks"));
        }
        self.string()?;
        self.expect(b':', "a colon")?;
        Ok(true)
    }

    /// In a list: whether there is another element; false after the last. `first` is true after the `[`.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, ImportError> {
        if self.take(b']')? {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',', "a comma or ]")?;
        }
        Ok(true)
    }

    /// Takes `null`, if that is next.
    pub(super) fn null(&mut self) -> Result<bool, ImportError> {
        if self.peek()? != Some(b'n') {
            return Ok(false);
        }
        self.text.have(4)?;
        if self.text.rest().starts_with(b"null") {
            self.advance(4);
            return Ok(true);
        }
        Err(self.unexpected("a value"))
    }

    /// A text; its start is kept as the token.
    fn string(&mut self) -> Result<(), ImportError> {
        self.token.clear();
        self.cut = false;
        self.advance(1);
        loop {
            let rest = self.text.rest();
            let found = memchr2(b'"', b'\\', rest);
            let plain = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
            let room = LONGEST.saturating_sub(self.token.len());
            self.cut |= plain.len() > room;
            self.token.extend_from_slice(plain.get(..plain.len().min(room)).unwrap_or_default());
            let (count, ends) = (plain.len(), rest.get(plain.len()) == Some(&b'"'));
            self.advance(count);
            match found {
                Some(_) if ends => {
                    self.advance(1);
                    return Ok(());
                }
                Some(_) => self.escape()?,
                None => {
                    if !self.text.more()? {
                        return Err(self.unexpected("the rest of a text and a quotation mark"));
                    }
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), ImportError> {
        self.text.have(6)?;
        let rest = self.text.rest();
        let (letter, count) = match rest.get(1) {
            Some(b'n') => ('\n', 2),
            Some(b't') => ('\t', 2),
            Some(b'r') => ('\r', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(&byte @ (b'"' | b'\\' | b'/')) => (char::from(byte), 2),
            Some(b'u') => {
                let digits = rest.get(2..6).and_then(|hex| std::str::from_utf8(hex).ok());
                match digits.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
                    // Halves of pairs are in names only, of which nothing depends on them.
                    Some(code) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
                    None => return Err(self.unexpected("four hexadecimal digits after \\u")),
                }
            }
            _ => return Err(self.unexpected("an escaped character")),
        };
        self.cut |= self.token.len() >= LONGEST;
        if !self.cut {
            self.token.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.advance(count);
        Ok(())
    }

    /// A bare word: number, `true`, `NaN`.
    fn word(&mut self) -> Result<(), ImportError> {
        self.token.clear();
        self.cut = false;
        loop {
            let rest = self.text.rest();
            let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
            let found = rest.iter().position(ends);
            let plain = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
            let room = LONGEST.saturating_sub(self.token.len());
            self.cut |= plain.len() > room;
            self.token.extend_from_slice(plain.get(..plain.len().min(room)).unwrap_or_default());
            let count = plain.len();
            self.advance(count);
            if found.is_some() || !self.text.more()? {
                break;
            }
        }
        if self.token.is_empty() { Err(self.unexpected("a value")) } else { Ok(()) }
    }

    /// A number in whatever way damo's reader takes it, `None` for `null` and for what is below zero.
    pub(super) fn number(&mut self, quantity: Quantity) -> Result<Option<u64>, ImportError> {
        if self.null()? {
            return Ok(None);
        }
        let first = self.peek()?;
        let position = self.text.position();
        match first {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.word()?,
            _ => return Err(self.unexpected(quantity.expected())),
        }
        let text = self.token().trim_ascii();
        let (text, negative) = match text.strip_prefix(b"-") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let Some(value) = quantity.parse(text) else {
            let begin = self.token.get(..SHOWN.min(self.token.len())).unwrap_or_default();
            return Err(error(position, quantity.expected(), begin));
        };
        Ok((!negative).then_some(value))
    }

    /// A number that says again what another says; `None` when it cannot be read.
    pub(super) fn loose_number(&mut self, quantity: Quantity) -> Result<Option<u64>, ImportError> {
        match self.peek()? {
            Some(b'"') => self.string()?,
            Some(b'0'..=b'9') => self.word()?,
            _ => {
                self.skip()?;
                return Ok(None);
            }
        }
        Ok(quantity.parse(self.token().trim_ascii()))
    }

    /// A text, `None` for anything else.
    pub(super) fn word_or_nothing(&mut self) -> Result<Option<String>, ImportError> {
        if self.peek()? == Some(b'"') {
            self.string()?;
            return Ok(Some(String::from_utf8_lossy(&self.token).into_owned()));
        }
        self.skip()?;
        Ok(None)
    }

    /// Passes over a value and gives back its text, white space squeezed, no more than `most` bytes of it.
    pub(super) fn keep(&mut self, most: usize) -> Result<String, ImportError> {
        self.peek()?;
        self.kept = Some((Vec::new(), most.saturating_mul(4)));
        self.skip()?;
        let (kept, _) = self.kept.take().unwrap_or_default();
        let text = String::from_utf8_lossy(&kept);
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.len() > most {
            let mut end = most;
            while !text.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            text.truncate(end);
            text.push('…');
        }
        Ok(text)
    }

    /// Passes over a value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), ImportError> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            let mut ended = true;
            match self.peek()? {
                Some(b'"') => self.string()?,
                Some(byte @ (b'{' | b'[')) => {
                    if open.len() >= DEEPEST {
                        return Err(self.unexpected("fewer lists and objects in one another"));
                    }
                    self.advance(1);
                    open.push(if byte == b'{' { b'}' } else { b']' });
                    ended = self.peek()? == open.last().copied();
                    if !ended && byte == b'{' {
                        self.key(&mut true)?;
                    }
                }
                Some(_) => self.word()?,
                None => return Err(self.unexpected("a value")),
            }
            // Behind a value: close what ends here, and go on to the next value if something is left.
            while ended {
                let Some(&close) = open.last() else {
                    return Ok(());
                };
                if self.take(close)? {
                    open.pop();
                    continue;
                }
                ended = false;
                if close == b'}' {
                    self.key(&mut false)?;
                } else {
                    self.element(&mut false)?;
                }
            }
        }
    }
}

/// Bytes of the input that an error shows.
const SHOWN: usize = 24;

fn error(position: Position, expected: &str, found: &[u8]) -> ImportError {
    let found = if found.is_empty() {
        "nothing more".to_owned()
    } else {
        format!("\"{}\"", found.escape_ascii())
    };
    ImportError::Unexpected { position, expected: expected.to_owned(), found }
}
