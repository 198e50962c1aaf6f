//! Who is in the network: signed descriptors, and the one signed document of them (docs/spec-directory.md).

mod address;
mod admission;
mod agreement;
mod contents;
mod descriptor;
mod document;
#[cfg(test)]
pub(crate) mod fixture;
mod identity;
mod lines;
mod params;
mod rejected;
mod source;
pub mod units;
mod uptime;
mod vote;

pub use address::{BadNodeAddress, NodeAddress, is_host_name};
pub use admission::{Admission, Refused, Register, Standing};
pub use agreement::{Agreement, MAX_AGREEMENT, NoDocument, Phase, Schedule};
pub use contents::{Authority, Contents, Shared, least_threshold};
pub use descriptor::{
    Descriptor, Domains, ExitPolicy, MAX_DOMAINS, MAX_MIX_KEYS, MIX_KEYS, Roles, Signed, is_contact, is_name,
};
pub use document::{Candidate, Document, MAX_DOCUMENT, Trust, VALID_EPOCHS};
pub use identity::{Identity, IdentityKey, Signature};
pub use lines::{Malformed, Wrong};
pub use params::{BadParams, MAX_MAX_SIZE, Params, Strategy};
pub use rejected::Rejected;
pub use source::Source;
pub use uptime::{MAX_MEASURED, Measured, Uptime};
