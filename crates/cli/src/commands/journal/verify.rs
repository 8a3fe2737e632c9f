//! `stockade journal verify`.

mod all;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use stockade_journal::hex;
use stockade_journal::note::VerifierKey;

use crate::args::journal::Verify;
use crate::bundle::{self, Unpacked};
use crate::evidence::{Evidence, Found, log_folder};
use crate::failure::Failure;
use crate::runs::{BROKEN, find, journal};
use crate::screen::plain;

/// Longest file with a key that is read, in bytes.
const KEY: u64 = 4096;

/// Checks a run's journal, or a bundle's.
pub(super) fn verify(args: &Verify) -> Result<u8, Failure> {
    let key = args.key.as_deref().map(key).transpose()?;
    let Some(run) = &args.run else { return all::verify(&args.state.state, key.as_ref(), args.json) };
    let bundle = match bundle::named(run, bundle::Signals::Remove) {
        Err(failure) if args.json && failure.code == BROKEN => return not_whole(None, &failure.message),
        other => other?,
    };
    let evidence = match &bundle {
        Some(bundle) => Evidence {
            run: bundle.manifest.run.clone(),
            journal: bundle.path().join("journal"),
            checkpoint: bundle.file("checkpoint"),
            host: bundle.path().join("notary"),
        },
        None => of_run(&args.state.state, &find(&args.state.state, run)?),
    };
    let checked = evidence.check(key.as_ref());
    if let Some(bundle) = &bundle {
        bundle.still_there();
    }
    match checked {
        Ok(found) if args.json => report(&evidence, &found),
        Ok(found) => told(&found, bundle.as_ref()),
        Err(error) if args.json => not_whole(Some(&evidence.run), &error.to_string()),
        Err(error) => Err(Failure { code: BROKEN, message: plain(&error.to_string()) }),
    }
}

/// Of a bundle that cannot be unpacked nobody knows the run.
fn not_whole(run: Option<&str>, error: &str) -> Result<u8, Failure> {
    writeln!(io::stdout().lock(), "{}", json!({"ok": false, "run": run, "error": error}))?;
    Ok(BROKEN)
}

/// Where a run's evidence is in a state folder.
pub(super) fn of_run(state: &Path, run: &str) -> Evidence {
    let checkpoint = state.join("runs").join(run).join("checkpoint");
    Evidence {
        run: run.to_owned(),
        journal: journal(state, run),
        checkpoint: checkpoint.exists().then_some(checkpoint),
        host: log_folder(state),
    }
}

/// A verifier key, or the file it is in.
fn key(given: &str) -> Result<VerifierKey, Failure> {
    let text = match given.parse::<VerifierKey>() {
        Ok(key) => return Ok(key),
        Err(error) if given.contains('+') && !Path::new(given).exists() => {
            return Err(Failure::usage(format!("--key: {error}")));
        }
        Err(_) => read(&PathBuf::from(given))?,
    };
    text.trim().parse().map_err(|error| Failure::usage(format!("--key: {}: {error}", plain(given))))
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(KEY).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(plain(&format!("--key: {}: {error}", path.display())))),
    }
}

/// Records of the newest head.
fn vouched(found: &Found) -> Option<u64> {
    let own = found.signed.as_ref().map(|signed| signed.checkpoint.size);
    found.heads.newest().into_iter().chain(own).max()
}

fn report(evidence: &Evidence, found: &Found) -> Result<u8, Failure> {
    let signed = found.signed.as_ref().map(|signed| {
        json!({
            "origin": signed.checkpoint.origin,
            "size": signed.checkpoint.size,
            "root": hex(&signed.checkpoint.root),
            "key": signed.by.as_ref().map(VerifierKey::label),
            "epochs": signed.epochs,
        })
    });
    let after = vouched(found).map(|signed| found.verified.records - signed);
    let report = json!({
        "ok": true,
        "run": evidence.run,
        "records": found.verified.records,
        "head": found.verified.head,
        "root": hex(&found.root),
        "segments": found.verified.segments,
        "blobs": found.verified.blobs,
        "private": found.verified.private,
        "erased": found.verified.erased,
        "tombstones": found.verified.tombstones,
        "signed": signed,
        "after_signed": after,
        "host_log": found.heads.logged.then(|| json!({"heads": found.heads.sizes.len(), "leaves": found.heads.leaves})),
        "authenticated": found.authenticated,
    });
    writeln!(io::stdout().lock(), "{report}")?;
    Ok(0)
}

fn told(found: &Found, bundle: Option<&Unpacked>) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    let verified = &found.verified;
    writeln!(out, "whole: {} records in {} segment(s), head {}", verified.records, verified.segments, verified.head)?;
    if verified.private + verified.erased > 0 {
        // A bundle may have been made without them.
        let gone = if bundle.is_some() { "not in the bundle" } else { "erased" };
        writeln!(out, "private: {} value(s) as recorded, {} {gone}", verified.private, verified.erased)?;
    }
    if verified.tombstones > 0 {
        writeln!(out, "pruned: {} record(s), of which the leaf alone is left", verified.tombstones)?;
    }
    if let Some(signed) = &found.signed {
        let (origin, size) = (plain(&signed.checkpoint.origin), signed.checkpoint.size);
        match &signed.by {
            Some(key) if signed.epochs == 0 => writeln!(out, "signed: {size} records of {origin}, by {}", key.label())?,
            Some(key) => writeln!(
                out,
                "signed: {size} records of {origin}, by {}, {} epoch(s) after the key given",
                key.label(),
                signed.epochs
            )?,
            None => writeln!(out, "agrees with the head of {size} records of {origin}; who signed it was not asked")?,
        }
    }
    if found.heads.logged {
        let (heads, leaves) = (found.heads.sizes.len(), found.heads.leaves);
        writeln!(out, "logged: {heads} head(s) of this run in the host's log of {leaves}")?;
    }
    match vouched(found).map(|signed| verified.records - signed) {
        None | Some(0) => {}
        Some(more) => writeln!(out, "{more} record(s) after the last signed head: nobody vouches for them")?,
    }
    if found.authenticated && !found.heads.logged {
        writeln!(out, "no proof from the host's log is here: whether a later head was signed is not known")?;
    }
    if let (true, None, Some(size)) = (found.authenticated, &found.signed, vouched(found)) {
        writeln!(
            out,
            "the run's own signed head is gone; the host's log, signed by the key, vouches for {size} records"
        )?;
    } else if !found.authenticated {
        writeln!(out, "nothing was authenticated: that takes the host's key (--key)")?;
    }
    for absent in bundle.map(|bundle| bundle.manifest.absent.as_slice()).unwrap_or_default() {
        writeln!(out, "not in the bundle: {}", plain(absent))?;
    }
    Ok(0)
}
