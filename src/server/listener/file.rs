//! The file of a Unix socket: which one it is, and its end.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::SystemTime;

/// Which file it is, whatever its name is. Numbers are used again, but not at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Identity {
    device: u64,
    number: u64,
    /// When it was made, where that is known.
    born: Option<SystemTime>,
}

impl Identity {
    /// `None` if there is no file, an error if it is no socket.
    pub(in crate::server) fn of(path: &Path) -> io::Result<Option<Self>> {
        let file = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if !file.file_type().is_socket() {
            return Err(in_use());
        }
        Ok(Some(Self {
            device: file.dev(),
            number: file.ino(),
            born: file.created().ok(),
        }))
    }
}

/// A socket's file, which is removed in the end unless it is another's by then.
#[derive(Debug)]
pub(in crate::server) struct SocketFile {
    path: Arc<Path>,
    identity: Identity,
    /// A forked child has a copy of this, but not the file.
    process: u32,
}

impl SocketFile {
    /// That of a socket which was bound there just now.
    pub(in crate::server) fn new(path: Arc<Path>) -> io::Result<Self> {
        let identity = Identity::of(&path)?.ok_or(ErrorKind::NotFound)?;
        Ok(Self {
            path,
            identity,
            process: process::id(),
        })
    }

    /// Whether another's is there now.
    ///
    /// # Errors
    /// It is no socket, or can't be seen.
    pub(in crate::server) fn is_replaced(&self) -> io::Result<bool> {
        Ok(Identity::of(&self.path)?.is_some_and(|now| now != self.identity))
    }

    /// Puts it in the place of that one.
    pub(in crate::server) fn replace(&mut self, other: &Self) -> io::Result<()> {
        fs::rename(&self.path, &other.path)?;
        self.path = other.path.clone();
        Ok(())
    }

    pub(in crate::server) const fn path(&self) -> &Arc<Path> {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.process == process::id()
            && matches!(Identity::of(&self.path), Ok(Some(now)) if now == self.identity)
        {
            // There is nobody to tell; the next server finds that nobody answers.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// As bind(2) has it.
pub(in crate::server) fn in_use() -> io::Error {
    io::Error::from_raw_os_error(libc::EADDRINUSE)
}
