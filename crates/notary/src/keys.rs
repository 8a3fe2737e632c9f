//! The private key: one for each epoch, or one that systemd hands over and that never changes.
//!
//! An epoch ends so: the next key is made (`key.next`), the last checkpoint that names it is signed and put
//! into `epochs/`, the log's head is signed anew, the old key is overwritten and unlinked, the next takes
//! its place. The note in `epochs/` decides: before it is there the old key counts, after it the new one, and
//! [`Keys::load`] finishes what a crash interrupted.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use stockade_journal::note::{Checkpoint, SigningKey, VerifierKey};
use stockade_journal::tiles::{
    Appender, FIRST_KEY, Folder, KeyChain, LogError, LogLock, NEXT_KEY, PRIVATE, PUBLIC, epoch_file,
};
use stockade_journal::{format_time, parse_time};
use zeroize::Zeroizing;

use crate::error::NotaryError;

/// The epoch's private key, and when the epoch began: two lines.
const KEY: &str = "key";

/// The next epoch's, while an epoch ends.
const NEXT: &str = "key.next";

/// Longest key file in bytes.
const MAX_KEY: usize = 1024;

/// A private key and when its epoch began, in microseconds since 1970.
pub struct Current {
    /// The key.
    pub key: SigningKey,
    /// `None` if it is not ours to end.
    pub since: Option<i64>,
}

/// Where the private key is from.
pub enum Keys {
    /// Made here, one an epoch. It is read for each signature and wiped after it, since another
    /// notary may have ended the epoch.
    Epochs,
    /// Handed over by systemd as the credential `stockade.notary`.
    Credential(Zeroizing<String>),
}

impl Keys {
    /// Makes the first key of a log, or takes the given one.
    pub fn first(&self, folder: &Folder, origin: &str) -> Result<SigningKey, LogError> {
        let note = |cause| LogError::Note { file: KEY.to_owned(), cause };
        let key = match self {
            Self::Credential(text) => {
                let key = SigningKey::parse(text.trim_end()).map_err(note)?;
                if key.verifier().name() != origin {
                    let why = format!("its name is {:?}, the log's is {origin:?}", key.verifier().name());
                    return Err(LogError::Damaged { file: CREDENTIAL.to_owned(), why });
                }
                key
            }
            Self::Epochs => {
                let key = SigningKey::from_seed(origin, &*seed(KEY)?).map_err(note)?;
                folder.erase(KEY)?;
                put_key(folder, KEY, &key)?;
                key
            }
        };
        folder.put(FIRST_KEY, format!("{}\n", key.verifier()).as_bytes(), PUBLIC)?;
        Ok(key)
    }

    /// The key that `chain`, which is brought up to date, ends in. Finishes the end of an epoch that a
    /// crash interrupted.
    pub fn load(&self, lock: &LogLock<'_>, chain: &mut KeyChain) -> Result<Current, NotaryError> {
        let folder = lock.log().folder();
        folder.finish_erasing()?;
        follow(folder, chain)?;
        if let Self::Credential(text) = self {
            let key = SigningKey::parse(text.trim_end()).map_err(|e| NotaryError::key(CREDENTIAL, e))?;
            check(CREDENTIAL, &key, chain.current())?;
            return Ok(Current { key, since: None });
        }
        if let Some(next) = read_key(folder, NEXT)? {
            if next.key.verifier() == chain.current() {
                finish(lock, chain, &next)?;
            } else {
                folder.erase(NEXT)?;
            }
        }
        let current = read_key(folder, KEY)?.ok_or_else(|| {
            NotaryError::key(
                KEY,
                "it is missing; nothing can be signed for this log (give the credential it was begun with)",
            )
        })?;
        check(KEY, &current.key, chain.current())?;
        Ok(current)
    }

