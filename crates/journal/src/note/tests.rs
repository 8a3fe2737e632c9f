use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;

use super::*;

/// The example of Go's `golang.org/x/mod/sumdb/note`.
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNED: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key(name: &str, byte: u8) -> SigningKey {
    SigningKey::from_seed(name, &[byte; 32]).unwrap()
}

fn head() -> Checkpoint {
    Checkpoint { origin: "host.example/log".to_owned(), size: 7, root: [3; 32], extensions: Vec::new() }
}

/// A witness's key and its cosignature of `text`, made without the code under test.
fn witness(name: &str, byte: u8, text: &str, time: u64) -> (VerifierKey, Signature) {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[byte; 32]);
    let public = [&[4], secret.verifying_key().as_bytes().as_slice()].concat();
    let hash = <sha2::Sha256 as sha2::Digest>::digest([name.as_bytes(), b"\n", &public].concat());
    let id = u32::from_be_bytes(hash[..4].try_into().unwrap());
    let vkey = format!("{name}+{id:08x}+{}", STANDARD.encode(&public)).parse().unwrap();
    let signed = secret.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes()).to_bytes();
    let bytes = [time.to_be_bytes().as_slice(), &signed].concat();
    (vkey, Signature { name: name.to_owned(), id, bytes })
}

#[test]
fn the_example_of_go() {
    let signing = SigningKey::parse(SKEY).unwrap();
    assert_eq!(signing.verifier().to_string(), VKEY);
    assert_eq!(*signing.to_text(), SKEY);
    let note = Note::sign(TEXT, &signing).unwrap();
    assert_eq!(note.to_string(), format!("{TEXT}\n{SIGNED}"));
    let read = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(read, note);
    read.verify(&VKEY.parse().unwrap()).unwrap();
}

#[test]
fn keys_that_are_none() {
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+Axpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        // The neutral element: one signature would hold for every text.
        "x+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        SKEY,
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        assert!(SigningKey::parse(bad).is_err() || bad == SKEY, "{bad}");
    }
    assert!(SigningKey::parse(&SKEY.replace("c74f20a3", "c74f20a4")).is_err());
    assert!(SigningKey::parse(VKEY).is_err());
    assert!(SigningKey::from_seed("a b", &[1; 32]).is_err());
}

#[test]
fn no_byte_of_a_note_can_change() {
    let signing = key("host.example/log", 1);
    let bytes = head().sign(&signing).unwrap().to_string().into_bytes();
    let open = |bytes: &[u8]| Checkpoint::open(bytes, signing.verifier(), "host.example/log");
    assert_eq!(open(&bytes).unwrap().0, head());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            assert!(open(&bent).is_err(), "byte {at} bit {bit}");
        }
        assert!(open(&bytes[..at]).is_err(), "cut at {at}");
    }
    let more = [bytes.as_slice(), b"\n"].concat();
    assert!(open(&more).is_err());
}

#[test]
fn who_signed_is_said() {
    let (ours, other) = (key("host.example/log", 1), key("host.example/log", 2));
    let mut note = head().sign(&ours).unwrap();
    let Err(NoteError::Unsigned { key, found }) = note.verify(other.verifier()) else { panic!("verified") };
    assert_eq!((key, found), (other.verifier().label(), vec![ours.verifier().label()]));
    let bytes = note.to_string();
    let wrong = Checkpoint::open(bytes.as_bytes(), ours.verifier(), "host.example/other");
    assert!(matches!(wrong, Err(NoteError::Origin { .. })), "{wrong:?}");
    // A bad signature that names the key spoils a good one.
    let mut bad = note.signatures()[0].clone();
    bad.bytes[5] ^= 1;
    note.add(bad).unwrap();
    assert!(matches!(note.verify(ours.verifier()), Err(NoteError::BadSignature { .. })));
}

