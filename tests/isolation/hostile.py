# An agent that will not go: every way we know to outlive one's parent, in one program.
import ctypes, os, signal, socket, sys, tempfile, threading

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
libc = ctypes.CDLL(None, use_errno=True)
stay = signal.pause


def child(work):
    if os.fork() == 0:
        try:
            work()
        finally:
            os._exit(0)


def daemon():
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(1)
    stay()


def tree(depth):
    if depth and os.fork() == 0:
        tree(depth - 1)
    stay()


def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)


def traced():
    libc.ptrace(0, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def busy():
    while True:
        pass


# What the kernel keeps for processes that are gone; most of it is refused here.
libc.syscall(29, 0, 4096, 0o1666)  # shmget
libc.syscall(64, 0, 1, 0o1666)  # semget
libc.syscall(68, 0, 0o1666)  # msgget
libc.syscall(240, b"stay", os.O_CREAT | os.O_RDWR, 0o600, None)  # mq_open
kept = [os.memfd_create(str(i)) for i in range(8)]
for fd in kept:
    os.write(fd, b"x" * 65536)
pair = socket.socketpair()
pair[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, kept[0].to_bytes(4, "little"))])
try:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0stay")
    listener.listen()
    at_path = socket.socket(socket.AF_UNIX)
    at_path.bind("/tmp/stay.sock")
except OSError:
    pass
for place in ("/tmp", "/dev/shm"):
    for i in range(20):
        tempfile.NamedTemporaryFile(dir=place, delete=False).write(b"x" * 10000)
threads = [threading.Thread(target=stay_thread, daemon=True) for stay_thread in [lambda: threading.Event().wait()] * 3]
for thread in threads:
    thread.start()
for work in (daemon, daemon, lambda: tree(12), stopped, traced, busy):
    child(work)
print("ready", flush=True)
end = sys.argv[1]
if end == "exit":
    os._exit(0)
if end == "error":
    os._exit(3)
if end == "stop":
    os.kill(os.getpid(), signal.SIGSTOP)
while True:
    stay()
