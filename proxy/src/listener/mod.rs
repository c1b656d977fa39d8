//! Where clients connect: sockets bound and given up while the process runs.
//!
//! A thread of its own follows the table (`manager`): it settles who gets which address (`claim`), binds it once for each
//! worker (`socket`) and hands the sockets to the workers, which accept (`accept`) and keep what concerns a listener's
//! connections (`handle`). Binding and giving up never touch the path of a request.

mod accept;
mod claim;
mod handle;
mod manager;
mod places;
mod socket;

pub(crate) use accept::{Acceptor, Seat};
pub(crate) use handle::{Command, DRAIN_GRACE, Handle};
pub(crate) use manager::{Following, Manager};
pub(crate) use places::{Place, Places};
pub(crate) use socket::{Sockets, WorkerSocket, bind};
