//! Source files that a profile names.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use witprof::Profile;
use witprof::export::{SourceText, escape_name};

/// Larger files are no source code.
const MAX_SOURCE: u64 = 64 << 20;

/// How many folders around the component are looked into: `target`, the target and the profile of Cargo, and the package.
const FOLDERS_AROUND: usize = 5;

/// Where sources are looked for: in the folders that the user names, in the current one, and around the component.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) component: Option<PathBuf>,
}

impl Sources {
    /// A source file of the profile. A profile may come from anywhere, so its paths do not lead out of the folders that are
    /// named, or that the user is in or the component.
    pub(crate) fn find(&self, file: &str) -> Option<SourceText> {
        self.find_from(here(std::env::current_dir().ok().as_deref()), file)
    }

    /// The same, where the current folder is called `here`, if it is looked into.
    fn find_from(&self, here: Option<&Path>, file: &str) -> Option<SourceText> {
        let parts: Vec<&OsStr> = Path::new(file)
            .components()
            .filter_map(|part| match part {
                Component::Normal(part) => Some(Some(part)),
                Component::RootDir | Component::Prefix(_) | Component::CurDir => None,
                Component::ParentDir => Some(None),
            })
            .collect::<Option<_>>()?;
        let component = self.component.as_ref().and_then(|path| path.canonicalize().ok());
        // Not the root, which every file is below of.
        let around = component.iter().flat_map(|component| component.ancestors().skip(1).take(FOLDERS_AROUND));
        let around = around.filter(|folder| folder.parent().is_some());
        let folders = || self.folders.iter().map(PathBuf::as_path);
        // In a Python component, the folders of the program are called by numbers.
        let is_number = |part: &&OsStr| part.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let program = usize::from(file.starts_with('/') && parts.len() > 1 && parts.first().is_some_and(is_number));
        // A file of the same name alone is most likely another one.
        let ends = (0..parts.len()).filter(|from| *from <= program || parts.len() - from > 1);
        let ends = ends.map(|from| parts[from..].iter().collect::<PathBuf>());
        let named = ends.flat_map(|end| folders().map(move |folder| folder.join(&end)));
        let whole: PathBuf = parts[program..].iter().collect();
        let others = here.into_iter().chain(around).map(|folder| folder.join(&whole));
        named.chain(others).find_map(|path| Some(SourceText { text: read(&path)?, place: path.display().to_string() }))
    }

    /// Puts the sources that are found into a profile that names them. Returns the path of one that is not found.
    pub(crate) fn embed(&self, profile: &mut Profile) -> Option<String> {
        let files: Vec<_> = profile.files().map(|(file, path)| (file, path.to_owned())).collect();
        let mut missing = None;
        for (file, path) in files {
            if profile.source_text(file).is_some() {
                continue;
            }
            match self.find(&path) {
                Some(found) => profile.set_source_text(file, found.text),
                None => missing = missing.or(Some(path)),
            }
        }
        missing
    }
}

/// The current folder as a part of paths. Not if it is the root, for the same reason as around the component.
fn here(current: Option<&Path>) -> Option<&'static Path> {
    current?.parent().map(|_| Path::new(""))
}

/// What to say of a source file that is not found.
pub(crate) fn missing_source(path: &str) -> String {
    format!(
        "the source file `{}` was not found; say with `--embed-sources=FOLDER` what folder it is below of",
        escape_name(path)
    )
}

fn read(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_SOURCE {
        return None;
    }
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_not_looked_into_because_one_is_there() {
        let folder = std::env::current_dir().expect("a folder");
        let sources = Sources { folders: Vec::new(), component: None };
        assert!(sources.find_from(here(Some(&folder)), "Cargo.toml").is_some());
        let root = folder.ancestors().last().expect("a root");
        for nowhere in [Some(root), None] {
            assert!(sources.find_from(here(nowhere), "Cargo.toml").is_none());
        }
        // The folders of a Python program are numbered.
        let sources = Sources { folders: Vec::new(), component: None };
        for (path, is_found) in [("/0/Cargo.toml", true), ("/0/src/lib.rs", true), ("/a/Cargo.toml", false)] {
            assert_eq!(sources.find_from(here(Some(&folder)), path).is_some(), is_found, "{path}");
        }
        // Who names it wants it.
        let sources = Sources { folders: vec![root.to_owned()], component: None };
        let file = folder.join("Cargo.toml");
        assert!(sources.find_from(None, file.to_str().expect("UTF-8")).is_some());
    }
}
