import * as lancedb from '@lancedb/lancedb';
const db = await lancedb.connect('/tmp/lance-bench', { readConsistencyInterval: 0 });
const t = await db.openTable('chunks_c');
console.log(await t.countRows(), (await t.listIndices()).map((i) => [i.name, i.numIndexedRows, i.numUnindexedRows]));
const q = Float32Array.from({ length: 384 }, () => Math.random() - .5);
const vis = "NOT addedBy IN ('p1','p2') AND (removedBy IS NULL OR NOT removedBy IN ('c1','c2'))";
const cols = ['id', 'repo', 'path', 'language', 'symbol', 'startLine', 'endLine', 'text', '_distance'];
const time = async (name: string, n: number, f: () => Promise<unknown>) => { const ts: number[] = []; await f(); const c0 = process.cpuUsage(); for (let i = 0; i < n; i++) { const s = performance.now(); await f(); ts.push(performance.now() - s); } const c = process.cpuUsage(c0); ts.sort((a, b) => a - b); console.log(name.padEnd(40), 'p50', ts[n >> 1]!.toFixed(2), 'p95', ts[Math.floor(n * .95)]!.toFixed(2), 'cpu', ((c.user + c.system) / 1000 / n).toFixed(2)); };
const d = (o: { w?: string; lim?: number; cols?: string[]; type?: any; post?: boolean }) => { let x = t.vectorSearch(q).distanceType(o.type ?? 'cosine').limit(o.lim ?? 50).select(o.cols ?? cols); if (o.w) x = x.where(o.w); if (o.post) x = x.postfilter(); return x; };
for (let k = 0; k < 2; k++) {
await time('full', 40, () => d({}).toArray());
await time('lim 10', 40, () => d({ lim: 10 }).toArray());
await time('id only', 40, () => d({ cols: ['id', '_distance'] }).toArray());
await time('dist only', 40, () => d({ cols: ['_distance'] }).toArray());
await time('dot', 40, () => d({ type: 'dot' }).toArray());
await time('l2', 40, () => d({ type: 'l2' }).toArray());
await time('vis', 40, () => d({ w: vis }).toArray());
await time('vis post', 40, () => d({ w: vis, post: true }).toArray());
await time('vis !=', 40, () => d({ w: "addedBy <> 'p1' AND addedBy <> 'p2' AND (removedBy IS NULL OR (removedBy <> 'c1' AND removedBy <> 'c2'))" }).toArray());
await time('vis added only', 40, () => d({ w: "NOT addedBy IN ('p1','p2')" }).toArray());
await time('vis removed only', 40, () => d({ w: "(removedBy IS NULL OR NOT removedBy IN ('c1','c2'))" }).toArray());
await time('scan vectors only', 10, async () => { for await (const b of t.query().select(['vector'])) void b; });
await time('scan filter only', 20, () => t.countRows(vis));
}
console.log(await d({ w: vis }).analyzePlan());
console.log(await d({}).analyzePlan());
