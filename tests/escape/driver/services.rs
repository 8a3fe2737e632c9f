//! Services of the host that answer everyone with the secret, and count who came.

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, connect, listen,
    sendmsg, socket,
};
use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Ports and names, and a count of all visits.
pub struct Services {
    pub tcp: u16,
    pub udp: u16,
    /// A port where nobody listens yet; see [`Services::visit`].
    pub listen: u16,
    /// Abstract name.
    pub name: String,
    visits: Arc<AtomicU64>,
    /// Services that answer nobody; their datagrams lie in the queue until they are counted.
    silent: Mutex<Vec<UnixDatagram>>,
    /// How the driver itself visits each of the others; see [`Services::take_visits`].
    doors: Mutex<Vec<Door>>,
    secret: String,
}

/// A visit that is answered after it was counted.
type Door = Box<dyn Fn() -> std::io::Result<()> + Send>;

/// How long a service may take to answer the driver.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

impl Services {
    /// Starts a thread for each; they last as long as the process.
    pub fn start(root: &Path, secret: &str, nonce: &str) -> Self {
        let visits = Arc::new(AtomicU64::new(0));
        let name = format!("stockade-escape-{nonce}");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let services = Self {
            tcp: tcp.local_addr().unwrap().port(),
            udp: udp.local_addr().unwrap().port(),
            listen: free.local_addr().unwrap().port(),
            name,
            visits: visits.clone(),
            silent: Mutex::default(),
            doors: Mutex::default(),
            secret: secret.to_owned(),
        };
        drop(free);
        services.doors(root);
        let note = move || visits.fetch_add(1, SeqCst);
        serve(secret, note.clone(), move || tcp.accept().map(|(s, _)| s));
        let (text, count) = (secret.to_owned(), note.clone());
        thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                count();
                udp.send_to(text.as_bytes(), from).ok();
            }
        });
        let anyone =
            |path: &Path| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        services.unix(&root.join("service"));
        services.unix(&root.join("outside/service"));
        let listener = UnixListener::bind_addr(&services.by_name("")).unwrap();
        serve(secret, note.clone(), move || listener.accept().map(|(s, _)| s));
        let dgram = UnixDatagram::bind_addr(&services.by_name(".dgram")).unwrap();
        let (text, count) = (secret.to_owned(), note.clone());
        thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((_, from)) = dgram.recv_from(&mut buffer) {
                count();
                dgram.send_to_addr(text.as_bytes(), &from).ok();
            }
        });
        let seq = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(seq.as_raw_fd(), &UnixAddr::new(&root.join("service.seq")).unwrap()).unwrap();
        listen(&seq, Backlog::new(8).unwrap()).unwrap();
        anyone(&root.join("service.seq"));
        serve(secret, note.clone(), move || Ok(File::from(own(accept(seq.as_raw_fd())?))));
        let path = root.join("service.fd");
        for listener in [UnixListener::bind(&path).unwrap(), UnixListener::bind_addr(&services.by_name(".fd")).unwrap()]
        {
            let canary = File::open(root.join("canary")).unwrap();
            let count = note.clone();
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    count();
                    let fds = [canary.as_raw_fd()];
                    sendmsg::<()>(
                        stream.as_raw_fd(),
                        &[IoSlice::new(b"x")],
                        &[ControlMessage::ScmRights(&fds)],
                        MsgFlags::empty(),
                        None,
                    )
                    .ok();
                }
            });
        }
        anyone(&path);
        services
    }

    /// One more Unix service at this path, and one for datagrams at the same path with `.dgram`.
    pub fn unix(&self, path: &Path) {
        let datagrams = path.with_extension("dgram");
        let (listener, dgram) = (UnixListener::bind(path).unwrap(), UnixDatagram::bind(&datagrams).unwrap());
        for path in [path, &datagrams] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        }
        let visits = self.visits.clone();
        serve(&self.secret, move || visits.fetch_add(1, SeqCst), move || listener.accept().map(|(s, _)| s));
        dgram.set_nonblocking(true).unwrap();
        self.silent.lock().unwrap().push(dgram);
        self.door(path.to_owned(), |path| answered(UnixStream::connect(path)?));
    }

    fn door<T: Send + 'static>(&self, to: T, visit: impl Fn(&T) -> std::io::Result<()> + Send + 'static) {
        self.doors.lock().unwrap().push(Box::new(move || visit(&to)));
    }

    /// The ways to the services of [`Self::start`].
    fn doors(&self, root: &Path) {
        self.door(self.tcp, |port| answered(TcpStream::connect(("127.0.0.1", *port))?));
        self.door(self.udp, |port| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(PATIENCE)?;
            socket.send_to(b"?", ("127.0.0.1", *port))?;
            socket.recv(&mut [0; 64]).map(drop)
        });
        for suffix in ["", ".fd"] {
            self.door(self.by_name(suffix), |name| answered(UnixStream::connect_addr(name)?));
        }
        let (theirs, ours) = (self.by_name(".dgram"), self.by_name(".driver"));
        self.door((theirs, ours), |(theirs, ours)| {
            let socket = UnixDatagram::bind_addr(ours)?;
            socket.set_read_timeout(PATIENCE)?;
            socket.send_to_addr(b"?", theirs)?;
            socket.recv(&mut [0; 64]).map(drop)
        });
        self.door(root.join("service.fd"), |path| answered(UnixStream::connect(path)?));
        self.door(root.join("service.seq"), |path| {
            let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
            connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
            answered(UnixStream::from(socket))
        });
    }

    fn by_name(&self, suffix: &str) -> SocketAddr {
        SocketAddr::from_abstract_name(format!("{}{suffix}", self.name)).unwrap()
    }

    /// Visits since the last question. A service counts a visit when it has time, but answers in order: once it has
    /// answered a visit of our own, it has counted all that came before.
    pub fn take_visits(&self) -> u64 {
        let mut doors = self.doors.lock().unwrap();
        // A service whose workspace is gone is visited by nobody.
        doors.retain(|visit| visit().is_ok());
        let own = doors.len() as u64;
        let mut buffer = [0; 16];
        // What was sent is in the queue, so it counts for whoever sent it, however busy the host is.
        let mut came = |dgram: &UnixDatagram| std::iter::from_fn(|| dgram.recv(&mut buffer).ok()).count() as u64;
        let silent: u64 = self.silent.lock().unwrap().iter().map(&mut came).sum();
        silent + self.visits.swap(0, SeqCst).saturating_sub(own)
    }

    /// Knocks at the attackers' port until one opens or `done` says so; then says the secret.
    pub fn visit(&self, done: Arc<AtomicU64>) -> thread::JoinHandle<bool> {
        let (port, secret) = (self.listen, self.secret.clone());
        thread::spawn(move || {
            // POLL: a port that another process opens has no event for those who knock.
            while done.load(SeqCst) == 0 {
                if let Ok(mut peer) = TcpStream::connect(("127.0.0.1", port)) {
                    peer.write_all(secret.as_bytes()).ok();
                    return true;
                }
                thread::sleep(Duration::from_millis(10));
            }
            false
        })
    }
}

#[allow(unsafe_code)]
fn own(fd: i32) -> OwnedFd {
    // SAFETY: accept(2) has just made this descriptor and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn answered(stream: impl Into<OwnedFd>) -> std::io::Result<()> {
    let mut stream = UnixStream::from(stream.into());
    stream.set_read_timeout(PATIENCE)?;
    stream.read_exact(&mut [0])
}

fn serve<S: Write>(
    secret: &str,
    note: impl Fn() -> u64 + Send + 'static,
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
) {
    let secret = secret.to_owned();
    thread::spawn(move || {
        while let Ok(mut peer) = accept() {
            note();
            peer.write_all(secret.as_bytes()).ok();
        }
    });
}
