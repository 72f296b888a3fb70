//! A turn of an event loop that gathers what is for the workers is behind with it. Whoever looks at what they have recorded
//! or counted, or is refused because of what they have not sent, finds it done, as where nothing is gathered.

use super::link::Link;
use super::lock::lock;
use super::waiting;
use crate::client::Client;
use crate::order::SendError;
use pyo3::prelude::*;

/// What callbacks have sent and answered is done, recorded and counted from now on. Whether something may not have been,
/// so that this was waited for.
///
/// # Errors
/// `RuntimeError` in a forked process, and what a signal's handler raises.
pub(super) fn catch_up(py: Python<'_>, link: &Link) -> PyResult<bool> {
    link.check_process()?;
    // Apart from the interpreter: who stops the server holds its lock until its threads have ended.
    let Some((pending, given)) = py.detach(|| link.finish()) else {
        return Ok(false);
    };
    waiting::wait_undisturbed(py, |until| pending.wait(until).is_some())?;
    lock(&link.outgoing).note_done(given);
    Ok(true)
}

/// What `give` returns, also if the send queue of that client has no room at first because it is full of what this turn
/// has gathered for it. Who does not read is not waited for again.
///
/// # Errors
/// As `catch_up`.
pub(super) fn with_room<T>(
    py: Python<'_>,
    link: &Link,
    client: &Client,
    give: impl Fn() -> Result<T, SendError>,
) -> PyResult<Result<T, SendError>> {
    let given = give();
    let is_full = matches!(given, Err(SendError::Full(_)));
    if is_full && lock(&link.outgoing).take_behind(client) && catch_up(py, link)? {
        return Ok(give());
    }
    Ok(given)
}
