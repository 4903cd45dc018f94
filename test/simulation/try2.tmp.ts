import { SCENARIOS } from './scenarios.ts';
import { World } from './world.ts';
import { ourPolicy } from './our-policy.ts';
import { queueThreshold } from './plain-policies.ts';
const q=(xs:number[],p:number)=>xs.sort((a,b)=>a-b)[Math.floor(xs.length*p)]??NaN;
for (const packing of ['alike','in order'] as const) for (const s of SCENARIOS.filter(x=>['overload','bursts','well','slow, busy'].includes(x.name))) {
  let c:any;
  for (const p of [ourPolicy((x)=>{c=x}),queueThreshold]) {
    let n=0,v=0,l=0,no=0; const errs:number[]=[];
    for (const seed of [1,2,3]) { const w=new World({...s,packing},p,seed).run(); n+=w.queries.length; for(const x of w.queries){const k=x.outcome?.kind; if(k==='vector')v++; else if(k==='lexical')l++; else no++;}
      if (p.name==='ours') for (const x of c.promised) if(x.answeredAt!==null&&!x.isFailover){const a=x.answeredAt-x.at; errs.push((a-x.predictedMs)/Math.max(a,50));} }
    console.log(packing.padEnd(9),s.name.padEnd(11),p.name.padEnd(20),'vec',(100*v/n).toFixed(1),'lex',(100*l/n).toFixed(1),'none',(100*no/n).toFixed(1), errs.length?`med ${q(errs.map(Math.abs),.5).toFixed(2)} p90 ${q(errs.map(Math.abs),.9).toFixed(2)} bias ${q(errs,.5).toFixed(2)}`:'');
  }
}
