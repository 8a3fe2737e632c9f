//! Whose cosignatures a checkpoint must have: the file format of C2SP tlog-policy.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Kind, Note, NoteError, VerifierKey};

/// Longest policy in bytes.
const MAX_POLICY: usize = 64 * 1024;

/// Most witnesses and groups together. C2SP asks for 32 of each.
const MAX_NAMES: usize = 256;

/// A line of a policy that is refused, or a checkpoint that lacks cosignatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// A line says nothing that is allowed.
    Line {
        /// From 1; 0 is the whole file.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A log that the policy does not list signed the checkpoint, or none did.
    Log {
        /// Logs listed.
        logs: Vec<String>,
    },
    /// Too few witnesses cosigned.
    Quorum {
        /// Those that did, by their name in the policy.
        cosigned: Vec<String>,
        /// Those that did not, and why.
        missing: Vec<(String, NoteError)>,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line: 0, why } => write!(f, "witness policy: {why}"),
            Self::Line { line, why } => write!(f, "witness policy, line {line}: {why}"),
            Self::Log { logs } => write!(f, "no log of the policy signed it (it lists {})", logs.join(", ")),
            Self::Quorum { cosigned, missing } => {
                let cosigned = if cosigned.is_empty() { "none".to_owned() } else { cosigned.join(", ") };
                let missing: Vec<_> = missing.iter().map(|(name, why)| format!("{name} ({why})")).collect();
                write!(f, "too few cosignatures: {cosigned} of those asked for; missing: {}", missing.join("; "))
            }
        }
    }
}

impl std::error::Error for PolicyError {}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in the policy.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Its submission prefix (C2SP tlog-witness), if the policy has it.
    pub url: Option<String>,
}

/// A rule for which cosignatures suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// `None`: `quorum none`.
    quorum: Option<Member>,
}

/// Members that stand before it in the file, and how many of them it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// Index of a witness or of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

impl Policy {
    /// Reads a policy; names the line of what is wrong.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let whole = |why: &str| PolicyError::Line { line: 0, why: why.to_owned() };
        if text.len() > MAX_POLICY {
            return Err(whole("it is over 65,536 bytes"));
        }
        let mut reader = Reader::default();
        for (line, content) in (1..).zip(text.lines()) {
            reader.line(content).map_err(|why| PolicyError::Line { line, why })?;
        }
        let quorum = reader.quorum.ok_or(whole("it has no quorum line; `quorum none` asks for no witness"))?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, groups: reader.groups, quorum })
    }

    /// Keys of `log` lines.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Its witnesses, in the order of the file.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether `note` is cosigned as the policy asks, and by whom and when (seconds since 1970).
    /// That the log signed it is asked too if the policy lists logs.
    pub fn check(&self, note: &Note) -> Result<Vec<(String, u64)>, PolicyError> {
        if !self.logs.is_empty() && !self.logs.iter().any(|log| note.verify(log).is_ok()) {
            return Err(PolicyError::Log { logs: self.logs.iter().map(VerifierKey::label).collect() });
        }
        let (mut held, mut cosigned, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for witness in &self.witnesses {
            let verdict = note.verify_cosignature(&witness.key);
            held.push(verdict.is_ok());
            match verdict {
                Ok(time) => cosigned.push((witness.name.clone(), time)),
                Err(why) => missing.push((witness.name.clone(), why)),
            }
        }
        // A group refers to what stands before it, so one pass in order decides all.
        let mut groups: Vec<bool> = Vec::new();
        let said = |member: &Member, groups: &[bool]| match member {
            Member::Witness(index) => held.get(*index).copied().unwrap_or(false),
            Member::Group(index) => groups.get(*index).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| said(member, &groups)).count();
            groups.push(count >= group.threshold);
        }
        if self.quorum.is_none_or(|quorum| said(&quorum, &groups)) {
            return Ok(cosigned);
        }
        Err(PolicyError::Quorum { cosigned: cosigned.into_iter().map(|(name, _)| name).collect(), missing })
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    names: HashMap<String, Member>,
    /// Names that are in a group: each counts once.
    used: HashSet<String>,
}

impl Reader {
    fn line(&mut self, content: &str) -> Result<(), String> {
        if content.contains(|c: char| c.is_control() && c != '\t') {
            return Err("a control character".to_owned());
        }
        let words: Vec<&str> = content.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.set_quorum(name),
            _ => Err("not `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME any|all|K NAME…` or `quorum NAME`"
                .to_owned()),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), String> {
        let key = parse_key(key, Kind::Log)?;
        if self.logs.len() == MAX_NAMES || self.logs.iter().any(|log| log.bytes() == key.bytes()) {
            return Err("the same key as an earlier log, or too many logs".to_owned());
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key = parse_key(key, Kind::Witness)?;
        if self.witnesses.iter().any(|witness| witness.key.bytes() == key.bytes()) {
            return Err("the same key as an earlier witness".to_owned());
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        let members = members.iter().map(|member| self.member(member)).collect::<Result<Vec<_>, _>>()?;
        let threshold = match threshold {
            "any" => 1,
            "all" => members.len(),
            digits => digits.parse().map_err(|_| format!("{digits:?} is neither any, all nor a number"))?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err(format!("{threshold} of {} members", members.len()));
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn member(&mut self, name: &str) -> Result<Member, String> {
        let member = *self.names.get(name).ok_or_else(|| format!("{name:?} is not defined on a line before"))?;
        if !self.used.insert(name.to_owned()) {
            return Err(format!("{name:?} is a member already; a name counts once"));
        }
        Ok(member)
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.names.contains_key(name) || self.names.len() == MAX_NAMES {
            return Err(format!("{name:?} is defined already, is `none`, or there are over {MAX_NAMES} names"));
        }
        self.names.insert(name.to_owned(), member);
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("a second quorum".to_owned());
        }
        let member = self.names.get(name).copied();
        if member.is_none() && name != "none" {
            return Err(format!("{name:?} is not defined on a line before"));
        }
        self.quorum = Some(member);
        Ok(())
    }
}

fn parse_key(text: &str, kind: Kind) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|e: NoteError| e.to_string())?;
    if key.kind() != kind {
        return Err(format!("{} is a key of the other kind (logs have type 1, witnesses type 4)", key.label()));
    }
    Ok(key)
}
