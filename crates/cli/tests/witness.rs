//! `stockade notary witness` against a witness that speaks HTTP and keeps what it has seen.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use stockade_journal::note::{Checkpoint, VerifierKey};
use stockade_journal::tree::{Hash, empty_root, verify_consistency};
use stockade_notary::client::{Notary, Place};

const NAME: &str = "witness.example/w1";

/// A witness as C2SP tlog-witness has it, with one log.
struct Witness {
    key: ed25519_dalek::SigningKey,
    log: VerifierKey,
    seen: (u64, Hash),
}

impl Witness {
    fn id(&self) -> [u8; 4] {
        let public = [&[4], self.key.verifying_key().as_bytes().as_slice()].concat();
        let hash = <sha2::Sha256 as sha2::Digest>::digest([NAME.as_bytes(), b"\n", &public].concat());
        hash[..4].try_into().unwrap()
    }

    fn vkey(&self) -> String {
        let public = [&[4], self.key.verifying_key().as_bytes().as_slice()].concat();
        format!("{NAME}+{:08x}+{}", u32::from_be_bytes(self.id()), STANDARD.encode(public))
    }

    fn answer(&mut self, body: &str) -> (u16, String) {
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<Hash> = lines.map(|line| STANDARD.decode(line).unwrap().try_into().unwrap()).collect();
        let Ok((head, note)) = Checkpoint::open(note.as_bytes(), &self.log, self.log.name()) else {
            return (403, String::new());
        };
        if old != self.seen.0 {
            return (409, format!("{}\n", self.seen.0));
        }
        if verify_consistency(old, &self.seen.1, head.size, &head.root, &proof).is_err() {
            return (422, String::new());
        }
        self.seen = (head.size, head.root);
        let time = 1_800_000_000_u64;
        let signed = self.key.sign(format!("cosignature/v1\ntime {time}\n{}", note.text()).as_bytes()).to_bytes();
        let bytes = [self.id().as_slice(), &time.to_be_bytes(), &signed].concat();
        (200, format!("\u{2014} {NAME} {}\n", STANDARD.encode(bytes)))
    }
}

fn serve(listener: &TcpListener, witness: &Mutex<Witness>) {
    for stream in listener.incoming() {
        let mut stream: TcpStream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (status, text) = witness.lock().unwrap().answer(std::str::from_utf8(&body).unwrap());
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
            .unwrap();
    }
}

fn stockade(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.arg("notary").args(args).arg("--state").arg(state).output().unwrap()
}

#[test]
fn a_witness_cosigns_and_remembers() {
    let program = Path::new(env!("CARGO_BIN_EXE_stockade")).with_file_name("stockade-notary");
    if !nix::unistd::geteuid().is_root() || !program.exists() {
        println!("SKIPPED a_witness_cosigns_and_remembers: it takes root and a built stockade-notary");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = Place::of(dir.path());
    let heads = |run: &str, count: usize| {
        let mut notary = Notary::start(&program, &place).unwrap();
        notary.begin(run).unwrap();
        (0..count).for_each(|_| drop(notary.head().unwrap()));
    };
    heads("r-1", 3);
    let vkey = String::from_utf8(stockade(dir.path(), &["key"]).stdout).unwrap();
    let log: VerifierKey = vkey.trim_end().parse().unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let witness = Arc::new(Mutex::new(Witness { key, log, seen: (0, empty_root()) }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let policy = dir.path().join("policy");
    let text = format!("witness W {} {url}/\nquorum W\n", witness.lock().unwrap().vkey());
    std::fs::write(&policy, text).unwrap();
    let theirs = Arc::clone(&witness);
    std::thread::spawn(move || serve(&listener, &theirs));
    let cosign = || stockade(dir.path(), &["witness", "--json", "--policy", policy.to_str().unwrap()]);
    let check = |out: Output, code: i32| {
        let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "{told}");
        told
    };
    check(cosign(), 0);
    heads("r-2", 300);
    // From where it was; and from elsewhere, as it says so.
    check(cosign(), 0);
    assert_eq!(witness.lock().unwrap().seen.0, 303);
    std::fs::remove_dir_all(&place.cosigned).unwrap();
    check(cosign(), 0);
    let shown = check(stockade(dir.path(), &["show"]), 0);
    assert!(shown.contains("witness.example/w1 has seen 303"), "{shown}");
    // It has seen more than the host shows: a rollback, even if the host has forgotten.
    std::fs::remove_dir_all(&place.cosigned).unwrap();
    witness.lock().unwrap().seen.0 = 999;
    assert!(check(cosign(), 15).contains("rollback"));
    // It has seen another log of this size.
    witness.lock().unwrap().seen = (303, [1; 32]);
    check(cosign(), 25);
    // It knows another key.
    witness.lock().unwrap().log =
        stockade_journal::note::SigningKey::from_seed("x", &[1; 32]).unwrap().verifier().clone();
    assert!(check(cosign(), 25).contains("another key"));
}
