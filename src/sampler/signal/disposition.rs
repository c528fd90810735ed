//! Which handler a signal has, for the whole process.

use std::ffi::c_int;
use std::io;
use std::sync::Mutex;

use crate::error::SignalProblem;
use crate::lock::lock;

/// A handler as `sigaction` takes it.
pub(super) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// A signal that is ours while this exists.
#[derive(Debug)]
pub(super) struct Installed {
    signal: c_int,
}

/// Signals that are ours, with the number of users and what was there before. Without users are those over which somebody had
/// put a handler of their own when the last one went: if they give back what they found, our handler is there again, for
/// nobody, and is none of somebody else's.
static INSTALLED: Mutex<Vec<(c_int, usize, Previous)>> = Mutex::new(Vec::new());

/// What a signal did before: one of the two things that are not a handler.
#[derive(Clone, Copy, Debug)]
enum Previous {
    Default,
    Ignored,
}

impl Installed {
    /// Takes `signal` for `handler`, which is the same for all users. A handler of somebody else's is left alone.
    pub(super) fn install(signal: c_int, handler: Handler) -> Result<Self, SignalProblem> {
        let refused = |source| SignalProblem::Refused { signal, source };
        let taken = || SignalProblem::Taken { signal };
        let mut installed = lock(&INSTALLED);
        let now = current(signal).map_err(refused)?;
        let known = installed.iter().position(|(number, _, _)| *number == signal);
        if let Some(known) = known {
            let (_, users, _) = &mut installed[known];
            if now.sa_sigaction == handler as usize {
                *users += 1;
                return Ok(Self { signal });
            }
            if *users > 0 {
                return Err(taken());
            }
        }
        let previous = match now.sa_sigaction {
            libc::SIG_DFL => Previous::Default,
            libc::SIG_IGN => Previous::Ignored,
            _ => return Err(taken()),
        };
        // What was there before the last time does not matter any more.
        known.map(|known| installed.swap_remove(known));
        // Restarting spares the host most interruptions of its system calls. Not on an alternate stack: Rust's is too
        // small for unwinding, and another thread's work must not depend on whose it is.
        set(signal, handler as usize, libc::SA_SIGINFO | libc::SA_RESTART).map_err(refused)?;
        installed.push((signal, 1, previous));
        Ok(Self { signal })
    }

    /// Takes the signal that was made for profilers, or if that belongs to somebody, another one that does nothing yet.
    ///
    /// The others are real-time signals, from the last one downwards: those that programs choose for themselves are mostly
    /// the first ones, and the C library keeps its own out of this range.
    /// Says why it is another one, too.
    pub(super) fn install_any(handler: Handler) -> Result<(Self, Option<SignalProblem>), SignalProblem> {
        let first = match Self::install(super::DEFAULT_SIGNAL, handler) {
            Ok(installed) => return Ok((installed, None)),
            Err(problem) => problem,
        };
        let others = (libc::SIGRTMIN() + 1..libc::SIGRTMAX()).rev();
        let free = others.filter(|signal| {
            let is_ours = lock(&INSTALLED).iter().any(|(number, _, _)| number == signal);
            is_ours || current(*signal).is_ok_and(|now| now.sa_sigaction == libc::SIG_DFL)
        });
        // What was said of the first one is worth more than what is said of the last.
        match free.flat_map(|signal| Self::install(signal, handler)).next() {
            Some(installed) => Ok((installed, Some(first))),
            None => Err(first),
        }
    }

    /// The number of the signal.
    pub(super) fn signal(&self) -> c_int {
        self.signal
    }
}

impl Drop for Installed {
    /// Gives the signal back, when its last user goes. All timers that send it have to be deleted.
    fn drop(&mut self) {
        let mut installed = lock(&INSTALLED);
        let Some(index) = installed.iter().position(|(number, _, _)| *number == self.signal) else { return };
        installed[index].1 -= 1;
        if installed[index].1 > 0 || !is_ours(self.signal) {
            // Somebody has put their own handler over ours: it is theirs now.
            return;
        }
        let (signal, _, previous) = installed.swap_remove(index);
        // A signal that is still on its way would end the process if it found the default. Ignoring a signal discards
        // what is on its way.
        let _ = set(signal, libc::SIG_IGN, 0);
        if matches!(previous, Previous::Default) {
            let _ = set(signal, libc::SIG_DFL, 0);
        }
    }
}

/// Whether `signal` has our handler, as far as the system tells.
pub(super) fn is_ours(signal: c_int) -> bool {
    current(signal).is_ok_and(|now| now.sa_sigaction == super::handler::on_signal as Handler as usize)
}

fn current(signal: c_int) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero bytes are a valid `sigaction`, which is made of numbers.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed, and the result goes to a live value.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) } {
        0 => Ok(now),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(signal: c_int, handler: usize, flags: c_int) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handler is one of the two constants, or an `extern "C"` function of the signature that `SA_SIGINFO`
    // asks for, which keeps the contract of `super`.
    match unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
