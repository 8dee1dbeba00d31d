// The other side of GENERATOR=http in 40 lines: scripts at once, media after a while, nothing made twice.
// SECRET_KEY=$(openssl rand -hex 32) node docs/examples/content-provider.mjs; AUDIENCE is the other's GENERATOR_URL.
import { createServer } from 'node:http';
import { jwtVerify } from 'jose';

const { PORT = '8090', SECRET_KEY = '', AUDIENCE = `http://127.0.0.1:${PORT}/generate`, SECONDS = '2' } = process.env;
if (SECRET_KEY === '') throw new Error('set SECRET_KEY');
const made = new Map(); // Idempotency-Key and content -> what was made. Yours is a database.
const expected = { algorithms: ['HS256'], issuer: 'content-processor', audience: AUDIENCE };

async function answer({ headers, method, url }, body) {
  const token = headers.authorization?.replace('Bearer ', '') ?? '';
  const refused = await jwtVerify(token, new TextEncoder().encode(SECRET_KEY), expected).catch(
    ({ message }) => message,
  );
  if (typeof refused === 'string') return [401, { title: 'signature refused', detail: refused }];
  const { pathname } = new URL(url, AUDIENCE);
  if (pathname.startsWith('/status/')) return statusOf(decodeURIComponent(pathname.slice('/status/'.length)));
  if (pathname !== new URL(AUDIENCE).pathname) return [404, { title: 'not here' }];
  if (method === 'GET') return [200, { name: 'example provider' }];
  const { stage, topic, content_sha256 } = JSON.parse(body);
  const id = `${headers['idempotency-key']}#${content_sha256}`;
  const job = { stage, ready: Date.now() + SECONDS * 1000, script_text: `# ${topic}`, offers: ['audio', 'video'] };
  if (!made.has(id)) made.set(id, job);
  return stage === 'script' ? [200, made.get(id)] : statusOf(id);
}

function statusOf(id) {
  const job = made.get(id);
  if (job === undefined) return [404, { title: 'no such job' }];
  if (Date.now() < job.ready) return [202, { status_url: `/status/${encodeURIComponent(id)}` }, { 'retry-after': '1' }];
  return [200, { url: `https://cdn.example/${job.stage}`, thumbnail_url: 'https://cdn.example/thumbnail.jpg' }];
}

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  const [status, json, headers] = await answer(request, body).catch(({ message }) => [500, { title: message }]);
  const type = `application/${status < 400 ? '' : 'problem+'}json`;
  response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(json));
}).listen(Number(PORT), '127.0.0.1', () => console.log(`content provider on ${AUDIENCE}`));
