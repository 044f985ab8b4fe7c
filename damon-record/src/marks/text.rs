//! From bytes that anybody may have written to the texts of marks.

/// The text of a mark has at most so many bytes; what is longer ends in `…`.
pub const MOST_BYTES: usize = 240;
/// So much of a line is kept until it is complete: more than what is left of it needs.
const KEPT_BYTES: usize = 1024;
const ELLIPSIS: char = '…';

/// The text that `line` stands for; none if it is blank. Whatever cannot be seen, or would change how a terminal shows
/// something else, becomes U+FFFD, as does what is not UTF-8.
pub fn printable(line: &[u8]) -> Option<String> {
    let kept = line.get(..KEPT_BYTES).unwrap_or(line);
    let decoded = String::from_utf8_lossy(kept);
    let mut text: String = decoded.trim().chars().map(shown).collect();
    let cut = kept.len() < line.len();
    if cut || text.len() > MOST_BYTES {
        let room = MOST_BYTES - ELLIPSIS.len_utf8();
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= room).last().unwrap_or(0);
        text.truncate(end);
        text.push(ELLIPSIS);
    }
    (!decoded.trim().is_empty()).then_some(text)
}

fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        // Directions, joiners, separators and tags that are no control characters to Unicode.
        '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Puts lines together from the pieces they come in; keeps little of one that does not end.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes; hands over each line that they complete.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                each(&self.rest);
                self.rest.clear();
            }
            // One more than counts tells that there was more.
            let room = (KEPT_BYTES + 1).saturating_sub(self.rest.len());
            self.rest.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    /// Whether a line has begun and not ended.
    pub fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The line that has begun is complete as it is.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if self.has_rest() {
            each(&self.rest);
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| all.push(line.to_vec()));
        }
        lines.finish(|line| all.push(line.to_vec()));
        all
    }

    #[test]
    fn what_cannot_be_printed_is_seen_all_the_same() {
        let text = |line: &[u8]| printable(line).unwrap();
        assert_eq!(text("  Größe 2\u{1f600}\r".as_bytes()), "Größe 2\u{1f600}");
        assert_eq!(text(b"a\tb\x1b[31mc\0d\xff\xfe"), "a b\u{fffd}[31mc\u{fffd}d\u{fffd}\u{fffd}");
        assert_eq!(text("x\u{202e}y\u{2028}z".as_bytes()), "x\u{fffd}y\u{fffd}z");
        for unseen in ['\u{ad}', '\u{61c}', '\u{e0001}', '\u{e007f}'] {
            assert_eq!(text(format!("x{unseen}y").as_bytes()), "x\u{fffd}y");
        }
        for blank in [&b""[..], b" \t \r", b"\n"] {
            assert_eq!(printable(blank), None);
        }
    }

    #[test]
    fn long_lines_are_cut_where_a_character_ends() {
        let whole = "ä".repeat(MOST_BYTES / 2);
        assert_eq!(printable(whole.as_bytes()).unwrap(), whole);
        let cut = printable(format!("{whole}b").as_bytes()).unwrap();
        assert_eq!(cut, format!("{}…", "ä".repeat((MOST_BYTES - 3) / 2)));
        // What is not kept is not forgotten.
        let spaces = format!("begin{}", " ".repeat(2 * KEPT_BYTES));
        assert_eq!(printable(spaces.as_bytes()).unwrap(), "begin…");
    }

    #[test]
    fn a_line_that_never_ends_takes_no_room() {
        let mut lines = Lines::default();
        let piece = [b'x'; 4096];
        for _ in 0..1000 {
            lines.push(&piece, |_| panic!("no line has ended"));
        }
        assert!(lines.rest.capacity() <= 2 * KEPT_BYTES + 2, "{}", lines.rest.capacity());
        let mut ended = Vec::new();
        lines.push(b"y\nnext\n", |line| ended.push(printable(line).unwrap()));
        assert_eq!(ended.len(), 2);
        assert!(ended[0].ends_with("xx…") && ended[1] == "next", "{ended:?}");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            all in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &all[pair[0]..pair[1]]).collect();
            let mut expected: Vec<Vec<u8>> = all.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            // What comes after the last line end is a line only if there is something.
            expected.pop_if(|last| last.is_empty());
            prop_assert_eq!(lines(&pieces), expected);
        }

        #[test]
        fn whatever_was_written_is_a_short_line_of_characters_that_can_be_seen(
            line in prop::collection::vec(any::<u8>(), 0..3000)
        ) {
            if let Some(text) = printable(&line) {
                prop_assert!(!text.is_empty() && text.len() <= MOST_BYTES);
                prop_assert!(!text.chars().any(char::is_control));
                // It stays what it is when it is written once more.
                prop_assert_eq!(printable(text.as_bytes()), Some(text));
            }
        }
    }
}
