use super::*;

/// MTH of RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => leaf_hash(one),
        many => {
            let k = widest(many.len());
            node_hash(&naive_root(&many[..k]), &naive_root(&many[k..]))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1, word for word.
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = widest(leaves.len());
    let (mut path, other) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(other);
    path
}

/// SUBPROOF of RFC 6962, section 2.1.2, word for word.
fn naive_subproof(m: usize, leaves: &[Vec<u8>], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = widest(leaves.len());
    let (mut proof, other) = if m <= k {
        (naive_subproof(m, &leaves[..k], known), naive_root(&leaves[k..]))
    } else {
        (naive_subproof(m - k, &leaves[k..], false), naive_root(&leaves[..k]))
    };
    proof.push(other);
    proof
}

fn widest(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn leaves(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("leaf {i}").into_bytes()).collect()
}

const SIZES: usize = 70;

#[test]
fn vectors_of_certificate_transparency() {
    // The test tree of RFC 6962's reference implementation, certificate-transparency's merkle_tree_test.
    let data: [&[u8]; 8] =
        [b"", b"\0", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43", b"PQRSTUVW", b"`abcdefghijklmno"];
    let mut frontier = Frontier::new();
    let roots: Vec<String> = data
        .iter()
        .map(|leaf| {
            frontier.push(leaf_hash(leaf)).unwrap();
            crate::hash::hex(&frontier.root())
        })
        .collect();
    assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    assert_eq!(crate::hash::hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn frontier_is_the_naive_tree() {
    let data = leaves(300);
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), empty_root());
    for (i, leaf) in data.iter().enumerate() {
        frontier.push(leaf_hash(leaf)).unwrap();
        assert_eq!(frontier.size(), i as u64 + 1);
        assert_eq!(frontier.root(), naive_root(&data[..=i]), "size {}", i + 1);
        let text = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&text).unwrap(), frontier);
    }
}

#[test]
fn frontiers_that_are_none() {
    let one = "ab".repeat(32);
    let parse = |text: &str| serde_json::from_str::<Frontier>(text).map_err(|e| e.to_string());
    assert!(parse(&format!(r#"{{"size":1,"peaks":["{one}"]}}"#)).is_ok());
    for bad in [
        r#"{"size":1,"peaks":[]}"#.to_owned(),
        format!(r#"{{"size":2,"peaks":["{one}","{one}"]}}"#),
        format!(r#"{{"size":1,"peaks":["{}"]}}"#, one.to_uppercase()),
        format!(r#"{{"size":1,"peaks":["{one}00"]}}"#),
        format!(r#"{{"size":1,"peaks":["{one}"],"more":1}}"#),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
    let mut full = Frontier::from_peaks(u64::MAX, vec![[7; 32]; 64]).unwrap();
    assert_eq!(full.push([1; 32]), Err(FrontierError::Full));
    assert_eq!(full.size(), u64::MAX);
    full.root();
}

#[test]
fn inclusion_of_every_leaf_of_every_size() {
    let data = leaves(SIZES);
    let hashes: Vec<Hash> = data.iter().map(|leaf| leaf_hash(leaf)).collect();
    for size in 1..=SIZES {
        let root = naive_root(&data[..size]);
        let nodes = Leaves(&hashes[..size]);
        assert_eq!(root_of(&nodes, size as u64).unwrap(), root);
        for (index, leaf) in hashes.iter().enumerate().take(size) {
            let proof = prove_inclusion(&nodes, index as u64, size as u64).unwrap();
            assert_eq!(proof, naive_path(index, &data[..size]));
            let check = |leaf: &Hash, index: usize, size: usize, proof: &[Hash]| {
                verify_inclusion(leaf, index as u64, size as u64, &root, proof)
            };
            check(leaf, index, size, &proof).unwrap();
            for wrong in 0..=size {
                if wrong != index {
                    assert!(check(leaf, wrong, size, &proof).is_err(), "{size} {index} {wrong}");
                }
            }
            assert!(check(&[0; 32], index, size, &proof).is_err());
            for at in 0..proof.len() {
                let mut bent = proof.clone();
                bent[at][31] ^= 1;
                assert!(check(leaf, index, size, &bent).is_err());
                assert!(check(leaf, index, size, &proof[..at]).is_err());
            }
            let long = [&proof[..], &[[0; 32]]].concat();
            assert!(check(leaf, index, size, &long).is_err());
        }
        assert!(prove_inclusion(&nodes, size as u64, size as u64).is_err());
    }
    assert!(verify_inclusion(&[0; 32], 0, 0, &empty_root(), &[]).is_err());
    assert!(verify_inclusion(&[0; 32], u64::MAX - 1, u64::MAX, &[0; 32], &[[0; 32]; MAX_PROOF]).is_err());
}

#[test]
fn consistency_of_every_pair_of_sizes() {
    let data = leaves(SIZES);
    let hashes: Vec<Hash> = data.iter().map(|leaf| leaf_hash(leaf)).collect();
    let roots: Vec<Hash> = (0..=SIZES).map(|n| naive_root(&data[..n])).collect();
    for new in 0..=SIZES {
        for old in 0..=new {
            let proof = prove_consistency(&Leaves(&hashes), old as u64, new as u64).unwrap();
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, &data[..new], true), "{old} {new}");
            }
            let check = |old: usize, old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                verify_consistency(old as u64, old_root, new as u64, new_root, proof)
            };
            check(old, &roots[old], &roots[new], &proof).unwrap();
            assert!(check(old, &[9; 32], &roots[new], &proof).is_err(), "{old} {new}");
            if old > 0 {
                assert!(check(old, &roots[old], &[9; 32], &proof).is_err(), "{old} {new}");
            }
            for at in 0..proof.len() {
                let mut bent = proof.clone();
                bent[at][0] ^= 0x80;
                assert!(check(old, &roots[old], &roots[new], &bent).is_err());
                assert!(check(old, &roots[old], &roots[new], &proof[..at]).is_err());
            }
            let long = [&proof[..], &[[0; 32]]].concat();
            assert!(check(old, &roots[old], &roots[new], &long).is_err());
        }
        let (new, root) = (new as u64, &roots[new]);
        assert!(verify_consistency(new + 1, root, new, root, &[]).is_err());
    }
    assert!(verify_consistency(0, &empty_root(), 0, &[1; 32], &[]).is_err());
    assert!(verify_consistency(u64::MAX - 1, &[0; 32], u64::MAX, &[0; 32], &[[0; 32]; MAX_PROOF]).is_err());
}
