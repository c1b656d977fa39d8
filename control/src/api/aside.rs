//! Work that may take long, apart from the threads that answer others.

use tokio::task::spawn_blocking;

use super::problem::{Code, Problem};

/// Does `work` aside. It is done to its end even when the caller goes away.
///
/// # Errors
/// When the work panics.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let fault = |_| Problem::new(Code::Internal, "The request met a fault of Weir.");
    spawn_blocking(work).await.map_err(fault)
}
