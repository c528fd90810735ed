//! Frames, functions and stacks.

use super::contents::{Tables, ThreadContents};
use super::document::FramesJson;
use super::reader::Reader;
use crate::address::{CodePoint, TextOffset, WasmOffset};
use crate::profile::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LibraryIndex, ProfileFunction, ProfileLibrary, SourceLine, Stack,
    StackIndex,
};
use crate::symbols::{Direction, FunctionKind, Layer};

/// What tells one function from another: its library, its name, the address of its symbol, and whether it is inlined.
pub(super) type FunctionKey<'d> = (LibraryIndex, &'d str, Option<u32>, bool);

/// By row of a table of stacks: the stack in the profile's own table, if a sample needs it.
pub(super) type Stacks = Vec<Option<StackIndex>>;

impl<'d> Reader<'d> {
    /// The stacks of `threads`, by set of tables.
    pub(super) fn all_stacks(&mut self, threads: &[(usize, &ThreadContents)]) -> Result<Vec<Stacks>, String> {
        let contents = self.contents;
        let mut needed: Vec<Option<Vec<bool>>> = vec![None; contents.tables.len()];
        for (_, thread) in threads {
            let rows = contents.tables[thread.tables].callers.len();
            let needed = needed[thread.tables].get_or_insert_with(|| vec![false; rows]);
            for stack in thread.samples.stack.iter().flatten() {
                if let Some(needed) = needed.get_mut(*stack as usize) {
                    *needed = true;
                }
            }
        }
        let mut stacks = Vec::with_capacity(needed.len());
        for (place, needed) in needed.into_iter().enumerate() {
            // Tables that are shared may have stacks of threads that are left out.
            let made = needed.map_or(Ok(Stacks::new()), |needed| self.stacks(&contents.tables[place], needed));
            stacks.push(made.map_err(|problem| match contents.tables.len() == contents.threads.len() {
                true => format!("in thread {place} (`{}`), {problem}", contents.threads[place].name),
                false => format!("in `shared`, {problem}"),
            })?);
        }
        Ok(stacks)
    }

    /// The stacks that are `needed`, and their callers.
    fn stacks(&mut self, tables: &'d Tables, mut needed: Vec<bool>) -> Result<Stacks, String> {
        if tables.callers.len() != tables.frame_of_stack.len() {
            return Err("the columns of its stacks have different lengths".to_owned());
        }
        for (row, caller) in tables.callers.iter().enumerate().rev() {
            let Some(caller) = *caller else { continue };
            // A stack comes after its caller, so there are no circles.
            if caller as usize >= row {
                return Err(format!("stack {row} has a caller that is not before it"));
            }
            needed[caller as usize] |= needed[row];
        }
        let mut frames: Vec<Option<FrameIndex>> = vec![None; tables.frames.func.len()];
        let mut stacks: Stacks = vec![None; needed.len()];
        for row in (0..needed.len()).filter(|row| needed[*row]) {
            let frame = tables.frame_of_stack[row] as usize;
            let known = frames.get(frame).ok_or_else(|| format!("stack {row} has a frame that does not exist"))?;
            let frame_index = match known {
                Some(known) => *known,
                None => {
                    let made = self.frame(tables, frame)?;
                    frames[frame] = Some(made);
                    made
                }
            };
            // The caller is needed too.
            let caller = tables.callers[row].and_then(|caller| stacks[caller as usize]);
            let (stack, _) = self.stacks.insert_full(Stack { caller, frame: frame_index });
            stacks[row] = Some(StackIndex(u32::try_from(stack).map_err(|_| "it has too many stacks".to_owned())?));
        }
        Ok(stacks)
    }

