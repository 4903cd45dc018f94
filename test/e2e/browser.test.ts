import { eventually } from '@embergate/testing/eventually.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import sparticuz, { inflate } from '@sparticuz/chromium';
import { access, constants, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type LaunchOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** A name that its owner has pointed at 127.0.0.1. */
const REBOUND = 'rebound.example';
const QUERY = '{"query":"retry with backoff"}';
const JSON_TYPE = '{"content-type":"application/json"}';

/** What an evil page runs, as source: `gateway` is the URL of the local gateway, `project` a folder of this machine. */
const ATTACKS: [what: string, script: string][] = [
  [
    'a search as JSON',
    `fetch(gateway + '/v1/search', { method: 'POST', headers: ${JSON_TYPE}, body: '${QUERY}' })`,
  ],
  [
    'a search as plain text, which needs nobody’s leave to be sent',
    `fetch(gateway + '/v1/search', { method: 'POST', mode: 'no-cors', body: '${QUERY}' })`,
  ],
  [
    'an index job as plain text',
    `fetch(gateway + '/v1/index-jobs', { method: 'POST', mode: 'no-cors', body: JSON.stringify({ source: { type: 'directory', path: project } }) })`,
  ],
  [
    'an index job without any type',
    `fetch(gateway + '/v1/index-jobs', { method: 'POST', mode: 'no-cors', body: new Blob([JSON.stringify({ source: { type: 'directory', path: project } })]) })`,
  ],
  ['the list of collections', `fetch(gateway + '/v1/collections')`],
  ['the list of collections, unread', `fetch(gateway + '/v1/collections', { mode: 'no-cors' })`],
  ['the end of a collection', `fetch(gateway + '/v1/collections/default', { method: 'DELETE' })`],
  [
    'a form that posts a search',
    `new Promise((sent) => {
      document.body.innerHTML = '<iframe name="hidden"></iframe><form method="post" enctype="text/plain" target="hidden"><input></form>';
      const form = document.querySelector('form');
      form.action = gateway + '/v1/search';
      form.querySelector('input').name = '{"query":"retry","mode":"';
      form.querySelector('input').value = 'lexical"}';
      document.querySelector('iframe').onload = ({ target }) => sent(target.contentDocument ?? 'unreadable');
      form.submit();
    }).then((seen) => seen === 'unreadable' ? Promise.reject() : seen.body.innerText)`,
  ],
  [
    'the stream of cluster events',
    `new Promise((open, refused) => {
      const events = new EventSource(gateway + '/v1/cluster/events');
      events.addEventListener('cluster', ({ data }) => open(data));
      events.onerror = refused;
    })`,
  ],
  [
    'a WebSocket',
    `new Promise((open, refused) => Object.assign(new WebSocket(gateway.replace('http', 'ws') + '/v1/cluster/events'), { onopen: () => open('open'), onerror: refused }))`,
  ],
  [
    'a script tag',
    `new Promise((done, refused) => document.head.append(Object.assign(document.createElement('script'), { src: gateway + '/v1/collections', onload: () => done('ran'), onerror: refused })))`,
  ],
  [
    'a search out of a sandboxed frame, whose origin is null',
    `new Promise((done) => {
      onmessage = ({ data }) => done(data);
      const script = 'fetch("' + gateway + '/v1/search", { method: "POST", headers: ${JSON_TYPE.replaceAll('"', '\\"')}, body: JSON.stringify({ query: "a" }) }).then((r) => r.text()).catch(() => "").then((text) => parent.postMessage(text, "*"))';
      document.body.append(Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts', srcdoc: '<script>' + script + '</scr' + 'ipt>' }));
    })`,
  ],
];

describe('a page in the user’s browser and the gateway on the user’s machine', () => {
  let project: { path: string; remove: () => Promise<void> };
  let unpacked: { path: string; remove: () => Promise<void> };
  let embergate: RunningEmbergate;
  let browser: Browser;
  let evil: Server;

  beforeAll(async () => {
    project = await temporaryFolder('project');
    unpacked = await temporaryFolder('chromium');
    await writeFiles(project.path, SAMPLE_FILES);
    embergate = await RunningEmbergate.start({ source: project.path });
    evil = createServer((_request, response) =>
      response.setHeader('content-type', 'text/html').end('<title>evil</title><body></body>'),
    );
    await new Promise<void>((resolve) => evil.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch(await launchOptions(unpacked.path));
  });

  afterAll(async () => {
    await browser?.close();
    evil?.close();
    await embergate?.dispose();
    await unpacked?.remove();
    await project?.remove();
  });

  /** What a page learns from a script: the text of what it got, or `nothing`. */
  const learn = (page: Page, script: string): Promise<string> =>
    page.evaluate<string>(`(async (gateway, project) => {
      const got = await (${script});
      return got instanceof Response ? got.text() : got;
    })(${JSON.stringify(embergate.url)}, ${JSON.stringify(project.path)}).catch(() => '').then((text) => text || 'nothing')`);

  async function refusals(): Promise<number> {
    const log = await readFile(join(embergate.dataDir, 'logs', 'gateway.log'), 'utf8');
    return log.match(/"code":"forbidden_(origin|host)"/g)?.length ?? 0;
  }

  async function state(): Promise<unknown> {
    const { client } = embergate;
    const [jobs, collections] = await Promise.all([client.indexJobs(), client.collections()]);
    return {
      jobs: jobs.map(({ id }) => id),
      chunks: collections.data.map(({ name, chunks }) => [name, chunks]),
    };
  }

  async function pageAt(host: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(`http://${host}:${(evil.address() as AddressInfo).port}/`);
    return page;
  }

  it.each(ATTACKS)(
    '%s, asked for by a page of another port or another site: refused',
    async (_what, script) => {
      const before = await state();
      for (const host of ['127.0.0.1', 'evil.localhost']) {
        const page = await pageAt(host);
        const refused = await refusals();
        expect(await learn(page, script)).toBe('nothing');
        // It was the gateway that said no; the browser alone would not have kept all of these from arriving.
        await eventually('the gateway refuses it', async () => (await refusals()) > refused, 5_000);
        await page.close();
      }
      expect(await state()).toEqual(before);
    },
  );

  it('a page whose name was rebound to this machine: refused, though the browser takes it for the same origin', async () => {
    const page = await browser.newPage();
    await page.goto(`http://${REBOUND}:${new URL(embergate.url).port}/livez`);
    const search = `fetch('/v1/search', { method: 'POST', headers: ${JSON_TYPE}, body: '${QUERY}' })`;
    for (const script of [search, `fetch('/v1/collections')`]) {
      const got = JSON.parse(await learn(page, script)) as unknown;
      expect(got).toMatchObject({ status: 403, code: 'forbidden_host' });
    }
    await page.close();
  });

  it.each(['127.0.0.1', 'localhost'])('the gateway’s own page at %s can search and watch', async (host) => {
    const page = await browser.newPage();
    await page.goto(`http://${host}:${new URL(embergate.url).port}/livez`);
    const search = `fetch('/v1/search', { method: 'POST', headers: ${JSON_TYPE}, body: '${QUERY}' })`;
    const answer = JSON.parse(await learn(page, search)) as { results: { path: string }[] };
    expect(answer.results[0]?.path).toBe('src/retry.ts');
    const watch = `new Promise((done, failed) => Object.assign(new EventSource('/v1/cluster/events'), { onerror: failed }).addEventListener('cluster', (event) => { event.target.close(); done(event.data); }))`;
    expect(JSON.parse(await learn(page, watch))).toMatchObject({ tiers: [{ name: 'cpu', state: 'ready' }] });
    await page.close();
  });
});

/** The machine's own Chromium, or the one from npm, unpacked with the libraries that it needs. */
async function launchOptions(folder: string): Promise<LaunchOptions> {
  const args = [
    '--no-sandbox', // as root, and in a container, there is none
    '--no-proxy-server',
    `--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`,
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
    '--disable-gpu',
    '--disable-quic',
  ];
  for (const place of (process.env['PATH'] ?? '').split(delimiter)) {
    const executablePath = join(place, 'chromium');
    const found = await access(executablePath, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return { executablePath, args };
  }
  // The package unpacks into the system's temporary folder, and would take what an interrupted run left there for whole.
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
  try {
    const executablePath = await sparticuz.executablePath();
    const bin = new URL('../bin/', import.meta.resolve('@sparticuz/chromium'));
    const libraries = await inflate(fileURLToPath(new URL('al2023.tar.br', bin)));
    return { executablePath, args, env: { ...process.env, LD_LIBRARY_PATH: join(libraries, 'lib') } };
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
}
