// Runs on Node 18 and newer, before anything is installed: only Node's own modules here.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** The Node that this project brings along; the sources need it. */
export const PROJECT_NODE = join(ROOT, 'node_modules', '.bin', 'node');
const STAMP = join(ROOT, 'node_modules', '.embergate-install');

/**
 * Installs what package-lock.json says, unless that has been done.
 * @param {{ development: boolean }} options with the tools that tests need, or only what runs.
 */
export function install({ development }) {
  const wanted = lockHash();
  const [installed, scope] = existsSync(STAMP) ? readFileSync(STAMP, 'utf8').split(' ') : [];
  if (installed === wanted && (scope === 'all' || !development) && existsSync(PROJECT_NODE)) return;
  // A developer's own `npm install` leaves no stamp; npm's own record tells that everything is there.
  if (
    installed === undefined &&
    isNewer(join(ROOT, 'node_modules', '.package-lock.json'), join(ROOT, 'package-lock.json'))
  )
    return;
  const everything = development || scope === 'all';
  console.error(`Installing packages${everything ? '' : ' (without development tools)'} ...`);
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...(everything ? [] : ['--omit=dev'])];
  const npm = process.env['npm_execpath'];
  const result = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
    : spawnSync('npm', args, {
        cwd: ROOT,
        stdio: ['ignore', 'ignore', 'inherit'],
        shell: process.platform === 'win32',
      });
  if (result.status !== 0) {
    console.error('process_failed: npm ci failed; its message is above. Is the package registry reachable?');
    process.exit(1);
  }
  writeFileSync(STAMP, `${wanted} ${everything ? 'all' : 'run'}`);
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
}

function isNewer(file, other) {
  if (!existsSync(file) || !existsSync(PROJECT_NODE)) return false;
  const normalise = (text) => {
    const { packages = {} } = JSON.parse(text);
    return Object.fromEntries(Object.entries(packages).map(([path, { version }]) => [path, version]));
  };
  const there = normalise(readFileSync(file, 'utf8'));
  const wanted = JSON.parse(readFileSync(other, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.link || (path in there && there[path] === entry.version),
  );
}