    fn frame(&mut self, tables: &'d Tables, row: usize) -> Result<FrameIndex, String> {
        let problem = |what: &str| format!("frame {row} has {what}");
        let table = &tables.frames;
        let row_of_function = *table.func.get(row).ok_or_else(|| problem("no function"))? as usize;
        let name = *tables.names.get(row_of_function).ok_or_else(|| problem("a function that does not exist"))?;
        let strings = tables.strings.as_ref().unwrap_or(&self.contents.strings);
        let name = strings.get(name as usize).ok_or_else(|| problem("a name that does not exist"))?;
        let library = tables.library(row, row_of_function).filter(|library| *library < self.libraries.len());
        let symbol = table.native_symbol.get(row).copied().flatten().map(|symbol| symbol as usize);
        let symbol_at = symbol.and_then(|symbol| tables.symbols.address.get(symbol).copied());
        let symbol_at = symbol_at.and_then(|address| u32::try_from(address).ok());
        let size = symbol.and_then(|symbol| tables.symbols.function_size.get(symbol).copied().flatten());
        let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        let address = table.address.get(row).copied().flatten().and_then(|address| u32::try_from(address).ok());

        let library_index = match library {
            Some(library) => self.libraries[library],
            None => self.library_of_labels(),
        };
        let own = library.and_then(|library| self.own[library]);
        // Its symbol is that of the function that it was put into.
        let is_inlined = table.inline_depth.get(row).copied().flatten().is_some_and(|depth| depth > 0);
        let is_inlined = is_inlined && self.library_rows[library_index.index()].layer == Layer::Guest;
        let key: FunctionKey<'d> = (library_index, name, symbol_at.filter(|_| !is_inlined), is_inlined);
        if !self.functions.contains_key(&key) {
            let function = if is_inlined {
                ProfileFunction::without_interface(name.clone(), library_index, FunctionKind::Inlined)
            } else {
                let function = self.function(name, library_index, own, symbol_at, size);
                let line = tables.lines.get(row_of_function).copied().flatten();
                ProfileFunction { first_line: line.filter(|_| function.kind == FunctionKind::Script), ..function }
            };
            self.functions.insert(key, function);
        }
        let function = self.functions.get_index_of(&key).unwrap_or(0);
        let function = FunctionIndex(u32::try_from(function).map_err(|_| "it has too many functions".to_owned())?);
        let file = tables.files.get(row_of_function).copied().flatten();
        let source = match file.and_then(|file| strings.get(file as usize)) {
            Some(file) => self.source(table, row, function, file),
            None => None,
        };
        // The address of a caller is that of its call already.
        let point = CodePoint::InstructionPointer(TextOffset::new(address.or(symbol_at).unwrap_or(0)));
        let at = own.zip(address);
        let instruction = at.and_then(|at| self.instructions.get(&at)).copied().map(WasmOffset::new);
        let (frame, _) = self.frames.insert_full(Frame { function, point, instruction, source });
        Ok(FrameIndex(u32::try_from(frame).map_err(|_| "it has too many frames".to_owned())?))
    }

    /// The line of a frame, in a file that is its function's.
    fn source(&mut self, table: &FramesJson, row: usize, function: FunctionIndex, file: &str) -> Option<SourceLine> {
        let index = match self.files.get_index_of(file) {
            Some(index) => index,
            None => self.files.insert_full(file.to_owned()).0,
        };
        let file = FileIndex(u32::try_from(index).unwrap_or(u32::MAX));
        if let Some((_, function)) = self.functions.get_index_mut(function.index()) {
            function.file.get_or_insert(file);
        }
        let line = table.line.get(row).copied().flatten().filter(|line| *line > 0)?;
        Some(SourceLine { file, line, column: table.column.get(row).copied().flatten().filter(|column| *column > 0) })
    }

    fn function(
        &self,
        name: &str,
        library: LibraryIndex,
        own: Option<u32>,
        address: Option<u32>,
        size: u32,
    ) -> ProfileFunction {
        let kind = match self.library_rows[library.index()].layer {
            Layer::Host => FunctionKind::Host,
            _ => FunctionKind::Guest,
        };
        let mut function = ProfileFunction {
            offset: address.unwrap_or(0),
            size,
            ..ProfileFunction::without_interface(name.to_owned(), library, kind)
        };
        let known = own.zip(address).and_then(|key| self.known.get(&key));
        let Some((meta, row)) = self.meta.zip(known) else { return function };
        function.ends = self.ends.get(row).cloned().unwrap_or_default();
        let row = &meta.functions[*row];
        let string = |index: Option<u32>| meta.strings.get(index? as usize).cloned();
        function.kind = FunctionKind::ALL.iter().copied().find(|kind| kind.name() == row.2).unwrap_or(kind);
        function.interface = string(row.3);
        function.interface_function = string(row.4);
        let direction = |name: &String| Direction::ALL.iter().copied().find(|direction| direction.name() == name);
        function.direction = row.5.as_ref().and_then(direction);
        function
    }

    /// The library of frames that have none.
    fn library_of_labels(&mut self) -> LibraryIndex {
        const NAME: &str = "(no library)";
        if let Some(known) = self.labels {
            return known;
        }
        let row = ProfileLibrary { name: NAME.to_owned(), layer: Layer::Host, component: None };
        let library = self.add_library(row);
        self.labels = Some(library);
        library
    }
}
