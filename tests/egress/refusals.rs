//! What must not be reached is not, by any spelling or trick. Each works outside.

use serde_json::json;

use crate::world::{METADATA, PRIVATE, SERVER, World};

const POLICY: &str = r#"
[[egress]]
id = "any"
host = "*"
scheme = "http"
methods = ["GET"]
[[egress]]
id = "tls"
host = "web.test"
methods = ["*"]
"#;

#[test]
fn a_name_that_leads_inside_is_refused_whatever_the_rule_says() {
    let names = json!({
        "web.test": [SERVER],
        "inside.test": [PRIVATE],
        "both.test": [SERVER, PRIVATE],
        "alias.test": {"cname": "inside.test"},
        "metadata.test": [METADATA],
        "loop.test": ["127.0.0.1"],
        "mapped.test": ["::ffff:127.0.0.1"],
        "nat64.test": ["64:ff9b::a9fe:a9fe"],
        "self.test": ["8.8.4.1"],
        "rebind.test": {"turns": [[SERVER], ["127.0.0.1"]]},
    });
    let Some(world) = World::new("a_name_that_leads_inside_is_refused_whatever_the_rule_says", names) else { return };
    // Outside they lead there.
    for (name, site) in [("inside.test", "private"), ("alias.test", "private"), ("metadata.test", "metadata")] {
        let told = world.outside(&["/usr/bin/curl", "-sS", "-m", "5", &format!("http://{name}/")]);
        assert!(told.contains(site), "{name}: {told}");
    }
    world.asked();
    let bad = ["inside", "both", "alias", "metadata", "loop", "mapped", "nat64", "self"];
    let program = format!(
        "
import urllib.request, urllib.error
for way in ({{}}, None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(way))
    for name in {bad:?}:
        try: print(name, opener.open('http://' + name + '.test/', timeout=5).status)
        except urllib.error.HTTPError as error: print(name, error.code)
"
    );
    let ran = world.python(POLICY, &program);
    ran.fine();
    let told: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    let all: Vec<String> = bad.iter().chain(&bad).map(|name| format!("{name} 403")).collect();
    assert_eq!(told, all);
    assert!(world.asked().iter().all(|line| line["site"].is_null()), "nobody was asked but for names");
    for (_, decision, _, status, body) in ran.calls() {
        assert_eq!((decision.as_str(), status.as_str()), ("allow", "denied"), "{body}");
        assert_eq!(body["layer"], "address");
    }
    // The address that was checked is the one that is dialled, whatever the name says the next time.
    let program = "
import urllib.request
print(urllib.request.urlopen('http://rebind.test/', timeout=5).read().decode())
try: urllib.request.urlopen('http://rebind.test/', timeout=5)
except urllib.error.HTTPError as error: print(error.code)
";
    let ran = world.python(POLICY, program);
    ran.fine();
    assert_eq!(ran.stdout, "{\"site\": \"clear\", \"path\": \"/\"}\n403\n");
    // Named by the rule, it is let through.
    let policy = format!(
        "[[egress]]\nid = \"in\"\nhost = \"inside.test\"\nscheme = \"http\"\nmethods = [\"GET\"]\naddresses = [\"{PRIVATE}\"]\n"
    );
    let ran = world.run(&policy, &["/usr/bin/curl", "-sS", "http://inside.test/"]);
    assert!(ran.stdout.contains("private"), "{} {}", ran.stdout, ran.stderr);
}

