//! Synthetic addresses: what the cell is told of a name, and what a connection there means.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// First of the addresses: 198.18.0.0/15 is for benchmarks between networks and routed nowhere (RFC 2544).
const FIRST: u32 = 0xc612_0001;
/// Most names of one run.
const MOST: u32 = 65_536;

/// Names that were asked for, each with an address of its own for as long as the run lasts.
#[derive(Debug, Default)]
pub struct Book(RefCell<Pages>);

#[derive(Debug, Default)]
struct Pages {
    by_name: HashMap<String, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, String>,
}

impl Book {
    /// The address that stands for a name; `None` if there are too many names.
    pub fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let mut pages = self.0.borrow_mut();
        if let Some(known) = pages.by_name.get(name) {
            return Some(*known);
        }
        let next = u32::try_from(pages.by_name.len()).ok().filter(|next| *next < MOST)?;
        let address = Ipv4Addr::from(FIRST.checked_add(next)?);
        pages.by_name.insert(name.to_owned(), address);
        pages.by_address.insert(address, name.to_owned());
        Some(address)
    }

    /// The name that an address stands for.
    pub fn name(&self, address: Ipv4Addr) -> Option<String> {
        self.0.borrow().by_address.get(&address).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_address() {
        let book = Book::default();
        let first = book.address("a.example");
        assert_eq!(first, Some(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(book.address("b.example"), Some(Ipv4Addr::new(198, 18, 0, 2)));
        assert_eq!(book.address("a.example"), first);
        assert_eq!(first.and_then(|address| book.name(address)).as_deref(), Some("a.example"));
        assert_eq!(book.name(Ipv4Addr::LOCALHOST), None);
    }
}
