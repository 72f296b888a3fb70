//! Listening at a path: Unix sockets, also where one was left by a server that is gone, or by this one while it is down.
//!
//! Whether somebody has a socket can't be seen from its file; that nobody answers is how a stale one is known. One that
//! is bound and does not listen yet is refused, too, so it is tried twice. Two servers may come to the same conclusion at
//! the same moment: so they look and listen one after the other, by a lock of the directory. Others don't ask for that, so
//! what is removed is renamed first, and given back if it is not what was tried.

use super::listener::Listener;
use super::listener::file::{Identity, SocketFile, in_use};
use super::ports::backlog;
use crate::config::Config;
use crate::error::Error;
use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{self, Path};
use std::sync::Arc;
use std::time::Duration;
use std::{process, thread};

/// For which a socket that is refused may still be one that is about to listen.
const MOMENT: Duration = Duration::from_millis(100);
/// Attempts to have the directory alone, and the pause between them: a server has it for two moments at the most.
const LOCK: (usize, Duration) = (200, Duration::from_millis(10));
/// Others that come and go at the same path, before it is given up.
const ATTEMPTS: usize = 8;

/// Listens at that path.
///
/// # Errors
/// [`Error::ListenUnix`].
pub(super) fn bind(path: &Path, config: &Config) -> Result<Listener, Error> {
    open(path, config).map_err(|source| {
        let is_socket = |file: &Metadata| file.file_type().is_socket();
        let more = match fs::symlink_metadata(path) {
            _ if source.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                ": it is absolute, and longer than a socket's can be"
            }
            Ok(file) if is_in_use(&source) && is_socket(&file) => ": a server answers there",
            Ok(_) if is_in_use(&source) => ": a file is there that is no socket",
            _ => "",
        };
        Error::ListenUnix {
            path: path.to_owned(),
            reason: format!("{source}{more}"),
            source,
        }
    })
}

fn open(path: &Path, config: &Config) -> io::Result<Listener> {
    // Whatever directory the process goes to.
    let path: Arc<Path> = path::absolute(path)?.into();
    let _alone = alone(&path);
    for _ in 0..ATTEMPTS {
        match listen_at(path.clone(), config) {
            Err(error) if is_in_use(&error) => make_way(&path)?,
            listening => {
                let (listener, file) = listening?;
                return Ok(listener.with(file));
            }
        }
    }
    Err(in_use())
}

/// Other servers don't look what is at the path meanwhile. `None` if the directory may not be read, or somebody has it for
/// longer than any server has: then there is one chance more of being too late.
fn alone(path: &Path) -> Option<File> {
    let directory = File::open(path.parent()?).ok()?;
    for _ in 0..LOCK.0 {
        if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Some(directory);
        }
        thread::sleep(LOCK.1);
    }
    None
}

/// Listens again where a server was. Who connects meanwhile is refused, and at no moment is there no file.
pub(super) fn listen(held: &SocketFile, config: &Config) -> io::Result<Listener> {
    let _alone = alone(held.path());
    let (listener, mut file) = listen_at(neighbour(held.path())?, config)?;
    if held.is_replaced()? {
        return Err(in_use());
    }
    file.replace(held)?;
    Ok(listener.with(file))
}

/// Listens where nothing is. Nobody can connect before the file has its permissions.
fn listen_at(path: Arc<Path>, config: &Config) -> io::Result<(Listener, SocketFile)> {
    let address = address(&path)?;
    let listener = Listener::own(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        Ok(socket)
    })?;
    let file = SocketFile::new(path)?;
    if let Some(mode) = config.uds_mode {
        fs::set_permissions(file.path(), Permissions::from_mode(mode))?;
    }
    listener.raw().listen(backlog(config))?;
    Ok((listener, file))
}

/// Removes a socket that nobody answers at.
///
/// # Errors
/// Somebody does, or it is none, or may not be tried.
fn make_way(path: &Path) -> io::Result<()> {
    let Some(stale) = Identity::of(path)? else {
        return Ok(());
    };
    let address = address(path)?;
    if answers(&address)? {
        return Err(in_use());
    }
    thread::sleep(MOMENT);
    if answers(&address)? {
        return Err(in_use());
    }
    let aside = neighbour(path)?;
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    if !matches!(Identity::of(&aside), Ok(Some(moved)) if moved == stale) {
        // Of somebody who has come since. It fails if there is one again: then that one has the path.
        let _ = fs::hard_link(&aside, path);
    }
    fs::remove_file(&aside)
}

/// Whether somebody listens there.
fn answers(address: &SockAddr) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Not one whose backlog is full.
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Ok(false),
            ErrorKind::PermissionDenied => Err(error),
            // It is busy, or of another kind.
            _ => Ok(true),
        },
    }
}

/// A free name beside that path, and no longer.
fn neighbour(path: &Path) -> io::Result<Arc<Path>> {
    let len = path.file_name().map_or(0, |name| name.as_bytes().len());
    // As many as there are of one letter.
    for number in 0..26 {
        let mut rest = u64::from(process::id()) * 26 + number;
        let mut name = String::new();
        while name.len() < len {
            name.push(char::from(
                b'a' + u8::try_from(rest % 26).unwrap_or_default(),
            ));
            rest /= 26;
        }
        let beside = path.with_file_name(name);
        if fs::symlink_metadata(&beside).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(beside.into());
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn address(path: &Path) -> io::Result<SockAddr> {
    // That is the only thing which can be wrong with it: a NUL is none that an option can have.
    SockAddr::unix(path).map_err(|_too_long| io::Error::from_raw_os_error(libc::ENAMETOOLONG))
}

fn is_in_use(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EADDRINUSE)
}
