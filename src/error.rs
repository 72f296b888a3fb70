//! What can go wrong for whoever runs a server: one variant for each thing that a caller can do something about.
//!
//! The failure of one connection is not an `Error`: it ends as a close code and reason.

use crate::protocol::http;
use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option has a value that it can't have. Correct the call.
    #[error("{option}={value}: {reason}", value = shortened(value))]
    Invalid {
        /// The option's name.
        option: &'static str,
        /// Its value, as the caller would write it.
        value: String,
        /// What it has to be.
        reason: &'static str,
    },
    /// A file that an option names can't be read. Correct the name or the permissions.
    #[error("{option}={path}: {source}", path = shortened(&quoted_path(path)))]
    File {
        /// The option's name.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file that an option names does not hold what it should. Replace it.
    #[error("{option}={path}: {reason}", path = shortened(&quoted_path(path)))]
    Content {
        /// The option's name.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address can't be listened on: in use, not allowed, unknown. Choose another, or end who has it.
    #[error("cannot listen on host={host} port={port}: {source}", host = shortened(host))]
    Listen {
        /// The host as given, or of several that which is at fault; `*` for all interfaces.
        host: String,
        /// The port as given.
        port: u16,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The Unix socket can't be listened on: its path is in use, not allowed, not there. Choose another, or end who has it.
    #[error("cannot listen on uds={path}: {reason}", path = shortened(&quoted_path(path)))]
    ListenUnix {
        /// The path as given.
        path: PathBuf,
        /// What is in the way.
        reason: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Threads, an event queue or descriptors are not to be had. Free some.
    #[error("cannot start the server: {source}")]
    Start {
        /// The operating system's reason.
        #[from]
        source: io::Error,
    },
    /// The server was started or stopped before; a server runs once. Make another.
    #[error("{0}")]
    State(&'static str),
}

impl From<http::Invalid> for Error {
    fn from(invalid: http::Invalid) -> Self {
        let (option, value, reason) = match invalid {
            http::Invalid::Field { text, reason } => ("headers", quoted(&text), reason),
            http::Invalid::Status(status) => ("status", status.to_string(), "must be 300 to 599"),
            http::Invalid::Body(len) => {
                let reason = "a response with status 304 has none";
                ("body", format!("{len} bytes"), reason)
            }
        };
        Self::Invalid {
            option,
            value,
            reason,
        }
    }
}

/// What an error shows of a value: both of its ends if it is long.
pub(crate) fn shortened(value: &str) -> Cow<'_, str> {
    const MOST: usize = 120;
    const START: usize = 80;
    const END: usize = 20;
    let count = value.chars().count();
    if count <= MOST {
        return value.into();
    }
    let start: String = value.chars().take(START).collect();
    let end: String = value.chars().skip(count - END).collect();
    format!("{start}...{end}").into()
}

/// Text as an error shows it: quoted, with what can't be seen written out.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.escape_debug())
}

/// The same of a path, with bytes that are no UTF-8 as Python's `repr()` shows them (PEP 383).
pub(crate) fn quoted_path(path: &Path) -> String {
    let mut quoted = String::from("'");
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        quoted.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            // A string takes all that is written to it.
            let _ = write!(quoted, "\\udc{byte:02x}");
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::{Error, quoted_path, shortened};
    use crate::protocol::http::Invalid;

    #[test]
    fn what_can_not_be_written_is_shown_as_arguments_are() {
        let field = Invalid::Field {
            text: "a\nb".into(),
            reason: "is wrong",
        };
        let cases = [
            (field, "headers='a\\nb': is wrong"),
            (Invalid::Status(200), "status=200: must be 300 to 599"),
            (
                Invalid::Body(7),
                "body=7 bytes: a response with status 304 has none",
            ),
        ];
        for (invalid, text) in cases {
            assert_eq!(Error::from(invalid).to_string(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_shown_whatever_is_in_it() {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::OsStr::from_bytes(b"/a\xff\xe2\x82b\xc3\xa9\n");
        assert_eq!(
            quoted_path(path.as_ref()),
            r"'/a\udcff\udce2\udc82b\u{e9}\n'".replace(r"\u{e9}", "\u{e9}")
        );
    }

    #[test]
    fn what_is_long_is_shown_by_its_ends() {
        assert_eq!(shortened(&"é".repeat(120)), "é".repeat(120));
        let long = format!("'{}'", "é".repeat(1_000_000));
        let shown = format!("'{}...{}'", "é".repeat(79), "é".repeat(19));
        assert_eq!(shortened(&long), shown);
    }
}
