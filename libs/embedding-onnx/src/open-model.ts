import { AppError } from '@embergate/contracts/errors.ts';
import { InferenceSession } from 'onnxruntime-node';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyNoCudaLibrary } from './cuda-libraries.ts';
import { Decoder } from './decoder.ts';
import type { Device } from './devices.ts';
import { Encoder } from './encoder.ts';
import { describeProof, proveNodes, type NodeProof, type ProfileEvent } from './node-proof.ts';
import type { LoadModel } from './protocol.ts';
import { isSoftwareAdapter } from './software-adapter.ts';
import type { Model } from './turns.ts';

/**
 * Threads that spin for long burn the cores which gateway and queue need (3 times the time on a shared machine); threads
 * that never spin are woken a hundred times a run, which is half of a short text's time. So they spin for as long as the
 * next operator is away, and stop with the run. Measured in docs/benchmarks.md, "Spinning".
 */
const THREADING = {
  intra_op: { allow_spinning: '1', spin_duration_us: '20' },
  force_spinning_stop: '1',
};

/** Enough tokens that what they have to do with each other is matrix work, too. */
const FIRST_TOKENS = 8;

export interface OpenedModel {
  model: Model;
  /** Where its matrix work was seen to run, for people. */
  proof: string;
}

/**
 * Opens the model on the device it shall run on. On a GPU it embeds one text under onnxruntime's profiler, which tells where
 * each node ran; profiling ends with that text, and the session goes on to serve.
 *
 * @throws AppError `device_unavailable`: the device does not work, or does not compute all of the model's matrix work.
 * `model_damaged`: onnxruntime cannot read the model.
 */
export async function openModel(options: Omit<LoadModel, 'type'>): Promise<OpenedModel> {
  const { device } = options;
  if (device === 'cpu') {
    const session = await openSession(options, {});
    return { model: await modelOf(session, options), proof: 'the CPU runs all nodes' };
  }
  const folder = await mkdtemp(join(tmpdir(), 'embergate-profile-'));
  try {
    const profiling = { enableProfiling: true, profileFilePrefix: join(folder, 'nodes') };
    const session = await openSession(options, profiling);
    const model = await runFirst(session, options);
    session.endProfiling();
    return { model, proof: (await readProof(folder, options)) + partsNote(model, device) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openSession(
  { onnxPath, threads, device, nodesOnCpu }: Omit<LoadModel, 'type'>,
  profiling: InferenceSession.SessionOptions,
): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(onnxPath, {
      // What a GPU does not know goes to the CPU, whether it is named here or not: that is what the proof is for.
      executionProviders: [providerOf(device, nodesOnCpu)],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      extra: { session: THREADING },
      ...profiling,
    });
  } catch (error) {
    throw loadError(error, { device, onnxPath });
  }
}

const providerOf = (device: Device, nodesOnCpu: string[]): InferenceSession.ExecutionProviderConfig =>
  device === 'webgpu' && nodesOnCpu.length > 0 ? { name: device, forceCpuNodeNames: nodesOnCpu } : device;

/** onnxruntime says in words only whether it was the file or the device. */
function loadError(error: unknown, { device, onnxPath }: { device: Device; onnxPath: string }): AppError {
  const message = messageOf(error);
  if (device === 'cpu' || message.startsWith('Load model from')) {
    return new AppError('model_damaged', `onnxruntime cannot load ${onnxPath}: ${message}`);
  }
  const library = device === 'cuda' ? whyNoCudaLibrary() : undefined;
  const why = library === undefined ? message : `${message} ${library}.`;
  return new AppError('device_unavailable', `onnxruntime cannot open the model on ${device}: ${why}`);
}

const modelOf = async (
  session: InferenceSession,
  { padTokenId, prefixes, device }: Pick<LoadModel, 'padTokenId' | 'prefixes' | 'device'>,
): Promise<Model> =>
  Decoder.runs(session)
    ? Decoder.create(session, prefixes, { checksParts: device !== 'cpu' })
    : new Encoder(session, padTokenId);

function partsNote(model: Model, device: Device): string {
  const tokens = model instanceof Decoder ? model.shortParts : undefined;
  if (tokens === undefined) return '';
  return `; texts go in parts of ${tokens} tokens, as ${device} computed longer ones wrongly`;
}

async function runFirst(session: InferenceSession, options: Omit<LoadModel, 'type'>): Promise<Model> {
  const { padTokenId, device } = options;
  try {
    const model = await modelOf(session, options);
    const parts = model.embed([new Uint32Array(FIRST_TOKENS).fill(padTokenId)], 'query');
    while (!(await parts.next()).done);
    return model;
  } catch (error) {
    throw new AppError('device_unavailable', `The model does not run on ${device}: ${messageOf(error)}`);
  }
}

async function readProof(
  folder: string,
  { device, mayBeSoftware }: Pick<LoadModel, 'device' | 'mayBeSoftware'>,
): Promise<string> {
  const [file = ''] = await readdir(folder);
  const events = JSON.parse(await readFile(join(folder, file), 'utf8')) as ProfileEvent[];
  const proof: NodeProof = proveNodes(events, device);
  if (device !== 'webgpu' || !(await isSoftwareAdapter())) return describeProof(proof);
  const software = 'its adapter is software on the CPU (no GPU device is open)';
  if (!mayBeSoftware) throw new AppError('device_unavailable', `webgpu computes the model, but ${software}.`);
  return `${describeProof(proof)}; ${software}`;
}

/** As a sentence, without the place in onnxruntime's sources where it was checked. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const said = message.replace(/^\/onnxruntime_src\/.* was false\. /s, '').trim();
  return /[.!?]$/.test(said) ? said : `${said}.`;
}
