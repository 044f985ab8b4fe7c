//! The number of a process on the command line.

/// Parses it. Whoever writes something else mostly means a command or a name.
pub(super) fn parse_pid(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(pid) if pid > 0 && i32::try_from(pid).is_ok() => Ok(pid),
        Err(_) if text.contains(char::is_alphabetic) => Err(format!(
            "a PID is a number; to start a command write: damon-record -- {text} ...; to record running processes \
             of that name: damon-record --comm {text}"
        )),
        _ => Err(format!("a PID is a number from 1 to {}", i32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pids_and_words_are_explained() {
        assert_eq!(parse_pid("1"), Ok(1));
        assert_eq!(parse_pid("2147483647"), Ok(2_147_483_647));
        for text in ["0", "-1", "2147483648", "99999999999999999999", "", "1.5"] {
            assert!(parse_pid(text).unwrap_err().contains("from 1 to 2147483647"), "{text}");
        }
        let text = parse_pid("make").unwrap_err();
        assert!(text.contains("damon-record -- make") && text.contains("--comm make"), "{text}");
    }
}
