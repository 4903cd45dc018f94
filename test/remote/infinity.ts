import { eventually } from '@embergate/testing/eventually.ts';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt');
/** What the files of the default model are to transformers and sentence-transformers. */
const CHECKOUT: Readonly<Record<string, unknown>> = {
  'config.json': {
    architectures: ['BertModel'],
    model_type: 'bert',
    hidden_size: 384,
    num_attention_heads: 12,
    num_hidden_layers: 6,
    intermediate_size: 1536,
    vocab_size: 30_522,
    max_position_embeddings: 512,
    layer_norm_eps: 1e-12,
    hidden_act: 'gelu',
    type_vocab_size: 2,
    pad_token_id: 0,
  },
  'tokenizer_config.json': { tokenizer_class: 'BertTokenizer', do_lower_case: true, model_max_length: 512 },
  'modules.json': [
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
  ],
  'sentence_bert_config.json': { max_seq_length: 256, do_lower_case: false },
  '1_Pooling/config.json': { word_embedding_dimension: 384, pooling_mode_mean_tokens: true },
};

/** Installs the server into a virtual environment, once. @returns its command. */
export async function installInfinity(venv: string): Promise<string> {
  const command = join(venv, 'bin', 'infinity_emb');
  const isThere = await access(command).then(
    () => true,
    () => false,
  );
  if (isThere) return command;
  await run('python3', ['-m', 'venv', venv]);
  await run(join(venv, 'bin', 'pip'), ['install', '--quiet', '-r', REQUIREMENTS], { maxBuffer: 2 ** 26 });
  return command;
}

/** The installed default model as a checkout that Python reads. */
export async function writeCheckout(folder: string, installed: string): Promise<void> {
  await mkdir(join(folder, '1_Pooling'), { recursive: true });
  for (const [path, content] of Object.entries(CHECKOUT)) {
    await writeFile(join(folder, path), JSON.stringify(content));
  }
  for (const file of ['model.safetensors', 'tokenizer.json']) {
    await symlink(join(installed, file), join(folder, file));
  }
}

export interface InfinityOptions {
  command: string;
  /** Absolute. */
  checkout: string;
  port: number;
  apiKey: string;
}

/** A server of somebody else's: infinity-emb, with the default model. */
export class Infinity {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves once it says that it is well. */
  static async start({ command, checkout, port, apiKey }: InfinityOptions): Promise<Infinity> {
    const flags = [
      '--engine',
      'torch',
      '--device',
      'cpu',
      '--pooling-method',
      'mean',
      '--no-bettertransformer',
    ];
    const address = ['--host', '127.0.0.1', '--port', String(port), '--url-prefix', '/v1'];
    const child = spawn(
      command,
      ['v2', '--model-id', checkout, '--served-model-name', 'minilm', ...flags, ...address],
      {
        stdio: ['ignore', 'ignore', 'ignore'],
        env: {
          ...process.env,
          INFINITY_API_KEY: apiKey,
          INFINITY_ANONYMOUS_USAGE_STATS: '0',
          DO_NOT_TRACK: '1',
          HF_HUB_OFFLINE: '1',
        },
      },
    );
    const isWell = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(`infinity-emb ended with ${child.exitCode}`);
      return (
        await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: `Bearer ${apiKey}` } })
      ).ok;
    };
    await eventually('infinity-emb is up', isWell, 120_000);
    return new Infinity(child);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
