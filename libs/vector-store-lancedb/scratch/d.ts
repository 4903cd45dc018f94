import * as lancedb from '@lancedb/lancedb';
import { Schema, Field, Utf8, FixedSizeList, Float32, Int32, Table, makeData, vectorFromArray, RecordBatch, Struct, Data, Vector, makeTable, tableFromArrays } from 'apache-arrow';
import { rmSync, readdirSync } from 'node:fs';
const path = '/tmp/lance-d';
rmSync(path, { recursive: true, force: true });
const db = await lancedb.connect(path, { readConsistencyInterval: 0 });
const D = 384;
const pk = new Map([['lance-schema:unenforced-primary-key', 'true']]);
const s = new Schema([
  new Field('id', new Utf8(), false, pk), new Field('repo', new Utf8(), false), new Field('path', new Utf8(), false), new Field('text', new Utf8(), false),
  new Field('lexicalText', new Utf8(), false), new Field('embeddedHash', new Utf8(), false), new Field('addedBy', new Utf8(), false), new Field('removedBy', new Utf8(), true),
  new Field('startLine', new Int32(), false), new Field('vector', new FixedSizeList(D, new Field('item', new Float32(), true)), false),
]);
const words = Array.from({ length: 5000 }, (_, i) => 'w' + i.toString(36));
const rnd = () => words[Math.floor(Math.pow(Math.random(), 3) * words.length)]!;
const mk = (i: number) => { const v = new Float32Array(D); for (let j = 0; j < D; j++) v[j] = Math.random() - .5; return { id: 'id' + i.toString().padStart(40, '0'), repo: 'r' + (i % 20), path: `src/a${i % 100}/f${i}.ts`, text: Array.from({ length: 120 }, rnd).join(' '), lexicalText: Array.from({ length: 100 }, rnd).join(' '), embeddedHash: 'h' + i.toString().padStart(63, '0'), addedBy: 'run' + (i % 5), removedBy: i % 10 ? null : 'runx', startLine: i, vector: v }; };
const toTable = (rows: ReturnType<typeof mk>[]) => {
  const cols = s.fields.map((f) => {
    if (f.name === 'vector') { const flat = new Float32Array(rows.length * D); rows.forEach((r, i) => flat.set(r.vector, i * D)); const child = makeData({ type: new Float32(), data: flat, length: flat.length, nullCount: 0 }); return makeData({ type: f.type as FixedSizeList, length: rows.length, nullCount: 0, child }); }
    return vectorFromArray(rows.map((r) => (r as any)[f.name]), f.type).data[0]!;
  });
  return new Table(s, new RecordBatch(s, makeData({ type: new Struct(s.fields), length: rows.length, nullCount: 0, children: cols as any })));
};
const t = async (name: string, n: number, f: () => Promise<unknown>) => {
  const times: number[] = []; const cpu0 = process.cpuUsage();
  for (let i = 0; i < n; i++) { const st = performance.now(); await f(); times.push(performance.now() - st); }
  const c = process.cpuUsage(cpu0); times.sort((a, b) => a - b);
  console.log(name, 'p50', times[n >> 1]!.toFixed(2), 'max', times[n - 1]!.toFixed(2), 'cpu ms each', ((c.user + c.system) / 1000 / n).toFixed(2));
};
const table = await db.createEmptyTable('c', s, { mode: 'create' });
console.log('pk', (await table.schema()).fields[0]!.metadata);
let i = 0;
const load = async (total: number, batch: number) => {
  let conv = 0, merge = 0; const cpu0 = process.cpuUsage();
  for (let k = 0; k < total; k += batch) { const rows = Array.from({ length: batch }, () => mk(i++)); let st = performance.now(); const a = toTable(rows); conv += performance.now() - st; st = performance.now(); await table.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(a as any); merge += performance.now() - st; }
  const c = process.cpuUsage(cpu0);
  console.log(`load ${total} by ${batch}: conv ${conv.toFixed(0)} merge ${merge.toFixed(0)} ms, cpu ${((c.user + c.system) / 1000).toFixed(0)}, rows/s ${(total / (conv + merge) * 1000).toFixed(0)}`);
};
const q = mk(0).vector;
const cols = ['id', 'repo', 'path', 'text', 'startLine', '_distance'];
const vis = "addedBy NOT IN ('p1','p2') AND (removedBy IS NULL OR removedBy NOT IN ('runx'))";
const dense = (w?: string) => async () => { let x = table.vectorSearch(q).distanceType('cosine').limit(50).select(cols); if (w) x = x.where(w); return x.toArray(); };
const lex = (w?: string) => async () => { let x = table.query().fullTextSearch(new lancedb.MatchQuery('w1a w2b w3 w99 wab', 'lexicalText')).limit(50).select(['id', 'repo', 'path', 'text', 'startLine', '_score']); if (w) x = x.where(w); return x.toArray(); };
await load(8192, 512);
await load(12288, 2048);
await t('dense frags', 20, dense()); await t('dense frags vis', 20, dense(vis));
let st = performance.now();
try { console.log('lex no index', (await lex()()).length); } catch (e) { console.log((e as Error).message.slice(0, 200)); }
await table.createIndex('lexicalText', { config: lancedb.Index.fts({ baseTokenizer: 'whitespace', withPosition: false, stem: false, removeStopWords: false, lowercase: false, asciiFolding: false, maxTokenLength: 64 }) });
console.log('fts build', (performance.now() - st).toFixed(0)); st = performance.now();
await t('lex', 20, lex()); await t('lex vis', 20, lex(vis));
await load(2048, 512);
await t('lex tail 2048', 20, lex()); await t('lex tail vis', 20, lex(vis));
st = performance.now(); console.log(await table.optimize({ cleanupOlderThan: new Date() })); console.log('optimize', (performance.now() - st).toFixed(0));
await t('lex', 20, lex()); await t('lex vis', 20, lex(vis));
await t('dense', 20, dense()); await t('dense vis', 20, dense(vis));
await t('dense vis repo', 20, dense(vis + " AND repo IN ('r3')"));
await t('dense vis path re', 20, dense(vis + " AND regexp_like(path, '^src/a1[0-9]?/[^/]*\\.ts$')"));
await t('dense vis path like', 20, dense(vis + " AND path LIKE 'src/a1/%'"));
await t('hash lookup 500', 10, () => table.query().where(`embeddedHash IN (${Array.from({ length: 500 }, (_, k) => `'h${(k * 7).toString().padStart(63, '0')}'`).join(',')})`).select(['embeddedHash', 'vector']).toArray());
await t('mark 500', 5, () => table.update({ where: `id IN (${Array.from({ length: 500 }, (_, k) => `'id${(k * 7).toString().padStart(40, '0')}'`).join(',')})`, values: { removedBy: 'rr' } }));
await t('dense vis after marks', 20, dense(vis));
for (const c of ['id', 'embeddedHash']) { st = performance.now(); await table.createIndex(c, { config: lancedb.Index.btree() }); console.log('btree', c, (performance.now() - st).toFixed(0)); }
await load(4096, 512); await load(4096, 2048);
await t('hash lookup 500 btree', 10, () => table.query().where(`embeddedHash IN (${Array.from({ length: 500 }, (_, k) => `'h${(k * 7).toString().padStart(63, '0')}'`).join(',')})`).select(['embeddedHash', 'vector']).toArray());
await t('mark 500 btree', 5, () => table.update({ where: `id IN (${Array.from({ length: 500 }, (_, k) => `'id${(k * 7).toString().padStart(40, '0')}'`).join(',')})`, values: { removedBy: 'rr' } }));
for (const c of ['repo', 'addedBy', 'removedBy']) { await table.createIndex(c, { config: lancedb.Index.bitmap() }); }
await t('dense vis bitmap', 20, dense(vis)); await t('dense vis repo bitmap', 20, dense(vis + " AND repo IN ('r3')"));
console.log(await table.listIndices());
