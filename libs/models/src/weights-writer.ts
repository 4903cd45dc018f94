import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { FLOAT, FLOAT16, UINT8, type ExternalTensor } from './onnx-writer.ts';
import { refused } from './partial-file.ts';

/** onnxruntime maps a tensor instead of copying it where it begins at a page; Windows wants 64 KiB. */
const ALIGNMENT = 65_536;

const ELEMENT_TYPES = { float32: FLOAT, float16: FLOAT16, uint8: UINT8 } as const;
const ELEMENT_BYTES = { float32: 4, float16: 2, uint8: 1 } as const;

export interface NewTensor {
  name: string;
  type: keyof typeof ELEMENT_TYPES;
  dims: readonly number[];
}

/** The file beside a graph that holds its weights, written from front to back. */
export class WeightsWriter {
  readonly #name: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  private constructor(name: string, path: string, file: FileHandle) {
    this.#name = name;
    this.#path = path;
    this.#file = file;
  }

  /**
   * @param name under which the graph will find the file.
   * @param path where it is written until it is complete. Errors: `storage_full`.
   */
  static async create(name: string, path: string): Promise<WeightsWriter> {
    return new WeightsWriter(name, path, await open(path, 'w').catch(refused(path)));
  }

  /** Adds a tensor whose values come in parts, in order. Errors: `storage_full`. */
  async add(
    tensor: NewTensor,
    parts: AsyncIterable<ArrayBufferView> | Iterable<ArrayBufferView>,
  ): Promise<ExternalTensor> {
    await this.#write(Buffer.alloc((ALIGNMENT - (this.#bytes % ALIGNMENT)) % ALIGNMENT));
    const offset = this.#bytes;
    for await (const { buffer, byteOffset, byteLength } of parts)
      await this.#write(Buffer.from(buffer, byteOffset, byteLength));
    const { name, type, dims } = tensor;
    const bytes = dims.reduce((product, dim) => product * dim, ELEMENT_BYTES[type]);
    if (this.#bytes - offset !== bytes)
      throw new Error(`${name} has ${this.#bytes - offset} bytes and not ${bytes}`);
    return { name, elementType: ELEMENT_TYPES[type], dims: [...dims], file: this.#name, offset, bytes };
  }

  /** @returns what is in the file, once it is on the disk. */
  async finish(): Promise<{ path: string; bytes: number; sha256: string }> {
    await this.#file.sync().catch(refused(this.#path));
    await this.#file.close();
    return { path: this.#name, bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Safe after finish(). */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#file
        .write(bytes, at, bytes.length - at)
        .catch(refused(this.#path));
      at += bytesWritten;
    }
    this.#bytes += bytes.length;
  }
}
