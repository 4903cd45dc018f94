import { rmSync } from 'node:fs';
import { createLanceDbStore } from '../src/lancedb-store.ts';
import { lexicalDocument, lexicalText } from '../../vector-store/src/lexical-text.ts';
const D = Number(process.argv[2] ?? 384), N = Number(process.argv[3] ?? 20000);
const path = '/tmp/lance-bench';
rmSync(path, { recursive: true, force: true });
const store = await createLanceDbStore({ path, keepReplacedMs: 0 });
await store.ensureCollection('c', { model: 'm', revision: '1', dimensions: D, pooling: 'mean', normalize: true, prompts: { query: '', document: '' } });
const words = Array.from({ length: 8000 }, (_, i) => 'word' + i.toString(36));
const rnd = () => words[Math.floor(Math.pow(Math.random(), 3) * words.length)]!;
const mk = (i: number, by = 'run-a') => { const vector = new Float32Array(D); let n = 0; for (let j = 0; j < D; j++) { vector[j] = Math.random() - .5; n += vector[j]! ** 2; } n = Math.sqrt(n); for (let j = 0; j < D; j++) vector[j]! /= n; const text = Array.from({ length: 130 }, rnd).join(' '); const p = `src/a${i % 100}/f${i >> 3}.ts`; return { id: 'id' + i.toString().padStart(62, '0'), repo: 'repo' + (i % 20), path: p, language: 'typescript', symbol: 'Thing' + i, startLine: i, endLine: i + 20, text, lexicalText: lexicalDocument({ path: p, symbol: 'Thing' + i, text }), embeddedHash: 'h' + i.toString().padStart(63, '0'), addedBy: by, removedBy: null, vector }; };
const time = async (name: string, n: number, f: () => Promise<unknown>) => { const ts: number[] = []; await f(); const c0 = process.cpuUsage(); for (let i = 0; i < n; i++) { const s = performance.now(); await f(); ts.push(performance.now() - s); } const c = process.cpuUsage(c0); ts.sort((a, b) => a - b); console.log(name.padEnd(40), 'p50', ts[n >> 1]!.toFixed(2), 'p95', ts[Math.floor(n * .95)]!.toFixed(2), 'cpu', ((c.user + c.system) / 1000 / n).toFixed(2)); };
let i = 0;
const load = async (total: number, batch: number) => { let ms = 0; const all = []; const start = i; let cpu = 0; for (let k = 0; k < total; k += batch) { const rows = Array.from({ length: Math.min(batch, total - k) }, () => mk(i++)); const c0 = process.cpuUsage(); const s = performance.now(); await store.upsertRows('c', rows); ms += performance.now() - s; const c = process.cpuUsage(c0); cpu += (c.user + c.system) / 1000; } console.log(`upsert ${total} by ${batch}: ${(total / ms * 1000).toFixed(0)} rows/s, cpu ${(cpu / total * 1000).toFixed(1)} us/row`); };
await load(N / 2, 512); await load(N / 2, 2048);
const q = mk(0).vector; const filter = {};
const lq = lexicalText('word1a word2b word3 word99 wordab');
await time('dense fragments, no runs', 20, () => store.searchDense('c', q, { limit: 50, filter }));
await time('lexical unindexed', 5, () => store.searchLexical('c', lq, { limit: 50, filter }));
let s = performance.now(); await store.optimize('c'); console.log('optimize', (performance.now() - s).toFixed(0), 'size', ((await store.sizeBytes('c'))! / 1e6).toFixed(1));
const run = (id: string, state: any) => store.putRun({ id, collection: 'c', repo: 'r', state, commit: null, startedAt: '', finishedAt: null });
for (let k = 0; k < 3; k++) {
await time('dense, no runs', 40, () => store.searchDense('c', q, { limit: 50, filter }));
await time('lexical, no runs', 40, () => store.searchLexical('c', lq, { limit: 50, filter }));
if (k === 0) { await run('p1', 'pending'); await run('p2', 'pending'); await run('c1', 'committed'); await run('c2', 'committed'); await store.markRemoved('c', Array.from({ length: 500 }, (_, j) => mk(j * 7).id), 'c1'); await store.optimize('c'); }
await time('dense, 4 runs', 40, () => store.searchDense('c', q, { limit: 50, filter }));
await time('lexical, 4 runs', 40, () => store.searchLexical('c', lq, { limit: 50, filter }));
await time('dense, 4 runs, repo', 40, () => store.searchDense('c', q, { limit: 50, filter: { repo: ['repo3'] } }));
await time('dense, 4 runs, glob', 40, () => store.searchDense('c', q, { limit: 50, filter: { path: 'src/a1*/*.ts' } }));
await time('records (cached by version)', 200, () => store.listRuns('c'));
}
await time('records after a write', 20, async () => { await run('p1', 'pending'); });
await time('countByRepo cached', 20, () => store.countByRepo('c'));
await time('hash lookup 500', 10, () => store.vectorsByHash('c', Array.from({ length: 500 }, (_, j) => mk(j * 7).embeddedHash)));
await time('mark 100', 10, () => store.markRemoved('c', Array.from({ length: 100 }, (_, j) => mk(j * 3).id), 'c1'));
await time('read file', 20, () => store.readChunks('c', { repo: 'repo3', path: 'src/a3/f0.ts' }));
console.log(process.memoryUsage().rss / 1e6);
//await store.close();
{
  const s2 = await createLanceDbStore({ path: path });
  for (let k = 0; k < 10; k++) await s2.upsertRows('c', Array.from({ length: 500 }, () => mk(i++, 'p1')));
  await time('lexical, 5000 rows pending and unindexed', 10, () => s2.searchLexical('c', lq, { limit: 50, filter }));
  await time('dense, 5000 rows pending and unindexed', 10, () => s2.searchDense('c', q, { limit: 50, filter }));
  await s2.putRun({ id: 'p1', collection: 'c', repo: 'r', state: 'committed', commit: null, startedAt: '', finishedAt: null });
  await time('lexical, 5000 rows committed, unindexed', 10, () => s2.searchLexical('c', lq, { limit: 50, filter }));
  let s = performance.now(); await s2.optimize('c'); console.log('optimize', (performance.now() - s).toFixed(0));
  await time('lexical', 10, () => s2.searchLexical('c', lq, { limit: 50, filter }));
  await time('dense', 10, () => s2.searchDense('c', q, { limit: 50, filter }));
}
