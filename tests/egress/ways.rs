//! What a policy allows gets through, by every way that programs know.

use serde_json::json;

use crate::world::{SERVER, World};

const POLICY: &str = r#"
[[egress]]
id = "clear"
host = "web.test"
scheme = "http"
methods = ["GET"]
paths = ["/ok", "/echo"]
[[egress]]
id = "tls"
host = "web.test"
methods = ["*"]
[[egress]]
id = "some"
host = "some.test"
methods = ["GET"]
[[egress]]
id = "bytes"
host = "bytes.test"
scheme = "tcp"
port = 7000
"#;

fn names() -> serde_json::Value {
    json!({"web.test": [SERVER], "some.test": [SERVER], "bytes.test": [SERVER]})
}

#[test]
fn a_request_is_decided_made_and_recorded() {
    let Some(world) = World::new("a_request_is_decided_made_and_recorded", names()) else { return };
    // A program that knows of no proxy, and one that does.
    for way in [vec!["--noproxy", "*"], vec![]] {
        let mut argv = vec!["/usr/bin/curl", "-sS", "-m", "10"];
        argv.extend(&way);
        argv.push("http://web.test/ok?a=b");
        let ran = world.run(POLICY, &argv);
        ran.fine();
        assert_eq!(ran.stdout, "{\"site\": \"clear\", \"path\": \"/ok?a=b\"}", "{way:?}");
        let (tool, decision, args, status, body) = ran.call();
        assert_eq!((tool.as_str(), decision.as_str(), status.as_str()), ("egress.http", "allow", "ok"), "{way:?}");
        let asked =
            json!({"scheme": "http", "host": "web.test", "port": 80, "method": "GET", "path": "/ok", "query": "a=b"});
        assert_eq!(args, asked);
        assert_eq!((&body["status"], &body["address"]), (&json!(200), &json!("8.8.4.10:80")));
        assert_eq!(body["received"], json!(ran.stdout.len()));
        let asked = world.asked();
        assert!(asked.iter().any(|line| line["site"] == "clear" && line["headers"]["host"] == "web.test"), "{asked:?}");
    }
    // Methods and paths that no rule has, on one connection with one that some rule has.
    for way in ["--noproxy", "--proxy-header"] {
        let value = if way == "--noproxy" { "*" } else { "a: b" };
        let urls = ["http://web.test/ok", "http://web.test/other", "http://web.test/ok/../other"];
        let mut argv =
            vec!["/usr/bin/curl", "-sS", "-m", "10", "--path-as-is", "-w", "%{http_code},", "-o", "/dev/null"];
        argv.extend([way, value, urls[0], "-o", "/dev/null", urls[1], "-o", "/dev/null", urls[2]]);
        let ran = world.run(POLICY, &argv);
        assert_eq!(ran.stdout.trim_end_matches(','), "200,403,403", "{way} {}", ran.stderr);
        let told: Vec<_> = ran.calls().into_iter().map(|(_, decision, ..)| decision).collect();
        assert_eq!(told, ["allow", "deny", "deny"]);
        assert_eq!(world.asked().iter().filter(|line| line["site"].is_string()).count(), 1, "one got there");
    }
    let ran = world.run(POLICY, &["/usr/bin/curl", "-sS", "-X", "DELETE", "http://web.test/ok"]);
    let denial: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&denial["error"], &denial["object"]), (&json!("denied"), &json!("DELETE http://web.test:80/ok")));
}

