//! Reading a file that may be a pipe, as a shell's `<(command)` is, without waiting for ever.
//!
//! A pipe that somebody writes to is read to its end, however long that takes: a command may ask for a password. One that
//! nobody has opened for writing is waited for a moment, in which its writer may come.

use crate::error::Error;
use crate::tls::Patience;
use std::fs::File;
#[cfg(unix)]
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a file of certificates at most: all authorities of the web are 200 kB, and a device may have no end.
pub const MAX_FILE: u64 = 16 << 20;
/// What is wrong with a longer one.
pub const TOO_LONG: &str = "is longer than 16 MiB, so it is not what is meant";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// For the writer of a pipe to come.
const WRITER: Duration = Duration::from_secs(1);

/// At most so many bytes of a file that an option names.
///
/// # Errors
/// [`Error::File`].
pub fn read_file(
    option: &'static str,
    path: &Path,
    most: u64,
    patience: Patience<'_>,
) -> Result<Vec<u8>, Error> {
    read(path, most, patience).map_err(|source| Error::File {
        option,
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path, most: u64, patience: Patience<'_>) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let is_pipe = is_pipe(&file)?;
    let mut bytes = Vec::new();
    let mut rest = file.take(most);
    let deadline = Instant::now() + WRITER;
    loop {
        match rest.read_to_end(&mut bytes) {
            // No end yet, if there was no beginning.
            Ok(_) if !bytes.is_empty() || !is_pipe => return Ok(bytes),
            Ok(_) if Instant::now() >= deadline => {
                return Err(io::Error::other("is a pipe that nobody writes to"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if !patience() {
            return Err(ErrorKind::Interrupted.into());
        }
        thread::sleep(LOOK);
    }
}

/// Opening a pipe would wait for its writer.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(unix)]
fn is_pipe(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt;
    Ok(file.metadata()?.file_type().is_fifo())
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(not(unix))]
fn is_pipe(_file: &File) -> io::Result<bool> {
    Ok(false)
}
