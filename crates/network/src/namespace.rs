//! Work inside another network namespace. A thread of its own enters it and ends with the work, so no thread
//! of the runtime is ever in a wrong namespace.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A network namespace that is held open.
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// Opens the namespace at a path like `/run/netns/cni-1`; `None` if nothing is there.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs `work` inside, on a thread of its own, and waits for it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, || {
                    move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
                    work()
                })?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
        })
    }

    /// To name it in a message.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Sets a value below `/proc/sys/net` of this thread's namespace, if it is another.
pub(crate) fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys/net").join(name);
    let now = std::fs::read_to_string(&path)?;
    if now.trim() == value {
        return Ok(()); // a read-only /proc/sys may hold the right value already
    }
    std::fs::write(&path, value)
}
