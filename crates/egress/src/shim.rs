//! The conversation with the shim: questions, answers, and the end of everything that was granted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use stockade_wire::egress::{FromShim, Granted, MAX_ADDRESSES, MAX_ASKS, Outcome, ToShim};
use tokio::sync::{mpsc, oneshot};

use crate::error::Refusal;
use crate::link::Link;

/// The way to ask. One task sends, so that what is said of one question stays in order.
#[derive(Debug, Clone)]
pub struct Shim {
    out: mpsc::UnboundedSender<ToShim>,
    waiting: Rc<RefCell<BTreeMap<u64, oneshot::Sender<FromShim>>>>,
    last: Rc<Cell<u64>>,
    open: Rc<Cell<usize>>,
}

/// A grant, for one request or connection. Its end is told when this is dropped, whatever happened.
#[derive(Debug)]
pub struct Grant {
    shim: Shim,
    ask: u64,
    /// What was granted.
    pub granted: Granted,
    outcome: Outcome,
}

/// What a connection may carry.
#[derive(Debug)]
pub enum Connection {
    /// It may be made.
    Granted(Box<Grant>),
    /// HTTP is spoken there; each request is asked about. Holds the host in its one spelling.
    Requests(String),
}

impl Shim {
    /// Starts the conversation; the returned future is its end: why, or `None` if the shim is gone.
    pub fn start(link: Rc<Link>) -> (Self, impl Future<Output = Option<String>>) {
        let (out, mut queue) = mpsc::unbounded_channel();
        let shim = Self { out, waiting: Rc::default(), last: Rc::default(), open: Rc::default() };
        let waiting = Rc::clone(&shim.waiting);
        let ended = async move {
            let speak = async {
                while let Some(message) = queue.recv().await {
                    if let Err(error) = link.send(&message).await {
                        return Some(error.to_string());
                    }
                }
                None
            };
            let hear = async {
                loop {
                    match link.receive::<FromShim>().await {
                        Ok(Some((answer, _))) => {
                            let waiting = waiting.borrow_mut().remove(&ask_of(&answer));
                            // Who asked may have given up.
                            let _given_up = waiting.map(|waiting| waiting.send(answer));
                        }
                        Ok(None) => return None,
                        Err(error) => return Some(error.to_string()),
                    }
                }
            };
            tokio::select! { why = speak => why, why = hear => why }
        };
        (shim, ended)
    }

    async fn ask(&self, ask: u64, message: ToShim) -> Result<FromShim, Refusal> {
        let gone = || Refusal::failed("shim", "the shim is gone");
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(ask, sender);
        self.out.send(message).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())
    }

    fn number(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Counts against the bound that the shim holds us to; given back by [`Open`]'s end.
    fn begin(&self) -> Result<Open, Refusal> {
        if self.open.get() >= MAX_ASKS {
            return Err(Refusal::failed("busy", format!("{MAX_ASKS} requests and connections are open")));
        }
        self.open.set(self.open.get() + 1);
        Ok(Open(Rc::clone(&self.open)))
    }

    /// Whether a name may be looked up; its one spelling.
    pub async fn look_up(&self, name: &str) -> Result<Option<String>, Refusal> {
        let _open = self.begin()?;
        let ask = self.number();
        match self.ask(ask, ToShim::Lookup { ask, name: name.to_owned() }).await? {
            FromShim::Known { name, .. } => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// Asks for a connection.
    pub async fn connect(&self, to: &str) -> Result<Connection, Refusal> {
        let open = self.begin()?;
        let ask = self.number();
        let answer = self.ask(ask, ToShim::Connect { ask, to: to.to_owned() }).await?;
        match answer {
            FromShim::Requests { host, .. } => Ok(Connection::Requests(host)),
            other => self.granted(other, open).map(|grant| Connection::Granted(Box::new(grant))),
        }
    }

    /// Asks for a request; `message` makes the question of its number.
    pub async fn request(&self, message: impl FnOnce(u64) -> ToShim) -> Result<Grant, Refusal> {
        let open = self.begin()?;
        let ask = self.number();
        let answer = self.ask(ask, message(ask)).await?;
        self.granted(answer, open)
    }

    fn granted(&self, answer: FromShim, open: Open) -> Result<Grant, Refusal> {
        match answer {
            FromShim::Granted { ask, granted } => {
                // The grant counts from here on; it is given back when its end has been told.
                std::mem::forget(open);
                Ok(Grant { shim: self.clone(), ask, granted, outcome: Outcome::default() })
            }
            FromShim::Refused { body, .. } => Err(Refusal::Denied(body)),
            _ => Err(Refusal::failed("shim", "an answer that is none")),
        }
    }
}

/// One open question.
struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Grant {
    /// Has the addresses of the host checked; gives those that may be dialled.
    pub async fn found(&mut self, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        addresses.truncate(MAX_ADDRESSES);
        let ask = self.ask;
        match self.shim.ask(ask, ToShim::Found { ask, addresses }).await? {
            FromShim::Dial { addresses, .. } => Ok(addresses),
            FromShim::Refused { body, .. } => Err(Refusal::Denied(body)),
            _ => Err(Refusal::failed("shim", "an answer that is none")),
        }
    }

    /// What is told at the end.
    pub fn outcome(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    /// Notes why it failed, and gives that back.
    pub fn fail(&mut self, refusal: Refusal) -> Refusal {
        refusal.tell(&mut self.outcome);
        refusal
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let outcome = std::mem::take(&mut self.outcome);
        // Without a shim there is nobody to tell, and this process ends.
        let _gone = self.shim.out.send(ToShim::Done { ask: self.ask, outcome });
        self.shim.open.set(self.shim.open.get().saturating_sub(1));
    }
}

fn ask_of(answer: &FromShim) -> u64 {
    match answer {
        FromShim::Known { ask, .. }
        | FromShim::Granted { ask, .. }
        | FromShim::Requests { ask, .. }
        | FromShim::Refused { ask, .. }
        | FromShim::Dial { ask, .. } => *ask,
    }
}
