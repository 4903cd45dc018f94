import type { VerifyText } from './embed-texts.ts';

const QUERIES = [
  'retry with exponential backoff',
  'Where is the database connection closed?',
  'parse a date out of a log line',
  'how are API keys checked',
  'binary search in a sorted array',
  'stop a worker when its parent process is gone',
];

const DOCUMENTS = [
  'def add(a, b):\n    return a + b\n',
  'async function sleep(ms) {\n  await new Promise((done) => setTimeout(done, ms));\n}\n',
  'SELECT id, name FROM users WHERE deleted_at IS NULL ORDER BY created_at DESC LIMIT 20;',
  'func (c *Conn) Close() error {\n\tc.mu.Lock()\n\tdefer c.mu.Unlock()\n\treturn c.socket.Close()\n}\n',
  'for attempt in range(5):\n    try:\n        return send(request)\n    except Timeout:\n        time.sleep(2 ** attempt)\n',
  'int search(const int *a, int n, int key) {\n  int lo = 0, hi = n - 1;\n  while (lo <= hi) {\n    int mid = lo + (hi - lo) / 2;\n    if (a[mid] == key) return mid;\n    if (a[mid] < key) lo = mid + 1; else hi = mid - 1;\n  }\n  return -1;\n}\n',
  'public record Invoice(string Number, decimal Total, DateOnly Due);\n',
  '#!/bin/sh\nset -eu\ntar -czf "backup-$(date +%F).tar.gz" "$1"\n',
  'impl Drop for Guard {\n    fn drop(&mut self) {\n        self.flag.store(false, Ordering::Release);\n    }\n}\n',
  '# Configuration\n\nSet `PORT` to listen elsewhere. The default is 8080.\n',
  'const isAllowed = (key, scope) => key !== undefined && key.scopes.includes(scope);\n',
  'class Cache:\n    """Least recently used entries leave first."""\n\n    def __init__(self, size):\n        self.size = size\n        self.entries = OrderedDict()\n',
  '// größter gemeinsamer Teiler\nfunction ggT(a, b) { return b === 0 ? a : ggT(b, a % b); }\n',
  'try:\n    moment = datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")\nexcept ValueError:\n    moment = None\n',
  '関数は配列をソートする。\nconst sorted = [...values].sort((x, y) => x - y);\n',
  'apiVersion: v1\nkind: Service\nmetadata:\n  name: search\nspec:\n  ports:\n    - port: 80\n',
];

/** What a model is tried on where nobody has given other texts: short, as a large model takes a third of a second for ten tokens. */
export const VERIFY_TEXTS: readonly VerifyText[] = [
  ...QUERIES.map((text) => ({ text, inputType: 'query' as const })),
  ...DOCUMENTS.map((text) => ({ text, inputType: 'document' as const })),
];
