//! When a recording begins, when it is written meanwhile, and when it ends though the guest goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use wasmtime::Store;
use witprof::Recorder;

use super::recording::write_meanwhile;
use super::{ending, lock};
use crate::files::Outputs;

/// How often somebody looks whether a recording has begun that waits for a call.
const LOOK: Duration = Duration::from_millis(10);

/// When a recording begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    AtOnce,
    /// After so much time.
    After(Duration),
    /// When an interface function is called for the nth time.
    WithCall(String, u64),
}

impl Begin {
    pub(super) fn is_later(&self) -> bool {
        *self != Self::AtOnce
    }

    /// Sees to it that the recording begins. Time is waited for elsewhere.
    pub(super) fn prepare(&self, recorder: &Recorder) -> Result<()> {
        if let Self::WithCall(function, n) = self {
            recorder.begin_with_call(function, *n)?;
        }
        Ok(())
    }

    /// Has calls of a store looked at, if one of them is waited for and they are not traced anyway.
    pub(super) fn watch<T: 'static>(&self, recorder: &Recorder, store: &mut Store<T>) -> witprof::Result<()> {
        if let Self::WithCall(..) = self { recorder.wait_for_call(store) } else { Ok(()) }
    }

    /// Waits until the recording has begun, and begins it if time is all that it waits for.
    async fn wait(&self, recorder: &Recorder) {
        match self {
            Self::AtOnce => {}
            Self::After(delay) => {
                tokio::time::sleep(*delay).await;
                recorder.resume();
            }
            Self::WithCall(..) => {
                while recorder.is_paused() {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

/// What is to be done while a recording goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meanwhile {
    /// It ends after this time, and is written. The guest goes on.
    pub(crate) duration: Option<Duration>,
    /// What there is until then is written again and again.
    pub(crate) every: Option<Duration>,
}

impl Meanwhile {
    /// Refuses what cannot be.
    pub(super) fn check(self, outputs: &Outputs) -> Result<()> {
        if self.every.is_some()
            && let Some(output) = outputs.files.iter().find(|output| !output.is_replaceable())
        {
            bail!("`--every` replaces what it wrote before, which cannot be done with {}", output.shown());
        }
        Ok(())
    }

    /// Does it. The outputs are gone once they have been written for the last time.
    pub(super) fn start(self, begin: &Begin, recorder: &Arc<Recorder>, outputs: &Arc<Mutex<Option<Outputs>>>) {
        let (begin, recorder) = (begin.clone(), Arc::downgrade(recorder));
        if let Some(every) = self.every {
            let (recorder, outputs) = (recorder.clone(), Arc::downgrade(outputs));
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    let (Some(recorder), Some(outputs)) = (recorder.upgrade(), outputs.upgrade()) else { return };
                    let written = tokio::task::spawn_blocking(move || {
                        let outputs = lock(&outputs);
                        // While it is paused, nothing new is there.
                        if let Some(outputs) = outputs.as_ref().filter(|_| !recorder.is_paused()) {
                            write_meanwhile(&recorder, outputs);
                        }
                        outputs.is_some()
                    });
                    if !written.await.unwrap_or(false) {
                        return;
                    }
                }
            });
        }
        tokio::spawn(async move {
            match recorder.upgrade() {
                Some(recorder) => begin.wait(&recorder).await,
                None => return,
            }
            if let Some(duration) = self.duration {
                tokio::time::sleep(duration).await;
                let _ = tokio::task::spawn_blocking(ending::do_last).await;
            }
        });
    }
}
