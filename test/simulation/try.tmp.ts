import { SCENARIOS } from './scenarios.ts';
import { World } from './world.ts';
import { ourPolicy } from './our-policy.ts';
import { errorRateBreaker, queueThreshold, noFallback } from './plain-policies.ts';
const q=(xs:number[],p:number)=>xs.sort((a,b)=>a-b)[Math.floor(xs.length*p)]??NaN;
for (const s of SCENARIOS) {
  if (process.argv[2] && s.name!==process.argv[2]) continue;
  console.log('\n'+s.name);
  let c:any;
  for (const p of [ourPolicy((x)=>{c=x}), errorRateBreaker, queueThreshold, noFallback]) {
    const t=performance.now();
    const w = new World(s,p,7).run();
    const n=w.queries.length;
    const k=(f:(q:any)=>boolean)=>(100*w.queries.filter(f).length/n).toFixed(1).padStart(6);
    const lat=w.queries.filter(x=>x.outcome?.kind==='vector').map(x=>x.outcome!.at-x.arrivedAt);
    console.log(p.name.padEnd(24), n, 'vector',k(x=>x.outcome?.kind==='vector'),'gpu',k(x=>x.outcome?.tier==='gpu'),'lex',k(x=>x.outcome?.kind==='lexical'),'none',k(x=>x.outcome?.kind==='nothing'),'p50',q(lat,.5).toFixed(0),'p99',q(lat,.99).toFixed(0),'waste',(100*w.computed.forNobody/(w.computed.forNobody+w.computed.inTime)).toFixed(1), (performance.now()-t).toFixed(0)+'ms');
    if (p.name==='ours') { const errs=c.promised.filter((x:any)=>x.answeredAt!==null).map((x:any)=>{const a=x.answeredAt-x.at;return (a-x.predictedMs)/Math.max(a,50)});
      console.log('   ',JSON.stringify(c.counts),'err median',q(errs.map(Math.abs),.5).toFixed(2),'p90',q(errs.map(Math.abs),.9).toFixed(2),'bias',q(errs,.5).toFixed(2));
      const m=new Map(); for(const x of w.queries) {const o=x.outcome!; const key=o.kind==='vector'?o.tier:o.kind==='lexical'?o.reason:'nothing'; m.set(key,(m.get(key)??0)+1);} console.log('   ',m); }
    if (w.autoscaler) console.log('   ',w.autoscaler.history.map(h=>h.wanted+'/'+h.workers).join(' '));
  }
}
