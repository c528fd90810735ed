async function handle({ url }) {
  await null;
  const { pathname } = new URL(url);
  const answer = pathname === '/report' ? report() : order(Number(pathname.split('/').at(-1)));
  return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } });
}

addEventListener('fetch', (event) => event.respondWith(handle(event.request)));
