/** Folders of version control, caches and of Embergate itself: never descended into and not worth a word. */
const SILENT_FOLDERS = new Set([
  '.git',
  '.hg',
  '.svn',
  '.jj',
  '.embergate',
  '__pycache__',
  '.mypy_cache',
  '.pytest_cache',
  '.ruff_cache',
  '.nx',
  '.turbo',
  '.parcel-cache',
  '.gradle',
  '.terraform',
  '.ipynb_checkpoints',
  '.eggs',
]);

/** Folders of other people's code: never descended into, even when nothing ignores them, but named as skipped. */
const DEPENDENCY_FOLDERS = new Set([
  'node_modules',
  'bower_components',
  'jspm_packages',
  'site-packages',
  '.venv',
  '.tox',
  '.nox',
  '.yarn',
  '.pnpm-store',
  'Pods',
  'Carthage',
]);

const LOCKFILES = new Set([
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
  'deno.lock',
  'Cargo.lock',
  'poetry.lock',
  'uv.lock',
  'pdm.lock',
  'Pipfile.lock',
  'composer.lock',
  'Gemfile.lock',
  'go.sum',
  'go.work.sum',
  'mix.lock',
  'pubspec.lock',
  'Podfile.lock',
  'flake.lock',
  'packages.lock.json',
  'gradle.lockfile',
  '.terraform.lock.hcl',
  'Package.resolved',
  'Cartfile.resolved',
  'conan.lock',
  '.package-lock.json',
]);

const GENERATED_NAMES =
  /[.-]min\.(?:js|mjs|cjs|css)$|\.(?:js|mjs|cjs|css|d\.ts|d\.mts)\.map$|\.pb\.(?:go|cc|h)$|_pb2(?:_grpc)?\.pyi?$|\.g\.dart$|\.freezed\.dart$|\.designer\.cs$|\.g\.cs$/i;

const BINARY_NAMES =
  /\.(?:png|jpe?g|gif|webp|avif|bmp|ico|icns|tiff?|psd|pdf|zip|gz|tgz|bz2|xz|zst|7z|rar|jar|war|whl|egg|so|dll|dylib|exe|o|a|lib|obj|class|pyc|pyd|wasm|node|db|sqlite3?|parquet|npy|npz|pt|onnx|gguf|safetensors|mp[34]|mov|avi|webm|ogg|wav|flac|ttf|otf|eot|woff2?)$/i;

const GENERATED_MARK =
  /^\s*(?:\/\/|\/\*|\*|#|--|;|%|<!--|"""|''').*?(?:@generated\b|\bcode generated\b.*\bdo not edit\b)/i;
const MARKED_LINES = 20;

export type FolderVerdict = 'enter' | 'silent' | 'dependencies';

/** Whether a walk enters a folder of this name. */
export function folderVerdict(name: string): FolderVerdict {
  if (SILENT_FOLDERS.has(name)) return 'silent';
  return DEPENDENCY_FOLDERS.has(name) ? 'dependencies' : 'enter';
}

/** What such a name holds is never source text: it need not be opened. */
export const isBinaryName = (path: string): boolean => BINARY_NAMES.test(path);

/** Lockfiles, minified files, source maps and the output of well-known generators. */
export function isGeneratedName(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return LOCKFILES.has(name) || GENERATED_NAMES.test(name);
}

/** A comment in the first lines says that the file is made by a program. */
export function saysGenerated(text: string): boolean {
  return text
    .slice(0, 4_000)
    .split('\n', MARKED_LINES)
    .some((line) => GENERATED_MARK.test(line.slice(0, 400)));
}
