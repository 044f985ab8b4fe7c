//! Where tracefs is.

use super::CollectError;
use crate::sys::private_mount::private_mount;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where it is mounted usually; the second since 4.1 only for programs that know no better.
const USUAL: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// tracefs, mounted by somebody, or by us where nobody else can see it.
#[derive(Debug)]
pub struct Tracefs {
    path: PathBuf,
    /// Keeps a mount of our own.
    mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds it at its usual places, else mounts it for this process alone; nothing else sees that mount, and it is
    /// gone when this value is.
    ///
    /// # Errors
    /// [`CollectError::NoTracefs`] with what is and what is needed.
    pub fn find() -> Result<Self, CollectError> {
        Self::among(&USUAL.map(Path::new)).or_else(|refused| match private_mount(c"tracefs") {
            Ok(mount) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
                if path.join("events").is_dir() {
                    return Ok(Self { path, mount: Some(mount) });
                }
                let reason = "tracefs is empty: the kernel is locked down for confidentiality \
                              (/sys/kernel/security/lockdown), or was built without events";
                Err(CollectError::NoTracefs { reason: reason.to_owned() })
            }
            Err(errno) => {
                let reason = format!("{refused}; mounting it for ourselves failed: {errno}");
                Err(CollectError::NoTracefs { reason })
            }
        })
    }

    /// The first of these folders that is a tracefs we can read.
    pub(super) fn among(places: &[&Path]) -> Result<Self, CollectError> {
        let mut denied = None;
        for place in places {
            match std::fs::read_dir(place.join("events")) {
                Ok(_) => return Ok(Self { path: place.to_path_buf(), mount: None }),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    denied.get_or_insert(place);
                }
                Err(_) => {}
            }
        }
        let reason = if let Some(place) = denied {
            format!("no permission to read {}; run this as root", place.display())
        } else {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            format!(
                "tracefs is mounted at none of {}; as root: mount -t tracefs tracefs {}",
                places.join(", "),
                USUAL[0]
            )
        };
        Err(CollectError::NoTracefs { reason })
    }

    /// Its root, for as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody but this process sees it there.
    pub fn is_private(&self) -> bool {
        self.mount.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_with_events_is_taken_and_none_is_explained() {
        let root = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| root.path().join(name));
        std::fs::create_dir(&first).unwrap();
        std::fs::create_dir_all(second.join("events")).unwrap();
        let found = Tracefs::among(&[&first, &second]).unwrap();
        assert_eq!((found.path(), found.is_private()), (second.as_path(), false));
        let error = Tracefs::among(&[&first]).unwrap_err().to_string();
        assert!(error.contains("mount -t tracefs"), "{error}");
    }

    #[test]
    fn where_it_is_mounted_nowhere_root_sees_it_still() {
        match Tracefs::find() {
            Ok(found) => assert!(found.path().join("events").is_dir()),
            Err(error) => println!("SKIP: {error}"),
        }
    }
}
