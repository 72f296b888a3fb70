//! Where a server listens, as the options have it: host and port, a Unix path, or sockets that are there.

use super::{Config, invalid};
use crate::error::{Error, quoted, quoted_path};

/// All permissions of a file.
const MAX_MODE: u32 = 0o777;

impl Config {
    /// Whether it is known where to listen, and only once.
    pub(super) fn check_place(&self) -> Result<(), Error> {
        for host in &self.host {
            if host.is_empty() || host.contains('\0') {
                let reason = "must be a name or an address, or None for all interfaces";
                return Err(invalid("host", &quoted(host), reason));
            }
        }
        if let Some(path) = &self.uds {
            let refuse = |reason| Err(invalid("uds", &quoted_path(path), reason));
            if cfg!(not(unix)) {
                return refuse("this system has no Unix sockets for servers");
            }
            if path.as_os_str().is_empty() {
                return refuse("must be a path, or None");
            }
            if !self.sock.is_empty() {
                return refuse("sock says where to listen: leave out one of them");
            }
        }
        if let Some(mode) = self.uds_mode {
            let refuse = |reason| Err(invalid("uds_mode", &format_args!("0o{mode:o}"), reason));
            if self.uds.is_none() {
                return refuse("is for the file of uds, which is not given");
            }
            if mode > MAX_MODE {
                return refuse("must be 0 to 0o777, or None");
            }
        }
        let is_elsewhere = self.uds.is_some() || !self.sock.is_empty();
        if is_elsewhere {
            let reason = "uds or sock says where to listen: leave it out";
            if let Some(host) = self.host.first() {
                return Err(invalid("host", &quoted(host), reason));
            }
            // What stands for "any" and what stands for "not given" say nothing.
            if self.port != 0 && self.port != Self::default().port {
                return Err(invalid("port", &self.port, reason));
            }
            if self.reuse_port {
                return Err(invalid("reuse_port", &"True", reason));
            }
        }
        Ok(())
    }
}
