//! How long threads have waited for a CPU while they were ready to run, as Linux counts it: `run_delay`, the second number
//! of a thread's `schedstat`. Reading it takes some microseconds, and opens a file, so no signal handler may; nothing stays
//! open.

/// Time off the CPU that is not worth a reading, in nanoseconds.
pub(crate) const NOTICEABLE: u64 = 20_000;

/// Nanoseconds that the current thread has waited for a CPU since it began. `None` where the system does not tell.
pub(crate) fn of_current_thread() -> Option<u64> {
    read("/proc/thread-self/schedstat")
}

/// The same for another thread of this process, by the number that the kernel knows it by.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn of_thread(number: i32) -> Option<u64> {
    read(&format!("/proc/self/task/{number}/schedstat"))
}

#[cfg(target_os = "linux")]
fn read(path: &str) -> Option<u64> {
    use std::io::Read as _;

    // Three numbers of 20 digits, at most.
    let mut text = [0; 80];
    let length = std::fs::File::open(path).and_then(|mut file| file.read(&mut text)).ok()?;
    parse(std::str::from_utf8(&text[..length]).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn read(_: &str) -> Option<u64> {
    None
}

/// The second of the three numbers: time on CPUs, time waited for one, and how often it got one.
#[cfg(target_os = "linux")]
fn parse(text: &str) -> Option<u64> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let [Some(Ok(on_cpu)), Some(Ok(delay)), Some(Ok(times))] = [numbers.next(), numbers.next(), numbers.next()] else {
        return None;
    };
    // A kernel that does not count says that the thread has never run.
    let [on_cpu, delay, times]: [u64; 3] = [on_cpu, delay, times];
    (on_cpu > 0 || times > 0).then_some(delay)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_is_believed() {
        assert_eq!(parse("92258 723888 2\n"), Some(723_888));
        assert_eq!(parse("92258 0 2\n"), Some(0));
        for text in ["0 0 0\n", "", "1 2", "1 x 3", "-1 2 3", "99999999999999999999 1 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(read("/proc/thread-self/no-such-file"), None);
    }
}
