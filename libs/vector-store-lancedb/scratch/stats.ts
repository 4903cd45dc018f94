import * as lancedb from '@lancedb/lancedb';
const t = await (await lancedb.connect('/tmp/lance-bench', { readConsistencyInterval: 0 })).openTable('chunks_c');
let s = performance.now(); console.log(JSON.stringify(await t.stats()), performance.now() - s);
s = performance.now(); console.log(JSON.stringify(await t.indexStats('lexicalText_idx')), performance.now() - s);
s = performance.now(); console.log((await t.listIndices()).map((i) => [i.name, i.numUnindexedRows]), performance.now() - s);
console.log((await t.listVersions()).length);
