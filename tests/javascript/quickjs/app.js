
// componentize-qjs has no `console`.
import stdout from 'wasi:cli/stdout@0.3.0';
const console = {
  log(text) {
    const { readable, writable } = wit.Stream(wit.Stream.U8);
    stdout.writeViaStream(readable).drop();
    writable.writeAll(Uint8Array.from(`${text}\n`, (char) => char.charCodeAt(0))).then(() => writable.drop());
  },
};
