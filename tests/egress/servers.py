"""Servers of the test's, in a network namespace of its own: names, HTTP and HTTPS, each request on stdout."""
import base64, http.server, json, socket, ssl, struct, sys, threading, time

folder, world = sys.argv[1], json.loads(sys.argv[2])
asked = {}


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def name_of(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]])
        at += 1 + message[at]
    return b".".join(labels).decode().lower(), at + 1


def encoded(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"


def answer(message):
    name, end = name_of(message, 12)
    kind = struct.unpack(">H", message[end : end + 2])[0]
    records, code = [], 0
    entry = world["names"].get(name)
    if entry is None:
        code = 3
    while isinstance(entry, dict) and "cname" in entry:
        records.append((name, 5, encoded(entry["cname"])))
        name = entry["cname"]
        entry = world["names"].get(name, [])
    if isinstance(entry, dict):
        # One list for each time that it is asked for.
        turn = asked.get((name, kind), 0)
        asked[name, kind] = turn + 1
        entry = entry["turns"][min(turn, len(entry["turns"]) - 1)]
    for address in entry or []:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if kind == (28 if family == socket.AF_INET6 else 1):
            records.append((name, kind, socket.inet_pton(family, address)))
    say(dns=name_of(message, 12)[0], kind=kind)
    head = message[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    body = b"".join(encoded(n) + struct.pack(">HHIH", k, 1, 1, len(d)) + d for n, k, d in records)
    return head + message[12 : end + 4] + body


def serve_names(address):
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind((address, 53))
    while True:
        message, peer = names.recvfrom(4096)
        names.sendto(answer(message), peer)


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        sni = getattr(self.connection, "told", None)
        say(
            site=self.server.label,
            method=self.command,
            path=self.path,
            headers={k.lower(): v for k, v in self.headers.items()},
            body=body.decode("latin1"),
            sni=sni,
        )
        status, headers, text = 200, {}, json.dumps({"site": self.server.label, "path": self.path})
        if self.path.startswith("/echo"):
            text = json.dumps({k.lower(): v for k, v in self.headers.items()})
        if self.path.startswith("/echo64"):
            text = base64.b64encode(b"x" + text.encode()).decode()
        if self.path.startswith("/field"):
            headers["x-echo"], text = self.headers.get("authorization", ""), "fine"
        if self.path.startswith("/split"):
            return self.split(self.headers.get("authorization", ""))
        if self.path.startswith("/redirect"):
            status, headers = 302, {"location": "http://other.test/stolen"}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def split(self, value):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in ("before " + value[:12], value[12:] + " after"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part.encode()))
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = do_PUT = handle_any

    def log_message(self, *_):
        pass


def serve_site(label, address, port, certificate):
    server = http.server.ThreadingHTTPServer((address, port), Site)
    server.label, server.daemon_threads = label, True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/{certificate}.pem", f"{folder}/{certificate}.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def serve_bytes(address, port):
    server = socket.create_server((address, port))
    while True:
        peer, _ = server.accept()
        peer.sendall(b"hello ")
        while data := peer.recv(4096):
            peer.sendall(data.upper())
        peer.close()


for address in world["resolvers"]:
    threading.Thread(target=serve_names, args=(address,), daemon=True).start()
for site in world["sites"]:
    threading.Thread(target=serve_site, args=site, daemon=True).start()
for place in world["bytes"]:
    threading.Thread(target=serve_bytes, args=place, daemon=True).start()
say(ready=True)
sys.stdin.read()
