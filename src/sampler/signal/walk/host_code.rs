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
    /// From its first to its last executable byte.
    pub(crate) code: Range<u64>,
}

/// All libraries of the process, as they were when this was made. None of them is unloaded while this exists.
pub(crate) struct HostCode {
    pub(super) unwinder: HostUnwinder,
    /// Sorted by address.
    libraries: Vec<HostLibrary>,
    /// Keeps the libraries loaded, each with its base.
    handles: Vec<(u64, Arc<Handle>)>,
    /// How many libraries had been loaded by then, and how many unloaded.
    changes: (u64, u64),
}

/// What `dlopen` returned.
struct Handle(*mut c_void);

// SAFETY: a handle is a number to the dynamic linker, which may be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above; and nothing can be done with a shared handle.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `dlopen`, and closed once.
        unsafe { libc::dlclose(self.0) };
    }
}

/// A library as the dynamic linker describes it.
struct Found {
    path: CString,
    base: u64,
    code: Range<u64>,
    /// `.eh_frame_hdr`, and the segment it is in.
    unwind: Option<(Range<u64>, Range<u64>)>,
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

    fn with_handles(handles: Vec<(u64, Arc<Handle>)>) -> Self {
        // What is loaded later than this is found the next time.
        let changes = changes();
        let mut found: Vec<Found> = Vec::new();
        // SAFETY: `visit` matches the signature, does not unwind, and gets the pointer to `found`, which outlives the
        // call and is not used otherwise during it.
        unsafe { libc::dl_iterate_phdr(Some(visit), std::ptr::from_mut(&mut found).cast()) };
        found.sort_by_key(|library| library.code.start);
        let mut code = Self { unwinder: HostUnwinder::new(), libraries: Vec::new(), handles, changes };
        for library in found {
            code.add(library);
        }
        code
    }

    fn add(&mut self, found: Found) {
        let Found { path, base, code, unwind } = found;
        let name = if path.is_empty() {
            std::env::current_exe().unwrap_or_else(|_| PathBuf::from("executable"))
        } else {
            PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes()))
        };
        // The executable and the kernel's library are never unloaded, and neither has a path here; nor is what this code
        // is in, which has one where it is linked statically.
        let is_ours = code.contains(&(Self::now as *const () as u64));
        let is_kept = self.handles.iter().any(|(known, _)| *known == base);
        if path.as_bytes().contains(&b'/') && !is_ours && !is_kept {
            // SAFETY: the path is a C string; with these flags, nothing is loaded and no initialiser runs.
            let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
            if handle.is_null() {
                // Unloaded in the meantime: its unwind information must not be read.
                return;
            }
            self.handles.push((base, Arc::new(Handle(handle))));
        }
        let sections = unwind.and_then(|(header, segment)| unwind_sections(base, header, segment)).unwrap_or_default();
        let module = Module::new(name.display().to_string(), code.clone(), base, sections);
        self.unwinder.add_module(module);
        self.libraries.push(HostLibrary { path: name, base, code });
    }

    /// The library that `address` is in.
    pub(crate) fn find(&self, address: u64) -> Option<&HostLibrary> {
        let after = self.libraries.partition_point(|library| library.code.start <= address);
        let library = self.libraries.get(after.checked_sub(1)?)?;
        library.code.contains(&address).then_some(library)
    }

    /// Eight bytes of code at `address`, if they are inside one library.
    pub(super) fn code_at(&self, address: u64) -> Option<[u8; 8]> {
        let library = self.find(address)?;
        (library.code.end - address >= 8).then(|| {
            // SAFETY: inside the executable segments of a library that stays loaded while `self` exists. Segments of
            // one library may have gaps in between, but `address` is a return address, which is followed by code.
            unsafe { (address as *const [u8; 8]).read_unaligned() }
        })
    }
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
    let executable = || loaded().filter(|header| header.p_flags & libc::PF_X != 0).map(range);
    let (Some(start), Some(end)) =
        (executable().map(|range| range.start).min(), executable().map(|range| range.end).max())
    else {
        return 0;
    };
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
    found.push(Found { path, base, code: start..end, unwind });
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
}
