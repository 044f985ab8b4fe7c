//! Names that somebody may have meant.

/// "did you mean …?" where a name is near, and all names otherwise.
pub fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (distance(word, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .min();
    match near {
        Some((_, name)) => format!("did you mean {name}?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// Letters to insert, delete or replace to get from one word to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = std::mem::replace(&mut row, vec![left]);
        diagonal.truncate(b.len() + 1);
        for (pair, to) in diagonal.windows(2).zip(&b) {
            if let [before, above] = pair {
                left = (before + usize::from(from != *to)).min(above + 1).min(left + 1);
                row.push(left);
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("nr_acceses", "nr_accesses", 1),
            ("kitten", "sitting", 3),
            ("abc", "abc", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["sz_bytes", "nr_accesses", "age"];
        assert_eq!(suggestion("nr_acceses", &known), "did you mean nr_accesses?");
        assert_eq!(suggestion("ages", &known), "did you mean age?");
        assert_eq!(suggestion("colour", &known), "known are sz_bytes, nr_accesses, age");
    }
}
