import * as lancedb from '@lancedb/lancedb';
const path = '/tmp/lance-a';
const a = await (await lancedb.connect(path, { readConsistencyInterval: 0 })).openTable('meta');
const b = await (await lancedb.connect(path, { readConsistencyInterval: 0 })).openTable('meta');
let stale = 0;
for (let i = 0; i < 100; i++) {
  const { version } = await a.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([{ key: 'k1', collection: 'c', body: 'v' + i }]);
  const v = await b.version();
  if (v !== version) stale++;
}
console.log('stale', stale, await a.version());
// conflicts: concurrent merges from two handles
const r = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([{ key: 'same', collection: 'c', body: 'v' + i }])));
console.log(r.filter((x) => x.status === 'rejected').length, r.find((x) => x.status === 'rejected'));
console.log((await a.query().where("key='same'").toArray()).length);
const r2 = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([{ key: 'new' , collection: 'c', body: 'v' + i }])));
console.log(r2.filter((x) => x.status === 'rejected').length, (await a.query().where("key='new'").toArray()).length);
const r3 = await Promise.allSettled([...Array.from({ length: 10 }, (_, i) => a.update({ where: `key='k${i}'`, values: { body: 'u' } })), ...Array.from({ length: 10 }, (_, i) => b.delete(`key='k${i}'`)), a.optimize({cleanupOlderThan: new Date()}), b.optimize({cleanupOlderThan: new Date()})]);
for (const x of r3) if (x.status === 'rejected') console.log((x.reason as Error).message.slice(0, 600));
