//! Files in folders that others can write to as well.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Makes a file, readable and writable for its owner only. A regular file of the same user is replaced; nobody else's is
/// touched, and no link is followed.
pub(super) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A new file is never a link, nor what a link points to.
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(path)?;
            if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
                return Err(error);
            }
            // The folder lets nobody remove what is another's.
            std::fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_but_ones_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file-1");
        drop(create(&path).expect("a new file"));
        std::fs::write(&path, "left by an earlier process").expect("writing");
        assert_eq!(create(&path).and_then(|file| file.metadata()).expect("its own").len(), 0);
        assert_eq!(std::fs::metadata(&path).expect("the file").mode() & 0o777, 0o600);
        let (victim, link) = (folder.path().join("victim"), folder.path().join("file-2"));
        std::fs::write(&victim, "precious").expect("writing");
        std::os::unix::fs::symlink(&victim, &link).expect("a link");
        assert!(create(&link).is_err());
        assert_eq!(std::fs::read(&victim).expect("the file"), b"precious");
        let dangling = folder.path().join("file-3");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).expect("a link");
        assert!(create(&dangling).is_err());
        assert!(!folder.path().join("nowhere").exists());
    }
}
