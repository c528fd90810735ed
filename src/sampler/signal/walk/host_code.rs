//! The process's own code: where its libraries lie, and how to unwind them.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use framehop::{ExplicitModuleSectionInfo, Module, MustNotAllocateDuringUnwind, Unwinder as _, UnwinderNative};

/// Unwinds the process's own code.
pub(crate) type HostUnwinder = UnwinderNative<&'static [u8], MustNotAllocateDuringUnwind>;

/// An executable or shared library of this process.
#[derive(Clone, Debug)]
pub(crate) struct HostLibrary {
    /// The file it was loaded from; for the kernel's own library, a name without a directory.
    pub(crate) path: PathBuf,
    /// What an address has to be reduced by to be one of the file.
    pub(crate) base: u64,
}

/// A stretch of memory with code of a library, which may have several: what lies between two of them is not its own, and may
/// not be there.
struct Segment {
    code: Range<u64>,
    /// Whether it may also be read, as code mostly may.
    is_readable: bool,
    /// The position of the library that it is of.
    library: usize,
}

/// All libraries of the process, as they were when this was made. None of them is unloaded while this exists.
pub(crate) struct HostCode {
    pub(super) unwinder: HostUnwinder,
    libraries: Vec<HostLibrary>,
    /// Sorted by address.
    segments: Vec<Segment>,
    /// Keep the libraries loaded.
    handles: Vec<Arc<Handle>>,
    /// How many libraries had been loaded by then, and how many unloaded.
    changes: (u64, u64),
}

/// Keeps a library loaded.
struct Handle {
    /// What `dlopen` returned.
    handle: *mut c_void,
    path: CString,
    base: u64,
}

// SAFETY: a handle is a number to the dynamic linker, which may be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above; and nothing can be done with a shared handle.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `dlopen`, and closed once.
        unsafe { libc::dlclose(self.handle) };
    }
}

impl Handle {
    /// Keeps a library loaded, if it still is.
    fn open(found: &Found) -> Option<Self> {
        let (path, base) = (found.path.clone(), found.base);
        // SAFETY: the path is a C string; with these flags, nothing is loaded and no initialiser runs.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        (!handle.is_null()).then_some(Self { handle, path, base })
    }

    fn is_of(&self, found: &Found) -> bool {
        (self.base, &self.path) == (found.base, &found.path)
    }
}

/// A library as the dynamic linker describes it.
struct Found {
    path: CString,
    base: u64,
    /// Its executable segments, and whether they may be read.
    code: Vec<(Range<u64>, bool)>,
    /// `.eh_frame_hdr`, and the segment it is in.
    unwind: Option<(Range<u64>, Range<u64>)>,
}

impl Found {
    /// Whether it is never unloaded: the executable and the kernel's library, neither of which has a path here, and what this
    /// code is in, which has one where it is linked statically.
    fn stays(&self) -> bool {
        let is_ours = || self.code.iter().any(|(range, _)| range.contains(&(HostCode::now as *const () as u64)));
        !self.path.as_bytes().contains(&b'/') || is_ours()
    }
}

impl HostCode {
    /// Lists what is loaded now.
    pub(crate) fn now() -> Self {
        Self::with_handles(Vec::new())
    }

    /// The same, some time after `before` was listed, which keeps what it has loaded.
    pub(crate) fn after(before: &Self) -> Self {
        Self::with_handles(before.handles.clone())
    }

    /// Whether nothing has been loaded or unloaded since.
    pub(crate) fn is_current(&self) -> bool {
        self.changes == changes()
    }

    fn with_handles(mut handles: Vec<Arc<Handle>>) -> Self {
        // What is loaded later than this is found the next time.
        let changes = changes();
        for found in list() {
            if !found.stays() && !handles.iter().any(|known| known.is_of(&found)) {
                handles.extend(Handle::open(&found).map(Arc::new));
            }
        }
        // Once more: one may have been unloaded before it was held, or loaded again elsewhere. The unwind information of what is
        // not held must not be read.
        let mut found = list();
        found.retain(|found| found.stays() || handles.iter().any(|held| held.is_of(found)));
        Self { changes, ..Self::of(found, handles) }
    }

    fn of(found: Vec<Found>, handles: Vec<Arc<Handle>>) -> Self {
        let (libraries, segments) = (Vec::new(), Vec::new());
        let mut code = Self { unwinder: HostUnwinder::new(), libraries, segments, handles, changes: (0, 0) };
        for library in found {
            code.add(library);
        }
        code.segments.sort_by_key(|segment| segment.code.start);
        code
    }

