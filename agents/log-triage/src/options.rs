//! The task: words of a person, and a few options.

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Folder in the workspace that has the logs.
    pub logs: String,
    /// Where the report goes.
    pub output: String,
    /// Try what must be refused, and tell how it was.
    pub probe: bool,
    /// The person's words.
    pub words: String,
}

impl Options {
    /// Reads the task.
    ///
    /// # Errors
    /// An option that is unknown or lacks its value.
    pub fn parse(task: &[String]) -> Result<Self, String> {
        let mut options = Self { logs: ".".into(), output: "report.md".into(), probe: false, words: String::new() };
        let mut words = Vec::new();
        let mut rest = task.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--probe" => options.probe = true,
                "--logs" => options.logs = rest.next().ok_or("--logs needs a folder")?.clone(),
                "--output" => options.output = rest.next().ok_or("--output needs a file")?.clone(),
                other if other.starts_with("--") => {
                    return Err(format!("unknown option {other}; there are --logs FOLDER, --output FILE, --probe"));
                }
                other => words.push(other),
            }
        }
        options.words = words.join(" ");
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_and_options_mix() {
        let options = parse(&["summarise", "--probe", "the errors", "--logs", "var"]).unwrap();
        assert_eq!((options.words.as_str(), options.probe, options.logs.as_str()), ("summarise the errors", true, "var"));
    }

    #[test]
    fn what_is_unknown_is_an_error() {
        assert!(parse(&["--prob"]).is_err());
        assert!(parse(&["--logs"]).is_err());
    }
}
