//! `--no-native`, `--no-scripts` and `--native`.

use clap::Args;
use witprof::ScriptFrames;

/// What is shown of scripts, and of the interpreters that run them.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct ScriptsChoice {
    /// Leave out the interpreter's own functions where it runs scripts, such as Python's: what it does is time of the function
    /// that it does it for. Pictures are like that anyway
    #[arg(long, conflicts_with_all = ["no_scripts", "native"])]
    no_native: bool,

    /// Leave out the functions of scripts: show the interpreter alone
    #[arg(long, conflicts_with = "native")]
    no_scripts: bool,

    /// Show the interpreter's own functions in pictures, too
    #[arg(long)]
    native: bool,
}

impl ScriptsChoice {
    /// What was asked for, if anything was.
    pub(super) fn asked(self) -> Option<ScriptFrames> {
        match (self.no_native, self.no_scripts, self.native) {
            (true, _, _) => Some(ScriptFrames::Only),
            (_, true, _) => Some(ScriptFrames::None),
            (_, _, true) => Some(ScriptFrames::All),
            _ => None,
        }
    }
}
