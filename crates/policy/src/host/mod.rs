//! Hosts, ports, methods and URL paths in one spelling, and the patterns that speak of them.
//!
//! What an agent sends is made canonical or refused; what stands in a policy must be canonical already.
//! So a rule and a call compare by their bytes, and no other spelling of a denied host gets past it.
//! Whoever dials must dial the canonical form and nothing else: some forms here (IPv4-mapped IPv6, NAT64)
//! become the IPv4 address that is reached, and only then is what was decided also what happens.
//!
//! A name says nothing of where it leads: whoever resolves it must put every address to [`class()`] and dial one
//! that passed, without asking the resolver again.

mod address;
mod class;
mod endpoint;
mod method;
mod name;
mod pattern;
mod url_path;

#[cfg(test)]
pub(crate) mod spellings;
#[cfg(test)]
mod tests;

pub use address::{Embedding, embedded};
pub use class::{AddressClass, class};
pub use endpoint::{Endpoint, EndpointError};
pub use method::{Method, MethodError};
pub use name::{Host, HostError};
pub use pattern::{HostPattern, PatternError};
pub use url_path::{PathFault, UrlPath};

/// Reads and writes a type as its canonical text; a text that is not canonical is refused.
macro_rules! as_text {
    ($type:ty, $parse:expr) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let value = $parse(&text).map_err(|e| format!("`{}`: {e}", text.escape_debug()))?;
                if value.to_string() == text { Ok(value) } else { Err(format!("not canonical; write `{value}`")) }
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use as_text;
