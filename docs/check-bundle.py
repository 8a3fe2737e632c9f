"""python3 check-bundle.py FOLDER KEY: checks an unpacked bundle without Stockade. KEY is the host's, or its file.
Signatures by openssl(1). It ends with 0 if all holds."""
import base64, glob, hashlib, json, os, subprocess, sys, tempfile

def must(holds, what):
    if not holds:
        sys.exit("WRONG: " + what)

if len(sys.argv) != 3 or not os.path.isfile(os.path.join(sys.argv[1], "manifest.json")):
    sys.exit(__doc__)

def read(name):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        return file.read()

def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def node(left, right):
    return sha(b"\1", left, right)

class Tree:
    """RFC 6962, section 2.1. `peaks` are the roots of its full subtrees, from the left."""
    def __init__(self):
        self.size, self.peaks = 0, []

    def push(self, hash):
        self.size += 1
        odd = self.size
        while odd % 2 == 0:
            hash, odd = node(self.peaks.pop(), hash), odd // 2
        self.peaks.append(hash)

    def root(self):
        hash = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            hash = node(peak, hash)
        return hash

def key(text):
    must(text.count("+") >= 2, "the key is not NAME+ID+BASE64")
    name, number, data = text.split("+", 2)
    data = base64.b64decode(data, validate=True)
    must(len(data) == 33 and data[0] == 1, "the key is not an Ed25519 key")
    must(sha(name.encode(), b"\n", data)[:4].hex() == number, "the key's id")
    return name, bytes.fromhex(number), data[1:]

def verify(public, text, signature):
    with tempfile.TemporaryDirectory() as folder:
        spki = bytes.fromhex("302a300506032b6570032100") + public  # RFC 8410, section 4
        for name, data in ("key", spki), ("text", text), ("signature", signature):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        openssl = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile signature"
        return subprocess.run(openssl.split(), cwd=folder, capture_output=True).returncode == 0

def signed(note, by, origin):
    """Size, root and extension lines of a checkpoint that the key `by` signed; None if it did not."""
    text, _, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    name, number, public = by
    for line in signatures.decode().splitlines():
        _, signer, data = line.split(" ")
        data = base64.b64decode(data, validate=True)
        if (signer, data[:4]) == (name, number):
            must(verify(public, text, data[4:]), f"a signature of {name}+{number.hex()}")
            found, size, root, *more = text.decode().splitlines()
            must(found == origin, f"a checkpoint of {found}, not of {origin}")
            return int(size), base64.b64decode(root), more
    return None

def included(hash, index, size, path, root):
    """RFC 9162, section 2.1.3.2"""
    fn, sn = index, size - 1
    must(fn <= sn, "a leaf beyond the log's end")
    for sibling in path:
        if fn & 1 or fn == sn:
            hash = node(sibling, hash)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            hash = node(hash, sibling)
        must(sn > 0, "an inclusion proof that is too long")
        fn, sn = fn >> 1, sn >> 1
    must(sn == 0 and hash == root, "the inclusion proof")

def begins(old, old_root, new, new_root, path):
    """RFC 9162, section 2.1.4.2"""
    must(old <= new, "the log is shorter than it was at the end of an epoch")
    if old in (0, new):
        must(not path and (old == 0 or old_root == new_root), "a consistency proof")
        return
    path = path if old & (old - 1) else [old_root] + path
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for hash in path[1:]:
        must(sn > 0, "a consistency proof that is too long")
        if fn & 1 or fn == sn:
            first, second = node(hash, first), node(hash, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, hash)
        fn, sn = fn >> 1, sn >> 1
    must((first, second, sn) == (old_root, new_root, 0), "a consistency proof")

def beside(record):
    """What a record names in blobs/ and private/."""
    values = [record.get(field) for field in ("args", "body", "denial", "detail", "settings")]
    values += [payload for _, payload in record.get("settings", {}).get("env", [])]
    for value in values:
        for kind, folder in ("blob", "blobs"), ("private", "private"):
            if isinstance(value, dict) and list(value) == [kind]:
                yield folder, value[kind]["sha256"]
    if "blob" in record.get("enforcement", {}):
        yield "blobs", record["enforcement"]["blob"]["sha256"]
    if record["type"] == "recovered":
        yield "blobs", record["cut_sha256"]

