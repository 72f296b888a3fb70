//! Sockets of Python's that listen already, for a server to listen on.
//!
//! From a descriptor's number no safe code makes anything that has it. So Python sends it through a pair of Unix sockets
//! (`SCM_RIGHTS`), and what comes out at this end is a copy of our own. What Python has stays Python's.

use super::argument::Argument;
use crate::config::adopted::Adopted;
use pyo3::prelude::*;

/// One, or several, but not none.
#[cfg(not(unix))]
#[expect(clippy::needless_pass_by_value, reason = "as whatever reads an option")]
pub(super) fn sockets(argument: Argument<'_>) -> PyResult<Vec<Adopted>> {
    Err(argument.bad_value("this system hands no sockets over: use host and port"))
}

/// One, or several, but not none.
#[cfg(unix)]
#[expect(clippy::needless_pass_by_value, reason = "as whatever reads an option")]
pub(super) fn sockets(argument: Argument<'_>) -> PyResult<Vec<Adopted>> {
    let expected = "a socket, or a sequence of sockets";
    let value = argument.value();
    if is_socket(value)? {
        return Ok(vec![adopt(&argument)?]);
    }
    let Ok(items) = value.try_iter() else {
        return Err(argument.wrong_type(expected));
    };
    let adopted: PyResult<Vec<_>> = items
        .map(|item| {
            let item = Argument::of("sock", item?);
            if !is_socket(item.value())? {
                return Err(item.wrong_type("a socket"));
            }
            adopt(&item)
        })
        .collect();
    let adopted = adopted?;
    if adopted.is_empty() {
        return Err(argument.bad_value("must have at least one, or be None"));
    }
    Ok(adopted)
}

/// Whether it is a socket, be it a green one.
#[cfg(unix)]
fn is_socket(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let class = py.import("socket")?.getattr("socket")?;
    let native = py.import("_socket")?.getattr("socket")?;
    Ok(value.is_instance(&class)? || value.is_instance(&native)?)
}

#[cfg(unix)]
fn adopt(argument: &Argument<'_>) -> PyResult<Adopted> {
    let socket = argument.value();
    let number: i32 = socket.call_method0("fileno")?.extract()?;
    if number < 0 {
        return Err(argument.bad_value("is closed"));
    }
    if socket.hasattr("context")? {
        return Err(argument.bad_value("must not be wrapped by ssl: tls is for that"));
    }
    let copy = copied(socket.py(), number)?;
    Adopted::new(copy).map_err(|reason| argument.bad_value(reason))
}

/// What Python has by that number.
#[cfg(unix)]
fn copied(py: Python<'_>, number: i32) -> PyResult<std::os::fd::OwnedFd> {
    use pyo3::types::PyBytes;
    use rustix::io::{FdFlags, fcntl_setfd, retry_on_intr};
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::io::{ErrorKind, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    let (ours, theirs) = UnixStream::pair()?;
    let native = py.import("_socket")?;
    let (family, kind) = (native.getattr("AF_UNIX")?, native.getattr("SOCK_STREAM")?);
    let theirs = native
        .getattr("socket")?
        .call1((family, kind, 0, theirs.into_raw_fd()))?;
    let rights = (
        native.getattr("SOL_SOCKET")?,
        native.getattr("SCM_RIGHTS")?,
        PyBytes::new(py, &number.to_ne_bytes()),
    );
    let sent = theirs.call_method1("sendmsg", ([PyBytes::new(py, b"x")], [rights]));
    theirs.call_method0("close")?;
    sent?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // Apple's systems have no such flag.
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    retry_on_intr(|| {
        let mut into = [IoSliceMut::new(&mut byte)];
        recvmsg(&ours, &mut into, &mut rights, flags)
    })
    .map_err(std::io::Error::from)?;
    let mut numbers = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut copies) => copies.next(),
        _ => None,
    });
    let copy = numbers.next().ok_or(ErrorKind::NotFound);
    let copy = copy.map_err(std::io::Error::from)?;
    // Where it was received without it: no thread of Python's has forked since.
    fcntl_setfd(&copy, FdFlags::CLOEXEC).map_err(std::io::Error::from)?;
    Ok(copy)
}
