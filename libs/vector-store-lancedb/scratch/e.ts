import * as lancedb from '@lancedb/lancedb';
import { Schema, Field, Utf8, FixedSizeList, Float32 } from 'apache-arrow';
import { rmSync } from 'node:fs';
import { parsePathGlob, pathGlobRegex } from '../../vector-store/src/path-glob.ts';
const path = '/tmp/lance-e';
rmSync(path, { recursive: true, force: true });
const db = await lancedb.connect(path, { readConsistencyInterval: 0 });
const db2 = await lancedb.connect(path, { readConsistencyInterval: 0 });
const pk = new Map([['lance-schema:unenforced-primary-key', 'true']]);
const s = (n: number) => new Schema([new Field('id', new Utf8(), false, pk), new Field('text', new Utf8(), false), new Field('removedBy', new Utf8(), true), new Field('vector', new FixedSizeList(n, new Field('item', new Float32(), true)), false)], new Map([['stamp', String(n)]]));
const mk = async (n: number) => { const t = await db.createEmptyTable('t', s(n)); await t.createIndex('text', { config: lancedb.Index.fts({ baseTokenizer: 'whitespace', withPosition: false, stem: false, removeStopWords: false, lowercase: false, asciiFolding: false, maxTokenLength: 64 }) }); return t; };
const t = await mk(4);
console.log('indices on empty', (await t.listIndices()).map((i) => i.name));
const hostile = ["it's", "'; DROP TABLE t; --", 'a"b', 'a`b', 'back\\slash', "\\'", "a''b", 'new\nline', '🙂', '%_', '\u0001ctl', "' OR '1'='1", '\ud800lone', '$1', '{x}', '--', '/*', 'e\u0301', '', ' ', '\\n', "x'41'"];
const put = (t: lancedb.Table, rows: Record<string, unknown>[]) => t.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows);
await put(t, hostile.map((h, i) => ({ id: h, text: 'running the ' + 'w' + i + ' ' + 'X-y.z', removedBy: null, vector: [1, i, 0, 0] })));
const lit = (v: string) => `'${v.replaceAll("'", "''")}'`;
for (const h of hostile) { const r = await t.query().where(`id IN (${lit(h)})`).select(['id']).toArray(); if (r.length !== 1 || r[0].id !== h) console.log('BAD', JSON.stringify(h), r.length, r[0] && JSON.stringify(r[0].id)); }
console.log(await t.countRows());
const f = async (q: string) => (await t.query().fullTextSearch(new lancedb.MatchQuery(q, 'text')).limit(5).select(['id', '_score']).toArray()).length;
console.log('fts tail (before optimise): run', await f('run'), 'running', await f('running'), 'w3', await f('w3'), 'X-y.z', await f('X-y.z'), 'y', await f('y'), 'the', await f('the'), 'empty', await f(' ').catch((e) => e.message.slice(0, 100)));
await t.optimize({ cleanupOlderThan: new Date(0) });
console.log('fts after: run', await f('run'), 'running', await f('running'), 'w3', await f('w3'), 'X-y.z', await f('X-y.z'), 'y', await f('y'), 'the', await f('the'));
await t.update({ where: "id = 'it''s'", values: { removedBy: 'r' } }); console.log(await t.countRows("removedBy = 'r'"));
await t.update({ where: "removedBy = 'r'", values: { removedBy: null as any } }); console.log(await t.countRows('removedBy IS NULL'));
for (const g of ['*a'.repeat(512), '**/a'.repeat(256), '?'.repeat(1024), 'é'.repeat(1000), 'a#b&c~d-e']) { const st = performance.now(); try { await t.query().where(`regexp_like(id, ${lit(pathGlobRegex(parsePathGlob(g)))})`).toArray(); console.log('re ok', (performance.now() - st).toFixed(1)); } catch (e) { console.log(g.slice(0, 10), (e as Error).message.slice(0, 200)); } }
console.log('re match', await t.countRows(`regexp_like(id, '(?s)^new.line$')`), await t.countRows(`regexp_like(id, ${lit(pathGlobRegex(parsePathGlob('back\\slash')))})`), await t.countRows(`regexp_like(id, ${lit(pathGlobRegex(parsePathGlob("it's")))})`), await t.countRows(`starts_with(id, 'it''')`));
// stale handles after recreation with an equal version
const other = await db2.openTable('t');
console.log('v', await other.version(), (await other.schema()).metadata);
const v = await t.version();
await db.dropTable('t'); const t2 = await mk(8); await t2.createIndex('id', { config: lancedb.Index.btree() });
while ((await t2.version()) < v) await put(t2, [{ id: 'z' + Math.random(), text: 'x', removedBy: null, vector: new Array(8).fill(1) }]);
console.log('old handle', await other.version(), (await other.schema()).metadata, await other.countRows().catch((e) => e.message.slice(0, 80)));
const fresh = await db2.openTable('t');
console.log('fresh handle', await fresh.version(), (await fresh.schema()).metadata, await fresh.countRows(), (await fresh.query().toArray()).length);
await t2.optimize();
console.log('meta after optimise', (await t2.schema()).metadata, (await t2.schema()).fields[0]!.metadata);
await t2.createIndex('text', { replace: false, config: lancedb.Index.fts() }).catch((e) => console.log('replace false:', e.message.slice(0, 120)));
try { await t2.vectorSearch(new Float32Array(4)).toArray(); } catch (e) { console.log(e.message.slice(0, 150)); }
console.log((await t2.vectorSearch(new Float32Array(8)).distanceType('cosine').limit(3).select(['id', '_distance']).toArray()).map((r) => r._distance));
try { const d3 = await lancedb.connect('/etc/hostname/x'); await d3.createEmptyTable('x', s(2)); } catch (e) { console.log('ENOTDIR', (e as Error).message.slice(0, 300), (e as any).code); }
try { const d3 = await lancedb.connect('/proc/x'); await d3.createEmptyTable('x', s(2)); } catch (e) { console.log('proc', (e as Error).message.slice(0, 300)); }
