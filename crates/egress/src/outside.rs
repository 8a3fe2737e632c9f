//! Sockets of the host's network, from the supervisor.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use stockade_wire::egress::{ToSupervisor, Wanted};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;

use crate::error::Refusal;
use crate::link::Link;

/// The way to ask.
#[derive(Debug, Clone)]
pub struct Outside {
    link: Rc<Link>,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<Option<OwnedFd>>>>>,
    order: Rc<tokio::sync::Mutex<()>>,
}

impl Outside {
    /// Asks over this link; somebody else receives from it and calls [`Self::answered`].
    pub fn new(link: Rc<Link>) -> Self {
        Self { link, waiting: Rc::default(), order: Rc::default() }
    }

    /// A socket came, or none could be made.
    pub fn answered(&self, socket: Option<OwnedFd>) {
        if let Some(waiting) = self.waiting.borrow_mut().pop_front() {
            // Who asked may have given up; then the socket is closed.
            let _given_up = waiting.send(socket);
        }
    }

    async fn socket(&self, wanted: Wanted) -> Result<OwnedFd, Refusal> {
        let none = || Refusal::failed("socket", "the host gave no socket");
        let (sender, receiver) = oneshot::channel();
        {
            // Answers come in the order of the questions.
            let _turn = self.order.lock().await;
            self.waiting.borrow_mut().push_back(sender);
            self.link.send(&ToSupervisor::Socket(wanted)).await.map_err(|_| none())?;
        }
        receiver.await.ok().flatten().ok_or_else(none)
    }

    /// Connects.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Refusal> {
        let socket = self.socket(Wanted { v6: to.is_ipv6(), udp: false }).await?;
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        let failed = |error: std::io::Error| Refusal::failed("connect", format!("{to}: {}", error.kind()));
        let stream = socket.connect(to).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    /// A datagram socket that hears this peer alone. The kernel chooses its port at random.
    pub async fn datagrams(&self, with: SocketAddr) -> Result<UdpSocket, Refusal> {
        let socket = self.socket(Wanted { v6: with.is_ipv6(), udp: true }).await?;
        let failed = |error: std::io::Error| Refusal::failed("resolver", format!("{with}: {}", error.kind()));
        let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket)).map_err(failed)?;
        socket.connect(with).await.map_err(failed)?;
        Ok(socket)
    }
}
