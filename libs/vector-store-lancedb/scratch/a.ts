import * as lancedb from '@lancedb/lancedb';
import { Schema, Field, Utf8, FixedSizeList, Float32, Int32, Table, makeData, vectorFromArray, RecordBatch, Struct } from 'apache-arrow';
import { rmSync } from 'node:fs';
const path = '/tmp/lance-a';
rmSync(path, { recursive: true, force: true });
const t = async (name: string, n: number, f: () => Promise<unknown>) => {
  const times: number[] = [];
  const cpu0 = process.cpuUsage();
  for (let i = 0; i < n; i++) { const s = performance.now(); await f(); times.push(performance.now() - s); }
  const c = process.cpuUsage(cpu0);
  times.sort((a, b) => a - b);
  console.log(name, 'p50', times[n >> 1]!.toFixed(2), 'max', times[n - 1]!.toFixed(2), 'cpu ms each', ((c.user + c.system) / 1000 / n).toFixed(2));
};
const db = await lancedb.connect(path, { readConsistencyInterval: 0 });
const s = new Schema([new Field('key', new Utf8(), false), new Field('collection', new Utf8(), false), new Field('body', new Utf8(), false)]);
const meta = await db.createEmptyTable('meta', s, { mode: 'create' });
for (let i = 0; i < 30; i++) await meta.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([{ key: 'k' + i, collection: 'c', body: JSON.stringify({ a: 1, i }) }]);
await t('merge', 20, () => meta.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([{ key: 'k1', collection: 'c', body: JSON.stringify({ a: 1 }) }]));
const read = () => meta.query().where("collection = 'c'").select(['key', 'body']).toArray();
await t('read meta 30 frags', 100, read);
await t('version', 100, () => meta.version());
await meta.optimize({ cleanupOlderThan: new Date() });
await t('read meta compacted', 200, read);
await t('version', 200, () => meta.version());
const bigger = Array.from({ length: 500 }, (_, i) => ({ key: 'z' + i, collection: 'c', body: JSON.stringify({ a: 1, i, x: 'x'.repeat(150) }) }));
await meta.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(bigger);
await t('read meta 530', 100, read);
const db2 = await lancedb.connect(path, { readConsistencyInterval: 3600 });
const m2 = await db2.openTable('meta');
await t('read meta no consistency', 100, () => m2.query().where("collection = 'c'").select(['key', 'body']).toArray());
await t('open', 50, () => db.openTable('meta'));
try { await db.openTable('nope'); } catch (e) { console.log('ERR', (e as Error).message, Object.keys(e as object)); }
try { await db.createEmptyTable('meta', s, { mode: 'create' }); } catch (e) { console.log('ERR', (e as Error).message); }
