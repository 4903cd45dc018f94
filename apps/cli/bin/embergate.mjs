#!/usr/bin/env node
// Runs on any Node from 18 on: the sources need the Node that this project brings along.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const main = join(here, '..', 'src', 'main.ts');
const modules = join(here, '..', '..', '..', 'node_modules');

// Where it may write there, Node keeps what it makes of the sources, for this process and its children: each starts 0.2 s sooner.
process.env.NODE_COMPILE_CACHE ??= join(modules, '.cache', 'embergate');

if (Number(process.versions.node.split('.')[0]) >= 24) {
  module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
  await import(main);
} else {
  const node = join(modules, '.bin', 'node');
  if (!existsSync(node)) {
    console.error(
      'process_failed: Embergate is not installed here yet. Run `npm install` (or `npm start`) in its folder.',
    );
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // Ctrl-C reaches the child by itself; this process only waits for it.
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => signal === 'SIGTERM' && child.kill(signal));
  child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
}