    fn add(&mut self, found: Found) {
        let Found { path, base, code, unwind } = found;
        let name = if path.is_empty() {
            std::env::current_exe().unwrap_or_else(|_| PathBuf::from("executable"))
        } else {
            PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes()))
        };
        let sections = unwind.and_then(|(header, segment)| unwind_sections(base, header, segment)).unwrap_or_default();
        // What lies in between is in no unwind information.
        let start = code.iter().map(|(range, _)| range.start).min().unwrap_or_default();
        let end = code.iter().map(|(range, _)| range.end).max().unwrap_or_default();
        self.unwinder.add_module(Module::new(name.display().to_string(), start..end, base, sections));
        let library = self.libraries.len();
        self.segments.extend(code.into_iter().map(|(code, is_readable)| Segment { code, is_readable, library }));
        self.libraries.push(HostLibrary { path: name, base });
    }

    /// The library in whose code `address` is.
    pub(crate) fn find(&self, address: u64) -> Option<&HostLibrary> {
        self.libraries.get(self.segment(address)?.library)
    }

    fn segment(&self, address: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.code.start <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        segment.code.contains(&address).then_some(segment)
    }

    /// Eight bytes of code at `address`, if they are inside one segment that may be read. The address may be any: what looks
    /// like a return address is not always one.
    pub(super) fn code_at(&self, address: u64) -> Option<[u8; 8]> {
        let segment = self.segment(address)?;
        (segment.is_readable && segment.code.end - address >= 8).then(|| {
            // SAFETY: inside one readable segment of a library that stays loaded while `self` exists.
            unsafe { (address as *const [u8; 8]).read_unaligned() }
        })
    }
}

/// What is loaded now.
fn list() -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    // SAFETY: `visit` matches the signature, does not unwind, and gets the pointer to `found`, which outlives the call and is
    // not used otherwise during it.
    unsafe { libc::dl_iterate_phdr(Some(visit), std::ptr::from_mut(&mut found).cast()) };
    found
}

/// How many libraries have been loaded into this process, and how many unloaded.
fn changes() -> (u64, u64) {
    /// # Safety
    /// To be called by `dl_iterate_phdr` only, with a pointer to a pair.
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: libc::size_t, found: *mut c_void) -> c_int {
        // SAFETY: by contract of `dl_iterate_phdr`, `info` is valid during the call; `found` is what `changes` passed.
        let (info, found) = unsafe { (&*info, &mut *found.cast::<(u64, u64)>()) };
        *found = (info.dlpi_adds, info.dlpi_subs);
        // Every library tells the same.
        1
    }
    let mut found = (0, 0);
    // SAFETY: `visit` matches the signature, does not unwind, and gets the pointer to `found`, which outlives the call and is
    // not used otherwise during it.
    unsafe { libc::dl_iterate_phdr(Some(visit), std::ptr::from_mut(&mut found).cast()) };
    found
}

/// Collects one library.
///
/// # Safety
/// To be called by `dl_iterate_phdr` only, with a pointer to a `Vec<Found>`.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: libc::size_t, found: *mut c_void) -> c_int {
    // SAFETY: by contract of `dl_iterate_phdr`, `info` is valid during the call; `found` is what `now` passed.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Vec<Found>>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: by contract of `dl_iterate_phdr`, these are so many program headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let base = info.dlpi_addr;
    let range = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    };
    let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let executable = loaded().filter(|header| header.p_flags & libc::PF_X != 0 && header.p_memsz > 0);
    let code: Vec<(Range<u64>, bool)> =
        executable.map(|header| (range(header), header.p_flags & libc::PF_R != 0)).collect();
    if code.is_empty() {
        return 0;
    }
    let header = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME).map(range);
    let unwind = header.and_then(|header| {
        let segment = loaded().map(range).find(|segment| segment.contains(&header.start))?;
        (header.end <= segment.end).then_some((header, segment))
    });
    let path = if info.dlpi_name.is_null() {
        CString::default()
    } else {
        // SAFETY: by contract of `dl_iterate_phdr`, a C string.
        unsafe { CStr::from_ptr(info.dlpi_name) }.to_owned()
    };
    found.push(Found { path, base, code, unwind });
    0
}

