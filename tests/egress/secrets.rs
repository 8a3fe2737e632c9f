//! A secret goes where it is bound to, in its field, over verified TLS; the agent never has it, and gets no answer
//! that has it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::world::{SERVER, World};

const VALUE: &str = "tok-5f1c/9e+77aa";

fn policy(world: &World) -> String {
    let file = world.path("token");
    fs::write(&file, format!("{VALUE}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[[secret]]\nname = \"tok\"\nfrom = \"file:{}\"\nhosts = [\"web.test\"]\nheader = \"Authorization\"\n\
         [[egress]]\nid = \"get\"\nhost = \"web.test\"\nmethods = [\"GET\"]\ncredential = \"tok\"\n\
         [[egress]]\nid = \"wrong\"\nhost = \"web.test\"\nport = 8443\nmethods = [\"GET\"]\ncredential = \"tok\"\n",
        file.display()
    )
}

const PROGRAM: &str = "
import http.client, os
print(os.environ['STOCKADE_SECRET_TOK'])
def ask(path, port=443):
    proxy = http.client.HTTPConnection('127.0.0.1', 3128, timeout=10)
    host = 'web.test' if port == 443 else f'web.test:{port}'
    proxy.request('GET', f'https://{host}{path}', headers={
        'Host': host, 'Authorization': 'Bearer mine', 'Accept-Encoding': 'gzip', 'X-Other': 'stays'})
    try:
        answer = proxy.getresponse()
        print(path, answer.status, answer.read().decode().strip(), dict(answer.getheaders()).get('location'))
    except (http.client.HTTPException, OSError) as error: print(path, 'cut')
for path in ('/ok', '/echo', '/echo64', '/field', '/split', '/redirect'): ask(path)
ask('/ok', 8443)
";

/// Files beneath a folder with these bytes in them.
fn with(folder: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(with(&path, bytes));
        } else if fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|part| part == bytes) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_secret_goes_out_and_does_not_come_back() {
    let names = json!({"web.test": [SERVER], "other.test": [SERVER]});
    let Some(world) = World::new("a_secret_goes_out_and_does_not_come_back", names) else { return };
    let policy = policy(&world);
    let ran = world.python(&policy, PROGRAM);
    ran.fine();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "stockade:secret:tok");
    assert!(lines[1].starts_with("/ok 200 {"), "{}", lines[1]);
    for (line, path) in lines[2..6].iter().zip(["/echo", "/echo64", "/field", "/split"]) {
        assert!(*line == format!("{path} cut") || line.starts_with(&format!("{path} 403")), "{line}");
    }
    assert!(lines[6].starts_with("/redirect 302") && lines[6].ends_with("http://other.test/stolen"), "{}", lines[6]);
    assert!(lines[7].starts_with("/ok 502"), "another host\u{2019}s certificate: {}", lines[7]);
    assert!(!ran.stdout.contains(VALUE) && !ran.stderr.contains(VALUE));
    let asked: Vec<_> = world.asked().into_iter().filter(|line| line["site"].is_string()).collect();
    assert_eq!(asked.len(), 6, "{asked:?}");
    for line in asked {
        let headers = &line["headers"];
        assert_eq!(headers["authorization"], json!(format!("Bearer {VALUE}")));
        assert_eq!((&headers["x-other"], &headers["accept-encoding"]), (&json!("stays"), &json!("identity")));
    }
    let back: Vec<_> = ran.calls().into_iter().filter(|(.., body)| body["error"] == "secret_came_back").collect();
    assert_eq!(back.len(), 4, "{:#?}", ran.calls());
    assert!(back.iter().all(|(.., status, body)| status == "denied" && body["credential"] == true));
    assert_eq!(with(&world.path("state"), VALUE.as_bytes()), Vec::<std::path::PathBuf>::new());
    // A tunnel would have the agent put it in itself.
    let ran = world.run(&policy, &["/usr/bin/curl", "-sS", "-k", "https://web.test/ok"]);
    assert_ne!(ran.code, Some(0));
    assert_eq!(ran.call().1, "deny");
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let names = json!({"web.test": [SERVER]});
    let Some(world) = World::new("a_secret_that_others_can_read_is_refused", names) else { return };
    let policy = policy(&world);
    for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        fs::set_permissions(world.path("token"), fs::Permissions::from_mode(mode)).unwrap();
        let ran = world.run(&policy, &["/usr/bin/true"]);
        assert_eq!(ran.code, Some(if fine { 0 } else { 10 }), "{mode:o} {}", ran.stderr);
        assert!(fine || ran.stderr.contains("[[secret]] \"tok\""), "{}", ran.stderr);
        assert!(!ran.stderr.contains(VALUE));
    }
}
