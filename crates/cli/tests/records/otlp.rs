use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::{Place, call, errors, exit, inline, result, syscall, text};

/// A collector that gives these answers, one a connection, and its requests.
fn collector(answers: Vec<(u16, &'static str, &'static str)>) -> (String, JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for (status, headers, body) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head += &line;
            }
            let mut bytes = vec![0; length];
            reader.read_exact(&mut bytes).unwrap();
            requests.push((head, serde_json::from_slice(&bytes).unwrap()));
            let size = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {size}\r\nconnection: close\r\n{headers}\r\n{body}");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        requests
    });
    (url, served)
}

fn place(calls: u64) -> Place {
    let place = Place::new();
    let mut writer = place.begin("r-1", "wasm");
    for id in 1..=calls {
        writer.append(call(id, "clock", inline(json!({})), None)).unwrap();
        writer.append(result(id, "ok")).unwrap();
    }
    writer.append(syscall("bpf", 0)).unwrap();
    writer.append(exit()).unwrap();
    place
}

fn records(request: &Value) -> &Vec<Value> {
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap()
}

#[test]
fn decisions_are_posted_in_batches() {
    let place = place(300);
    let (url, served) = collector(vec![(200, "", "{}"), (200, "", "")]);
    let args = ["journal", "otlp", "--endpoint", &url, "--header", "x-tenant=a b"];
    let output = place.stockade(&args);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(text(&output), "601 records in 2 requests\n");
    let requests = served.join().unwrap();
    assert_eq!(requests.iter().map(|(_, request)| records(request).len()).collect::<Vec<_>>(), [512, 89]);
    let head = requests[0].0.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/logs http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("x-tenant: a b"), "{head}");
    assert_eq!(records(&requests[0].1)[0]["eventName"], "stockade.call");
}

#[test]
fn all_is_all() {
    let place = place(1);
    let (url, served) = collector(vec![(200, "", "{}")]);
    let output = place.stockade(&["journal", "otlp", "--all", "--endpoint", &format!("{url}/v1/logs")]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(records(&served.join().unwrap()[0].1).len(), 5);
}

#[test]
fn a_collector_that_is_busy_is_asked_again_with_the_same() {
    let place = place(1);
    let (url, served) =
        collector(vec![(503, "retry-after: 0\r\n", "later"), (429, "retry-after: 0\r\n", ""), (200, "", "{}")]);
    let output = place.stockade(&["journal", "otlp", "--endpoint", &url]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let requests = served.join().unwrap();
    assert!(requests.iter().all(|(_, request)| *request == requests[0].1));
    assert!(errors(&output).contains("503") && errors(&output).contains("later"), "{}", errors(&output));
}

#[test]
fn what_is_not_taken_is_told() {
    let place = place(1);
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
    for (answer, said) in [
        ((200, "", partial), "rejected 2 records: too old"),
        (
            (400, "", "bad\u{1b}[2J"),
            r"400 Bad Request: bad\x1b[2J (attempt 1); sent were 0 records, not those from r-1 seq 2",
        ),
        ((307, "location: http://127.0.0.1:9/\r\n", ""), "307 Temporary Redirect"),
        ((200, "", "<html>"), "no ExportLogsServiceResponse"),
    ] {
        let (url, served) = collector(vec![answer]);
        let output = place.stockade(&["journal", "otlp", "--endpoint", &url]);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors(&output).contains(said), "{}", errors(&output));
        served.join().unwrap();
    }
    for endpoint in ["localhost:4318", "ftp://localhost"] {
        assert_eq!(place.stockade(&["journal", "otlp", "--endpoint", endpoint]).status.code(), Some(2));
    }
}