#[test]
fn checkpoints_that_are_none() {
    let root = STANDARD.encode([3; 32]);
    assert_eq!(Checkpoint::parse(&head().to_string()).unwrap(), head());
    let with = Checkpoint { extensions: vec!["next-key x".to_owned()], ..head() };
    assert_eq!(Checkpoint::parse(&with.to_string()).unwrap(), with);
    for bad in [
        String::new(),
        "o\n".to_owned(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o o\n1\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n1\n{}\n", STANDARD.encode([3; 31])),
        format!("o\n1\n{}\n", root.trim_end_matches('=')),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\n{}", "x\n".repeat(MAX_EXTENSIONS + 1)),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    for extension in ["", "a\nb", "a\n\n\u{2014} x AAAA"] {
        let bad = Checkpoint { extensions: vec![extension.to_owned()], ..head() };
        assert!(bad.sign(&key("host.example/log", 1)).is_err(), "{extension:?}");
    }
}

#[test]
fn notes_are_bounded() {
    let note = head().sign(&key("host.example/log", 1)).unwrap().to_string();
    let many = note.clone() + &SIGNED.repeat(MAX_SIGNATURES);
    assert!(Note::parse(many.as_bytes()).is_err());
    let long = format!("{}\n\n{SIGNED}", "x".repeat(MAX_NOTE));
    assert!(Note::parse(long.as_bytes()).is_err());
}

#[test]
fn cosignatures() {
    let mut note = head().sign(&key("host.example/log", 1)).unwrap();
    let (vkey, signature) = witness("w.example/1", 9, note.text(), 1_700_000_000);
    assert!(matches!(note.verify_cosignature(&vkey), Err(NoteError::Unsigned { .. })));
    note.add(signature.clone()).unwrap();
    assert_eq!(note.verify_cosignature(&vkey), Ok(1_700_000_000));
    assert!(note.verify(&vkey).is_err(), "a witness is no log");
    let mut late = signature;
    late.bytes[7] ^= 1;
    let mut bent = head().sign(&key("host.example/log", 1)).unwrap();
    bent.add(late).unwrap();
    assert!(matches!(bent.verify_cosignature(&vkey), Err(NoteError::BadSignature { .. })));
}

#[test]
fn quorums() {
    let log = key("host.example/log", 1);
    let signed = head().sign(&log).unwrap();
    let witnesses: Vec<_> =
        (0..5).map(|i| witness(&format!("w{i}"), 10 + i, signed.text(), 100 + u64::from(i))).collect();
    let mut text = format!("# two of three, and one of two\nlog {}\n", log.verifier());
    for (i, (vkey, _)) in witnesses.iter().enumerate() {
        text += &format!("witness\tW{i} {vkey} http://w{i}.example/\n");
    }
    text += "group A 2 W0 W1 W2\ngroup B any W3 W4\ngroup C all A B\nquorum C\n";
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.witnesses()[2].url.as_deref(), Some("http://w2.example/"));
    for set in 0..32_u32 {
        let mut note = signed.clone();
        for (i, (_, signature)) in witnesses.iter().enumerate() {
            if set & (1 << i) != 0 {
                note.add(signature.clone()).unwrap();
            }
        }
        let enough = (set & 0b111).count_ones() >= 2 && set & 0b11000 != 0;
        let verdict = policy.check(&note);
        assert_eq!(verdict.is_ok(), enough, "{set:05b}: {verdict:?}");
    }
    let other = Checkpoint { size: 8, ..head() }.sign(&key("host.example/log", 2)).unwrap();
    assert!(matches!(policy.check(&other), Err(PolicyError::Log { .. })));
    assert!(Policy::parse("quorum none\n").unwrap().check(&other).is_ok());
}

#[test]
fn policies_that_are_none() {
    let (a, b) = (witness("a", 1, "", 0).0, witness("b", 2, "", 0).0);
    let log = key("l", 3);
    for (bad, line) in [
        (String::new(), 0),
        (format!("witness a {a}\n"), 0),
        (format!("witness a {}\nquorum a\n", log.verifier()), 1),
        (format!("log {a}\nquorum none\n"), 1),
        (format!("witness a {a}\nwitness b {a}\nquorum a\n"), 2),
        (format!("witness a {a}\nwitness a {b}\nquorum a\n"), 2),
        (format!("witness none {a}\nquorum none\n"), 1),
        (format!("witness a {a}\ngroup g 2 a\nquorum g\n"), 2),
        (format!("witness a {a}\ngroup g 0 a\nquorum g\n"), 2),
        (format!("witness a {a}\ngroup g all\nquorum g\n"), 2),
        (format!("witness a {a}\ngroup g any a a\nquorum g\n"), 2),
        (format!("witness a {a}\ngroup g any a\ngroup h any a\nquorum g\n"), 3),
        ("group g any g\nquorum g\n".to_owned(), 1),
        ("quorum a\n".to_owned(), 1),
        ("quorum none\nquorum none\n".to_owned(), 2),
        ("quorum none\nwhat\n".to_owned(), 2),
        ("quorum none\u{7}\n".to_owned(), 1),
    ] {
        match Policy::parse(&bad) {
            Err(PolicyError::Line { line: found, .. }) => assert_eq!(found, line, "{bad:?}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}