# 1. What the manifest lists is what is here.
manifest = json.loads(read("manifest.json"))
for item in manifest["files"]:
    must(sha(read(item["name"])).hex() == item["sha256"], item["name"])
    folder, name = os.path.split(item["name"])
    must(folder != "objects" or name == item["sha256"], item["name"] + " is another object")

# 2. The keys, from the one that was given.
given = sys.argv[2]
keys, ended = [key(open(given).read().strip() if os.path.isfile(given) else given)], []
host = keys[0][0]
for path in sorted(glob.glob("notary/epochs/[0-9]*", root_dir=sys.argv[1])):
    last = signed(read(path), keys[-1], host)
    if last is None:
        must(len(keys) == 1, f"{path} is not signed by the key before")
        continue  # it ended before the key that was given
    following = [line.split(" ")[1] for line in last[2] if line.startswith("next-key ")]
    must(len(following) == 1, f"{path} names no next key")
    keys.append(key(following[0]))
    ended.append((int(path[-6:]), last))

# 3. The run's head.
run = manifest["run"]
heads = [signed(read("checkpoint"), by, f"{host}/run/{run}") for by in keys]
heads = [head for head in heads if head]
must(heads, "the run's checkpoint is not signed by the key, nor by one that follows from it")
size, root, _ = heads[0]

# 4. The lines, the chain, the tree, what lies beside.
tree, prev, was_signed, gone = Tree(), bytes(32), False, 0
for segment in sorted(glob.glob("journal/*.jsonl", root_dir=sys.argv[1])):
    *lines, rest = read(segment).split(b"\n")
    must(rest == b"", f"{segment}: its last line is torn")
    for line in lines:
        record = json.loads(line)
        at = f"record {tree.size + 1}: "
        if list(record) == ["tombstone"]:
            record, hash = record["tombstone"], bytes.fromhex(record["tombstone"]["leaf"])
        else:
            must(record["prev"] == prev.hex(), at + "prev is not the hash of the line before")
            for folder, name in beside(record):
                if folder == "private" and not os.path.exists(os.path.join(sys.argv[1], "journal/private", name)):
                    gone += 1
                    continue
                must(sha(read(f"journal/{folder}/{name}")).hex() == name, at + f"a value in {folder}/")
            hash = sha(b"\0", line)
            must(tree.size or record["type"] != "start" or record["run"] == run, at + "it is of another run")
        must(record["seq"] == tree.size + 1, at + f"seq is {record['seq']}")
        prev = hash
        tree.push(hash)
        if tree.size == size:
            must(tree.root() == root, f"the root of the first {size} records is not what was signed")
            was_signed = True
must(was_signed, f"{tree.size} records, but {size} were signed")

# 5. The head is a leaf of the host's log, which begins with what the erased keys signed.
log = signed(read("notary/checkpoint"), keys[-1], host)
must(log, "the host's checkpoint is not signed by the newest key")
proof = json.loads(read("notary/proof.json"))
leaf = json.loads(proof["leaf"])
must((leaf["run"], leaf["size"], base64.b64decode(leaf["root"])) == (run, size, root), "the leaf is of another head")
path = [bytes(hash) for hash in proof["inclusion"]]
included(sha(b"\0", proof["leaf"].encode()), proof["index"], log[0], path, log[1])
for number, last in ended:
    path = [item["consistency"] for item in proof["epochs"] if item["epoch"] == number]
    must(len(path) == 1, f"there is no proof for epoch {number}")
    begins(last[0], last[1], log[0], log[1], [bytes(hash) for hash in path[0]])

print(f"{run}: {tree.size} records, {size} of them signed, {root.hex()}")
print(f"leaf {proof['index']} of {log[0]} of {host}, {len(ended)} keys after the one given")
if gone:
    print(f"{gone} private values are not here: erased, or not in the bundle")
