import * as lancedb from '@lancedb/lancedb';
import { rmSync } from 'node:fs';
import { chunkSchema, toArrowTable } from '../src/rows.ts';
const D = 32;
const mk = (i: number) => { const vector = new Float32Array(D); for (let j = 0; j < D; j++) vector[j] = Math.random(); const h = (i * 2654435761 % 4294967296).toString(16).padStart(8, '0').repeat(8); return { id: h, repo: 'repo' + (i % 20), path: `src/a${i % 100}/f${i >> 3}.ts`, language: 'typescript', symbol: '', startLine: i, endLine: i + 20, text: 'x'.repeat(300), lexicalText: 'w' + i, embeddedHash: h, addedBy: 'run' + (i >> 14), removedBy: null, vector }; };
for (const mode of ['none', 'btree']) {
  const path = '/tmp/lance-idx-' + mode; rmSync(path, { recursive: true, force: true });
  const db = await lancedb.connect(path, { readConsistencyInterval: 0 });
  const t = await db.createEmptyTable('t', chunkSchema({ name: 't', createdAt: '', space: { dimensions: D } as never }));
  for (const c of ['addedBy', 'removedBy', 'repo', 'language']) await t.createIndex(c, { config: lancedb.Index.bitmap() });
  if (mode === 'btree') for (const c of ['id', 'embeddedHash']) await t.createIndex(c, { config: lancedb.Index.btree() });
  let i = 0;
  const up = async (n: number, b: number) => { const c0 = process.cpuUsage(); let s = 0; for (let k = 0; k < n; k += b) { const data = toArrowTable(Array.from({ length: b }, () => mk(i++)), D); const st = performance.now(); await t.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data as never); s += performance.now() - st; } const c = process.cpuUsage(c0); return `${(n / s * 1000).toFixed(0)} rows/s cpu ${((c.user + c.system) / n).toFixed(0)}us/row`; };
  console.log(mode, 'empty', await up(20480, 512));
  let s = performance.now(); await t.optimize({ cleanupOlderThan: new Date() }); console.log('optimize', (performance.now() - s).toFixed(0));
  await up(81920, 8192);
  s = performance.now(); await t.optimize({ cleanupOlderThan: new Date() }); console.log('optimize', (performance.now() - s).toFixed(0));
  console.log(mode, 'at 100k', await up(10240, 512));
  const hashes = Array.from({ length: 500 }, (_, k) => mk(k * 200).id);
  const lookup = async () => { for await (const b of t.query().where(`embeddedHash IN (${hashes.map((h) => `'${h}'`).join(',')})`).select(['embeddedHash', 'vector'])) void b; };
  await lookup(); s = performance.now(); for (let k = 0; k < 10; k++) await lookup(); console.log('lookup 500', ((performance.now() - s) / 10).toFixed(1));
  s = performance.now(); for (let k = 0; k < 5; k++) await t.update({ where: `id IN (${hashes.map((h) => `'${h}'`).join(',')})`, values: { removedBy: 'x' } }); console.log('mark 500', ((performance.now() - s) / 5).toFixed(1));
  const one = async () => { await t.query().where(`id = '${hashes[7]}'`).select(['id', 'text']).toArray(); };
  await one(); s = performance.now(); for (let k = 0; k < 20; k++) await one(); console.log('read id', ((performance.now() - s) / 20).toFixed(2));
  const dup = await t.countRows(); console.log('rows', dup, i);
}
