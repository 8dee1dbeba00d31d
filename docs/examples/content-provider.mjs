// The other side of GENERATOR=http in 40 lines: scripts at once, media after a while, nothing made twice.
//   SECRET_KEY=$(openssl rand -hex 32) PORT=8090 node docs/examples/content-provider.mjs
import { createServer } from 'node:http';
import { jwtVerify } from 'jose';

const { PORT = '8090', SECRET_KEY = '', AUDIENCE = `http://127.0.0.1:${PORT}/generate`, SECONDS = '2' } = process.env;
const key = new TextEncoder().encode(SECRET_KEY);
const made = new Map(); // Idempotency-Key and content -> what was made. Yours is a database.

async function answer(request) {
  const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
  const options = { algorithms: ['HS256'], issuer: 'content-processor', audience: AUDIENCE };
  if (!(await jwtVerify(token, key, options).catch(() => null))) return [401, { title: 'bad signature' }];
  const { pathname } = new URL(request.url, AUDIENCE);
  if (pathname.startsWith('/status/')) return statusOf(decodeURIComponent(pathname.slice('/status/'.length)));
  if (pathname !== new URL(AUDIENCE).pathname) return [404, { title: 'not here' }];
  if (request.method === 'GET') return [200, { name: 'example provider' }];
  const asked = JSON.parse(Buffer.concat(await request.toArray()).toString());
  const id = `${request.headers['idempotency-key']}#${asked.content_sha256}`;
  if (asked.stage !== 'script') {
    if (!made.has(id)) made.set(id, { stage: asked.stage, ready: Date.now() + Number(SECONDS) * 1000 });
    return statusOf(id);
  }
  const script_text = `# ${asked.topic}\n\nA lesson for grade ${asked.grade_level ?? 'any'}.`;
  if (!made.has(id)) made.set(id, { script_text, offers: ['audio', 'video'], usage: { model: 'example' } });
  return [200, made.get(id)];
}

function statusOf(id) {
  const job = made.get(id);
  if (job === undefined) return [404, { title: 'no such job' }];
  if (Date.now() < job.ready) return [202, { status_url: `/status/${encodeURIComponent(id)}` }, { 'retry-after': '1' }];
  return [200, { url: `https://cdn.example/${job.stage}`, thumbnail_url: 'https://cdn.example/thumbnail.jpg' }];
}

createServer(async (request, response) => {
  const [status, body, headers] = await answer(request).catch((error) => [500, { title: String(error) }]);
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(body));
}).listen(Number(PORT), '127.0.0.1', () => console.log(`content provider on ${AUDIENCE}`));
