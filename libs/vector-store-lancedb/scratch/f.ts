import * as lancedb from '@lancedb/lancedb';
import { Schema, Field, Utf8 } from 'apache-arrow';
import { rmSync } from 'node:fs';
const path = '/tmp/lance-f';
rmSync(path, { recursive: true, force: true });
const dbs = await Promise.all([1, 2, 3, 4].map(() => lancedb.connect(path, { readConsistencyInterval: 0 })));
const s = (i: number) => new Schema([new Field('key', new Utf8(), false)], new Map([['stamp', String(i)]]));
const tally: Record<string, number> = {};
for (let n = 0; n < 100; n++) {
  const mode = process.argv[2] === 'existOk' ? { mode: 'create' as const, existOk: true } : { mode: 'create' as const };
  const r = await Promise.allSettled(dbs.map((db, i) => db.createEmptyTable('t' + n, s(i), mode)));
  const t = await dbs[0]!.openTable('t' + n);
  const key = `ok ${r.filter((x) => x.status === 'fulfilled').length} version ${await t.version()} ` + [...new Set(r.filter((x) => x.status === 'rejected').map((x) => ((x as PromiseRejectedResult).reason as Error).message.replace(/t\d+/g, 't').slice(0, 120)))].join('|');
  tally[key] = (tally[key] ?? 0) + 1;
}
console.log(tally);