    /// Ends the epoch. Gives its number and the next key.
    pub fn rotate(&self, lock: &LogLock<'_>, chain: &mut KeyChain) -> Result<(u32, VerifierKey), NotaryError> {
        if matches!(self, Self::Credential(_)) {
            return Err(NotaryError::key(CREDENTIAL, "systemd holds it; epochs are off"));
        }
        let current = self.load(lock, chain)?;
        let log = lock.log();
        let head = Appender::open(lock, current.key.verifier())?.head().clone();
        let next = SigningKey::from_seed(log.origin(), &*seed(NEXT)?)?;
        put_key(log.folder(), NEXT, &next)?;
        let last = Checkpoint { extensions: vec![format!("{NEXT_KEY} {}", next.verifier())], ..head };
        let ended = u32::try_from(chain.ended().len()).unwrap_or(u32::MAX).saturating_add(1);
        let note = last.sign(&current.key)?;
        log.folder().put(&epoch_file(ended), note.to_string().as_bytes(), PUBLIC)?;
        self.load(lock, chain)?;
        Ok((ended, next.verifier().clone()))
    }
}

/// Name of the systemd credential (`LoadCredential=stockade.notary:…`, systemd.exec(5)).
pub const CREDENTIAL: &str = "stockade.notary";

/// Takes in the epochs that have ended since.
fn follow(folder: &Folder, chain: &mut KeyChain) -> Result<(), NotaryError> {
    loop {
        let number = u32::try_from(chain.ended().len()).unwrap_or(u32::MAX).saturating_add(1);
        let file = epoch_file(number);
        let Some(note) = folder.read(&file, stockade_journal::note::MAX_NOTE)? else { return Ok(()) };
        let known = chain.ended().len();
        chain.follow(number, &note).map_err(|cause| LogError::Note { file: file.clone(), cause })?;
        if chain.ended().len() == known {
            return Err(NotaryError::key(&file, "the epoch's key did not sign it"));
        }
    }
}

/// The last steps of an epoch's end, each harmless if it was done before.
fn finish(lock: &LogLock<'_>, chain: &KeyChain, next: &Current) -> Result<(), NotaryError> {
    let signed = |key: &VerifierKey| lock.log().checkpoint_by(key).is_ok();
    if let Some(epoch) = chain.ended().last().filter(|epoch| signed(&epoch.key)) {
        Appender::open(lock, &epoch.key)?.resign(&next.key)?;
    }
    let folder = lock.log().folder();
    folder.erase(KEY)?;
    put_key(folder, KEY, &next.key)?;
    folder.erase(NEXT)?;
    Ok(())
}

fn check(from: &str, key: &SigningKey, wanted: &VerifierKey) -> Result<(), NotaryError> {
    if key.verifier() == wanted {
        return Ok(());
    }
    Err(NotaryError::key(from, format!("it is {}, the log's is {}", key.verifier().label(), wanted.label())))
}

fn seed(file: &'static str) -> Result<Zeroizing<[u8; 32]>, LogError> {
    let mut seed = Zeroizing::new([0; 32]);
    chance(&mut *seed).map_err(|errno| LogError::Io { op: "getrandom", file: file.to_owned(), errno })?;
    Ok(seed)
}

/// Fills `bytes` from the kernel's random numbers (getrandom(2)).
pub(crate) fn chance(bytes: &mut [u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Errno::from_raw(errno.raw_os_error())),
        }
    }
    Ok(())
}

fn put_key(folder: &Folder, file: &str, key: &SigningKey) -> Result<(), LogError> {
    let text = Zeroizing::new(format!("{}\nsince {}\n", *key.to_text(), now()));
    folder.put(file, text.as_bytes(), PRIVATE)
}

fn read_key(folder: &Folder, file: &str) -> Result<Option<Current>, NotaryError> {
    let Some(bytes) = folder.read(file, MAX_KEY)?.map(Zeroizing::new) else { return Ok(None) };
    let bad = || NotaryError::key(file, "it is not a signing key and `since TIME`, in two lines");
    let text = std::str::from_utf8(&bytes).map_err(|_| bad())?;
    let mut lines = text.lines();
    let key = SigningKey::parse(lines.next().unwrap_or_default()).map_err(|e| NotaryError::key(file, e))?;
    let since = lines.next().and_then(|line| line.strip_prefix("since ")).and_then(parse_time).ok_or_else(bad)?;
    Ok(Some(Current { key, since: Some(since) }))
}

/// Microseconds since 1970 by the host's clock.
pub(crate) fn micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_micros()).ok())
        .unwrap_or_default()
}

/// Now, as a journal writes it; the epoch of Unix if the clock is beyond the year 9999.
pub(crate) fn now() -> String {
    format_time(micros()).or_else(|| format_time(0)).unwrap_or_default()
}
