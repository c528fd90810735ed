//! What a component trampoline is for, read from the ELF symbol that Wasmtime 48 gives it.
//!
//! The decoded description of a component numbers its trampolines but does not say what they do; only the symbol
//! does: `component-trampolines[7]-wasm-call-component-lower-import[3]`. All knowledge of that spelling is here, and
//! an unknown one is an error, so that a change in Wasmtime breaks the tests and not the names.

use wasmtime_environ::Abi;

/// The purpose of a component trampoline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrampolinePurpose {
    /// Calls the host function with this lowering index.
    LowerImport(u32),
    /// `resource.new`, `.rep` or `.drop`.
    Resource {
        operation: ResourceOperation,
        /// Number of the resource table, which tells the resource.
        table: u32,
    },
    /// Converts a string between two encodings and memories.
    Transcode {
        /// For instance `utf8 -> utf16`.
        conversion: &'static str,
    },
    /// Any other canonical-ABI intrinsic, in the spelling of the component model: `task.return`.
    Intrinsic(&'static str),
}

/// What is done to a resource handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceOperation {
    New,
    Rep,
    Drop,
}

impl ResourceOperation {
    /// The name of the canonical built-in.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Rep => "rep",
            Self::Drop => "drop",
        }
    }
}

/// Reads the symbol of a component trampoline: its index, calling convention and purpose. `None` if the symbol is
/// spelled in a way that Wasmtime 48 does not use.
pub(crate) fn parse_component_trampoline(symbol: &str) -> Option<(u32, Abi, TrampolinePurpose)> {
    let (index, rest) = symbol.strip_prefix("component-trampolines[")?.split_once("]-")?;
    let (abi, purpose) = if let Some(purpose) = rest.strip_prefix("wasm-call-") {
        (Abi::Wasm, purpose)
    } else {
        (Abi::Array, rest.strip_prefix("array-call-")?)
    };
    Some((index.parse().ok()?, abi, parse_purpose(purpose)?))
}

fn parse_purpose(purpose: &str) -> Option<TrampolinePurpose> {
    let bracketed = |prefix| purpose.strip_prefix(prefix)?.strip_suffix(']')?.parse::<u32>().ok();
    if let Some(lowered) = bracketed("component-lower-import[") {
        return Some(TrampolinePurpose::LowerImport(lowered));
    }
    let resources = [
        ("component-resource-new[", ResourceOperation::New),
        ("component-resource-rep[", ResourceOperation::Rep),
        ("component-resource-drop[", ResourceOperation::Drop),
    ];
    for (prefix, operation) in resources {
        if let Some(table) = bracketed(prefix) {
            return Some(TrampolinePurpose::Resource { operation, table });
        }
    }
    if let Some(transcode) = purpose.strip_prefix("component-transcode-") {
        // `utf8_to_utf16-m32-m64`: the widths of the two memories do not matter to a reader.
        let (conversion, _widths) = transcode.split_once("-m")?;
        return find(TRANSCODES, conversion).map(|conversion| TrampolinePurpose::Transcode { conversion });
    }
    find(INTRINSICS, purpose).map(TrampolinePurpose::Intrinsic)
}

