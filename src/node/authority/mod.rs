//! The node of an authority: what is handed in, what the authorities agree on, what is signed.

mod clerk;
pub mod desk;
mod office;
pub mod record;
mod registrar;

pub use clerk::Stand;
pub(super) use office::{Authority, Brief};
pub(super) use registrar::{Counter, Offered};

use super::dial::Road;
use super::driver::Event;
use super::hand_in::HandIn;
use super::peers::Known;
use super::renew::Fetched;
use super::serve::Served;
use super::trouble::Trouble;
use crate::directory::Identity;
use crate::id::NodeId;
use crate::sys::key_file::NodeKey;
use office::Office;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What of the authority at this node others see over links: what it shows to the other authorities, and where what is
/// handed in goes.
#[derive(Debug)]
pub struct Window {
    pub(super) shown: watch::Receiver<Option<Arc<Served>>>,
    pub(super) offers: mpsc::Sender<Offered>,
}

/// The secret keys of this node, and those of the authority at it, with its public one.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) key: NodeKey,
    pub(super) authority: Option<(Authority, Identity)>,
}

/// The ways to the rest of the node, and to others.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) known: Known,
    pub(super) road: Arc<Road>,
    pub(super) events: mpsc::Sender<Event>,
    /// Where a document goes that takes effect.
    pub(super) fetched: mpsc::Sender<Fetched>,
}

/// What has begun to work.
#[derive(Debug)]
pub(super) struct Begun {
    /// None without an authority.
    pub(super) window: Option<Window>,
    /// Ends when nothing is written any more.
    pub(super) closed: oneshot::Receiver<()>,
    /// Where to tell by what the node goes; all ends with it.
    pub(super) briefs: watch::Sender<Brief>,
    /// How the next document stands.
    pub(super) stand: watch::Receiver<Option<Stand>>,
}

/// Begins to keep this node's descriptor known and, if there is an authority at it, to do that one's work.
///
/// # Errors
/// No thread can be had.
pub(super) fn begin(own: Own, me: NodeId, brief: Brief, ways: Ways, tasks: &mut JoinSet<()>) -> Result<Begun, Trouble> {
    let (briefs, brief) = watch::channel(brief);
    let (stands, stand) = watch::channel(None);
    let Ways { known, road, events, fetched } = ways;
    let (authority, public) = own.authority.unzip();
    let office = Office { me, briefs: brief.clone(), known, road: Arc::clone(&road), stands, fetched };
    let (window, closed) = match authority {
        Some(authority) => authority.start(office, tasks).map(|(window, closed)| (Some(window), closed))?,
        // Closed from the start.
        None => (None, oneshot::channel().1),
    };
    let own_desk = window.as_ref().map(|window| window.offers.clone());
    tasks.spawn(HandIn { key: own.key, authority: public, own: own_desk, briefs: brief, road, events }.work());
    Ok(Begun { window, closed, briefs, stand })
}

#[cfg(test)]
mod tests;
