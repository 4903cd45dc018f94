import * as lancedb from '@lancedb/lancedb';
import { cpSync, rmSync } from 'node:fs';
rmSync('/tmp/lance-bench2', { recursive: true, force: true }); cpSync('/tmp/lance-bench', '/tmp/lance-bench2', { recursive: true });
const A = await (await lancedb.connect('/tmp/lance-bench', { readConsistencyInterval: 0 })).openTable('chunks_c');
const B = await (await lancedb.connect('/tmp/lance-bench2', { readConsistencyInterval: 0 })).openTable('chunks_c');
const s = performance.now();
for (const c of ['addedBy', 'removedBy', 'repo', 'language']) await B.createIndex(c, { config: lancedb.Index.bitmap() });
console.log('index build', performance.now() - s);
const q = Float32Array.from({ length: 384 }, () => Math.random() - .5);
const vis = "NOT addedBy IN ('p1','p2') AND (removedBy IS NULL OR NOT removedBy IN ('c1','c2'))";
const cols = ['id', 'repo', 'path', 'language', 'symbol', 'startLine', 'endLine', 'text', '_distance'];
const acc: Record<string, number[]> = {};
const time = async (name: string, n: number, f: () => Promise<unknown>) => { await f(); const c0 = process.cpuUsage(); const s = performance.now(); for (let i = 0; i < n; i++) await f(); const c = process.cpuUsage(c0); (acc[name] ??= []).push((performance.now() - s) / n); (acc[name + ' CPU'] ??= []).push((c.user + c.system) / 1000 / n); };
const d = (t: lancedb.Table, w?: string, lim = 50) => { let x = t.vectorSearch(q).distanceType('cosine').limit(lim).select(cols); if (w) x = x.where(w); return x; };
const l = (t: lancedb.Table, w?: string) => { let x = t.query().fullTextSearch(new lancedb.MatchQuery('word1a word2b word3 word99 wordab', 'lexicalText')).limit(50).select([...cols.slice(0, -1), '_score']); if (w) x = x.where(w); return x; };
for (let k = 0; k < 8; k++) {
  for (const [n, t] of [['plain', A], ['bitmap', B]] as const) {
    await time(n + ' none', 8, () => d(t).toArray());
    await time(n + ' vis', 8, () => d(t, vis).toArray());
    await time(n + ' vis+repo', 8, () => d(t, vis + " AND repo IN ('repo3')").toArray());
    await time(n + ' lex', 8, () => l(t).toArray());
    await time(n + ' lex vis', 8, () => l(t, vis).toArray());
    await time(n + ' lex vis+repo', 8, () => l(t, vis + " AND repo IN ('repo3')").toArray());
    await time(n + ' lim200 none', 8, () => d(t, undefined, 200).toArray());
  }
}
for (const [k, v] of Object.entries(acc)) console.log(k.padEnd(24), v.sort((a, b) => a - b)[v.length >> 1]!.toFixed(2), 'min', v[0]!.toFixed(2));
console.log(await d(B, vis).analyzePlan());