fn find(table: &[(&str, &'static str)], spelling: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == spelling).map(|(_, name)| *name)
}

const TRANSCODES: &[(&str, &str)] = &[
    ("copy_utf8", "utf8 -> utf8"),
    ("copy_utf16", "utf16 -> utf16"),
    ("copy_latin1", "latin1 -> latin1"),
    ("latin1_to_utf16", "latin1 -> utf16"),
    ("latin1_to_utf8", "latin1 -> utf8"),
    ("utf16_to_compact_probably_utf16", "utf16 -> compact utf16 (probably utf16)"),
    ("utf16_to_compact_utf16", "utf16 -> compact utf16"),
    ("utf16_to_latin1", "utf16 -> latin1"),
    ("utf16_to_utf8", "utf16 -> utf8"),
    ("utf8_to_compact_utf16", "utf8 -> compact utf16"),
    ("utf8_to_latin1", "utf8 -> latin1"),
    ("utf8_to_utf16", "utf8 -> utf16"),
];

const INTRINSICS: &[(&str, &str)] = &[
    ("backpressure-inc", "backpressure.inc"),
    ("backpressure-dec", "backpressure.dec"),
    ("task-return", "task.return"),
    ("task-cancel", "task.cancel"),
    ("waitable-set-new", "waitable-set.new"),
    ("waitable-set-wait", "waitable-set.wait"),
    ("waitable-set-poll", "waitable-set.poll"),
    ("waitable-set-drop", "waitable-set.drop"),
    ("waitable-join", "waitable.join"),
    ("subtask-drop", "subtask.drop"),
    ("subtask-cancel", "subtask.cancel"),
    ("stream-new", "stream.new"),
    ("stream-read", "stream.read"),
    ("stream-write", "stream.write"),
    ("stream-cancel-read", "stream.cancel-read"),
    ("stream-cancel-write", "stream.cancel-write"),
    ("stream-drop-readable", "stream.drop-readable"),
    ("stream-drop-writable", "stream.drop-writable"),
    ("future-new", "future.new"),
    ("future-read", "future.read"),
    ("future-write", "future.write"),
    ("future-cancel-read", "future.cancel-read"),
    ("future-cancel-write", "future.cancel-write"),
    ("future-drop-readable", "future.drop-readable"),
    ("future-drop-writable", "future.drop-writable"),
    ("error-context-new", "error-context.new"),
    ("error-context-debug-message", "error-context.debug-message"),
    ("error-context-drop", "error-context.drop"),
    ("component-resource-transfer-own", "resource-transfer-own"),
    ("component-resource-transfer-borrow", "resource-transfer-borrow"),
    ("component-prepare-call", "prepare-call"),
    ("component-sync-start-call", "sync-start-call"),
    ("component-async-start-call", "async-start-call"),
    ("future-transfer", "future-transfer"),
    ("stream-transfer", "stream-transfer"),
    ("error-context-transfer", "error-context-transfer"),
    ("trap", "trap"),
    ("enter-sync-call", "enter-sync-call"),
    ("exit-sync-call", "exit-sync-call"),
    ("thread-index", "thread.index"),
    ("thread-new-indirect", "thread.new-indirect"),
    ("thread-resume-later", "thread.resume-later"),
    ("thread-suspend", "thread.suspend"),
    ("thread-yield", "thread.yield"),
    ("thread-suspend-then-resume", "thread.suspend-then-resume"),
    ("thread-yield-then-resume", "thread.yield-then-resume"),
    ("thread-suspend-then-promote", "thread.suspend-then-promote"),
    ("thread-yield-then-promote", "thread.yield-then-promote"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_environ::component::{
        ComponentTypeIndex, FixedEncoding, LoweredIndex, OptionsIndex, RuntimeComponentInstanceIndex,
        RuntimeMemoryIndex, RuntimeTableIndex, Trampoline, Transcode, TypeComponentLocalErrorContextTableIndex,
        TypeFuncIndex, TypeFutureTableIndex, TypeResourceTableIndex, TypeStreamTableIndex, TypeTupleIndex,
    };

    /// Every trampoline that Wasmtime can emit. The match below has no wildcard, so that a new kind of trampoline
    /// stops this test from compiling.
    fn every_trampoline() -> Vec<Trampoline> {
        use Trampoline::*;
        let instance = RuntimeComponentInstanceIndex::from_u32(1);
        let options = OptionsIndex::from_u32(2);
        let stream = TypeStreamTableIndex::from_u32(3);
        let future = TypeFutureTableIndex::from_u32(3);
        let resource = TypeResourceTableIndex::from_u32(3);
        let error = TypeComponentLocalErrorContextTableIndex::from_u32(3);
        let memory = RuntimeMemoryIndex::from_u32(0);
        let mut all = vec![
            LowerImport { index: LoweredIndex::from_u32(12), lower_ty: TypeFuncIndex::from_u32(0), options },
            ResourceNew { instance, ty: resource },
            ResourceRep { instance, ty: resource },
            ResourceDrop { instance, ty: resource },
            BackpressureInc { instance },
            BackpressureDec { instance },
            TaskReturn { instance, results: TypeTupleIndex::from_u32(0), options },
            TaskCancel { instance },
            WaitableSetNew { instance },
            WaitableSetWait { instance, options },
            WaitableSetPoll { instance, options },
            WaitableSetDrop { instance },
            WaitableJoin { instance },
            SubtaskDrop { instance },
            SubtaskCancel { instance, async_: true },
            StreamNew { instance, ty: stream },
            StreamRead { instance, ty: stream, options },
            StreamWrite { instance, ty: stream, options },
            StreamCancelRead { instance, ty: stream, async_: true },
            StreamCancelWrite { instance, ty: stream, async_: true },
            StreamDropReadable { instance, ty: stream },
            StreamDropWritable { instance, ty: stream },
            FutureNew { instance, ty: future },
            FutureRead { instance, ty: future, options },
            FutureWrite { instance, ty: future, options },
            FutureCancelRead { instance, ty: future, async_: true },
            FutureCancelWrite { instance, ty: future, async_: true },
            FutureDropReadable { instance, ty: future },
            FutureDropWritable { instance, ty: future },
            ErrorContextNew { instance, ty: error, options },
            ErrorContextDebugMessage { instance, ty: error, options },
            ErrorContextDrop { instance, ty: error },
            ResourceTransferOwn,
            ResourceTransferBorrow,
            PrepareCall { memory: None },
            SyncStartCall { callback: None },
            AsyncStartCall { callback: None, post_return: None },
            FutureTransfer,
            StreamTransfer,
            ErrorContextTransfer,
            Trap,
            EnterSyncCall,
            ExitSyncCall,
            ThreadIndex { instance },
            ThreadNewIndirect {
                instance,
                start_func_ty_idx: ComponentTypeIndex::from_u32(0),
                start_func_table_idx: RuntimeTableIndex::from_u32(0),
            },
            ThreadResumeLater { instance },
            ThreadSuspend { instance, cancellable: true },
            ThreadYield { instance, cancellable: true },
            ThreadSuspendThenResume { instance, cancellable: true },
            ThreadYieldThenResume { instance, cancellable: true },
            ThreadSuspendThenPromote { instance, cancellable: true },
            ThreadYieldThenPromote { instance, cancellable: true },
        ];
        for op in every_transcode() {
            all.push(Transcoder { op, from: memory, from64: false, to: memory, to64: true });
        }
        for trampoline in &all {
            match trampoline {
                LowerImport { .. }
                | Transcoder { .. }
                | ResourceNew { .. }
                | ResourceRep { .. }
                | ResourceDrop { .. }
                | BackpressureInc { .. }
                | BackpressureDec { .. }
                | TaskReturn { .. }
                | TaskCancel { .. }
                | WaitableSetNew { .. }
                | WaitableSetWait { .. }
                | WaitableSetPoll { .. }
                | WaitableSetDrop { .. }
                | WaitableJoin { .. }
                | SubtaskDrop { .. }
                | SubtaskCancel { .. }
                | StreamNew { .. }
                | StreamRead { .. }
                | StreamWrite { .. }
                | StreamCancelRead { .. }
                | StreamCancelWrite { .. }
                | StreamDropReadable { .. }
                | StreamDropWritable { .. }
                | FutureNew { .. }
                | FutureRead { .. }
                | FutureWrite { .. }
                | FutureCancelRead { .. }
                | FutureCancelWrite { .. }
                | FutureDropReadable { .. }
                | FutureDropWritable { .. }
                | ErrorContextNew { .. }
                | ErrorContextDebugMessage { .. }
                | ErrorContextDrop { .. }
                | ResourceTransferOwn
                | ResourceTransferBorrow
                | PrepareCall { .. }
                | SyncStartCall { .. }
                | AsyncStartCall { .. }
                | FutureTransfer
                | StreamTransfer
                | ErrorContextTransfer
                | Trap
                | EnterSyncCall
                | ExitSyncCall
                | ThreadIndex { .. }
                | ThreadNewIndirect { .. }
                | ThreadResumeLater { .. }
                | ThreadSuspend { .. }
                | ThreadYield { .. }
                | ThreadSuspendThenResume { .. }
                | ThreadYieldThenResume { .. }
                | ThreadSuspendThenPromote { .. }
                | ThreadYieldThenPromote { .. } => {}
            }
        }
        all
    }

    fn every_transcode() -> [Transcode; 12] {
        use FixedEncoding::*;
        use Transcode::*;
        [
            Copy(Utf8),
            Copy(Utf16),
            Copy(Latin1),
            Latin1ToUtf16,
            Latin1ToUtf8,
            Utf16ToCompactProbablyUtf16,
            Utf16ToCompactUtf16,
            Utf16ToLatin1,
            Utf16ToUtf8,
            Utf8ToCompactUtf16,
            Utf8ToLatin1,
            Utf8ToUtf16,
        ]
    }

    #[test]
    fn every_trampoline_that_wasmtime_can_emit_is_understood() {
        let all = every_trampoline();
        assert_eq!(all.len(), 52 + 12);
        let mut names = std::collections::HashSet::new();
        for trampoline in all {
            let spelling = trampoline.symbol_name();
            for (abi, call) in [(Abi::Wasm, "wasm-call"), (Abi::Array, "array-call")] {
                let symbol = format!("component-trampolines[31]-{call}-{spelling}");
                let (index, parsed_abi, purpose) =
                    parse_component_trampoline(&symbol).unwrap_or_else(|| panic!("unknown spelling: {symbol}"));
                assert_eq!((index, parsed_abi), (31, abi), "{symbol}");
                names.insert(format!("{abi:?} {purpose:?}"));
            }
        }
        // No two trampolines are taken for the same thing.
        assert_eq!(names.len(), 2 * (52 + 12));
    }

    #[test]
    fn numbers_and_purposes_are_read() {
        let parse = |symbol| parse_component_trampoline(symbol).map(|(index, _, purpose)| (index, purpose));
        assert_eq!(
            parse("component-trampolines[7]-wasm-call-component-lower-import[3]"),
            Some((7, TrampolinePurpose::LowerImport(3)))
        );
        assert_eq!(
            parse("component-trampolines[0]-array-call-component-transcode-utf8_to_utf16-m32-m64"),
            Some((0, TrampolinePurpose::Transcode { conversion: "utf8 -> utf16" }))
        );
        assert_eq!(
            parse("component-trampolines[1]-wasm-call-component-resource-drop[9]"),
            Some((1, TrampolinePurpose::Resource { operation: ResourceOperation::Drop, table: 9 }))
        );
    }

    #[test]
    fn an_unknown_spelling_is_not_guessed() {
        for symbol in [
            "",
            "wasm[0]::function[1]::component-trampolines[1]-wasm-call-trap",
            "component-trampolines[x]-wasm-call-trap",
            "component-trampolines[1]-tail-call-trap",
            "component-trampolines[1]-wasm-call-teleport",
            "component-trampolines[1]-wasm-call-component-lower-import[",
            "component-trampolines[1]-wasm-call-component-transcode-utf7_to_utf8-m32-m32",
        ] {
            assert_eq!(parse_component_trampoline(symbol), None, "{symbol}");
        }
    }
}
