import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A little project in several languages, small enough to be indexed in a second or two. */
export const SAMPLE_FILES: Record<string, string> = {
  'src/retry.ts': `import { setTimeout as wait } from 'node:timers/promises';

/** Calls again after a failure, waiting twice as long each time. */
export async function retryWithBackoff<T>(call: () => Promise<T>, attempts = 5): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === attempts) throw error;
      await wait(100 * 2 ** attempt);
    }
  }
}
`,
  'src/http-server.ts': `import { createServer, type IncomingMessage } from 'node:http';

export class HttpServer {
  /** Reads the whole request body, up to a limit. */
  async readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of request) {
      size += part.length;
      if (size > limit) throw new Error('body too large');
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  listen(port: number): void {
    createServer().listen(port);
  }
}
`,
  'lib/parser.py': `import json


class ConfigParser:
    """Reads settings from a JSON document."""

    def parse_header(self, line):
        """Split a header line into name and value."""
        name, _, value = line.partition(":")
        return name.strip().lower(), value.strip()

    def load(self, text):
        return json.loads(text)
`,
  'cmd/main.go': `package main

import "fmt"

// Fibonacci returns the n-th number of the sequence.
func Fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return Fibonacci(n-1) + Fibonacci(n-2)
}

func main() {
	fmt.Println(Fibonacci(10))
}
`,
  'README.md': `# Sample

## Install

Run the installer, then restart the terminal.

## Billing

Invoices are sent on the first day of a month.
`,
  '.gitignore': 'secret.txt\nbuild/\n',
  'secret.txt': 'the launch code is 0000\n',
  'build/out.js': 'console.log("generated output that nobody should find");\n',
};

export async function writeFiles(root: string, files: Record<string, string | Buffer>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

/** Writes the sample and commits it to a new git repository. */
export async function writeSampleProject(root: string): Promise<void> {
  await writeFiles(root, SAMPLE_FILES);
  await git(root, 'init', '--quiet', '--initial-branch', 'main');
  await commitAll(root, 'sample');
}

export async function commitAll(root: string, message: string): Promise<void> {
  await git(root, 'add', '--all');
  const author = [
    '-c',
    'user.name=Sample',
    '-c',
    'user.email=sample@example.com',
    '-c',
    'commit.gpgsign=false',
  ];
  await git(root, ...author, 'commit', '--quiet', '--message', message);
}

async function git(root: string, ...args: string[]): Promise<void> {
  await run('git', ['-C', root, ...args]);
}
