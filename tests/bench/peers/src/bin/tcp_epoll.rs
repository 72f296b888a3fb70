//! The physical limit: a single-threaded, level-triggered epoll echo of plain TCP. One shared read
//! buffer; a connection owns memory only while its socket takes no more.

use std::io;
use std::os::fd::IntoRawFd;
use std::ptr::null_mut;

/// What a socket did not take.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    sent: usize,
}

struct Server {
    epoll: i32,
    listener: i32,
    /// By file descriptor.
    pending: Vec<Pending>,
    shared: Vec<u8>,
}

/// The result of a system call; `None` where it would block.
fn checked(result: isize) -> io::Result<Option<usize>> {
    match usize::try_from(result) {
        Ok(n) => Ok(Some(n)),
        Err(_) => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            e => Err(e),
        },
    }
}

fn send(fd: i32, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are a slice's.
    let n = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    Ok(checked(n)?.unwrap_or(0))
}

impl Server {
    fn control(&self, operation: i32, fd: i32, events: i32) {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: fd as u64,
        };
        // SAFETY: the event lives through the call.
        unsafe { libc::epoll_ctl(self.epoll, operation, fd, &raw mut event) };
    }

    fn accept(&mut self) {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        loop {
            // SAFETY: a null address asks for none.
            let fd = unsafe { libc::accept4(self.listener, null_mut(), null_mut(), flags) };
            let Ok(index) = usize::try_from(fd) else {
                return;
            };
            let one = 1i32;
            // SAFETY: the option's value is the four bytes of `one`.
            unsafe {
                libc::setsockopt(
                    fd,
                    libc::IPPROTO_TCP,
                    libc::TCP_NODELAY,
                    (&raw const one).cast(),
                    4,
                );
            }
            if self.pending.len() <= index {
                self.pending.resize_with(index + 1, Pending::default);
            }
            self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN);
        }
    }

    fn readable(&mut self, fd: i32) -> io::Result<()> {
        // SAFETY: pointer and length are the buffer's.
        let n = unsafe { libc::recv(fd, self.shared.as_mut_ptr().cast(), self.shared.len(), 0) };
        let Some(n) = checked(n)? else { return Ok(()) };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sent = send(fd, &self.shared[..n])?;
        if sent < n {
            self.pending[fd as usize]
                .bytes
                .extend_from_slice(&self.shared[sent..n]);
            self.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLOUT);
        }
        Ok(())
    }

    fn writable(&mut self, fd: i32) -> io::Result<()> {
        let pending = &mut self.pending[fd as usize];
        pending.sent += send(fd, &pending.bytes[pending.sent..])?;
        if pending.sent == pending.bytes.len() {
            *pending = Pending::default();
            self.control(libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN);
        }
        Ok(())
    }

    fn run(mut self) {
        let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
        loop {
            let room = events.len() as i32;
            // SAFETY: pointer and length are the vector's.
            let n = unsafe { libc::epoll_wait(self.epoll, events.as_mut_ptr(), room, -1) };
            for event in events.iter().take(n.max(0) as usize) {
                let (fd, bits) = (event.u64 as i32, event.events);
                let result = if fd == self.listener {
                    self.accept();
                    continue;
                } else if bits & libc::EPOLLOUT as u32 != 0 {
                    self.writable(fd)
                } else {
                    self.readable(fd)
                };
                if result.is_err() {
                    self.pending[fd as usize] = Pending::default();
                    // SAFETY: the descriptor is ours, and nothing uses it after this.
                    unsafe { libc::close(fd) };
                }
            }
        }
    }
}

fn main() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", peers::port())).expect("a free port");
    listener.set_nonblocking(true).expect("a socket option");
    let listener = listener.into_raw_fd();
    // SAFETY: plain calls on descriptors that are ours.
    let epoll = unsafe {
        libc::listen(listener, 4096);
        libc::epoll_create1(libc::EPOLL_CLOEXEC)
    };
    let server = Server {
        epoll,
        listener,
        pending: vec![],
        shared: vec![0; 256 << 10],
    };
    server.control(libc::EPOLL_CTL_ADD, listener, libc::EPOLLIN);
    println!("ready");
    server.run();
}
