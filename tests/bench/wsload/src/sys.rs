//! Thin wrappers over the few system calls the generator needs.

use std::io;

pub(crate) fn now_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

pub(crate) fn raise_open_files(want: u64) {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        if r.rlim_cur >= want {
            return;
        }
        let both = libc::rlimit {
            rlim_cur: want,
            rlim_max: r.rlim_max.max(want),
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &both) != 0 {
            r.rlim_cur = r.rlim_max.min(want);
            libc::setrlimit(libc::RLIMIT_NOFILE, &r);
        }
    }
}

fn addr(ip: [u8; 4], port: u16) -> libc::sockaddr_in {
    let mut a: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    a.sin_family = libc::AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = u32::from_ne_bytes(ip);
    a
}

fn setopt(fd: i32, level: i32, name: i32, v: i32) {
    unsafe {
        libc::setsockopt(fd, level, name, &v as *const i32 as *const libc::c_void, 4);
    }
}

/// Opens a loopback TCP connection. `src_last` picks the source address
/// 127.0.0.x (so that many short connections do not use up one address's ports).
pub(crate) fn connect(port: u16, src_last: u8, nonblock: bool) -> io::Result<i32> {
    unsafe {
        let ty =
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC | if nonblock { libc::SOCK_NONBLOCK } else { 0 };
        let fd = libc::socket(libc::AF_INET, ty, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        setopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        let len = size_of::<libc::sockaddr_in>() as u32;
        if src_last > 1 {
            setopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
            let a = addr([127, 0, 0, src_last], 0);
            libc::bind(fd, &a as *const _ as *const libc::sockaddr, len);
        }
        let a = addr([127, 0, 0, 1], port);
        if libc::connect(fd, &a as *const _ as *const libc::sockaddr, len) != 0 {
            let e = io::Error::last_os_error();
            if !(nonblock && e.raw_os_error() == Some(libc::EINPROGRESS)) {
                libc::close(fd);
                return Err(e);
            }
        }
        Ok(fd)
    }
}

pub(crate) fn set_nonblock(fd: i32) {
    unsafe {
        let f = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, f | libc::O_NONBLOCK);
    }
}

pub(crate) fn set_timeouts(fd: i32, secs: i64) {
    let tv = libc::timeval {
        tv_sec: secs,
        tv_usec: 0,
    };
    let n = size_of::<libc::timeval>() as u32;
    unsafe {
        let p = &tv as *const _ as *const libc::c_void;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, p, n);
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, p, n);
    }
}

pub(crate) fn so_error(fd: i32) -> i32 {
    let mut v = 0i32;
    let mut n = 4u32;
    unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            &mut v as *mut i32 as *mut libc::c_void,
            &mut n,
        );
    }
    v
}

/// `Ok(None)` means "would block".
pub(crate) fn recv(fd: i32, buf: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        let n = unsafe { libc::recv(fd, buf.as_mut_ptr() as *mut libc::c_void, buf.len(), 0) };
        if n >= 0 {
            return Ok(Some(n as usize));
        }
        let e = io::Error::last_os_error();
        match e.raw_os_error() {
            Some(libc::EINTR) => continue,
            Some(libc::EAGAIN) => return Ok(None),
            _ => return Err(e),
        }
    }
}

/// `Ok(None)` means "would block".
pub(crate) fn send(fd: i32, buf: &[u8]) -> io::Result<Option<usize>> {
    loop {
        let n = unsafe {
            libc::send(
                fd,
                buf.as_ptr() as *const libc::c_void,
                buf.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if n >= 0 {
            return Ok(Some(n as usize));
        }
        let e = io::Error::last_os_error();
        match e.raw_os_error() {
            Some(libc::EINTR) => continue,
            Some(libc::EAGAIN) => return Ok(None),
            _ => return Err(e),
        }
    }
}

pub(crate) fn close(fd: i32) {
    unsafe {
        libc::close(fd);
    }
}

pub(crate) struct Epoll {
    fd: i32,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub(crate) fn new(cap: usize) -> Self {
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0, "epoll_create1");
        Self {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; cap],
        }
    }
    /// Edge-triggered, both directions: one epoll_ctl in a connection's life.
    pub(crate) fn add(&self, fd: i32, token: u64) {
        let mut ev = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32,
            u64: token,
        };
        let r = unsafe { libc::epoll_ctl(self.fd, libc::EPOLL_CTL_ADD, fd, &mut ev) };
        assert!(r == 0, "epoll_ctl add");
    }
    pub(crate) fn wait(&mut self, timeout_ms: i32) -> usize {
        let n = unsafe {
            libc::epoll_wait(
                self.fd,
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                timeout_ms,
            )
        };
        n.max(0) as usize
    }

    /// Token and event bits of the k-th of what `wait` found.
    pub(crate) fn event(&self, k: usize) -> (usize, u32) {
        let event = self.events[k];
        (event.u64 as usize, event.events)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        close(self.fd);
    }
}