/// The unwind sections of a loaded library. The header says where `.eh_frame` begins; that it ends with its segment at
/// the latest is all that is needed, because it is read from the middle, by the header's table.
fn unwind_sections(
    base: u64,
    header: Range<u64>,
    segment: Range<u64>,
) -> Option<ExplicitModuleSectionInfo<&'static [u8]>> {
    // Version 1, `.eh_frame` as a signed 32-bit distance from here: what every linker writes.
    const VERSION: u8 = 1;
    const PC_RELATIVE_I32: u8 = 0x1b;
    let bytes = |range: Range<u64>| {
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        // SAFETY: inside one loaded, readable segment of a library (`visit` made sure of the header; `.eh_frame` is
        // checked below to be between it and the segment's ends), and `HostCode` keeps the library loaded. It is not
        // written to. The lifetime is that of `HostCode`: the slices do not leave it.
        Some(unsafe { std::slice::from_raw_parts(range.start as *const u8, length) })
    };
    let header_bytes = bytes(header.clone())?;
    let [VERSION, PC_RELATIVE_I32, _, _, a, b, c, d] = *header_bytes.first_chunk::<8>()? else { return None };
    let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
    let start = header.start.checked_add(4)?.checked_add_signed(distance)?;
    if !segment.contains(&start) {
        return None;
    }
    let frames = start..segment.end;
    let stated = |range: &Range<u64>| Some(range.start.wrapping_sub(base)..range.end.wrapping_sub(base));
    Some(ExplicitModuleSectionInfo {
        base_svma: 0,
        eh_frame_hdr_svma: stated(&header),
        eh_frame_hdr: Some(header_bytes),
        eh_frame_svma: stated(&frames),
        eh_frame: bytes(frames),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_finds_itself() {
        let code = HostCode::now();
        let here = code.find(the_process_finds_itself as *const () as u64).expect("this executable");
        assert_eq!(here.path, std::env::current_exe().expect("a path"));
        assert!(code.find(libc::getpid as *const () as u64).is_some(), "libc");
        assert!(code.find(8).is_none());
        let on_stack = 0_u64;
        assert!(code.find(std::ptr::from_ref(&on_stack) as u64).is_none());
    }

    /// A library as a linker may lay it out: two executable segments, with nothing in between, and one that may not be read.
    #[test]
    fn what_lies_between_the_segments_of_a_library_is_not_read() {
        const PAGE: u64 = 4096;
        let length = 4 * 4096;
        // SAFETY: a fresh anonymous mapping, of which all pages but two are made unreadable.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>().write_bytes(0xcc, length);
            for page in [1, 3] {
                assert_eq!(libc::mprotect(start.byte_add(page * 4096), 4096, libc::PROT_NONE), 0);
            }
            start as u64
        };
        let segment = |page: u64, flags| {
            // SAFETY: all-zero bytes are a valid header, which is made of numbers.
            let mut header: libc::Elf64_Phdr = unsafe { std::mem::zeroed() };
            (header.p_type, header.p_flags, header.p_vaddr, header.p_memsz) = (libc::PT_LOAD, flags, page * PAGE, PAGE);
            header
        };
        let read = libc::PF_X | libc::PF_R;
        let headers = [segment(0, read), segment(2, read), segment(3, libc::PF_X)];
        let mut found: Vec<Found> = Vec::new();
        // SAFETY: the description points to the headers, which outlive the call, as does what it is collected into.
        unsafe {
            let mut info: libc::dl_phdr_info = std::mem::zeroed();
            (info.dlpi_addr, info.dlpi_phdr, info.dlpi_phnum) = (base, headers.as_ptr(), 3);
            visit(&raw mut info, size_of::<libc::dl_phdr_info>(), std::ptr::from_mut(&mut found).cast());
        }
        let code = HostCode::of(found, Vec::new());
        for (address, is_code) in [(0, true), (PAGE - 8, true), (PAGE - 7, false), (PAGE, false), (2 * PAGE - 8, false)]
        {
            assert_eq!(code.code_at(base + address).is_some(), is_code, "{address:#x}");
        }
        assert_eq!(code.code_at(base + 2 * PAGE), Some([0xcc; 8]));
        assert!(code.find(base + PAGE).is_none(), "between the segments");
        // Code, and a frame's, but its bytes may not be looked at.
        assert!(code.find(base + 3 * PAGE).is_some() && code.code_at(base + 3 * PAGE).is_none());
        // SAFETY: the mapping made above, used by nobody else.
        assert_eq!(unsafe { libc::munmap(base as *mut libc::c_void, length) }, 0);
    }
}
