//! Limits of native cells, on what the host has.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::Rig;

#[test]
fn memory_of_every_kind_is_counted() {
    let Some(rig) = Rig::new("memory_of_every_kind_is_counted", &["python3"]) else { return };
    let policy = rig.native_policy("[limits]\nmemory = \"64MiB\"\nwall = \"20s\"\n");
    let fill = "def fill(path):\n  import os\n  n = 0\n  try:\n    with open(path, 'wb') as f:\n      while n < 10**9: n += f.write(b'x' * 65536)\n  except OSError: pass\n";
    for (what, program) in [
        ("anonymous memory", "x = []\nwhile True: x.append(b'x' * 2**20)".to_owned()),
        ("a large mapping, touched", "import mmap\nm = mmap.mmap(-1, 2**30)\nfor i in range(0, 2**30, 4096): m[i] = 1".to_owned()),
        ("memory files", "import os\nk = []\nwhile True:\n  f = os.memfd_create('x'); k.append(f)\n  for i in range(16): os.write(f, b'x' * 2**20)".to_owned()),
        ("tmpfs, and what is left", format!("{fill}fill('/tmp/a'); fill('/dev/shm/a')\nx = []\nwhile True: x.append(b'x' * 2**20)")),
        ("pipes and sockets", "import os, socket\nk = []\nwhile len(k) < 100:\n  a, b = socket.socketpair(); k += [a, b]; a.setblocking(False)\n  try:\n    while True: a.send(b'x' * 65536)\n  except OSError: pass\nx = []\nwhile True: x.append(b'x' * 2**20)".to_owned()),
        ("many processes", "import os\nfor i in range(20):\n  if os.fork() == 0: break\nx = []\nwhile True: x.append(b'x' * 2**16)".to_owned()),
    ] {
        let ran = rig.python(&policy, &program);
        ran.expect(what, 31, &["memory limit hit"]);
        assert!(ran.took < Duration::from_secs(15), "{what}: {:?}", ran.took);
    }
    // A tmpfs alone is full before the limit is hit.
    let ran = rig.python(&policy, &format!("{fill}fill('/tmp/a'); import os; print(os.stat('/tmp/a').st_size)"));
    ran.expect("a full tmpfs", 0, &["finished"]);
    assert_eq!(ran.text().trim().parse::<u64>().unwrap(), 16 << 20);
    rig.clean("memory bombs");
}

#[test]
fn a_fork_bomb_stays_in_its_cell() {
    let Some(rig) = Rig::new("a_fork_bomb_stays_in_its_cell", &["python3"]) else { return };
    let policy = rig.native_policy("[limits]\npids = 20\nwall = \"20s\"\n");
    let count = "import os, signal\nn = 0\nwhile True:\n  try: pid = os.fork()\n  except OSError: break\n  if pid == 0: signal.pause()\n  n += 1\nprint(n)\nraise SystemExit(1)";
    let ran = rig.python(&policy, count);
    ran.expect("forks until refused", 33, &["task limit hit"]);
    // stockade-init and the program itself are tasks, too.
    assert_eq!(ran.text().trim(), "18");
    let threads = "import threading\nn = 0\ntry:\n  while True: threading.Thread(target=threading.Event().wait, daemon=True).start(); n += 1\nexcept RuntimeError: print(n, flush=True)\nimport os; os._exit(1)";
    let ran = rig.python(&policy, threads);
    ran.expect("threads until refused", 33, &["task limit hit"]);
    assert_eq!(ran.text().trim(), "18");

    let brief = rig.native_policy("[limits]\npids = 50\nwall = \"1s\"\n");
    let mut bomb = rig.command(&brief);
    bomb.args([
        "--",
        "/bin/sh",
        "-c",
        "bomb() { bomb & bomb & wait; }; echo go; bomb 2>/dev/null & while :; do :; done",
    ]);
    let mut running = rig.begin(&mut bomb);
    running.until("the bomb", |r| r.wrote().contains("go"));
    // The host forks as ever.
    let began = Instant::now();
    for _ in 0..50 {
        assert!(Command::new("/bin/true").status().unwrap().success());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "50 programs took {:?} beside a fork bomb", began.elapsed());
    let ran = running.end();
    ran.expect("a fork bomb", 30, &["wall"]);
    rig.clean("fork bombs");
}

#[test]
fn the_cpu_quota_holds() {
    let Some(rig) = Rig::new("the_cpu_quota_holds", &["python3"]) else { return };
    let policy = rig.native_policy("[limits]\ncpu = \"20%\"\n");
    let busy = "import os, time\nend = time.monotonic() + 1.5\nos.fork()\nwhile time.monotonic() < end: pass\nt = os.times(); os.write(1, b'%f\\n' % (t.user + t.system))\n";
    let ran = rig.python(&policy, busy);
    ran.expect("busy", 0, &[]);
    let used: f64 = ran.text().lines().map(|l| l.parse::<f64>().unwrap()).sum();
    let share = used / 1.5;
    assert!((0.02..0.30).contains(&share), "{share} of a CPU was used; 0.20 is the limit");
    rig.clean("a CPU quota");
}

#[test]
fn files_are_limited_in_size_and_number() {
    let Some(rig) = Rig::new("files_are_limited_in_size_and_number", &["python3"]) else { return };
    let policy = rig.native_policy("[limits]\nfile_size = \"1MiB\"\nfiles = 32\n");
    for place in ["/workspace/big", "/tmp/big"] {
        let ran = rig.python(&policy, &format!("f = open('{place}', 'wb', 0)\nwhile True: f.write(b'x' * 65536)"));
        ran.expect(place, 20, &["File too large"]);
    }
    assert_eq!(std::fs::metadata(rig.path("work/big")).unwrap().len(), 1 << 20);
    // A program that does not ignore the signal dies of it.
    let ran = rig.native(
        &policy,
        &["/bin/sh", "-c", "exec /usr/bin/dd if=/dev/zero of=/workspace/big bs=64k count=100 status=none"],
    );
    assert!(matches!(ran.status.code(), Some(20 | 21)), "{ran:?}");
    assert!(std::fs::metadata(rig.path("work/big")).unwrap().len() <= 1 << 20);
    let ran = rig.python(&policy, "k = []\ntry:\n  while True: k.append(open('/dev/null'))\nexcept OSError as e: print(e.errno, max(f.fileno() for f in k))");
    ran.expect("open files", 0, &[]);
    assert_eq!(ran.text().trim(), "24 31");
    let raise = "import resource\nfor what in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):\n  hard = resource.getrlimit(what)[1]\n  try: resource.setrlimit(what, (hard + 1, hard + 1)); print('raised', what)\n  except (OSError, ValueError): pass\n";
    assert_eq!(rig.python(&policy, raise).text(), "");
    rig.clean("file limits");
}
