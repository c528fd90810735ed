//! Files that the program reads and writes: what they are, where they are, and what a profile keeps of where it came from.

mod capture_folder;
mod command_line;
mod descriptor;
mod format;
mod output;
mod shown_profile;
mod source_map;
mod sources;
mod told;

pub(crate) use self::capture_folder::CaptureFolder;
pub(crate) use self::format::Format;
pub(crate) use self::output::{Destination, OutputFile, Outputs, shown_path};
pub(crate) use self::shown_profile::{Shown, ShownProfile};
pub(crate) use self::source_map::SourceMapFile;
pub(crate) use self::sources::{Sources, missing_source};
pub(crate) use self::told::{GZIP, Told};