#[test]
fn an_address_is_no_way_around_names() {
    let Some(world) = World::new("an_address_is_no_way_around_names", json!({"web.test": [SERVER]})) else { return };
    let spellings = [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "0",
        METADATA,
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        PRIVATE,
        SERVER,
        "localhost",
    ];
    assert!(world.outside(&["/usr/bin/curl", "-sS", "-m", "5", &format!("http://{METADATA}/")]).contains("metadata"));
    world.asked();
    let program = format!(
        "
import http.client, socket, struct
def proxied(host):
    proxy = http.client.HTTPConnection('127.0.0.1', 3128, timeout=5)
    proxy.request('GET', 'http://' + host + '/', headers={{'Host': host}})
    return proxy.getresponse().status
def tunnelled(host):
    proxy = socket.create_connection(('127.0.0.1', 3128), 5)
    proxy.sendall(f'CONNECT {{host}}:80 HTTP/1.1\\r\\nHost: {{host}}:80\\r\\n\\r\\n'.encode())
    return int(proxy.recv(4096).split()[1])
def socksed(host):
    host = host.strip('[]').encode()
    proxy = socket.create_connection(('127.0.0.1', 1080), 5)
    proxy.sendall(b'\\5\\1\\0'); proxy.recv(2)
    proxy.sendall(b'\\5\\1\\0\\3' + bytes([len(host)]) + host + struct.pack('>H', 80))
    return proxy.recv(10)[1]
for host in {spellings:?}:
    print(host, proxied(host) // 100, tunnelled(host) // 100, socksed(host) != 0)
for address in ('{METADATA}', '{PRIVATE}', '{SERVER}'):
    bare = socket.create_connection((address, 80), 5)
    bare.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
    print(address, bare.recv(4096).split()[1].decode())
try: socket.create_connection(('2001:db8::1', 80), 5); print('IPv6')
except OSError: print('no IPv6')
"
    );
    let ran = world.python(POLICY, &program);
    ran.fine();
    let mut lines = ran.stdout.lines();
    for host in spellings {
        let line = lines.next().unwrap();
        // `*` speaks of names alone; localhost is one, and leads inside.
        let fine = line == format!("{host} 4 4 True") || (host == "localhost" && line.starts_with("localhost 4"));
        assert!(fine, "{line}\n{}", ran.stdout);
    }
    let rest: Vec<_> = lines.map(str::to_owned).collect();
    assert_eq!(
        rest,
        [format!("{METADATA} 403"), format!("{PRIVATE} 403"), format!("{SERVER} 403"), "no IPv6".to_owned()]
    );
    assert!(world.asked().iter().all(|line| line["site"].is_null()), "nobody was asked");
}

#[test]
fn what_is_inside_a_tunnel_is_for_the_host_that_was_decided_on() {
    let names = json!({"web.test": [SERVER]});
    let Some(world) = World::new("what_is_inside_a_tunnel_is_for_the_host_that_was_decided_on", names) else { return };
    let program = "
import socket, ssl, struct
context = ssl._create_unverified_context()
def tunnel():
    proxy = socket.create_connection(('127.0.0.1', 3128), 5)
    proxy.sendall(b'CONNECT web.test:443 HTTP/1.1\\r\\nHost: web.test:443\\r\\n\\r\\n')
    assert b' 200 ' in proxy.recv(4096)
    return proxy
def direct():
    return socket.create_connection(('web.test', 443), 5)
for way in (tunnel, direct):
    for name in ('web.test', 'WEB.test', 'evil.test', None):
        try:
            inside = context.wrap_socket(way(), server_hostname=name)
            inside.sendall(b'GET / HTTP/1.1\\r\\nHost: web.test\\r\\n\\r\\n'); print(name, inside.recv(12).decode())
        except OSError as error: print(name, 'cut')
    bare = way(); bare.sendall(b'GET / HTTP/1.1\\r\\nHost: web.test\\r\\n\\r\\n')
    print('clear', bare.recv(100))
";
    let ran = world.python(POLICY, program);
    ran.fine();
    let once = "web.test HTTP/1.1 200\nWEB.test HTTP/1.1 200\nevil.test cut\nNone cut\nclear b''\n";
    assert_eq!(ran.stdout, once.repeat(2));
    let ends: Vec<_> = ran.calls().into_iter().map(|(.., status, body)| (status, body["error"].clone())).collect();
    let (ok, sni, no_tls) =
        (("ok".to_owned(), json!(null)), ("denied".to_owned(), json!("sni")), ("denied".to_owned(), json!("no_tls")));
    let half = [ok.clone(), ok, sni.clone(), sni, no_tls];
    assert_eq!(ends.len(), 10);
    for end in &half {
        let count = |all: &[(String, serde_json::Value)]| all.iter().filter(|other| *other == end).count();
        assert_eq!(count(&ends), 2 * count(&half), "{ends:?}");
    }
}

#[test]
fn a_request_has_one_meaning() {
    let names = json!({"web.test": [SERVER]});
    let Some(world) = World::new("a_request_has_one_meaning", names) else { return };
    let program = r#"
import socket
def ask(text):
    at = socket.create_connection(('web.test', 80), 5)
    at.sendall(text.encode('latin1')); answer = at.recv(4096)
    return answer.split()[1].decode() if answer else 'cut'
head = 'GET /x HTTP/1.1\r\nHost: web.test\r\n'
for name, text in {
    'fine': head + '\r\n',
    'two lengths': head + 'Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde',
    'folded': head + 'X: a\r\n b\r\n\r\n',
    'bare cr': head + 'X: a\rTransfer-Encoding: chunked\r\n\r\n',
    'two hosts': head + 'Host: other.test\r\n\r\n',
    'other host': head.replace('web.test', 'other.test') + '\r\n',
    'space before colon': head + 'Transfer-Encoding : chunked\r\n\r\n',
    'unknown coding': head + 'Transfer-Encoding: xchunked\r\n\r\n',
    'whole url': head.replace('/x', 'http://other.test/x') + '\r\n',
}.items():
    print(name, ask(text))
"#;
    let ran = world.python(POLICY, program);
    ran.fine();
    let mut lines = ran.stdout.lines();
    assert_eq!(lines.next(), Some("fine 200"));
    for line in lines {
        assert!(line.ends_with(" 400") || line.ends_with(" 403") || line.ends_with(" cut"), "{line}");
    }
    let seen: Vec<_> = world.asked().into_iter().filter(|line| line["site"].is_string()).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    // A length beside a transfer coding is not looked at, and nothing that follows is (RFC 9112, 6.3); what goes on has
    // one length.
    let program = r#"
import socket
at = socket.create_connection(('web.test', 80), 5)
at.sendall(b'GET /x HTTP/1.1\r\nHost: web.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
           b'DELETE /smuggled HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n')
answer = b''
while piece := at.recv(4096): answer += piece
print(answer.count(b'HTTP/1.1 200'), answer.count(b'HTTP/1.1 403'))
"#;
    let ran = world.python(POLICY, program);
    ran.fine();
    assert_eq!(ran.stdout, "1 0\n");
    let told: Vec<_> = ran.calls().into_iter().map(|(_, decision, ..)| decision).collect();
    assert_eq!(told, ["allow"]);
    let seen: Vec<_> = world.asked().into_iter().filter(|line| line["site"].is_string()).collect();
    assert!(seen.len() == 1 && seen[0]["headers"].get("content-length").is_none(), "{seen:?}");
}
