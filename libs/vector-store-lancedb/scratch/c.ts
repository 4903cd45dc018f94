import * as lancedb from '@lancedb/lancedb';
import { Schema, Field, Utf8 } from 'apache-arrow';
import { rmSync } from 'node:fs';
const path = '/tmp/lance-c';
rmSync(path, { recursive: true, force: true });
const da = await lancedb.connect(path, { readConsistencyInterval: 0 });
const dbb = await lancedb.connect(path, { readConsistencyInterval: 0 });
const s = new Schema([new Field('key', new Utf8(), false), new Field('collection', new Utf8(), false), new Field('body', new Utf8(), false)], new Map([['stamp', '{"a":"ü"}']]));
const creates = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => (i % 2 ? da : dbb).createEmptyTable('meta', s, { mode: 'create' })));
console.log('created', creates.filter((x) => x.status === 'fulfilled').length, creates.filter((x) => x.status === 'rejected').map((x) => (x as PromiseRejectedResult).reason.message.slice(0, 200)));
const a = await da.openTable('meta'), b = await dbb.openTable('meta');
console.log((await a.schema()).metadata, await a.version());
await a.setUnenforcedPrimaryKey('key');
console.log((await b.schema()).metadata, (await b.schema()).fields[0]!.metadata, await a.version());
const put = (t: lancedb.Table, rows: Record<string, unknown>[]) => t.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows);
const r2 = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => put(i % 2 ? a : b, [{ key: 'new', collection: 'c', body: 'v' + i }])));
console.log(r2.filter((x) => x.status === 'rejected').map((x) => (x as PromiseRejectedResult).reason.message.slice(0, 300)), await a.query().where("key='new'").toArray().then((r) => r.length));
const r3 = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => put(i % 2 ? a : b, [{ key: 'n' + i, collection: 'c', body: 'v' + i }])));
console.log(r3.filter((x) => x.status === 'rejected').map((x) => (x as PromiseRejectedResult).reason.message.slice(0, 300)), await a.countRows());
const r4 = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => put(i % 2 ? a : b, Array.from({ length: 500 }, (_, j) => ({ key: 'n' + i + '-' + j, collection: 'c', body: 'v' + i })))));
console.log(r4.filter((x) => x.status === 'rejected').map((x) => (x as PromiseRejectedResult).reason.message.slice(0, 300)), await a.countRows());
// duplicates within a batch
try { await put(a, [{ key: 'dup', collection: 'c', body: '1' }, { key: 'dup', collection: 'c', body: '2' }]); console.log('dups', await a.countRows("key='dup'")); await put(a, [{ key: 'dup', collection: 'c', body: '1' }, { key: 'dup', collection: 'c', body: '2' }]); } catch (e) { console.log((e as Error).message.slice(0, 300)); }
// drop and recreate seen from the other handle
const vb = await b.version();
await da.dropTable('meta');
try { console.log('b version after drop', await b.version()); } catch (e) { console.log('after drop', (e as Error).message.slice(0, 300)); }
try { console.log('b query after drop', await b.countRows()); } catch (e) { console.log('after drop q', (e as Error).message.slice(0, 300)); }
const a2 = await da.createEmptyTable('meta', s, { mode: 'create' });
await a2.add([{ key: 'x', collection: 'c', body: 'x' }]);
try { console.log('b version after recreate', vb, await b.version(), await b.countRows()); } catch (e) { console.log('recreate', (e as Error).message.slice(0, 300)); }
console.log(await dbb.tableNames());
