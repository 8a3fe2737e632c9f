//! Names with `*` and `?` in them.

use std::str::FromStr;

/// A pattern of names: `*` stands for any characters, `?` for one, all else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// Whether it stands for `name`, in time of the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut of) = (0, 0);
        // The last star, and what it stood for so far: it takes one more whenever the rest does not fit.
        let mut star: Option<(usize, usize)> = None;
        while let Some(c) = name.get(of) {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, of));
                    at += 1;
                }
                Some(p) if p == c || *p == '?' => {
                    at += 1;
                    of += 1;
                }
                _ => {
                    let Some((place, taken)) = star else { return false };
                    star = Some((place, taken + 1));
                    (at, of) = (place + 1, taken + 1);
                }
            }
        }
        self.0.get(at..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
    }
}

impl FromStr for Glob {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.len() {
            1..=256 => Ok(Self(text.chars().collect())),
            _ => Err("a name of 1 to 256 bytes, with * and ? for what may be anything"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("exec", "exec", true),
            ("exec", "exec2", false),
            ("workspace.*", "workspace.read", true),
            ("workspace.*", "workspace", false),
            ("*.read", "workspace.read", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xbxxa", false),
            ("?lock", "clock", true),
            ("?lock", "lock", false),
            ("**", "é", true),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(name), expected, "{pattern} {name}");
        }
        assert!("".parse::<Glob>().is_err());
    }
}
