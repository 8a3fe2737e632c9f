//! The only way to the output. Every piece of text is escaped here, whoever it is from, so that
//! nothing else has to remember to.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style as Ansi};

use super::Style;
use crate::screen::{plain, rendered};

/// A page being written, line by line.
pub(crate) struct Page<'a> {
    out: &'a mut dyn Write,
    pub(crate) style: Style,
    line: String,
    /// Characters in `line` without colours.
    column: usize,
}

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// A heading or a name.
    Bold,
    /// What matters less.
    Dim,
    /// Allowed, or holds.
    Good,
    /// Denied, or broken.
    Bad,
    /// Failed without being denied.
    Odd,
}

impl Tone {
    fn ansi(self) -> Option<Ansi> {
        match self {
            Self::Plain => None,
            Self::Bold => Some(Ansi::new().bold()),
            Self::Dim => Some(Ansi::new().dimmed()),
            Self::Good => Some(AnsiColor::Green.on_default()),
            Self::Bad => Some(AnsiColor::Red.on_default().bold()),
            Self::Odd => Some(AnsiColor::Yellow.on_default()),
        }
    }
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, style: Style) -> Self {
        Self { out, style, line: String::new(), column: 0 }
    }

    /// Adds text to the line.
    pub(crate) fn put(&mut self, tone: Tone, text: &str) -> &mut Self {
        let text = plain(text);
        self.column += text.chars().count();
        match tone.ansi().filter(|_| self.style.colour && !text.is_empty()) {
            Some(ansi) => self.line.push_str(&format!("{ansi}{text}{ansi:#}")),
            None => self.line.push_str(&text),
        }
        self
    }

    /// [`Self::put`] in [`Tone::Plain`].
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.put(Tone::Plain, text)
    }

    /// [`Self::put`] in [`Tone::Bold`].
    pub(crate) fn bold(&mut self, text: &str) -> &mut Self {
        self.put(Tone::Bold, text)
    }

    /// [`Self::put`] in [`Tone::Dim`].
    pub(crate) fn dim(&mut self, text: &str) -> &mut Self {
        self.put(Tone::Dim, text)
    }

    /// Spaces up to `column`, at least one if the line is there or over it.
    pub(crate) fn to(&mut self, column: usize) -> &mut Self {
        let spaces = column.saturating_sub(self.column).max(usize::from(self.column > 0));
        self.line.extend(std::iter::repeat_n(' ', spaces));
        self.column += spaces;
        self
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.column = 0;
        writeln!(self.out, "{}", line.trim_end_matches(' '))
    }

    /// An empty line.
    pub(crate) fn blank(&mut self) -> io::Result<()> {
        self.end()
    }

    /// Adds text from `column` on, over several lines if it is wider than the page, and ends the line.
    pub(crate) fn wrapped(&mut self, column: usize, tone: Tone, text: &str) -> io::Result<()> {
        let text = plain(text);
        self.to(column);
        let width = self.style.width.saturating_sub(column).max(20);
        let used = self.column.saturating_sub(column);
        let mut lines = wrap(&text, used, width).into_iter();
        self.put(tone, &lines.next().unwrap_or_default()).end()?;
        for line in lines {
            self.to(column).put(tone, &line).end()?;
        }
        Ok(())
    }

    /// Adds lines that a renderer of diagnostics made, colours and all; nothing else of a terminal's passes.
    pub(crate) fn rendered(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", rendered(text.trim_end()))
    }

    /// Columns left in the line.
    pub(crate) fn room(&self) -> usize {
        self.style.width.saturating_sub(self.column)
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters, of which `used` are taken in
/// the first; longer words are broken too.
fn wrap(text: &str, used: usize, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = used.min(width);
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let space = usize::from(!line.is_empty());
        if used > 0 && used + space + word.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if space > 0 {
            line.push(' ');
            used += 1;
        }
        while word.len() > width {
            lines.push(word.drain(..width).collect());
        }
        used += word.len();
        line.extend(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_words_and_breaks_long_ones() {
        assert_eq!(wrap("", 0, 5), [""]);
        assert_eq!(wrap("a bc def", 0, 5), ["a bc", "def"]);
        assert_eq!(wrap("ab cdefghijk l", 0, 4), ["ab", "cdef", "ghij", "k l"]);
        assert_eq!(wrap("ab cd", 3, 5), ["ab", "cd"]);
        assert_eq!(wrap("abc d", 3, 5), ["", "abc d"]);
    }
}
