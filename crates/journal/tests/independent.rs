//! Checkpoints and proofs of ours, checked by code that is not ours: Cloudflare's `signed_note` and
//! `tlog_tiles`, ports of Go's `sumdb/note` and `sumdb/tlog`. They bring their own Ed25519 and SHA-256.

use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use stockade_journal::note::{Checkpoint, SigningKey, VerifierKey};
use stockade_journal::tree::{Frontier, Leaves, leaf_hash, prove_consistency, prove_inclusion};
use tlog_tiles::{Hash, check_record, check_tree, record_hash};

const ORIGIN: &str = "host.example/stockade";

fn lines(n: usize) -> Vec<String> {
    (0..n).map(|i| format!(r#"{{"seq":{},"type":"log"}}"#, i + 1)).collect()
}

#[test]
fn a_checkpoint_verifies_elsewhere() {
    let key = SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap();
    let head = Checkpoint { origin: ORIGIN.to_owned(), size: 3, root: [5; 32], extensions: vec!["time 1".to_owned()] };
    let bytes = head.sign(&key).unwrap().to_string();

    let vkey = key.verifier().to_string();
    let theirs = StandardVerifier::new(&vkey).unwrap();
    let known = VerifierList::new(vec![Box::new(theirs)]);
    let note = Note::from_bytes(bytes.as_bytes()).unwrap();
    let (verified, unknown) = note.verify(&known).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((read.origin(), read.size(), read.hash().0), (ORIGIN, 3, [5; 32]));
    assert_eq!(read.extension(), "time 1\n");
}

#[test]
fn a_checkpoint_from_elsewhere_verifies() {
    let key = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap();
    let signer = StandardSigner::new(&key.to_text()).unwrap();
    let head = tlog_tiles::Checkpoint::new(ORIGIN, 9, Hash([6; 32]), "").unwrap();
    let mut note = Note::new(&head.to_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let vkey: VerifierKey = key.verifier().to_string().parse().unwrap();
    let (read, _) = Checkpoint::open(&note.to_bytes(), &vkey, ORIGIN).unwrap();
    assert_eq!((read.size, read.root), (9, [6; 32]));
}

#[test]
fn proofs_verify_elsewhere() {
    let lines = lines(150);
    let hashes: Vec<_> = lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
    let mut frontier = Frontier::new();
    let mut roots = vec![frontier.root()];
    for hash in &hashes {
        frontier.push(*hash).unwrap();
        roots.push(frontier.root());
    }
    let theirs = |proof: Vec<[u8; 32]>| proof.into_iter().map(Hash).collect::<Vec<_>>();
    for size in [1, 2, 3, 64, 65, 127, 149, 150_usize] {
        for (index, line) in lines.iter().enumerate().take(size) {
            let proof = theirs(prove_inclusion(&Leaves(&hashes), index as u64, size as u64).unwrap());
            let leaf = record_hash(line.as_bytes());
            check_record(&proof, size as u64, Hash(roots[size]), index as u64, leaf).unwrap();
            assert!(check_record(&proof, size as u64, Hash(roots[size - 1]), index as u64, leaf).is_err());
        }
        for old in 1..=size {
            let proof = theirs(prove_consistency(&Leaves(&hashes), old as u64, size as u64).unwrap());
            check_tree(&proof, size as u64, Hash(roots[size]), old as u64, Hash(roots[old])).unwrap();
        }
    }
}
