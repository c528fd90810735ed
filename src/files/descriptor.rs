//! Files that are open already: `-`, `/dev/stdout`, and what a shell makes of `>(…)`.
//!
//! They are written in place. A file beside `/dev/fd/63` that is renamed to it would reach nobody, and whoever has
//! redirected stdout to a file goes on with the file that he has.

use std::fs::File;
use std::io;
use std::path::Path;

/// stdout.
pub(super) const STDOUT: u32 = 1;

/// The descriptor that `path` names, if it does.
pub(super) fn named(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "-" => Some(STDOUT),
        _ if !cfg!(unix) => None,
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(STDOUT),
        "/dev/stderr" => Some(2),
        path => {
            let number = path.strip_prefix("/dev/fd/").or(path.strip_prefix("/proc/self/fd/"))?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
        }
    }
}

/// The file behind a descriptor, to write to: what is in it stays.
pub(super) fn open(descriptor: u32) -> io::Result<File> {
    match descriptor {
        STDOUT => duplicate(&io::stdout()),
        2 => duplicate(&io::stderr()),
        _ => File::options().append(true).open(format!("/dev/fd/{descriptor}")),
    }
}

#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(stream.as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(stream.as_handle().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_descriptors_are_known() {
        assert_eq!(named(Path::new("-")), Some(STDOUT));
        for other in ["./-", "stdout", "/dev/null", "/dev/fd", "/dev/fd/", "/dev/fd/x", "/dev/fd/1/x", "/dev/fd/+1"] {
            assert_eq!(named(Path::new(other)), None, "{other}");
        }
        #[cfg(unix)]
        for (name, number) in [("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/63", 63), ("/proc/self/fd/7", 7)] {
            assert_eq!(named(Path::new(name)), Some(number), "{name}");
        }
    }
}