#[test]
fn tls_goes_through_a_tunnel_only_where_it_hides_nothing() {
    let Some(world) = World::new("tls_goes_through_a_tunnel_only_where_it_hides_nothing", names()) else { return };
    std::fs::copy(world.path("ca.pem"), world.path("work/ca.pem")).unwrap();
    let curl = ["/usr/bin/curl", "-sS", "-m", "10", "--cacert", "/workspace/ca.pem"];
    let socks = ["--proxy", "socks5h://127.0.0.1:1080"];
    for way in [vec!["--noproxy", "*"], vec![], socks.to_vec()] {
        let argv: Vec<_> = curl.iter().chain(&way).copied().chain(["https://web.test/any"]).collect();
        let ran = world.run(POLICY, &argv);
        ran.fine();
        assert_eq!(ran.stdout, "{\"site\": \"tls\", \"path\": \"/any\"}", "{way:?}");
        let (tool, _, args, status, body) = ran.call();
        assert_eq!((tool.as_str(), status.as_str()), ("egress.tcp", "ok"));
        assert_eq!(args, json!({"host": "web.test", "port": 443}));
        assert!(body["sent"].as_u64() > Some(200) && body["received"].as_u64() > Some(200), "{body}");
        // A rule that looks at methods: a tunnel would hide them.
        let argv: Vec<_> = curl.iter().chain(&way).copied().chain(["https://some.test/"]).collect();
        let ran = world.run(POLICY, &argv);
        assert_ne!(ran.code, Some(0));
        let (_, decision, ..) = ran.call();
        assert_eq!(decision, "deny");
        assert!(ran.records.iter().any(|r| r["reason"].as_str().is_some_and(|why| why.contains("absolute-form"))));
    }
    // Python's own ways: urllib by the proxy, a socket by itself.
    let program = "
import json, ssl, urllib.request, socket
context = ssl.create_default_context(cafile='/workspace/ca.pem')
print(json.load(urllib.request.urlopen('https://web.test/py', context=context))['path'])
plain = socket.create_connection(('bytes.test', 7000))
hello = plain.recv(6)
plain.sendall(b'abc'); print(hello.decode() + plain.recv(3).decode())
";
    let ran = world.python(POLICY, program);
    ran.fine();
    assert_eq!(ran.stdout, "/py\nhello ABC\n");
    let calls = ran.calls();
    let bytes = calls.iter().find(|(_, _, args, ..)| args["host"] == "bytes.test").unwrap();
    assert_eq!((&bytes.4["sent"], &bytes.4["received"]), (&json!(3), &json!(9)));
}

#[test]
fn the_proxy_speaks_tls_itself_where_a_rule_looks_at_requests() {
    let mut names = names();
    names["stale.test"] = json!([SERVER]);
    let Some(world) = World::new("the_proxy_speaks_tls_itself_where_a_rule_looks_at_requests", names) else { return };
    let policy = "[[egress]]\nid = \"get\"\nhost = \"web.test\"\nmethods = [\"GET\"]\npaths = [\"/ok\"]\n\
                  [[egress]]\nid = \"wrong\"\nhost = \"web.test\"\nport = 8443\nmethods = [\"GET\"]\n\
                  [[egress]]\nid = \"stale\"\nhost = \"stale.test\"\nport = 9443\nmethods = [\"GET\"]\n";
    let program = "
import http.client, json
def ask(method, url, host, more={}):
    proxy = http.client.HTTPConnection('127.0.0.1', 3128)
    proxy.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
    for name, value in {'Host': host, **more}.items(): proxy.putheader(name, value)
    proxy.endheaders()
    answer = proxy.getresponse()
    print(answer.status, json.loads(answer.read() or b'{}').get('error', 'fine'))
ask('GET', 'https://web.test/ok', 'web.test')
ask('GET', 'https://web.test/ok', 'web.test:443', {'Proxy-Authorization': 'Basic x', 'Connection': 'X-Mine', 'X-Mine': '1'})
ask('GET', 'https://web.test/ok', 'other.test')
ask('POST', 'https://web.test/ok', 'web.test')
ask('GET', 'https://web.test/other', 'web.test')
ask('GET', 'https://web.test:8443/', 'web.test:8443')
ask('GET', 'https://stale.test:9443/', 'stale.test:9443')
";
    let ran = world.python(policy, program);
    ran.fine();
    let told: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(told, ["200 fine", "200 fine", "403 denied", "403 denied", "403 denied", "502 tls", "502 tls"]);
    let asked: Vec<_> = world.asked().into_iter().filter(|line| line["site"].is_string()).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for field in ["proxy-authorization", "x-mine", "connection"] {
        assert!(asked.iter().all(|line| line["headers"].get(field).is_none()), "{field} went out");
    }
}
