async function handle(pathname) {
  await null;
  return pathname === '/report' ? report() : order(Number(pathname.split('/').at(-1)));
}

// componentize-qjs has neither `fetch` events nor `URL` nor `TextEncoder`.

import { Fields, Response } from 'wasi:http/types@0.3.0';

const encode = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));

export const handler = {
  async handle(request) {
    const pathname = request.getPathWithQuery().split('?')[0];
    request[Symbol.dispose]();
    const text = encode(JSON.stringify(await handle(pathname)));
    const { readable, writable } = wit.Stream(wit.Stream.U8);
    const trailers = wit.Future(wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
    const fields = Fields.fromList([['content-type', encode('application/json')]]);
    const [response, sent] = Response.new(fields, readable, trailers.readable);
    sent.drop();
    writable.writeAll(text).then(() => writable.drop());
    trailers.writable.write({ tag: 'ok', val: null });
    return response;
  },
};
